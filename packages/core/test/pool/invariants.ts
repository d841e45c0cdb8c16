/** What must hold in every world at all times, and what one fresh process must achieve in it at the end. */
import { type Slot } from "@airflow-resource/core"
import * as Marker from "../../src/internal/pool/Marker.js"
import type { Writer } from "./Cloud.js"
import type { UseEvent, World } from "./World.js"
import { hours, seconds } from "./World.js"

/** Checks a world's log and events as they grow. */
export class Checker {
  readonly violations: Array<string> = []
  readonly #world: World
  #read = 0
  /** By ledger and pool. */
  readonly #readers = new Map<string, LedgerReader>()
  /** The current use of each deployment: the one that began last and has not ended. */
  readonly #uses = new Map<string, UseEvent>()

  constructor(world: World) {
    this.#world = world
  }

  /** To be called after every step. Throws at the first violation. */
  check(): void {
    const world = this.#world
    for (; this.#read < world.log.length; this.#read++) this.#readEntry(world.log[this.#read]!)
    for (let ledger = 0; ledger < world.ledgers.length; ledger++) {
      const locks = world.holders(ledger).flatMap(({ lock }) => lock === null ? [] : [lock.name])
      if (new Set(locks).size < locks.length) {
        this.violations.push(`ledger ${ledger}: two holders of ${locks.join(", ")}`)
      }
      for (const prefix of world.prefixes()) {
        const name = `ledger ${ledger}, ${prefix}`
        const reader = this.#readers.get(name) ?? new LedgerReader(world.locks)
        this.#readers.set(name, reader)
        this.violations.push(...reader.read(world.events(ledger, prefix)).map((violation) => `${name}: ${violation}`))
      }
    }
    // a ledger does not know the slots of another one
    if (world.ledgers.length === 1) this.#checkCloud()
    if (this.violations.length > 0) {
      throw new Error(`${this.violations.join("\n")}\n${world.describe()}`)
    }
  }

  #readEntry(entry: World["log"][number]): void {
    if (entry._tag === "Began") {
      if (entry.isFenced && entry.found.length > 0) {
        this.violations.push(`${nameOf(entry)} begins although other holders left ${entry.found.join(", ")} behind`)
      }
      this.#uses.set(entry.deployment, entry)
    } else if (entry._tag === "Ended") {
      if (isSame(this.#uses.get(entry.deployment), entry)) this.#uses.delete(entry.deployment)
    } else if (entry._tag === "Published") {
      const { by, holder, isProtected, lock } = entry
      // a process that was paused before it sent the write cannot be helped (counterexample 3)
      if (isProtected && holder !== undefined && holder !== by) {
        this.violations.push(`a write of ${by} arrives while ${holder} has the lock ${lock}`)
      }
    } else if (entry._tag === "Wrote") {
      const use = this.#uses.get(entry.deployment)
      const { writer } = entry
      if (use?.isFenced === true && typeof writer !== "string" && !isSame(use, writer)) {
        this.violations.push(`${entry.key} is written by another holder while ${nameOf(use)} uses ${entry.deployment}`)
      }
    }
  }

  /** There are at most `max` deployments, and each one will be found again. */
  #checkCloud(): void {
    const world = this.#world
    const actor = world.actors[0]
    if (actor === undefined) return
    const slots = new Map(world.inspect().slots.map((slot) => [slot.number, slot]))
    let current = 0
    for (const { name } of world.cloud.facts.values()) {
      const place = Marker.parseDeploymentName(actor, name)
      if (place === undefined) continue
      const slot = slots.get(place.slot)
      // it is in the ledger, or the next reconciliation adds it, or it is deleted as an older generation
      if (slot === undefined || slot.name === name || place.generation < slot.generation) {
        current += slot?.name === name ? 1 : 0
      } else if (slot.name !== null) {
        this.violations.push(`${name} will never be found: slot ${slot.number} has ${slot.name}`)
      }
    }
    const max = Math.max(...world.actors.map(({ pool }) => pool.options.max ?? 4))
    if (current > max) this.violations.push(`there are ${current} deployments, but max is ${max}`)
  }
}

/**
 * Checks by a ledger's events that a slot has one holder at a time, that epochs grow, and that the queue's order is
 * kept.
 */
class LedgerReader {
  #read = 0
  readonly #holders = new Map<number, { readonly epoch: number; readonly isHeld: boolean }>()
  /** Tickets, oldest first. */
  readonly #tickets = new Map<string, { readonly needs: string; readonly isWaiting: boolean }>()
  readonly #locks: ReadonlyMap<string, string>

