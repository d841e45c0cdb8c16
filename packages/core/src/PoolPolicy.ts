/**
 * The pool's decisions, as pure functions of one pool's ledger and the time: who gets what, what is overdue, when a
 * slot may be handed over. Stores run them inside one immediate transaction; nothing here waits or calls anybody.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import type { Deployment, DeploymentId, DeploymentSpec } from "./Deployment.js"
import type { LeaseId } from "./Lease.js"
import type { EventKind, Holder, LockHolder, Owner, PoolEvent, Quarantine, Slot, Ticket } from "./Slot.js"

/**
 * Which pool, and its limits. Times are milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolRules {
  readonly poolId: string
  /** How many deployments the pool may fill. */
  readonly max: number
  /** How long a holder, or a waiter, may be silent. */
  readonly ttl: number
  readonly maxHold: number
  /** How long an unfenced slot stays untouched after an end that was not a release: longer than any request. */
  readonly lockDelay: number
}

/**
 * The rules, and whether a process has provably ended: what it held, and its place in the queue, need not wait for a deadline.
 *
 * @since 0.1.0
 * @category models
 */
export interface AppliedRules extends PoolRules {
  readonly isGone: (owner: Owner) => boolean
}

/**
 * One pool's slots and its tickets that have not ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ledger {
  readonly slots: ReadonlyArray<Slot>
  readonly tickets: ReadonlyArray<Ticket>
  /** Who looks after the pool: the holder of {@link upkeepLock}. */
  readonly upkeep: LockHolder | null
}

/**
 * The lock that upkeep holds while it is alive.
 *
 * @since 0.1.0
 * @category combinators
 */
export const upkeepLock = (poolId: string): string => `upkeep ${poolId}`

/**
 * A new ledger, what to tell the caller, and what to write into the event log.
 *
 * @since 0.1.0
 * @category models
 */
export interface Change<A> {
  readonly value: A
  readonly ledger: Ledger
  readonly events: ReadonlyArray<PoolEvent>
}

/**
 * What a waiter is told.
 *
 * @since 0.1.0
 * @category models
 */
export type TicketStatus =
  | { readonly _tag: "Granted"; readonly slot: Slot }
  | ({ readonly _tag: "Waiting"; readonly reason: string } & Wait)
  | { readonly _tag: "Ended" }

/**
 * A place in the queue, and what those ahead are doing. Times are the ledger's, in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Wait {
  /** The first place is 1. */
  readonly place: number
  readonly since: number
  readonly holders: ReadonlyArray<
    { readonly slot: number; readonly label: string; readonly activity: string; readonly since: number }
  >
}

/**
 * @since 0.1.0
 * @category models
 */
export interface NewTicket extends Claimant {
  readonly key: string
  readonly needs: DeploymentSpec
}

/**
 * Who asks, and for whom.
 *
 * @since 0.1.0
 * @category models
 */
export interface Claimant {
  readonly leaseId: LeaseId
  readonly owner: Owner
  readonly label: string
}

/**
 * What a holder may write down about its slot.
 *
 * @since 0.1.0
 * @category models
 */
export interface SlotPatch
  extends Partial<Pick<Slot, "generation" | "name" | "deploymentId" | "spec" | "power" | "busyUntil">>
{
  /** A cloud request may land for so long from now on, in milliseconds. */
  readonly busyFor?: number
  /** A token is deleted now. */
  readonly revoked?: true
  readonly fenced?: boolean
  readonly activity?: string
}

/**
 * How a hold ended: whether it could use the deployment, and why not.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outcome {
  /** Verified empty, after every call of the holder was answered. */
  readonly clean: boolean
  /** `unknown` where it ended before that showed. */
  readonly usable: true | "unknown" | { readonly failure: string }
}

/**
 * Puts a ticket into the queue. The same key is the same ticket, however often it is sent.
 *
 * @since 0.1.0
 * @category combinators
 */
export const enqueue = (
  ledger: Ledger,
  rules: PoolRules,
  now: number,
  ticket: NewTicket,
  seq: number
): Change<void> => {
  if (ledger.tickets.some((known) => known.key === ticket.key)) return unchanged(ledger, undefined)
  const added: Ticket = {
    ...ticket,
    seq,
    state: "waiting",
    enqueuedAt: now,
    deadline: now + rules.ttl,
    slot: null,
    epoch: null
  }
  return {
    value: undefined,
    ledger: { ...ledger, tickets: [...ledger.tickets, added] },
    events: [event(now, "queued", null, ticket.leaseId, describeSpec(ticket.needs))]
  }
}

