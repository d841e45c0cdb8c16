/** A ledger in memory. */
import * as Effect from "effect/Effect"
import type { Host } from "../../Host.js"
import type { PoolEvent, Slot, Ticket } from "../../Slot.js"
import { upkeepLock } from "../policy/model.js"
import { holds } from "../policy/slots.js"
import * as LedgerTime from "./LedgerTime.js"
import type { LockRow, Store } from "./Store.js"

/**
 * Creates an empty ledger and returns a function that opens it for one process. Processes that share the ledger call it
 * once each, with their own host and under their own Clock.
 */
export const make = (ledgerId: string): (host: Host) => Effect.Effect<Store> => {
  const pools = new Map<string, PoolRows>()
  const locks = new Map<string, LockRow>()
  let time: { readonly anchor: LedgerTime.Anchor | undefined; readonly last: number } = { anchor: undefined, last: 0 }

  const rowsOf = (poolId: string): PoolRows => {
    const rows = pools.get(poolId) ?? { slots: [], tickets: [], events: [] }
    pools.set(poolId, rows)
    return rows
  }
  const upkeepOf = (poolId: string) => locks.get(upkeepLock(poolId))?.holder ?? null
  const advance = (reading: LedgerTime.Reading): number => {
    const { anchor, now } = LedgerTime.resolve(time.anchor, reading, time.last)
    time = { anchor, last: Math.max(time.last, now) }
    return now
  }

  // a synchronous effect runs alone, as a transaction does
  return (host) =>
    Effect.map(LedgerTime.reader(host), (read) => ({
      path: "in memory",
      ledgerId,
      modify: (poolId, key, f) =>
        Effect.sync(() => {
          const rows = rowsOf(poolId)
          const isVisible = (ticket: Ticket) => ticket.state !== "ended" || ticket.key === key
          const { events, ledger, value } = f(
            { slots: rows.slots, tickets: rows.tickets.filter(isVisible), upkeep: upkeepOf(poolId) },
            advance(read()),
            rows.tickets.length + 1
          )
          rows.slots = [...ledger.slots].sort((a, b) => a.number - b.number)
          rows.tickets = [...rows.tickets.filter((ticket) => !isVisible(ticket)), ...ledger.tickets]
          rows.events.push(...events)
          return value
        }),
      modifyLock: (name, f) =>
        Effect.sync(() => {
          const [value, row] = f(locks.get(name) ?? { epoch: 0, holder: null }, advance(read()))
          locks.set(name, row)
          return value
        }),
      beat: (poolId, number, epoch, ttl) =>
        Effect.sync(() => {
          const rows = rowsOf(poolId)
          const now = advance(read())
          const slot = rows.slots.find((slot) => slot.number === number)
          if (!holds(slot, epoch, now)) return false
          const beaten = { ...slot, holder: { ...slot.holder, deadline: now + ttl } }
          rows.slots = rows.slots.map((other) => other === slot ? beaten : other)
          return true
        }),
      inspect: (poolId) =>
        Effect.sync(() => {
          const { slots, tickets } = rowsOf(poolId)
          const live = tickets.filter(({ state }) => state !== "ended")
          return { slots, tickets: live, upkeep: upkeepOf(poolId), now: advance(read()) }
        }),
      events: (poolId, leaseId) =>
        Effect.sync(() => rowsOf(poolId).events.filter((event) => leaseId === undefined || event.leaseId === leaseId))
    }))
}

// internal

/** The rows of one pool. */
interface PoolRows {
  slots: ReadonlyArray<Slot>
  tickets: ReadonlyArray<Ticket>
  readonly events: Array<PoolEvent>
}
