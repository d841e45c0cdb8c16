/** Loads and saves the ledger's rows. The caller runs every effect inside a transaction. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { CacheError } from "../../CacheError.js"
import { LeaseId } from "../../Lease.js"
import {
  type EventQuery,
  type LockRow,
  Owner,
  type PoolEvent,
  type RecordedEvent,
  type Run,
  type Slot,
  type Ticket
} from "../../Slot.js"
import { lockUseOf } from "../ledger/memory.js"
import * as rows from "../ledger/rows.js"
import type { Change, Ledger, LockUse } from "../policy/model.js"
import { upkeepLock } from "../policy/model.js"
import { eventRetention, ticketRetention } from "./schema.js"

/** As the processes of one machine see them. `path` is for error messages. */
export const make = (sql: SqlClient, path: string, machine: string) => {
  const decoded = <A>(row: Effect.Effect<A, ParseError>) =>
    Effect.mapError(row, ({ message }) => new CacheError({ kind: "corrupt", path, detail: message }))

  const loadSlots = (pool: string) =>
    Effect.flatMap(
      sql<rows.SlotColumns>`SELECT epoch, deadline, row FROM slots WHERE pool = ${pool} ORDER BY number`,
      Effect.forEach((columns) => decoded(rows.decodeSlot(columns)))
    )

  const loadLockUses = (pool: string): Effect.Effect<ReadonlyArray<LockUse>, SqlError | CacheError> =>
    Effect.gen(function*() {
      const ended = yield* sql<{ row: string }>`SELECT row FROM lock_uses`
      const others = yield* sql<rows.SlotColumns>`
        SELECT epoch, deadline, row FROM slots WHERE pool <> ${pool} AND row ->> '$.holder.lock' IS NOT NULL`
      return [
        ...(yield* Effect.forEach(ended, ({ row }) => decoded(Schema.decode(rows.LockUseJson)(row)))),
        ...(yield* Effect.forEach(others, (columns) => decoded(rows.decodeSlot(columns)))).flatMap(lockUseOf)
      ]
    })

  const loadRuns = (pool: string) =>
    Effect.flatMap(
      sql<{ row: string }>`SELECT row FROM runs WHERE pool = ${pool} ORDER BY rowid`,
      Effect.forEach(({ row }) => decoded(Schema.decode(rows.RunJson)(row)))
    )

  const loadTickets = (pool: string, key: string | null) =>
    Effect.flatMap(
      sql<{ row: string }>`
        SELECT seq, row FROM tickets INDEXED BY tickets_live WHERE pool = ${pool} AND state <> 'ended'
        UNION SELECT seq, row FROM tickets WHERE pool = ${pool} AND key = ${key} ORDER BY seq`,
      Effect.forEach(({ row }) => decoded(Schema.decode(rows.TicketJson)(row)))
    )

  const loadLock = (name: string): Effect.Effect<LockRow, SqlError | CacheError> =>
    Effect.flatMap(
      sql<{ row: string }>`SELECT row FROM locks WHERE name = ${name}`,
      ([lock]) =>
        lock === undefined
          ? Effect.succeed({ epoch: 0, holder: null })
          : decoded(Schema.decode(rows.LockJson)(lock.row))
    )

  /** The pool's part of the ledger, with the ticket with that key even if it has ended. */
  const loadLedger = (pool: string, key: string | null): Effect.Effect<Ledger, SqlError | CacheError> =>
    Effect.gen(function*() {
      return {
        slots: yield* loadSlots(pool),
        tickets: yield* loadTickets(pool, key),
        upkeep: yield* loadLock(upkeepLock(pool, machine)),
        runs: yield* loadRuns(pool),
        lockUses: yield* loadLockUses(pool)
      }
    })

  const nextSeq = (pool: string) =>
    Effect.map(
      sql<{ seq: number | null }>`SELECT max(seq) AS seq FROM tickets WHERE pool = ${pool}`,
      ([last]) => (last?.seq ?? 0) + 1
    )

  const saveSlot = (pool: string, now: number, slot: Slot) => {
    const { deadline, epoch, row } = rows.encodeSlot(slot)
    return sql`INSERT OR REPLACE INTO slots (pool, number, epoch, deadline, max_until, seen, row)
      VALUES (${pool}, ${slot.number}, ${epoch}, ${deadline}, ${slot.holder?.maxUntil ?? null}, ${now}, ${row})`
  }

  const saveTicket = (pool: string, now: number, ticket: Ticket) =>
    sql`INSERT OR REPLACE INTO tickets (pool, seq, key, state, seen, row)
      VALUES (${pool}, ${ticket.seq}, ${ticket.key}, ${ticket.state}, ${now}, ${
      Schema.encodeSync(rows.TicketJson)(ticket)
    })`

  const saveEvent = (pool: string, { at, detail, epoch, kind, leaseId, slot }: PoolEvent) =>
    sql`INSERT INTO events (pool, at, kind, slot, epoch, lease_id, detail)
      VALUES (${pool}, ${at}, ${kind}, ${slot}, ${epoch}, ${leaseId}, ${detail})`

  const saveRun = (pool: string, run: Run) =>
    sql`INSERT INTO runs (pool, id, row) VALUES (${pool}, ${run.id}, ${Schema.encodeSync(rows.RunJson)(run)})
      ON CONFLICT (pool, id) DO UPDATE SET row = excluded.row`

  const deleteRun = (pool: string, { id }: Run) => sql`DELETE FROM runs WHERE pool = ${pool} AND id = ${id}`

  const saveLockUse = (use: LockUse) =>
    sql`INSERT OR REPLACE INTO lock_uses (name, row) VALUES (${use.name}, ${Schema.encodeSync(rows.LockUseJson)(use)})`

  const saveLock = (name: string, lock: LockRow) =>
    sql`INSERT OR REPLACE INTO locks (name, row) VALUES (${name}, ${Schema.encodeSync(rows.LockJson)(lock)})`

  /** Saves what differs from what was loaded, and the new events. */
  const saveChange = (pool: string, now: number, before: Ledger, change: Change<unknown>) =>
    Effect.gen(function*() {
      const after = change.ledger
      yield* Effect.forEach(without(after.slots, before.slots), (slot) => saveSlot(pool, now, slot), { discard: true })
      yield* Effect.forEach(
        without(after.tickets, before.tickets),
        (ticket) => saveTicket(pool, now, ticket),
        { discard: true }
      )
      yield* Effect.forEach(without(before.runs, after.runs), (run) => deleteRun(pool, run), { discard: true })
      yield* Effect.forEach(without(after.runs, before.runs), (run) => saveRun(pool, run), { discard: true })
      yield* Effect.forEach(without(after.lockUses, before.lockUses), saveLockUse, { discard: true })
      if (after.upkeep !== before.upkeep) yield* saveLock(upkeepLock(pool, machine), after.upkeep)
      yield* Effect.forEach(change.events, (event) => saveEvent(pool, event), { discard: true })
    })

  const loadOwners = (pool: string): Effect.Effect<ReadonlyArray<Owner>, SqlError | CacheError> =>
    Effect.flatMap(
      sql<{ owner: string }>`SELECT DISTINCT row ->> '$.owner' AS owner FROM tickets WHERE pool = ${pool}`,
      Effect.forEach(({ owner }) => decoded(Schema.decode(Schema.parseJson(Owner))(owner)))
    )

  /** Without `leaseId`, from the newest event back, and no further than necessary. */
  const loadEvents = (pool: string, { after = 0, last, leaseId }: EventQuery) =>
    Effect.map(
      sql<Omit<RecordedEvent, "leaseId"> & { readonly lease_id: string | null }>`
        SELECT * FROM (
          SELECT seq, at, kind, slot, epoch, lease_id, detail FROM events ${
        leaseId === undefined
          ? sql`NOT INDEXED WHERE pool = ${pool}`
          : sql`WHERE pool = ${pool} AND lease_id = ${leaseId}`
      } AND seq > ${after} ORDER BY seq DESC LIMIT ${last ?? -1}) ORDER BY seq`,
      (events) =>
        events.map(({ lease_id, ...event }): RecordedEvent => ({
          ...event,
          leaseId: lease_id === null ? null : LeaseId.make(lease_id)
        }))
    )

  /** Deletes events and ended tickets that are too old to matter. */
  const prune = (now: number) =>
    Effect.zipRight(
      sql`DELETE FROM events WHERE at < ${now - eventRetention}`,
      sql`DELETE FROM tickets WHERE state = 'ended' AND seen < ${now - ticketRetention}`
    )

  const ledgerId = Effect.map(
    sql<{ value: string }>`SELECT value FROM meta WHERE key = 'ledger_id'`,
    ([meta]) => meta?.value ?? ""
  )

  return { ledgerId, loadEvents, loadLedger, loadLock, loadOwners, nextSeq, prune, saveChange, saveLock }
}

// internal

const without = <A>(all: ReadonlyArray<A>, known: ReadonlyArray<A>) => all.filter((one) => !known.includes(one))
