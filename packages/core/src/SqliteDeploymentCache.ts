/**
 * The ledger in an SQLite file, shared by every process of one machine.
 *
 * @since 0.1.0
 */
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as Reactivity from "@effect/experimental/Reactivity"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as nodeFs from "node:fs"
import * as os from "node:os"
import { CacheError } from "./CacheError.js"
import * as DeploymentCache from "./DeploymentCache.js"
import * as Host from "./Host.js"
import * as files from "./internal/sqlite/files.js"
import * as HeartbeatThread from "./internal/sqlite/HeartbeatThread.js"
import { LockRow, SlotRow, TicketRow } from "./internal/sqlite/rows.js"
import { applicationId, beat, eventsStay, schema, schemaVersion, ticketsStay } from "./internal/sqlite/schema.js"
import { classify, detached, toCacheError, transaction } from "./internal/sqlite/transactions.js"
import { LeaseId } from "./Lease.js"
import type { Reading } from "./LedgerTime.js"
import * as LedgerTime from "./LedgerTime.js"
import * as PoolPolicy from "./PoolPolicy.js"
import type { PoolEvent, Slot, Ticket } from "./Slot.js"

/**
 * Opens the ledger, making the file and its folder where they are missing. Refuses, untouched, a file that is not ours, has
 * another schema, or is corrupted; and a file system that is not this machine's own.
 *
 * On real time leases are kept by a thread that goes on while the event loop is blocked.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: {
  /** Absolute, so that it never depends on the current folder. */
  readonly path: string
  /** Who uses it [this process; under a TestClock one that knows nothing of others]. */
  readonly host?: Host.Host | undefined
}): Layer.Layer<
  DeploymentCache.DeploymentCache,
  CacheError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.scoped(
    DeploymentCache.DeploymentCache,
    Effect.gen(function*() {
      const host = options.host ?? ((yield* PinnedClock.isLive) ? yield* Host.live : Host.alone)
      return yield* DeploymentCache.make(yield* makeStore(options.path, host), host)
    })
  )

