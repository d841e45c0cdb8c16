/**
 * The pool's decisions, as pure functions of one pool's ledger and the time: who gets what, what is overdue, when a
 * slot may be handed over. Stores run them inside one immediate transaction; nothing here waits or calls anybody.
 *
 * @since 0.1.0
 */
import type { Deployment, Make } from "./Deployment.js"
import type { LeaseId } from "./Lease.js"
import type { EventKind, Holder, Owner, PoolEvent, Slot, Ticket } from "./Slot.js"

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
  /** Whether a process has provably ended: what it held, and its place in the queue, need not wait for a deadline. */
  readonly isGone?: ((owner: Owner) => boolean) | undefined
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
}

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
  | { readonly _tag: "Waiting"; readonly place: number; readonly reason: string }
  | { readonly _tag: "Ended" }

/**
 * @since 0.1.0
 * @category models
 */
export interface NewTicket {
  readonly key: string
  readonly leaseId: LeaseId
  readonly needs: Make
  readonly owner: Owner
  readonly label: string
}

/**
 * What a holder may write down about its slot.
 *
 * @since 0.1.0
 * @category models
 */
export type SlotPatch =
  & Partial<
    Pick<Slot, "generation" | "name" | "deploymentId" | "make" | "power" | "busyUntil" | "revokedAt">
  >
  & { readonly fenced?: boolean; readonly activity?: string }

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
    events: [event(now, "queued", null, ticket.leaseId, describeMake(ticket.needs))]
  }
}

/**
 * One step of the pool by whoever passes: ends what is overdue, grants what can be granted in the order of the queue,
 * and answers the ticket that asked.
 *
 * @since 0.1.0
 * @category combinators
 */
