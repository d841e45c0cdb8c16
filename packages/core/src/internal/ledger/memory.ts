/** A ledger in memory. */
import * as Effect from "effect/Effect"
import * as Host from "../../Host.js"
import type { LockRow, Owner, RecordedEvent, Run, Slot, Ticket } from "../../Slot.js"
import type { Ledger, LockUse } from "../policy/model.js"
import { upkeepLock } from "../policy/model.js"
import { holds } from "../policy/slots.js"
import * as LedgerTime from "./LedgerTime.js"
import type { Store } from "./Store.js"

/**
 * Creates an empty ledger and returns a function that opens it for one process. Processes that share the ledger call it
 * once each, with their own host and under their own Clock.
 */
export const make = (ledgerId: string): (host: Host.Host) => Effect.Effect<Store> => {
  const pools = new Map<string, PoolRows>()
  const locks = new Map<string, LockRow>()
  let lastEvent = 0
  let endedLockUses: ReadonlyArray<LockUse> = []
  let time: { readonly anchor: LedgerTime.Anchor | undefined; readonly last: number } = { anchor: undefined, last: 0 }

  const rowsOf = (poolId: string): PoolRows => {
    const rows = pools.get(poolId) ?? { slots: [], tickets: [], runs: [], events: [] }
    pools.set(poolId, rows)
    return rows
  }
  const lockOf = (name: string): LockRow => locks.get(name) ?? { epoch: 0, holder: null }
  const usesOfOtherPools = (poolId: string): ReadonlyArray<LockUse> =>
    [...pools].flatMap(([id, { slots }]) => id === poolId ? [] : slots.flatMap(lockUseOf))
  const advance = (reading: LedgerTime.Reading): number => {
    const { anchor, now } = LedgerTime.resolve(time.anchor, reading, time.last)
    time = { anchor, last: Math.max(time.last, now) }
    return now
  }

  // a synchronous effect runs alone, as a transaction does
  return (host) =>
    Effect.map(LedgerTime.reader(host), (read) => {
      const machine = Host.machineOf(host.owner)
      const ledgerOf = (poolId: string, isVisible: (ticket: Ticket) => boolean): Ledger => {
        const { runs, slots, tickets } = rowsOf(poolId)
        return {
          slots,
          tickets: tickets.filter(isVisible),
          upkeep: lockOf(upkeepLock(poolId, machine)),
          runs,
          lockUses: [...endedLockUses, ...usesOfOtherPools(poolId)]
        }
      }
      return {
        path: "in memory",
        ledgerId,
        modify: (poolId, key, f) =>
          Effect.sync(() => {
            const rows = rowsOf(poolId)
            const isVisible = (ticket: Ticket) => ticket.state !== "ended" || ticket.key === key
            const before = ledgerOf(poolId, isVisible)
            const { events, ledger, value } = f(before, advance(read()), rows.tickets.length + 1)
            rows.slots = [...ledger.slots].sort((a, b) => a.number - b.number)
            rows.tickets = [...rows.tickets.filter((ticket) => !isVisible(ticket)), ...ledger.tickets]
            rows.runs = ledger.runs
            for (const event of events) rows.events.push({ ...event, seq: ++lastEvent })
            locks.set(upkeepLock(poolId, machine), ledger.upkeep)
            const ended = ledger.lockUses.filter((use) => !before.lockUses.includes(use))
            endedLockUses = [...endedLockUses.filter(({ name }) => ended.every((use) => use.name !== name)), ...ended]
            return value
          }),
        modifyLock: (name, f) =>
          Effect.sync(() => {
            const [value, row] = f(lockOf(name), advance(read()))
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
          Effect.sync(() => ({ ...ledgerOf(poolId, ({ state }) => state !== "ended"), now: advance(read()) })),
        owners: (poolId) =>
          Effect.sync(() => [
            ...new Map(rowsOf(poolId).tickets.map(({ owner }): [string, Owner] => [JSON.stringify(owner), owner]))
              .values()
          ]),
        events: (poolId, { after = 0, last = Infinity, leaseId }) =>
          Effect.sync(() => {
            const matching = rowsOf(poolId).events.filter((event) =>
              event.seq > after && (leaseId === undefined || event.leaseId === leaseId)
            )
            return matching.slice(Math.max(0, matching.length - last))
          })
      }
    })
}

/** The use of a lock by a slot of another pool: it ends when the slot is lost at the latest. */
export const lockUseOf = ({ holder }: Slot): ReadonlyArray<LockUse> =>
  holder === null || holder.lock === null
    ? []
    : [{ name: holder.lock.name, label: holder.label, endsAt: Math.min(holder.deadline, holder.maxUntil) }]

// internal

/** The rows of one pool. */
interface PoolRows {
  slots: ReadonlyArray<Slot>
  tickets: ReadonlyArray<Ticket>
  runs: ReadonlyArray<Run>
  readonly events: Array<RecordedEvent>
}