/**
 * One step of the pool by whoever passes: ends what is overdue, grants what can be granted in the order of the queue,
 * and answers the ticket that asked.
 *
 * @since 0.1.0
 * @category combinators
 */
export const step = (ledger: Ledger, rules: AppliedRules, now: number, key: string): Change<TicketStatus> => {
  const alive = mapTicket(ledger, key, (ticket) => ({ ...ticket, deadline: now + rules.ttl }))
  const moved = sweep(alive, rules, now)
  return { ...moved, value: statusOf(moved.ledger, rules, now, key) }
}

/**
 * The same step by somebody who waits for nothing.
 *
 * @since 0.1.0
 * @category combinators
 */
export const sweep = (ledger: Ledger, rules: AppliedRules, now: number): Change<void> => {
  const expired = expire(ledger, rules, now)
  const granted = grant(expired.ledger, rules, now)
  return { ...granted, events: [...expired.events, ...granted.events] }
}

/**
 * Gives a free slot to upkeep, once nobody waits for it. `undefined`: it is not to be had.
 *
 * @since 0.1.0
 * @category combinators
 */
export const claim = (
  ledger: Ledger,
  rules: AppliedRules,
  now: number,
  number: number,
  claimant: Claimant
): Change<Slot | undefined> => {
  const swept = sweep(ledger, rules, now)
  const slot = swept.ledger.slots.find((slot) => slot.number === number)
  if (slot === undefined || slot.holder !== null || (slot.busyUntil ?? 0) > now) return { ...swept, value: undefined }
  const held = hold(slot, rules, now, { ...claimant, kind: "upkeep", ticket: null })
  return {
    value: held,
    ledger: putSlot(swept.ledger, held),
    events: [...swept.events, event(now, "granted", held, claimant.leaseId, claimant.label)]
  }
}

/**
 * Ends a ticket that is waiting.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withdraw = (ledger: Ledger, now: number, key: string): Change<boolean> => {
  const ticket = ledger.tickets.find((ticket) => ticket.key === key && ticket.state === "waiting")
  if (ticket === undefined) return unchanged(ledger, false)
  return {
    value: true,
    ledger: mapTicket(ledger, key, end),
    events: [event(now, "withdrawn", null, ticket.leaseId, "")]
  }
}

/**
 * Whether somebody still holds this slot under this epoch: a holder past its deadline does not, even if nobody has noticed.
 *
 * @since 0.1.0
 * @category combinators
 */
export const holds = (slot: Slot | undefined, epoch: number, now: number): slot is Slot & { readonly holder: Holder } =>
  slot !== undefined && slot.epoch === epoch && slot.holder !== null && now < slot.holder.deadline &&
  now < slot.holder.maxUntil

/**
 * What the holder of a slot writes down about it. `undefined` when it does not hold it any more.
 *
 * @since 0.1.0
 * @category combinators
 */
export const update = (
  ledger: Ledger,
  now: number,
  number: number,
  epoch: number,
  { activity, busyFor, fenced, revoked, ...facts }: SlotPatch
): Change<Slot | undefined> => {
  const slot = ledger.slots.find((slot) => slot.number === number)
  if (!holds(slot, epoch, now)) return unchanged(ledger, undefined)
  const isRefilled = facts.name !== undefined && facts.name !== slot.name
  const updated: Slot = {
    ...slot,
    ...facts,
    ...(busyFor === undefined ? {} : { busyUntil: now + busyFor }),
    ...(revoked === true ? { revokedAt: now } : {}),
    ...(isRefilled
      ? { uses: slot.holder.kind === "lease" ? 1 : 0, filledAt: facts.name === null ? null : now, adopted: false }
      : {}),
    holder: { ...slot.holder, activity: activity ?? slot.holder.activity, fenced: fenced ?? slot.holder.fenced }
  }
  return {
    value: updated,
    ledger: putSlot(ledger, updated),
    events: activity === undefined ? [] : [event(now, "step", updated, slot.holder.leaseId, activity)]
  }
}

/**
 * Frees the slot *and* grants it to the waiter whose turn it is; or frees it, awake, where upkeep is alive, which will hibernate
 * it; or does neither: only then does its holder have to (counterexample 1).
 *
 * @since 0.1.0
 * @category combinators
 */