export const step = (ledger: Ledger, rules: PoolRules, now: number, key: string): Change<TicketStatus> => {
  const alive = mapTicket(ledger, key, (ticket) => ({ ...ticket, deadline: now + rules.ttl }))
  const expired = expire(alive, rules, now)
  const granted = grant(expired.ledger, rules, now)
  return {
    value: statusOf(granted.ledger, rules, now, key),
    ledger: granted.ledger,
    events: [...expired.events, ...granted.events]
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
  { activity, fenced, ...facts }: SlotPatch
): Change<Slot | undefined> => {
  const slot = ledger.slots.find((slot) => slot.number === number)
  if (!holds(slot, epoch, now)) return unchanged(ledger, undefined)
  const updated: Slot = {
    ...slot,
    ...facts,
    holder: { ...slot.holder, activity: activity ?? slot.holder.activity, fenced: fenced ?? slot.holder.fenced }
  }
  return {
    value: updated,
    ledger: putSlot(ledger, updated),
    events: activity === undefined ? [] : [event(now, "step", updated, slot.holder.leaseId, activity)]
  }
}

/**
 * Frees the slot *and* grants it to the first waiter in the queue that it fits, or does neither: only then may a holder skip
 * hibernating (counterexample 1).
 *
 * @since 0.1.0
 * @category combinators
 */
export const handOver = (
  ledger: Ledger,
  rules: PoolRules,
  now: number,
  number: number,
  epoch: number
): Change<boolean> => {
  const slot = ledger.slots.find((slot) => slot.number === number)
  if (!holds(slot, epoch, now) || slot.power !== "awake" || (slot.busyUntil ?? 0) > now) return unchanged(ledger, false)
  const lapsed = lapse(ledger, rules, now)
  const freed = vacate(lapsed.ledger, slot, {})
  const head = waiting(freed).find((ticket) => sameMake(slot.make, ticket.needs))
  if (head === undefined) return { value: false, ledger: lapsed.ledger, events: lapsed.events }
  const granted = grantSlot(freed, rules, now, head, { ...slot, holder: null })
  return {
    value: true,
    ledger: granted.ledger,
    events: [...lapsed.events, event(now, "handed over", slot, slot.holder.leaseId, head.label), ...granted.events]
  }
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
  facts: { readonly clean: boolean }
): Change<boolean> => {
  const slot = ledger.slots.find((slot) => slot.number === number)
  if (!holds(slot, epoch, now)) return unchanged(ledger, false)
  return {
    value: true,
    ledger: vacate(ledger, slot, facts),
    events: [event(now, "freed", slot, slot.holder.leaseId, slot.power)]
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
  until: number
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
    ledger: putSlot(requeued, { ...slot, holder: null, clean: false, busyUntil: until }),
    events: [event(now, "returned", slot, slot.holder.leaseId, "another ledger's lease holds the deployment")]
  }
}

/**
 * Takes in deployments that carry the pool's marker and that this ledger does not know: after a lost ledger, or on another machine.
 *
 * @since 0.1.0
 * @category combinators
 */
export const discover = (
  ledger: Ledger,
  now: number,
  found: ReadonlyArray<{ readonly deployment: Deployment; readonly slot: number; readonly generation: number }>
): Change<void> => {
  const added = found.flatMap(({ deployment, generation, slot }) =>
    ledger.slots.some((known) => known.number === slot) ? [] : [
      {
        ...emptySlot(slot),
        generation,
        name: deployment.name,
        deploymentId: deployment.id,
        make: deployment.make
      }
    ]
  )
  return {
    value: undefined,
    ledger: { ...ledger, slots: [...ledger.slots, ...added] },
    events: added.map((slot) => event(now, "discovered", slot, null, slot.name))
  }
}

/**
 * The name that a slot's deployment will have, known before it is created.
 *
 * @since 0.1.0
 * @category combinators
 */
export const deploymentName = (prefix: string, poolId: string, slot: number, generation: number): string =>
  `${prefix}-${poolId.slice(0, 8)}-s${slot}-g${generation}`

/**
 * Reads slot and generation out of a name made by {@link deploymentName}; `undefined` for every other name.
 *
 * @since 0.1.0
 * @category combinators
 */
export const parseDeploymentName = (
  prefix: string,
  poolId: string,
  name: string
): { readonly slot: number; readonly generation: number } | undefined => {
  const start = `${prefix}-${poolId.slice(0, 8)}-s`
  const match = name.startsWith(start) ? /^(\d+)-g(\d+)$/.exec(name.slice(start.length)) : null
  return match === null ? undefined : { slot: Number(match[1]), generation: Number(match[2]) }
}

/**
 * @since 0.1.0
 * @category combinators
 */
export const describeMake = (make: Make): string => `${make.runtimeVersion} on ${make.cloudProvider} ${make.region}`

/**
 * @since 0.1.0
 * @category combinators
 */
export const sameMake = (a: Make | null, b: Make): boolean =>
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
  make: null,
  power: "unknown",
  clean: false,
  busyUntil: null,
  revokedAt: null,
  uses: 0,
  holder: null
})

const end = (ticket: Ticket): Ticket => ({ ...ticket, state: "ended" })

const mapTicket = (ledger: Ledger, key: string, f: (ticket: Ticket) => Ticket): Ledger => ({
  ...ledger,
  tickets: ledger.tickets.map((ticket) => ticket.key === key && ticket.state !== "ended" ? f(ticket) : ticket)
})

const putSlot = (ledger: Ledger, slot: Slot): Ledger => ({
  ...ledger,
  slots: ledger.slots.some((known) => known.number === slot.number)
    ? ledger.slots.map((known) => known.number === slot.number ? slot : known)
    : [...ledger.slots, slot]
})

const vacate = (ledger: Ledger, slot: Slot & { readonly holder: Holder }, facts: Partial<Slot>): Ledger =>
  putSlot(mapTicket(ledger, slot.holder.ticket, end), { ...slot, clean: false, ...facts, holder: null })

const waiting = (ledger: Ledger) =>
  ledger.tickets.filter((ticket) => ticket.state === "waiting").sort((a, b) => a.seq - b.seq)

/** Waiters that have stopped to ask. */
const lapse = (ledger: Ledger, { isGone }: PoolRules, now: number): Change<void> =>
  waiting(ledger).filter((ticket) => ticket.deadline <= now || isGone?.(ticket.owner) === true).reduce<Change<void>>(
    ({ events, ledger }, ticket) => ({
      value: undefined,
      ledger: mapTicket(ledger, ticket.key, end),
      events: [...events, event(now, "lapsed", null, ticket.leaseId, ticket.label)]
    }),
    unchanged(ledger, undefined)
  )

