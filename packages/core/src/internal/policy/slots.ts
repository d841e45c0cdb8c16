/** The building blocks of the decisions: each changes one slot or one ticket, or builds one event. */
import type { LeaseId } from "../../Lease.js"
import type { EventKind, Holder, PoolEvent, Slot, Ticket } from "../../Slot.js"
import type { Change, Claimant, Ledger, PoolRules } from "./model.js"

/**
 * Whether a slot is still held under this epoch. A holder past its deadline has lost it, even if it has not been expired yet.
 *
 * @since 0.1.0
 * @category refinements
 */
export const holds = (slot: Slot | undefined, epoch: number, now: number): slot is Slot & { readonly holder: Holder } =>
  slot !== undefined && slot.epoch === epoch && slot.holder !== null && now < slot.holder.deadline &&
  now < slot.holder.maxUntil

export const unchanged = <A>(ledger: Ledger, value: A): Change<A> => ({ value, ledger, events: [] })

export const event = (
  at: number,
  kind: EventKind,
  slot: Pick<Slot, "number" | "epoch"> | null,
  leaseId: LeaseId | null,
  detail: string
): PoolEvent => ({ at, kind, slot: slot?.number ?? null, epoch: slot?.epoch ?? null, leaseId, detail })

export const getSlot = ({ slots }: Ledger, number: number) => slots.find((slot) => slot.number === number)

/** Records that a token may exist, whether or not the slot has a holder (counterexample 16). */
export const markTokens = (slot: Slot): Slot => ({
  ...slot,
  tokens: { mayExist: true, version: slot.tokens.version + 1 }
})

export const putSlot = (ledger: Ledger, slot: Slot): Ledger => ({
  ...ledger,
  slots: ledger.slots.some((known) => known.number === slot.number)
    ? ledger.slots.map((known) => known.number === slot.number ? slot : known)
    : [...ledger.slots, slot]
})

export const emptySlot = (number: number): Slot => ({
  number,
  epoch: 0,
  generation: 1,
  name: null,
  deploymentId: null,
  spec: null,
  power: "unknown",
  clean: false,
  busyUntil: null,
  isRequesting: false,
  tokens: { mayExist: false, version: 0 },
  revokedAt: null,
  uses: 0,
  filledAt: null,
  freedAt: null,
  adopted: null,
  quarantine: null,
  holder: null
})

export const nextSlot = (slots: ReadonlyArray<Slot>) => emptySlot(Math.max(0, ...slots.map(({ number }) => number)) + 1)

export const isFilled = (slot: Slot) => slot.name !== null || slot.holder !== null

/** Whether the hibernation of an adopted deployment has ended, so that it is its user's again. */
export const isTakenBack = ({ adopted }: Pick<Slot, "adopted">, now: number) =>
  (adopted?.overrideUntil ?? Infinity) <= now

/** Whether a cloud request may still land on it. */
export const isBusy = (slot: Slot, now: number) => (slot.busyUntil ?? 0) > now

export const occupy = (
  slot: Slot,
  rules: PoolRules,
  now: number,
  { kind, label, leaseId, lock, owner, ticket }: Claimant & Pick<Holder, "kind" | "ticket"> & {
    readonly lock: string | null
  }
): Slot => ({
  ...slot,
  epoch: slot.epoch + 1,
  uses: slot.uses + (kind === "lease" ? 1 : 0),
  busyUntil: null,
  holder: {
    kind,
    leaseId,
    ticket,
    owner,
    label,
    activity: "starting",
    since: now,
    deadline: now + rules.ttl,
    maxUntil: now + rules.maxHold,
    fenced: true,
    lock: lock === null ? null : { name: lock, isWriting: false }
  }
})

/**
 * Ends a hold: whatever its holder has sent last may still land for one longest request (counterexamples 17 and 26), counted from when it
 * has stopped for certain.
 */
export const vacate = (
  ledger: Ledger,
  rules: PoolRules,
  slot: Slot & { readonly holder: Holder },
  now: number,
  facts: Partial<Slot>,
  toTicket: (ticket: Ticket) => Ticket = end,
  stopsAt: number = now
): Ledger => {
  const { isRequesting, holder: { kind, label, lock } } = slot
  const vacant: Slot = {
    ...(isRequesting ? holdBack(slot, stopsAt + rules.longestRequest) : slot),
    isRequesting: false,
    clean: false,
    ...facts,
    // idle time counts from the last lease, whatever upkeep does in between
    freedAt: kind === "lease" ? now : slot.freedAt ?? now,
    holder: null
  }
  const { lockUses, ...rest } = putSlot(mapTicket(ledger, slot.holder.ticket, toTicket), vacant)
  return {
    ...rest,
    lockUses: lock?.isWriting === true
      ? [...lockUses.filter(({ name }) => name !== lock.name), { name: lock.name, label, endsAt: stopsAt }]
      : lockUses
  }
}

/** The slot is not granted before `until`. */
export const holdBack = (slot: Slot, until: number): Slot => ({
  ...slot,
  busyUntil: Math.max(slot.busyUntil ?? 0, until)
})

/** The holder of a lock that a ticket needs; `undefined`: the lock is free. */
export const lockHolder = (
  { lockUses, slots }: Ledger,
  { longestRequest }: PoolRules,
  now: number,
  lock: string | null
): string | undefined =>
  lock === null
    ? undefined
    : slots.find(({ holder }) => holder?.lock?.name === lock)?.holder?.label ??
      lockUses.find(({ endsAt, name }) => name === lock && endsAt + longestRequest > now)?.label

export const end = (ticket: Ticket): Ticket => ({ ...ticket, state: "ended" })

export const mapTicket = (ledger: Ledger, key: string | null, f: (ticket: Ticket) => Ticket): Ledger => ({
  ...ledger,
  tickets: ledger.tickets.map((ticket) => ticket.key === key && ticket.state !== "ended" ? f(ticket) : ticket)
})

/** In the order of the queue. */
export const waiting = (ledger: Ledger): ReadonlyArray<Ticket> =>
  ledger.tickets.filter((ticket) => ticket.state === "waiting").sort((a, b) => a.seq - b.seq)