export const handOver = (
  ledger: Ledger,
  rules: AppliedRules,
  now: number,
  number: number,
  epoch: number
): Change<boolean> => {
  const slot = ledger.slots.find((slot) => slot.number === number)
  if (!holds(slot, epoch, now) || slot.power !== "awake" || (slot.busyUntil ?? 0) > now) return unchanged(ledger, false)
  const lapsed = lapse(ledger, rules, now)
  const freed = vacate(lapsed.ledger, slot, now, { quarantine: null })
  const granted = grant(freed, rules, now)
  const next = granted.ledger.slots.find((slot) => slot.number === number)?.holder
  const ended = (kind: EventKind, to: string) => [...lapsed.events, event(now, kind, slot, slot.holder.leaseId, to)]
  if (next) return { ...granted, value: true, events: [...ended("handed over", next.label), ...granted.events] }
  const { upkeep } = ledger
  return slot.holder.kind === "lease" && upkeep !== null && upkeep.deadline > now && !rules.isGone(upkeep.owner)
    ? { value: true, ledger: freed, events: ended("left to upkeep", upkeep.label) }
    : { value: false, ledger: lapsed.ledger, events: lapsed.events }
}

/**
 * Frees a slot. "Clean" is written here and nowhere else (counterexample 7).
 *
 * @since 0.1.0
 * @category combinators
 */
export const free = (
  ledger: Ledger,
  now: number,
  number: number,
  epoch: number,
  { clean, usable }: Outcome
): Change<boolean> => {
  const slot = ledger.slots.find((slot) => slot.number === number)
  if (!holds(slot, epoch, now)) return unchanged(ledger, false)
  const quarantine = usable === true
    ? null
    : usable === "unknown"
    ? slot.quarantine
    : quarantined(slot.quarantine, now, usable.failure)
  return {
    value: true,
    ledger: vacate(ledger, slot, now, { clean, quarantine }),
    events: [
      event(now, "freed", slot, slot.holder.leaseId, slot.power),
      ...(quarantine === null || quarantine === slot.quarantine
        ? []
        : [event(now, "quarantined", slot, slot.holder.leaseId, quarantine.reason)])
    ]
  }
}

/**
 * Gives a slot back untouched, for another ledger's lease is at work on its deployment (counterexample 9); the ticket
 * waits on, at its old place.
 *
 * @since 0.1.0
 * @category combinators
 */
export const giveBack = (
  ledger: Ledger,
  rules: PoolRules,
  now: number,
  number: number,
  epoch: number,
  pause: number
): Change<boolean> => {
  const slot = ledger.slots.find((slot) => slot.number === number)
  if (!holds(slot, epoch, now)) return unchanged(ledger, false)
  const requeued = mapTicket(ledger, slot.holder.ticket, (ticket) => ({
    ...ticket,
    state: "waiting",
    deadline: now + rules.ttl,
    slot: null,
    epoch: null
  }))
  return {
    value: true,
    ledger: putSlot(requeued, { ...slot, holder: null, freedAt: now, clean: false, busyUntil: now + pause }),
    events: [event(now, "returned", slot, slot.holder.leaseId, "another ledger's lease holds the deployment")]
  }
}

/**
 * What the cloud has: the pool's own deployments, and those that it may adopt.
 *
 * @since 0.1.0
 * @category models
 */
export interface Observation {
  readonly own: ReadonlyArray<{ readonly deployment: Deployment; readonly slot: number; readonly generation: number }>
  readonly adoptable: ReadonlyArray<Deployment>
}

/**
 * Takes in deployments that this ledger does not know (after a lost ledger, on another machine, or to adopt them), and corrects what
 * it believes of those that nobody holds.
 *
 * @since 0.1.0
 * @category combinators
 */
