/** The queue: tickets come in, overdue holders and tickets expire, free slots are granted first come, first served. */
import type { DeploymentSpec } from "../../Deployment.js"
import { sameSpec } from "../../Deployment.js"
import type { LeaseId } from "../../Lease.js"
import type { Slot, Ticket } from "../../Slot.js"
import { statusOf } from "./explain.js"
import type { AppliedRules, Change, Ledger, NewTicket, PoolRules, TicketStatus } from "./model.js"
import {
  end,
  event,
  getSlot,
  holds,
  isBusy,
  isFilled,
  isTakenBack,
  lockHolder,
  mapTicket,
  nextSlot,
  occupy,
  putSlot,
  unchanged,
  vacate,
  waiting
} from "./slots.js"

/** Appends a ticket to the queue. The same key is the same ticket, however often it is sent. */
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
    events: [event(now, "queued", null, ticket.leaseId, ticket.label)]
  }
}

/**
 * A waiting process polls this: it keeps the ticket alive, expires what is overdue, grants what can be granted, and returns the ticket's
 * status.
 *
 * @since 0.1.0
 * @category combinators
 */
export const step = (ledger: Ledger, rules: AppliedRules, now: number, key: string): Change<TicketStatus> => {
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
 * Whether a ticket is waiting that could get the slot. Its own process takes it, by its own rules: another process may have other limits.
 */
export const isAwaited = (ledger: Ledger, rules: PoolRules, now: number, number: number): boolean =>
  waiting(ledger).some(({ lock, needs }) =>
    lockHolder(ledger, rules, now, lock) === undefined &&
    candidates(ledger, { ...rules, max: Infinity }, now, needs).some((slot) => slot.number === number)
  )

/** Ends a ticket that is waiting. */
export const withdraw = (ledger: Ledger, now: number, leaseId: LeaseId): Change<boolean> => {
  const ticket = ledger.tickets.find((ticket) => ticket.leaseId === leaseId && ticket.state === "waiting")
  if (ticket === undefined) return unchanged(ledger, false)
  return {
    value: true,
    ledger: mapTicket(ledger, ticket.key, end),
    events: [event(now, "withdrawn", null, ticket.leaseId, "")]
  }
}

/** Ends the tickets of processes that have ended or stopped polling. */
export const lapse = (ledger: Ledger, { isGone }: AppliedRules, now: number): Change<void> =>
  waiting(ledger).filter((ticket) => ticket.deadline <= now || isGone(ticket.owner)).reduce<Change<void>>(
    ({ events, ledger }, ticket) => ({
      value: undefined,
      ledger: mapTicket(ledger, ticket.key, end),
      events: [...events, event(now, "lapsed", null, ticket.leaseId, ticket.label)]
    }),
    unchanged(ledger, undefined)
  )

/**
 * Grants free slots to waiting tickets, in the order of the queue, each with the lock that the ticket needs. A ticket whose lock is taken
 * keeps its place, and later tickets are granted meanwhile (counterexample 25).
 */
export const grant = (ledger: Ledger, rules: PoolRules, now: number): Change<void> =>
  waiting(ledger).reduce<Change<void>>((change, ticket) => {
    if (lockHolder(change.ledger, rules, now, ticket.lock) !== undefined) return change
    const slot = candidates(change.ledger, rules, now, ticket.needs)[0]
    if (slot === undefined || (!sameSpec(slot.spec, ticket.needs) && isServedSoon(change.ledger, ticket))) return change
    const granted = grantSlot(change.ledger, rules, now, ticket, slot)
    return { ...granted, events: [...change.events, ...granted.events] }
  }, unchanged(ledger, undefined))

/** Expires the holders and tickets that are overdue, or whose processes have ended. */
export const expire = (ledger: Ledger, rules: AppliedRules, now: number): Change<void> =>
  ledger.slots.reduce<Change<void>>(({ events, ledger, value }, slot) => {
    const { holder } = slot
    // without a fence, a request of the ended process may still be on its way (counterexample 13)
    const isGone = holder !== null && holder.fenced && rules.isGone(holder.owner)
    if (holder === null || (!isGone && holds(slot, slot.epoch, now))) return { value, ledger, events }
    const reason = isGone
      ? "its process has ended"
      : now >= holder.maxUntil
      ? "held longer than max hold"
      : "stopped beating"
    return {
      value,
      // without a fence, the writes of a test count as requests
      ledger: vacate(ledger, rules, { ...slot, holder, isRequesting: slot.isRequesting || !holder.fenced }, now, {
        power: "unknown"
      }),
      events: [...events, event(now, "expired", slot, holder.leaseId, reason)]
    }
  }, lapse(ledger, rules, now))

/**
 * Expires the holder of a slot now, whatever it is, because an administrator says so. Its process may be alive, and learns of it from its
 * next heartbeat, or at its deadline: until then it may write without a fence, or under its lock, so that neither is granted before a
 * request that it sends at its deadline has landed (counterexample 27). Returns the slot as it was, whether or not it had a holder;
 * `undefined`: there is none with this number.
 */
export const expireNow = (
  ledger: Ledger,
  rules: AppliedRules,
  now: number,
  number: number
): Change<Slot | undefined> => {
  const swept = expire(ledger, rules, now)
  const slot = getSlot(swept.ledger, number)
  const value = getSlot(ledger, number)
  if (slot === undefined || slot.holder === null) return { ...swept, value }
  const { holder } = slot
  return {
    value,
    ledger: vacate(
      swept.ledger,
      rules,
      { ...slot, holder, isRequesting: slot.isRequesting || !holder.fenced },
      now,
      { power: "unknown" },
      end,
      Math.min(holder.deadline, holder.maxUntil)
    ),
    events: [...swept.events, event(now, "expired", slot, holder.leaseId, "released by an administrator")]
  }
}

// internal

/** The slots that may be granted to a ticket, best first. */
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

/** Free, not busy and not in quarantine. An adopted deployment does not belong to the pool: it is not replaced, and its user's at its time. */
const mayBeGranted = (slot: Slot, now: number, needs: DeploymentSpec) =>
  slot.holder === null && !isBusy(slot, now) && (slot.quarantine?.until ?? 0) <= now &&
  (slot.adopted === null || (sameSpec(slot.spec, needs) && !isTakenBack(slot, now)))

/** Orders slots by how soon they can serve the ticket; lower is sooner. */
const rank = (slot: Slot, needs: DeploymentSpec): number => {
  if (slot.name === null) return 3
  if (!sameSpec(slot.spec, needs)) return 4
  return slot.power !== "awake" ? 2 : slot.clean ? 0 : 1
}

const grantSlot = (ledger: Ledger, rules: PoolRules, now: number, ticket: Ticket, slot: Slot): Change<void> => {
  const held = occupy(slot, rules, now, { ...ticket, kind: "lease", ticket: ticket.key })
  return {
    value: undefined,
    ledger: putSlot(
      mapTicket(ledger, ticket.key, (t) => ({ ...t, state: "granted", slot: held.number, epoch: held.epoch })),
      held
    ),
    events: [event(now, "granted", held, ticket.leaseId, `slot ${held.number}, epoch ${held.epoch}`)]
  }
}

/**
 * Whether upkeep is about to hand over a deployment that suits the ticket, already emptied, which takes less time than creating one. Such
 * deployments are assigned to the last matching waiters; earlier ones get what is already free.
 */
const isServedSoon = ({ slots, tickets }: Ledger, { needs, seq }: Ticket): boolean => {
  const thisAndLater = tickets.filter((other) =>
    other.state === "waiting" && other.seq >= seq && sameSpec(other.needs, needs)
  )
  const underUpkeep = slots.filter(({ holder, spec }) => holder?.kind === "upkeep" && sameSpec(spec, needs))
  return thisAndLater.length <= underUpkeep.length
}