  constructor(locks: ReadonlyMap<string, string>) {
    this.#locks = locks
  }

  read(events: ReadonlyArray<Slot.PoolEvent>): ReadonlyArray<string> {
    const violations: Array<string> = []
    for (; this.#read < events.length; this.#read++) {
      const event = events[this.#read]!
      const { epoch, leaseId, slot } = event
      if (leaseId === null) continue
      switch (event.kind) {
        case "queued":
          this.#tickets.set(leaseId, { needs: event.detail, isWaiting: true })
          break
        case "withdrawn":
        case "lapsed":
          this.#setWaiting(leaseId, false)
          break
        case "granted": {
          const before = slot === null ? undefined : this.#holders.get(slot)
          if (before?.isHeld === true) violations.push(`slot ${slot} is granted while it is held, at epoch ${epoch}`)
          if (before !== undefined && before.epoch >= (epoch ?? 0)) {
            violations.push(`slot ${slot}: epoch ${epoch} follows epoch ${before.epoch}`)
          }
          this.#holders.set(slot ?? 0, { epoch: epoch ?? 0, isHeld: true })
          const granted = this.#tickets.get(leaseId)
          for (const [older, ticket] of this.#tickets) {
            if (granted === undefined || older === leaseId) break
            const lock = this.#locks.get(older)
            // one that waits for a lock keeps its place, and others are served meanwhile
            const isNext = lock === undefined || lock === this.#locks.get(leaseId)
            if (ticket.isWaiting && ticket.needs === granted.needs && isNext) {
              violations.push(`${leaseId} is granted before ${older}, which has waited longer`)
            }
          }
          this.#setWaiting(leaseId, false)
          break
        }
        case "expired":
        case "freed":
        case "handed over":
        case "left to upkeep":
        case "returned":
          // a lease that steps back gets its old place in the queue again
          if (event.kind === "returned") this.#setWaiting(leaseId, true)
          this.#holders.set(slot ?? 0, { epoch: epoch ?? 0, isHeld: false })
      }
    }
    return violations
  }

  #setWaiting(leaseId: string, isWaiting: boolean): void {
    const ticket = this.#tickets.get(leaseId)
    if (ticket !== undefined) this.#tickets.set(leaseId, { ...ticket, isWaiting })
  }
}

/**
 * Whatever has happened: once all processes are dead, one fresh process can hibernate everything and use every slot. With `reapers`, the
 * processes that run reapers live on, and they hibernate everything before that, without any command.
 */
export const finale = (
  world: World,
  checker: Checker,
  { max = 2, reapers = false }: { readonly max?: number | undefined; readonly reapers?: boolean } = {}
): void => {
  while (world.cloud.held.length > 0) world.cloud.held[0]?.land()
  world.cloud.fates.length = 0
  for (const actor of world.actors) {
    actor.failpoints = []
    if (reapers && actor.reaper !== undefined) actor.resume()
    else actor.crash()
  }
  if (reapers) cleansUp(world, checker)
  for (const actor of world.actors) actor.crash()
  world.advance(seconds(36))
  checker.check()
  const [fresh, ...others] = world.prefixes().map((prefix) => world.actor({ host: "fresh", pool: { max, prefix } }))
  if (fresh === undefined) return
  const drain = (when: string) => {
    for (const actor of [fresh, ...others]) actor.drain()
    checker.check()
    expectAsleep(world, when)
  }
  drain("after a drain")
  // longer than any max hold or quarantine
  world.advance(hours(7))
  const leases = Array.from({ length: max }, (_, index) => fresh.lease(`last ${index}`))
  for (const lease of leases) {
    lease.ready()
    lease.write()
    checker.check()
  }
  const tokens = world.cloud.tokens().map(({ name }) => name)
  if (tokens.length !== leases.filter(({ isFenced }) => isFenced).length) {
    throw new Error(`${max} leases have the tokens ${tokens.join(", ")}\n${world.describe()}`)
  }
  for (const lease of leases) lease.released()
  drain("after the last drain")
  if (world.cloud.tokens().length > 0) throw new Error(`tokens are left over\n${world.describe()}`)
  const names = world.inspect().slots.flatMap(({ adopted, name }) => name === null || adopted !== null ? [] : [name])
  const inCloud = Array.from(world.cloud.facts.values(), ({ name }) => name)
    .filter((name) => Marker.parseDeploymentName(fresh, name) !== undefined)
  if (names.sort().join() !== inCloud.sort().join()) {
    throw new Error(`the ledger has ${names.join(", ")}, the cloud ${inCloud.join(", ")}\n${world.describe()}`)
  }
}

// internal

/**
 * Only reapers are alive: everything hibernates, and no token is left, within the time to live of a hold and one longest request. Then
 * the reapers end.
 */
const cleansUp = (world: World, checker: Checker): void => {
  const running = () => world.actors.filter(({ state }) => state === "running")
  for (const prefix of world.prefixes()) {
    if (running().every((reaper) => reaper.prefix !== prefix)) world.reaper({ pool: { prefix } })
  }
  const hosts = new Set(running().map(({ host }) => host))
  // a reaper cannot tell that a process of another machine has ended: its ticket may still be granted
  const [longest] = world.prefixes().map((prefix) => world.inspect(undefined, prefix).tickets)
    .map((tickets) => tickets.every(({ owner }) => hosts.has(owner.host)) ? ttl : 2 * ttl).sort().reverse()
  const isClean = () => awakeOf(world).length === 0 && world.cloud.tokens().every((token) => isOrphan(world, token))
  world.until("everything hibernates, and no token is left", isClean, (longest ?? ttl) + longestRequest + seconds(20))
  checker.check()
  world.until("the reapers have ended", () => running().length === 0, 2 * ttl + 2 * longestRequest + seconds(30))
  checker.check()
  if (!isClean()) throw new Error(`a reaper ended too early\n${world.describe()}`)
}

/**
 * What cannot be prevented: a process was suspended right before it requested a token, lost its slot, and was killed while the request was
 * on its way. The next holder deletes the token, which otherwise ends by itself.
 */
const isOrphan = (world: World, { createdAt, name }: { readonly createdAt: number; readonly name: string }) => {
  const [, slot, epoch] = /s(\d+) e(\d+)$/.exec(name) ?? []
  return world.prefixes().some((prefix) =>
    world.events(undefined, prefix).some((event) =>
      event.kind === "granted" && event.slot === Number(slot) && Number(event.epoch) > Number(epoch) &&
      event.at < createdAt
    )
  )
}

const ttl = seconds(60)
const longestRequest = seconds(35)

const awakeOf = (world: World) =>
  world.cloud.awake().flatMap(({ description, name }) => description === "" ? [] : [name])

const expectAsleep = (world: World, when: string) => {
  const awake = awakeOf(world)
  if (awake.length > 0) throw new Error(`awake ${when}: ${awake.join(", ")}\n${world.describe()}`)
}

type Use = Writer

const nameOf = ({ epoch, ledger, slot }: Use) => `slot ${slot}, epoch ${epoch} of ${ledger}`

const isSame = (a: Use | undefined, b: Use) =>
  a !== undefined && a.ledger === b.ledger && a.slot === b.slot && a.epoch === b.epoch