export const reconcile = (ledger: Ledger, rules: PoolRules, now: number, seen: Observation): Change<void> => {
  const all = new Map([...seen.own.map(({ deployment }) => deployment), ...seen.adoptable].map((one) => [one.id, one]))
  const repaired = ledger.slots.map((slot): Slot => {
    const deployment = slot.deploymentId === null ? undefined : all.get(slot.deploymentId)
    if (slot.holder !== null || (slot.busyUntil ?? 0) > now || deployment === undefined) return slot
    // asleep is what a holder says, who has deleted its tokens after that: upkeep looks after the rest
    const power = !deployment.hibernationRequested ? "awake" : slot.power === "asleep" ? "asleep" : "unknown"
    return power === slot.power ? slot : { ...slot, power }
  })
  const added: Array<Slot> = []
  const takeIn = (slot: Slot, deployment: Deployment) =>
    void added.push({
      ...slot,
      name: deployment.name,
      deploymentId: deployment.id,
      spec: deployment.spec,
      power: deployment.hibernationRequested ? "unknown" : "awake",
      clean: false,
      // whoever held it may have deleted a token a moment ago (counterexample 8)
      revokedAt: now,
      uses: 0,
      filledAt: now
    })
  const slotOf = (number: number) => [...added, ...repaired].find((slot) => slot.number === number)
  const isKnown = (id: DeploymentId) => [...added, ...repaired].some((slot) => slot.deploymentId === id)

  for (const { deployment, generation, slot } of [...seen.own].sort((a, b) => b.generation - a.generation)) {
    const place = slotOf(slot) ?? emptySlot(slot)
    // what another ledger has put in the place of what this one knows, which is an older one from now on
    const isReplaced = place.holder === null && (place.busyUntil ?? 0) <= now && !place.adopted &&
      generation > place.generation
    if (isReplaced || (isVacant(place, now) && generation >= place.generation)) {
      takeIn({ ...place, generation }, deployment)
    }
  }
  for (const deployment of seen.adoptable) {
    const slots = [...added, ...repaired.filter((slot) => !added.some(({ number }) => number === slot.number))]
    if (isKnown(deployment.id) || slots.filter(isFilled).length >= rules.max) continue
    takeIn({ ...(slots.find((slot) => isVacant(slot, now)) ?? nextSlot(slots)), adopted: true }, deployment)
  }
  const changed = [...repaired.filter((slot, index) => slot !== ledger.slots[index]), ...added]
  return {
    value: undefined,
    ledger: changed.reduce(putSlot, ledger),
    events: added.map((slot) => event(now, "discovered", slot, null, slot.name ?? ""))
  }
}

/**
 * @since 0.1.0
 * @category combinators
 */
export const describeSpec = (spec: DeploymentSpec): string =>
  `${spec.runtimeVersion} on ${spec.cloudProvider} ${spec.region}`

/**
 * @since 0.1.0
 * @category combinators
 */
export const sameSpec = (a: DeploymentSpec | null, b: DeploymentSpec): boolean =>
  a !== null && a.runtimeVersion === b.runtimeVersion && a.cloudProvider === b.cloudProvider && a.region === b.region

// internal

const unchanged = <A>(ledger: Ledger, value: A): Change<A> => ({ value, ledger, events: [] })

const event = (
  at: number,
  kind: EventKind,
  slot: Pick<Slot, "number" | "epoch"> | null,
  leaseId: LeaseId | null,
  detail: string
): PoolEvent => ({ at, kind, slot: slot?.number ?? null, epoch: slot?.epoch ?? null, leaseId, detail })

const emptySlot = (number: number): Slot => ({
  number,
  epoch: 0,
  generation: 1,
  name: null,
  deploymentId: null,
  spec: null,
  power: "unknown",
  clean: false,
  busyUntil: null,
  revokedAt: null,
  uses: 0,
  filledAt: null,
  freedAt: null,
  adopted: false,
  quarantine: null,
  holder: null
})

const nextSlot = (slots: ReadonlyArray<Slot>) => emptySlot(Math.max(0, ...slots.map(({ number }) => number)) + 1)

const isFilled = (slot: Slot) => slot.name !== null || slot.holder !== null

/** Nothing in it, nobody at it, and nothing on the way. */
const isVacant = (slot: Slot, now: number) => !isFilled(slot) && (slot.busyUntil ?? 0) <= now

/** Twice as long after every failure, from half a minute to six hours. */
const quarantined = (before: Quarantine | null, now: number, reason: string): Quarantine => {
  const failures = (before?.failures ?? 0) + 1
  return { reason, failures, until: now + Math.min(30_000 * 2 ** (failures - 1), 6 * 3_600_000) }
}

const end = (ticket: Ticket): Ticket => ({ ...ticket, state: "ended" })

const mapTicket = (ledger: Ledger, key: string | null, f: (ticket: Ticket) => Ticket): Ledger => ({
  ...ledger,
  tickets: ledger.tickets.map((ticket) => ticket.key === key && ticket.state !== "ended" ? f(ticket) : ticket)
})

