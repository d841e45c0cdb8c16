/** A hold: how upkeep claims a slot, what a holder records about it, and how it ends. */
import type { EventKind, Quarantine, Slot } from "../../Slot.js"
import type { AppliedRules, Change, Claimant, Ledger, Outcome, PoolRules, SlotPatch } from "./model.js"
import { grant, lapse, sweep } from "./queue.js"
import { event, getSlot, holds, isBusy, mapTicket, occupy, putSlot, unchanged, vacate } from "./slots.js"

/** Makes upkeep the holder of a free slot, unless a ticket is waiting for it. `undefined`: the slot is not available. */
export const claim = (
  ledger: Ledger,
  rules: AppliedRules,
  now: number,
  number: number,
  claimant: Claimant
): Change<Slot | undefined> => {
  const swept = sweep(ledger, rules, now)
  const slot = getSlot(swept.ledger, number)
  if (slot === undefined || slot.holder !== null || isBusy(slot, now)) return { ...swept, value: undefined }
  const held = occupy(slot, rules, now, { ...claimant, kind: "upkeep", ticket: null })
  return {
    value: held,
    ledger: putSlot(swept.ledger, held),
    events: [...swept.events, event(now, "granted", held, claimant.leaseId, claimant.label)]
  }
}

/** Records facts about a slot. `undefined`: it is no longer held under this epoch. */
export const update = (
  ledger: Ledger,
  now: number,
  number: number,
  epoch: number,
  { activity, busyFor, fenced, revoked, ...facts }: SlotPatch
): Change<Slot | undefined> => {
  const slot = getSlot(ledger, number)
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
 * Frees the slot *and* grants it to the first ticket that it suits; or, if no ticket takes it and upkeep is active, frees it awake, for
 * upkeep to hibernate. `false`: neither, so that the holder has to hibernate the deployment itself (counterexample 1).
 */
export const handOver = (
  ledger: Ledger,
  rules: AppliedRules,
  now: number,
  number: number,
  epoch: number
): Change<boolean> => {
  const slot = getSlot(ledger, number)
  if (!holds(slot, epoch, now) || slot.power !== "awake" || isBusy(slot, now)) return unchanged(ledger, false)
  const lapsed = lapse(ledger, rules, now)
  const freed = vacate(lapsed.ledger, slot, now, { quarantine: null })
  const granted = grant(freed, rules, now)
  const next = getSlot(granted.ledger, number)?.holder
  const eventsOf = (kind: EventKind, to: string) => [...lapsed.events, event(now, kind, slot, slot.holder.leaseId, to)]
  if (next) return { ...granted, value: true, events: [...eventsOf("handed over", next.label), ...granted.events] }
  const { upkeep } = ledger
  return slot.holder.kind === "lease" && upkeep !== null && upkeep.deadline > now && !rules.isGone(upkeep.owner)
    ? { value: true, ledger: freed, events: eventsOf("left to upkeep", upkeep.label) }
    : { value: false, ledger: lapsed.ledger, events: lapsed.events }
}

/** Frees a slot. Only this function marks a slot as clean (counterexample 7). */
export const free = (
  ledger: Ledger,
  now: number,
  number: number,
  epoch: number,
  { clean, usable }: Outcome
): Change<boolean> => {
  const slot = getSlot(ledger, number)
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
 * Gives a slot back unused, because a lease of another ledger is using its deployment (counterexample 9). The ticket keeps its place in
 * the queue, and no ticket gets the slot for `pause` milliseconds.
 */
export const giveBack = (
  ledger: Ledger,
  rules: PoolRules,
  now: number,
  number: number,
  epoch: number,
  pause: number
): Change<boolean> => {
  const slot = getSlot(ledger, number)
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

// internal

/** Twice as long after every failure, from half a minute to six hours. */
const quarantined = (before: Quarantine | null, now: number, reason: string): Quarantine => {
  const failures = (before?.failures ?? 0) + 1
  return { reason, failures, until: now + Math.min(30_000 * 2 ** (failures - 1), 6 * 3_600_000) }
}