/**
 * Whether {@link layer} could open the ledger, and which schema it has; nothing is made, and nothing is changed. `None`: there is
 * none yet, or nothing is in it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const inspect = (
  path: string
): Effect.Effect<Option.Option<number>, CacheError, FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(
    files.find(path),
    Option.match({ onNone: () => Effect.succeedNone, onSome: (file) => checkHeader(path, file, untouchedHeader) })
  )

// internal

const makeStore = (
  path: string,
  host: Host.Host
): Effect.Effect<DeploymentCache.Store, CacheError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const file = yield* files.locate(path)
    yield* checkHeader(path, file, headerOf)
    const found = files.watch(path)
    const sql = (yield* open(path, file, {})).withoutTransforms()
    const immediate = transaction(sql, "BEGIN IMMEDIATE")
    const deferred = transaction(sql, "BEGIN")
    const run = <A, E extends SqlError | CacheError>(effect: Effect.Effect<A, E>) => classify(path)(detached(effect))
    // waits for other processes instead of freezing this one: the driver's own wait blocks the event loop
    yield* run(sql`PRAGMA busy_timeout = 10`)
    yield* run(sql`PRAGMA synchronous = FULL`)
    yield* run(immediate(migrate(sql)))
    // beside the file, for without them processes would not see each other; they stay as long as somebody has it open
    const watched = [found, files.watch(`${file}-wal`), files.watch(`${file}-shm`)]
    const isHere = files.stillThere(path, watched)
    const atomically = <A>(effect: Effect.Effect<A, SqlError | CacheError>) =>
      run(immediate(Effect.zipRight(isHere, effect)))

    const decoded = <A>(schema: Schema.Schema<A, string>, row: string) =>
      Effect.mapError(
        Schema.decode(schema)(row),
        ({ message }) => new CacheError({ kind: "corrupt", path, detail: message })
      )

    const time = ({ bootId, uptime, wall }: Reading) =>
      Effect.gen(function*() {
        const [known] = yield* sql<LedgerTime.Anchor & { last: number }>`
          SELECT boot_id AS bootId, wall, uptime, max(last, (SELECT coalesce(max(seen), 0) FROM slots)) AS last FROM clock`
        return LedgerTime.resolve(known, { bootId, uptime, wall }, known?.last ?? 0)
      })
    /** The time, which from now on never goes back. */
    const advance = (reading: Reading) =>
      Effect.tap(time(reading), ({ anchor, now }) =>
        anchor === undefined
          ? Effect.void
          : sql`INSERT OR REPLACE INTO clock (one, boot_id, wall, uptime, last)
            VALUES (1, ${anchor.bootId}, ${anchor.wall}, ${anchor.uptime}, ${now})`)

    const loadSlots = (pool: string) =>
      Effect.flatMap(
        sql<{ epoch: number; deadline: number | null; row: string }>`
          SELECT epoch, deadline, row FROM slots WHERE pool = ${pool} ORDER BY number`,
        Effect.forEach(({ deadline, epoch, row }) =>
          Effect.map(
            decoded(SlotRow, row),
            (slot): Slot => ({ ...slot, epoch, holder: slot.holder && { ...slot.holder, deadline: deadline ?? 0 } })
          )
        )
      )
    const loadLock = (name: string) =>
      Effect.flatMap(
        sql<{ row: string }>`SELECT row FROM locks WHERE name = ${name}`,
        ([known]) => known === undefined ? Effect.succeed({ epoch: 0, holder: null }) : decoded(LockRow, known.row)
      )
    const loadTickets = (pool: string, key: string | null) =>
      Effect.flatMap(
        sql<{ row: string }>`
          SELECT seq, row FROM tickets INDEXED BY tickets_live WHERE pool = ${pool} AND state <> 'ended'
          UNION SELECT seq, row FROM tickets WHERE pool = ${pool} AND key = ${key} ORDER BY seq`,
        Effect.forEach(({ row }) => decoded(TicketRow, row))
      )
    const load = (pool: string, key: string | null) =>
      Effect.gen(function*() {
        const { holder } = yield* loadLock(PoolPolicy.upkeepLock(pool))
        return { slots: yield* loadSlots(pool), tickets: yield* loadTickets(pool, key), upkeep: holder }
      })
    const saveSlot = (pool: string, now: number, { epoch, ...slot }: Slot) =>
      sql`INSERT OR REPLACE INTO slots (pool, number, epoch, deadline, max_until, seen, row) VALUES
        (${pool}, ${slot.number}, ${epoch}, ${slot.holder?.deadline ?? null}, ${
        slot.holder?.maxUntil ?? null
      }, ${now}, ${Schema.encodeSync(SlotRow)(slot)})`
    const saveTicket = (pool: string, now: number, ticket: Ticket) =>
      sql`INSERT OR REPLACE INTO tickets (pool, seq, key, state, seen, row) VALUES
        (${pool}, ${ticket.seq}, ${ticket.key}, ${ticket.state}, ${now}, ${Schema.encodeSync(TicketRow)(ticket)})`
    const saveEvent = (pool: string, event: PoolEvent) =>
      sql`INSERT INTO events (pool, at, kind, slot, epoch, lease_id, detail) VALUES
        (${pool}, ${event.at}, ${event.kind}, ${event.slot}, ${event.epoch}, ${event.leaseId}, ${event.detail})`

    const read = yield* LedgerTime.reader(host)
    yield* atomically(Effect.gen(function*() {
      const { now } = yield* advance(read())
      yield* sql`DELETE FROM events WHERE at < ${now - eventsStay}`
      yield* sql`DELETE FROM tickets WHERE state = 'ended' AND seen < ${now - ticketsStay}`
    }))
    const [meta] = yield* run(sql<{ value: string }>`SELECT value FROM meta WHERE key = 'ledger_id'`)
    const bootId = Host.bootOf(host.owner)
    const thread = { file, watched, bootId, hasUptime: host.uptime() !== null }

    return {
      ...((yield* isOfThisMachine(host)) ? { keepAlive: yield* HeartbeatThread.make(thread) } : {}),
      path,
      ledgerId: meta?.value ?? "",
      modify: (pool, key, read, f) =>
        atomically(Effect.gen(function*() {
          const { now } = yield* advance(read())
          const before = yield* load(pool, key)
          const [last] = yield* sql<{ seq: number | null }>`SELECT max(seq) AS seq FROM tickets WHERE pool = ${pool}`
          const change = f(before, now, (last?.seq ?? 0) + 1)
          const { slots, tickets } = change.ledger
          yield* Effect.forEach(
            slots.filter((slot) => !before.slots.includes(slot)),
            (slot) => saveSlot(pool, now, slot)
          )
          yield* Effect.forEach(
            tickets.filter((ticket) => !before.tickets.includes(ticket)),
            (ticket) => saveTicket(pool, now, ticket)
          )
          yield* Effect.forEach(change.events, (event) => saveEvent(pool, event))
          return change.value
        })),
      beat: (pool, slot, epoch, read, ttl) =>
        run(Effect.suspend(() => {
          const { bootId, uptime, wall } = read()
          return Effect.zipLeft(sql.unsafe(beat, [ttl, uptime, bootId, wall, pool, slot, epoch]), isHere)
        })).pipe(Effect.map((rows) => rows.length === 1)),
      modifyLock: (name, read, f) =>
        atomically(Effect.gen(function*() {
          const { now } = yield* advance(read())
          const before = yield* loadLock(name)
          const [value, row] = f(before, now)
          if (row !== before) {
            yield* sql`INSERT OR REPLACE INTO locks (name, row) VALUES (${name}, ${Schema.encodeSync(LockRow)(row)})`
          }
          return value
        })),
      inspect: (pool, read) =>
        run(deferred(Effect.gen(function*() {
          yield* isHere
          return { ...yield* load(pool, null), now: (yield* time(read())).now }
        }))),
      events: (pool, leaseId) =>
        Effect.map(
          run(sql<{
            at: number
            kind: PoolEvent["kind"]
            slot: number | null
            epoch: number | null
            lease_id: string | null
            detail: string
          }>`SELECT at, kind, slot, epoch, lease_id, detail FROM events
            WHERE pool = ${pool} AND ${leaseId === undefined ? sql`1` : sql`lease_id = ${leaseId}`} ORDER BY seq`),
          (rows) =>
            rows.map(({ lease_id, ...event }) => ({
              ...event,
              leaseId: lease_id === null ? null : LeaseId.make(lease_id)
            }))
        )
    }
  })