const putSlot = (ledger: Ledger, slot: Slot): Ledger => ({
  ...ledger,
  slots: ledger.slots.some((known) => known.number === slot.number)
    ? ledger.slots.map((known) => known.number === slot.number ? slot : known)
    : [...ledger.slots, slot]
})

const vacate = (ledger: Ledger, slot: Slot & { readonly holder: Holder }, now: number, facts: Partial<Slot>): Ledger =>
  putSlot(mapTicket(ledger, slot.holder.ticket, end), {
    ...slot,
    clean: false,
    ...facts,
    // idle since its last lease, whatever upkeep does in between
    freedAt: slot.holder.kind === "lease" ? now : slot.freedAt ?? now,
    holder: null
  })

const waiting = (ledger: Ledger) =>
  ledger.tickets.filter((ticket) => ticket.state === "waiting").sort((a, b) => a.seq - b.seq)

/** Waiters that have stopped to ask. */
const lapse = (ledger: Ledger, { isGone }: AppliedRules, now: number): Change<void> =>
  waiting(ledger).filter((ticket) => ticket.deadline <= now || isGone(ticket.owner)).reduce<Change<void>>(
    ({ events, ledger }, ticket) => ({
      value: undefined,
      ledger: mapTicket(ledger, ticket.key, end),
      events: [...events, event(now, "lapsed", null, ticket.leaseId, ticket.label)]
    }),
    unchanged(ledger, undefined)
  )

const expire = (ledger: Ledger, rules: AppliedRules, now: number): Change<void> =>
  ledger.slots.reduce<Change<void>>(({ events, ledger, value }, slot) => {
    const holder = slot.holder
    // without a fence a request of the ended process may still be on its way (counterexample 13)
    const isGone = holder !== null && holder.fenced && rules.isGone(holder.owner)
    if (holder === null || (!isGone && holds(slot, slot.epoch, now))) return { value, ledger, events }
    const lockDelay = holder.fenced ? 0 : now + rules.lockDelay
    return {
      value,
      ledger: vacate(ledger, { ...slot, holder }, now, {
        power: "unknown",
        busyUntil: lockDelay === 0 ? slot.busyUntil : Math.max(slot.busyUntil ?? 0, lockDelay)
      }),
      events: [
        ...events,
        event(
          now,
          "expired",
          slot,
          holder.leaseId,
          isGone ? "its process has ended" : now >= holder.maxUntil ? "held longer than max hold" : "stopped beating"
        )
      ]
    }
  }, lapse(ledger, rules, now))

/** The lower, the better; `undefined` where the slot cannot serve the ticket. */
const rank = (slot: Slot, needs: DeploymentSpec): number => {
  if (slot.name === null) return 3
  if (!sameSpec(slot.spec, needs)) return 4
  return slot.power !== "awake" ? 2 : slot.clean ? 0 : 1
}

/** Free, nothing on its way to it, and not held back. An adopted deployment is not ours to replace by another make. */
const mayBeGranted = (slot: Slot, now: number, needs: DeploymentSpec) =>
  slot.holder === null && (slot.busyUntil ?? 0) <= now && (slot.quarantine?.until ?? 0) <= now &&
  (!slot.adopted || sameSpec(slot.spec, needs))

const candidates = (ledger: Ledger, rules: PoolRules, now: number, needs: DeploymentSpec): ReadonlyArray<Slot> => {
  if (ledger.slots.filter((slot) => slot.holder !== null).length >= rules.max) return []
  const mayFill = ledger.slots.filter(isFilled).length < rules.max
  const empty = ledger.slots.filter((slot) => !isFilled(slot))
  return [
    ...ledger.slots.filter((slot) => slot.name !== null),
    ...(mayFill ? [empty.find((slot) => mayBeGranted(slot, now, needs)) ?? empty[0] ?? nextSlot(ledger.slots)] : [])
  ]
    .filter((slot) => mayBeGranted(slot, now, needs))
    .sort((a, b) => rank(a, needs) - rank(b, needs) || a.number - b.number)
}

