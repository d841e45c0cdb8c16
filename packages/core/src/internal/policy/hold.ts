/** A hold: how upkeep claims a slot, what a holder records about it, and how it ends. */
import type { EventKind, Quarantine, Slot } from "../../Slot.js"
import type { AppliedRules, Change, Claimant, Ledger, Outcome, PoolRules, SlotPatch } from "./model.js"
import { expire, grant, isAwaited, lapse } from "./queue.js"
import { event, getSlot, holdBack, holds, isBusy, markTokens, occupy, putSlot, unchanged, vacate } from "./slots.js"
import { activeUpkeep, currentRun } from "./upkeep.js"

/** Makes upkeep the holder of a free slot, unless a ticket is waiting for it. `undefined`: the slot is not available. */
export const claim = (
  ledger: Ledger,
  rules: AppliedRules,
  now: number,
  number: number,
  claimant: Claimant
): Change<Slot | undefined> => {
  const swept = expire(ledger, rules, now)
  const slot = getSlot(swept.ledger, number)
  if (
    slot === undefined || slot.holder !== null || isBusy(slot, now) || isAwaited(swept.ledger, rules, now, number)
  ) {
    return { ...swept, value: undefined }
  }
  const held = occupy(slot, rules, now, { ...claimant, kind: "upkeep", ticket: null, lock: null })
  return {
    value: held,
    ledger: putSlot(swept.ledger, held),
    events: [...swept.events, event(now, "granted", held, claimant.leaseId, claimant.label)]
  }
}

/** Records facts about a slot. `undefined`: it is no longer held under this epoch. */
export const update = (
  ledger: Ledger,
  rules: PoolRules,
  now: number,
  number: number,
  epoch: number,
  { activity, fenced, isWriting, mints, noTokens, request, revoked, ...facts }: SlotPatch
): Change<Slot | undefined> => {
  const slot = getSlot(ledger, number)
  if (!holds(slot, epoch, now)) return unchanged(ledger, undefined)
  const isRefilled = facts.name !== undefined && facts.name !== slot.name
  const { holder } = slot
  const before = mints === true ? markTokens(slot) : slot
  const updated: Slot = {
    ...(request === "unanswered" ? holdBack(before, now + rules.longestRequest) : before),
    ...facts,
    ...(request === undefined ? {} : { isRequesting: request === "sent" }),
    ...(noTokens === slot.tokens.version ? { tokens: { ...slot.tokens, mayExist: false } } : {}),
    ...(revoked === true ? { revokedAt: now } : {}),
    ...(isRefilled
      ? { uses: holder.kind === "lease" ? 1 : 0, filledAt: facts.name === null ? null : now, adopted: null }
      : {}),
    holder: {
      ...holder,
      activity: activity ?? holder.activity,
      fenced: fenced ?? holder.fenced,
      lock: holder.lock && { ...holder.lock, isWriting: isWriting ?? holder.lock.isWriting }
    }
  }
  return {
    value: updated,
    ledger: putSlot(ledger, updated),
    events: activity === undefined ? [] : [event(now, "step", updated, holder.leaseId, activity)]
  }
}

/**
 * Records that a holder sent a request after it had lost the slot: the request may have minted a token or changed the deployment, or may
 * still do so. Needs no epoch (counterexamples 16 and 21).
 */
export const recordLate = (ledger: Ledger, rules: PoolRules, now: number, number: number): Change<void> => {
  const slot = getSlot(ledger, number)
  if (slot === undefined) return unchanged(ledger, undefined)
  const late: Slot = { ...holdBack(markTokens(slot), now + rules.longestRequest), power: "unknown", clean: false }
  return unchanged(putSlot(ledger, late), undefined)
}

/**
 * Frees the slot *and* grants it to the first ticket that it suits; or, if no ticket takes it and this machine's upkeep keeps deployments
 * awake for a run, frees it awake. `false`: neither, so that the holder has to hibernate the deployment itself (counterexample 1).
 */
export const handOver = (
  ledger: Ledger,
  rules: AppliedRules,
  now: number,
  number: number,
  epoch: number
): Change<boolean> => {
  const slot = getSlot(ledger, number)
  if (!holds(slot, epoch, now) || slot.power !== "awake" || isBusy(slot, now) || slot.isRequesting) {
    return unchanged(ledger, false)
  }
  const lapsed = lapse(ledger, rules, now)
  const freed = vacate(lapsed.ledger, rules, slot, now, { quarantine: null })
  const granted = grant(freed, rules, now)
  const next = getSlot(granted.ledger, number)?.holder
  const eventsOf = (kind: EventKind, to: string) => [...lapsed.events, event(now, kind, slot, slot.holder.leaseId, to)]
  if (next) return { ...granted, value: true, events: [...eventsOf("handed over", next.label), ...granted.events] }
  const upkeep = activeUpkeep(ledger, rules, now)
  return slot.holder.kind === "lease" && upkeep !== undefined && currentRun(ledger, rules, now) !== undefined
    ? { value: true, ledger: freed, events: eventsOf("left to upkeep", upkeep.label) }
    : { value: false, ledger: lapsed.ledger, events: lapsed.events }
}

/** Frees a slot. Only this function marks a slot as clean (counterexample 7). */
export const free = (
  ledger: Ledger,
  rules: PoolRules,
  now: number,
  number: number,
  epoch: number,
  { clean, unfinished, usable }: Outcome
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
    ledger: vacate(ledger, rules, slot, now, { clean, quarantine }),
    events: [
      ...(unfinished === undefined
        ? []
        : [event(now, "unfinished", slot, slot.holder.leaseId, `${slot.holder.label}: ${unfinished}`)]),
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
  const requeued = vacate(ledger, rules, slot, now, {}, (ticket) => ({
    ...ticket,
    state: "waiting",
    deadline: now + rules.ttl,
    slot: null,
    epoch: null
  }))
  return {
    value: true,
    ledger: putSlot(requeued, holdBack(getSlot(requeued, number)!, now + pause)),
    events: [event(now, "returned", slot, slot.holder.leaseId, "another ledger's lease holds the deployment")]
  }
}

// internal

/** Twice as long after every failure, from half a minute to six hours. */
const quarantined = (before: Quarantine | null, now: number, reason: string): Quarantine => {
  const failures = (before?.failures ?? 0) + 1
  return { reason, failures, until: now + Math.min(30_000 * 2 ** (failures - 1), 6 * 3_600_000) }
}