const expire = (ledger: Ledger, rules: PoolRules, now: number): Change<void> =>
  ledger.slots.reduce<Change<void>>(({ events, ledger, value }, slot) => {
    const holder = slot.holder
    // without a fence a request of the ended process may still be on its way (counterexample 13)
    const isGone = holder !== null && holder.fenced && rules.isGone?.(holder.owner) === true
    if (holder === null || (!isGone && holds(slot, slot.epoch, now))) return { value, ledger, events }
    const lockDelay = holder.fenced ? 0 : now + rules.lockDelay
    return {
      value,
      ledger: vacate(ledger, { ...slot, holder }, {
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
const rank = (slot: Slot, needs: Make): number => {
  if (slot.name === null) return 3
  if (!sameMake(slot.make, needs)) return 4
  return slot.power !== "awake" ? 2 : slot.clean ? 0 : 1
}

const isFilled = (slot: Slot) => slot.name !== null || slot.holder !== null

const candidates = (ledger: Ledger, rules: PoolRules, now: number, needs: Make): ReadonlyArray<Slot> => {
  if (ledger.slots.filter((slot) => slot.holder !== null).length >= rules.max) return []
  const mayFill = ledger.slots.filter(isFilled).length < rules.max
  const empty = ledger.slots.find((slot) => !isFilled(slot)) ??
    emptySlot(Math.max(0, ...ledger.slots.map((slot) => slot.number)) + 1)
  return [...ledger.slots.filter((slot) => slot.name !== null), ...(mayFill ? [empty] : [])]
    .filter((slot) => slot.holder === null && (slot.busyUntil ?? 0) <= now)
    .sort((a, b) => rank(a, needs) - rank(b, needs) || a.number - b.number)
}

const grantSlot = (ledger: Ledger, rules: PoolRules, now: number, ticket: Ticket, slot: Slot): Change<void> => {
  const held: Slot = {
    ...slot,
    epoch: slot.epoch + 1,
    uses: slot.uses + 1,
    busyUntil: null,
    holder: {
      kind: "lease",
      leaseId: ticket.leaseId,
      ticket: ticket.key,
      owner: ticket.owner,
      label: ticket.label,
      activity: "starting",
      since: now,
      deadline: now + rules.ttl,
      maxUntil: now + rules.maxHold,
      fenced: true
    }
  }
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
    if (slot === undefined) return change
    const granted = grantSlot(change.ledger, rules, now, ticket, slot)
    return { ...granted, events: [...change.events, ...granted.events] }
  }, unchanged(ledger, undefined))

const statusOf = (ledger: Ledger, rules: PoolRules, now: number, key: string): TicketStatus => {
  const ticket = ledger.tickets.find((ticket) => ticket.key === key)
  if (ticket === undefined || ticket.state === "ended") return { _tag: "Ended" }
  const slot = ledger.slots.find((slot) => slot.number === ticket.slot)
  if (ticket.state === "granted" && slot !== undefined) return { _tag: "Granted", slot }
  const place = waiting(ledger).findIndex((waiter) => waiter.key === key) + 1
  const held = ledger.slots.flatMap((slot) => slot.holder === null ? [] : [{ slot, holder: slot.holder }])
  const busy = ledger.slots.filter((slot) => slot.holder === null && (slot.busyUntil ?? 0) > now)
  const reason = held.length >= rules.max
    ? `all ${rules.max} deployments are leased: ${
      held.map(({ holder, slot }) => `slot ${slot.number} to ${holder.label} (${holder.activity})`).join(", ")
    }`
    : `${busy.length} free deployment(s) may still be changing: ${
      busy.map((slot) => `slot ${slot.number} for ${Math.ceil(((slot.busyUntil ?? 0) - now) / 1000)} s`).join(", ")
    }`
  return { _tag: "Waiting", place, reason }
}
