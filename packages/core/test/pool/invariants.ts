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
  readonly #ledgers: Array<LedgerReader> = []
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
      const reader = this.#ledgers[ledger] ??= new LedgerReader()
      this.violations.push(...reader.read(world.events(ledger)).map((violation) => `ledger ${ledger}: ${violation}`))
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
            if (ticket.isWaiting && ticket.needs === granted.needs) {
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
 * Whatever has happened: once all processes are dead, one fresh process can hibernate everything and use every slot.
 */
export const finale = (world: World, checker: Checker, max = 2): void => {
  while (world.cloud.held.length > 0) world.cloud.held[0]?.land()
  world.cloud.fates.length = 0
  for (const actor of world.actors) actor.crash()
  world.advance(seconds(36))
  checker.check()
  const fresh = world.actor({ host: "fresh", pool: { max } })
  const expectAsleep = (when: string) => {
    checker.check()
    const awake = world.cloud.awake().map(({ name }) => name)
    if (awake.length > 0) throw new Error(`awake ${when}: ${awake.join(", ")}\n${world.describe()}`)
  }
  fresh.drain()
  expectAsleep("after a drain")
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
  fresh.drain()
  expectAsleep("after the last drain")
  if (world.cloud.tokens().length > 0) throw new Error(`tokens are left over\n${world.describe()}`)
  const names = world.inspect().slots.flatMap(({ name }) => name === null ? [] : [name]).sort()
  const inCloud = Array.from(world.cloud.facts.values(), ({ name }) => name).sort()
  if (names.join() !== inCloud.join()) {
    throw new Error(`the ledger has ${names.join(", ")}, the cloud ${inCloud.join(", ")}\n${world.describe()}`)
  }
}

// internal

type Use = Writer

const nameOf = ({ epoch, ledger, slot }: Use) => `slot ${slot}, epoch ${epoch} of ${ledger}`

const isSame = (a: Use | undefined, b: Use) =>
  a !== undefined && a.ledger === b.ledger && a.slot === b.slot && a.epoch === b.epoch