const hold = (
  slot: Slot,
  rules: PoolRules,
  now: number,
  who: Claimant & Pick<Holder, "kind" | "ticket">
): Slot => ({
  ...slot,
  epoch: slot.epoch + 1,
  uses: slot.uses + (who.kind === "lease" ? 1 : 0),
  busyUntil: null,
  holder: {
    kind: who.kind,
    leaseId: who.leaseId,
    ticket: who.ticket,
    owner: who.owner,
    label: who.label,
    activity: "starting",
    since: now,
    deadline: now + rules.ttl,
    maxUntil: now + rules.maxHold,
    fenced: true
  }
})

const grantSlot = (ledger: Ledger, rules: PoolRules, now: number, ticket: Ticket, slot: Slot): Change<void> => {
  const held = hold(slot, rules, now, { ...ticket, kind: "lease", ticket: ticket.key })
  return {
    value: undefined,
    ledger: putSlot(
      mapTicket(ledger, ticket.key, (t) => ({ ...t, state: "granted", slot: held.number, epoch: held.epoch })),
      held
    ),
    events: [event(now, "granted", held, ticket.leaseId, `slot ${held.number}, epoch ${held.epoch}`)]
  }
}

const grant = (ledger: Ledger, rules: PoolRules, now: number): Change<void> =>
  waiting(ledger).reduce<Change<void>>((change, ticket) => {
    const slot = candidates(change.ledger, rules, now, ticket.needs)[0]
    if (slot === undefined || (!sameSpec(slot.spec, ticket.needs) && isServedSoon(change.ledger, ticket))) return change
    const granted = grantSlot(change.ledger, rules, now, ticket, slot)
    return { ...granted, events: [...change.events, ...granted.events] }
  }, unchanged(ledger, undefined))

/**
 * Upkeep hands over what it has in hand, emptied, and that is sooner than anything that has to be made. It serves the last of those
 * who wait for the make: the first ones get what there is.
 */
const isServedSoon = ({ slots, tickets }: Ledger, { needs, seq }: Ticket): boolean => {
  const behind = tickets.filter((other) =>
    other.state === "waiting" && other.seq >= seq && sameSpec(other.needs, needs)
  )
  const inHand = slots.filter(({ holder, spec }) => holder?.kind === "upkeep" && sameSpec(spec, needs))
  return behind.length <= inHand.length
}

const statusOf = (ledger: Ledger, rules: PoolRules, now: number, key: string): TicketStatus => {
  const ticket = ledger.tickets.find((ticket) => ticket.key === key)
  if (ticket === undefined || ticket.state === "ended") return { _tag: "Ended" }
  const slot = ledger.slots.find((slot) => slot.number === ticket.slot)
  if (ticket.state === "granted" && slot !== undefined) return { _tag: "Granted", slot }
  return {
    _tag: "Waiting",
    place: waiting(ledger).findIndex((waiter) => waiter.key === key) + 1,
    since: ticket.enqueuedAt,
    holders: holders(ledger),
    reason: reasonToWait(ledger, rules, now, ticket.needs)
  }
}

const holders = (ledger: Ledger) =>
  ledger.slots.flatMap(({ holder, number }) =>
    holder === null ? [] : [{
      slot: number,
      label: holder.label,
      activity: holder.fenced ? holder.activity : `${holder.activity}, unfenced`,
      since: holder.since
    }]
  )

/** Does not change from one look to the next unless something has happened: it is shown whenever it changes. */
const reasonToWait = (ledger: Ledger, rules: PoolRules, now: number, needs: DeploymentSpec): string => {
  const held = holders(ledger)
  const leased = held.map(({ activity, label, slot }) => `slot ${slot} to ${label} (${activity})`).join(", ")
  if (held.length >= rules.max) return `all ${rules.max} deployments are leased: ${leased}`
  const until = (time: number) => `until ${DateTime.formatIso(DateTime.unsafeMake(time)).slice(11, 19)} UTC`
  const free = ledger.slots.filter((slot) => slot.holder === null).flatMap((
    { busyUntil, number, quarantine, ...slot }
  ) =>
    busyUntil !== null && busyUntil > now
      ? [`slot ${number} may still be changing ${until(busyUntil)}`]
      : quarantine !== null && quarantine.until > now
      ? [`slot ${number} is in quarantine ${until(quarantine.until)}: ${quarantine.reason}`]
      : slot.adopted && !sameSpec(slot.spec, needs)
      ? [`slot ${number} is adopted, and has another spec`]
      : []
  )
  return [...(held.length === 0 ? [] : [`leased: ${leased}`]), ...free].join("; ") || "others come first"
}
