/** The status of a ticket: granted, ended, or its place in the queue and why it has to wait. */
import * as DateTime from "effect/DateTime"
import { sameSpec } from "../../Deployment.js"
import type { Ticket } from "../../Slot.js"
import type { Ledger, PoolRules, TicketStatus } from "./model.js"
import { isBusy, isTakenBack, lockHolder, waiting } from "./slots.js"

export const statusOf = (ledger: Ledger, rules: PoolRules, now: number, key: string): TicketStatus => {
  const ticket = ledger.tickets.find((ticket) => ticket.key === key)
  if (ticket === undefined || ticket.state === "ended") return { _tag: "Ended" }
  const slot = ledger.slots.find((slot) => slot.number === ticket.slot)
  if (ticket.state === "granted" && slot !== undefined) return { _tag: "Granted", slot }
  return {
    _tag: "Waiting",
    lock: lockHolder(ledger, rules, now, ticket.lock) === undefined ? null : ticket.lock,
    place: waiting(ledger).findIndex((waiter) => waiter.key === key) + 1,
    since: ticket.enqueuedAt,
    holders: holders(ledger),
    reason: reasonToWait(ledger, rules, now, ticket)
  }
}

// internal

const holders = (ledger: Ledger) =>
  ledger.slots.flatMap(({ holder, number }) =>
    holder === null ? [] : [{
      slot: number,
      label: holder.label,
      activity: holder.fenced ? holder.activity : `${holder.activity}, unfenced`,
      since: holder.since
    }]
  )

/** Contains nothing that changes merely because time passes: a reason is reported each time that it changes. */
const reasonToWait = (ledger: Ledger, rules: PoolRules, now: number, { lock, needs }: Ticket): string => {
  const user = lockHolder(ledger, rules, now, lock)
  if (user !== undefined) return `${lock} is in use by ${user}; leases that use it take turns`
  const held = holders(ledger)
  const leased = held.map(({ activity, label, slot }) => `slot ${slot} to ${label} (${activity})`).join(", ")
  if (held.length >= rules.max) return `all ${rules.max} deployments are leased: ${leased}`
  const until = (time: number) => `until ${DateTime.formatIso(DateTime.unsafeMake(time)).slice(11, 19)} UTC`
  const unavailable = ledger.slots.filter((slot) => slot.holder === null).flatMap((slot) =>
    slot.busyUntil !== null && isBusy(slot, now)
      ? [`slot ${slot.number} may still be changing ${until(slot.busyUntil)}`]
      : slot.quarantine !== null && slot.quarantine.until > now
      ? [`slot ${slot.number} is in quarantine ${until(slot.quarantine.until)}: ${slot.quarantine.reason}`]
      : isTakenBack(slot, now)
      ? [`slot ${slot.number} is adopted, and the hibernation that its user had requested has ended`]
      : slot.adopted && !sameSpec(slot.spec, needs)
      ? [`slot ${slot.number} is adopted, and has another spec`]
      : []
  )
  return [...(held.length === 0 ? [] : [`leased: ${leased}`]), ...unavailable].join("; ") ||
    "earlier requests come first"
}