/** Whether another thread reads the same times by itself. */
const isOfThisMachine = (host: Host.Host) =>
  Effect.gen(function*() {
    const uptime = host.uptime()
    return host !== Host.alone && (yield* PinnedClock.isLive) &&
      (uptime === null || Math.abs(uptime - os.uptime() * 1000) < 1000)
  })

/** Looks at an existing file without changing it. Its schema's version, where it has one. */
const checkHeader = (
  path: string,
  file: string,
  headerOf: (path: string, file: string) => Effect.Effect<Header, CacheError>
): Effect.Effect<Option.Option<number>, CacheError> =>
  Effect.gen(function*() {
    const info = nodeFs.statSync(file)
    if (!info.isFile()) return yield* new CacheError({ kind: "foreign", path, detail: "it is not a file" })
    if (info.size === 0) return Option.none()
    const header = yield* headerOf(path, file)
    if (header.application === 0 && header.tables === 0) return Option.none()
    if (header.application !== applicationId) {
      return yield* new CacheError({ kind: "foreign", path, detail: "it is an SQLite file of something else" })
    }
    if (header.version !== schemaVersion) {
      return yield* new CacheError({
        kind: header.version > schemaVersion ? "newer" : "older",
        path,
        detail: `its schema has version ${header.version}, and this is airflow-resource with version ${schemaVersion}`
      })
    }
    return Option.some(header.version)
  })

interface Header {
  readonly application: number
  readonly version: number
  readonly tables: number
}

const headerOf = (path: string, file: string): Effect.Effect<Header, CacheError> =>
  Effect.scoped(Effect.gen(function*() {
    const sql = yield* open(path, file, { readonly: true, disableWAL: true })
    const [header] = yield* classify(path)(sql<Header>`
      SELECT (SELECT application_id FROM pragma_application_id) AS application,
        (SELECT user_version FROM pragma_user_version) AS version,
        (SELECT count(*) FROM sqlite_master) AS tables`)
    return header ?? { application: 0, version: 0, tables: 0 }
  }))

/**
 * Even for a look SQLite makes a -wal and a -shm, and they stay. Where they are, somebody may have it open: then what is in the file
 * alone does not count, and to open and close it beside SQLite would drop SQLite's locks.
 */
const untouchedHeader = (path: string, file: string): Effect.Effect<Header, CacheError> =>
  nodeFs.existsSync(`${file}-wal`) ?
    headerOf(path, file) :
    Effect.flatMap(files.begin(path, file, 105), (page) =>
      page.toString("latin1", 0, 16) === "SQLite format 3\0"
        ? Effect.succeed({
          application: page.readInt32BE(68),
          version: page.readInt32BE(60),
          tables: page.readUInt16BE(103)
        })
        : new CacheError({ kind: "corrupt", path, detail: "it is not a database" }))

const open = (
  path: string,
  file: string,
  config: { readonly readonly?: boolean; readonly disableWAL?: boolean }
) =>
  SqliteClient.make({ filename: file, ...config }).pipe(
    Effect.provide(Reactivity.layer),
    // opening throws where the file is not a database
    Effect.catchAllDefect((defect) => Effect.fail(toCacheError(path, defect))),
    classify(path)
  )

const migrate = (sql: SqlClient.SqlClient) =>
  Effect.gen(function*() {
    const [file] = yield* sql<{ user_version: number }>`PRAGMA user_version`
    if (file?.user_version === schemaVersion) return
    yield* Effect.forEach(schema, (statement) => sql.unsafe(statement))
    yield* sql.unsafe(`PRAGMA application_id = ${applicationId}`)
    yield* sql.unsafe(`PRAGMA user_version = ${schemaVersion}`)
    const id = yield* Random.nextIntBetween(0, 2 ** 48 - 1)
    yield* sql`INSERT INTO meta (key, value) VALUES ('ledger_id', ${id.toString(16).padStart(12, "0")})`
  })
