/**
 * The ledger in an SQLite file, shared by every process of one machine.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { DeploymentId, Make } from "./Deployment.js"
import * as DeploymentCache from "./DeploymentCache.js"
import { CacheError } from "./DeploymentCache.js"
import type * as Host from "./Host.js"
import { LeaseId } from "./Lease.js"
import type { Reading } from "./LedgerTime.js"
import * as LedgerTime from "./LedgerTime.js"
import * as PoolPolicy from "./PoolPolicy.js"
import type { PoolEvent, Slot, Ticket } from "./Slot.js"

/**
 * Opens the ledger, making the file and its folder where they are missing. Refuses, untouched, a file that is not ours, is of a
 * newer version, or is corrupted.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: {
  /** Absolute, so that it never depends on the current folder. */
  readonly path: string
  /** This process [one that knows nothing of others, on the Clock at hand]. */
  readonly host?: Host.Host | undefined
}): Layer.Layer<
  DeploymentCache.DeploymentCache,
  CacheError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.scoped(
    DeploymentCache.DeploymentCache,
    Effect.flatMap(makeStore(options.path), (store) => DeploymentCache.make(store, options.host))
  )

// internal

/** "ARL1" in the file's header says that it is ours; `user_version` says which schema. */
const applicationId = 0x41524c31
const schemaVersion = 2

const schema = [
  `CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`,
  `CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), boot_id TEXT NOT NULL, wall REAL NOT NULL, uptime REAL NOT NULL) STRICT`,
  `CREATE TABLE slots (
    pool TEXT NOT NULL, number INTEGER NOT NULL, epoch INTEGER NOT NULL, deadline INTEGER, max_until INTEGER, row TEXT NOT NULL,
    PRIMARY KEY (pool, number)) STRICT`,
  `CREATE TABLE tickets (
    pool TEXT NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, row TEXT NOT NULL,
    PRIMARY KEY (pool, key)) STRICT`,
  `CREATE INDEX tickets_live ON tickets (pool, seq) WHERE state <> 'ended'`,
  `CREATE TABLE locks (name TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT`,
  `CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, pool TEXT NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
    slot INTEGER, epoch INTEGER, lease_id TEXT, detail TEXT NOT NULL) STRICT`,
  `CREATE INDEX events_of_lease ON events (pool, lease_id)`
]

const OwnerRow = Schema.Struct({
  host: Schema.String,
  bootId: Schema.String,
  pid: Schema.Number,
  startedAt: Schema.String
})

const SlotRow: Schema.Schema<Omit<Slot, "epoch">, string> = Schema.parseJson(Schema.Struct({
  number: Schema.Number,
  generation: Schema.Number,
  name: Schema.NullOr(Schema.String),
  deploymentId: Schema.NullOr(DeploymentId),
  make: Schema.NullOr(Make),
  power: Schema.Literal("awake", "asleep", "unknown"),
  clean: Schema.Boolean,
  busyUntil: Schema.NullOr(Schema.Number),
  revokedAt: Schema.NullOr(Schema.Number),
  uses: Schema.Number,
  filledAt: Schema.NullOr(Schema.Number),
  freedAt: Schema.NullOr(Schema.Number),
  adopted: Schema.Boolean,
  quarantine: Schema.NullOr(
    Schema.Struct({ reason: Schema.String, failures: Schema.Number, until: Schema.Number })
  ),
  holder: Schema.NullOr(Schema.Struct({
    kind: Schema.Literal("lease", "upkeep"),
    leaseId: LeaseId,
    ticket: Schema.NullOr(Schema.String),
    owner: OwnerRow,
    label: Schema.String,
    activity: Schema.String,
    since: Schema.Number,
    deadline: Schema.Number,
    maxUntil: Schema.Number,
    fenced: Schema.Boolean
  }))
}))
const TicketRow: Schema.Schema<Ticket, string> = Schema.parseJson(Schema.Struct({
  seq: Schema.Number,
  key: Schema.String,
  leaseId: LeaseId,
  needs: Make,
  owner: OwnerRow,
  label: Schema.String,
  state: Schema.Literal("waiting", "granted", "ended"),
  enqueuedAt: Schema.Number,
  deadline: Schema.Number,
  slot: Schema.NullOr(Schema.Number),
  epoch: Schema.NullOr(Schema.Number)
}))
const LockRow: Schema.Schema<DeploymentCache.LockRow, string> = Schema.parseJson(Schema.Struct({
  epoch: Schema.Number,
  holder: Schema.NullOr(
    Schema.Struct({ leaseId: Schema.String, label: Schema.String, owner: OwnerRow, deadline: Schema.Number })
  )
}))
const decodeSlot = Schema.decodeSync(SlotRow)
const encodeSlot = Schema.encodeSync(SlotRow)
const decodeTicket = Schema.decodeSync(TicketRow)
const encodeTicket = Schema.encodeSync(TicketRow)
const decodeLock = Schema.decodeSync(LockRow)
const encodeLock = Schema.encodeSync(LockRow)

const makeStore = (
  path: string
): Effect.Effect<DeploymentCache.Store, CacheError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    yield* makeFolder(path)
    yield* inspect(path)
    const sql = (yield* open(path, {})).withoutTransforms()
    const transaction = immediate(sql)
    const run = <A>(effect: Effect.Effect<A, SqlError>) => classify(path)(detached(effect))
    const atomically = <A>(effect: Effect.Effect<A, SqlError>) => run(transaction(effect))

    // waits for other processes instead of freezing this one: the driver's own wait blocks the event loop
    yield* run(sql`PRAGMA busy_timeout = 50`)
    yield* run(sql`PRAGMA synchronous = FULL`)
    yield* atomically(migrate(sql))
    const [meta] = yield* run(sql<{ value: string }>`SELECT value FROM meta WHERE key = 'ledger_id'`)

    const loadSlots = (pool: string) =>
      Effect.map(
        sql<{ epoch: number; deadline: number | null; row: string }>`
          SELECT epoch, deadline, row FROM slots WHERE pool = ${pool} ORDER BY number`,
        (rows) =>
          rows.map(({ deadline, epoch, row }): Slot => {
            const slot = decodeSlot(row)
            return { ...slot, epoch, holder: slot.holder && { ...slot.holder, deadline: deadline ?? 0 } }
          })
      )
    const loadTickets = (pool: string, key: string | null) =>
      Effect.map(
        sql<{ row: string }>`
          SELECT row FROM tickets WHERE pool = ${pool} AND (state <> 'ended' OR key = ${key}) ORDER BY seq`,
        (rows) => rows.map(({ row }) => decodeTicket(row))
      )
    const loadUpkeep = (pool: string) =>
      Effect.map(
        sql<{ row: string }>`SELECT row FROM locks WHERE name = ${PoolPolicy.upkeepLock(pool)}`,
        ([known]) => known === undefined ? null : decodeLock(known.row).holder
      )
    const saveSlot = (pool: string, { epoch, ...slot }: Slot) =>
      sql`INSERT OR REPLACE INTO slots (pool, number, epoch, deadline, max_until, row) VALUES
        (${pool}, ${slot.number}, ${epoch}, ${slot.holder?.deadline ?? null}, ${slot.holder?.maxUntil ?? null}, ${
        encodeSlot(slot)
      })`
    const saveTicket = (pool: string, ticket: Ticket) =>
      sql`INSERT OR REPLACE INTO tickets (pool, seq, key, state, row) VALUES
        (${pool}, ${ticket.seq}, ${ticket.key}, ${ticket.state}, ${encodeTicket(ticket)})`
    const saveEvent = (pool: string, event: PoolEvent) =>
      sql`INSERT INTO events (pool, at, kind, slot, epoch, lease_id, detail) VALUES
        (${pool}, ${event.at}, ${event.kind}, ${event.slot}, ${event.epoch}, ${event.leaseId}, ${event.detail})`

    const time = (reading: Reading) =>
      Effect.gen(function*() {
        const [known] = yield* sql<{ bootId: string; wall: number; uptime: number }>`
          SELECT boot_id AS bootId, wall, uptime FROM clock`
        if (known?.bootId === reading.bootId || reading.uptime === null) {
          return LedgerTime.resolve(known, reading, 0).now
        }
        const [last] = yield* sql<{ at: number }>`SELECT at FROM events ORDER BY seq DESC LIMIT 1`
        const { anchor, now } = LedgerTime.resolve(known, reading, last?.at ?? 0)
        if (anchor !== undefined) {
          yield* sql`INSERT OR REPLACE INTO clock (one, boot_id, wall, uptime)
            VALUES (1, ${anchor.bootId}, ${anchor.wall}, ${anchor.uptime})`
        }
        return now
      })

    return {
      path,
      ledgerId: meta?.value ?? "",
      modify: (pool, key, reading, f) =>
        atomically(Effect.gen(function*() {
          const now = yield* time(reading)
          const before = {
            slots: yield* loadSlots(pool),
            tickets: yield* loadTickets(pool, key),
            upkeep: yield* loadUpkeep(pool)
          }
          const [last] = yield* sql<{ seq: number | null }>`SELECT max(seq) AS seq FROM tickets WHERE pool = ${pool}`
          const change = f(before, now, (last?.seq ?? 0) + 1)
          const { slots, tickets } = change.ledger
          yield* Effect.forEach(slots.filter((slot) => !before.slots.includes(slot)), (slot) => saveSlot(pool, slot))
          yield* Effect.forEach(
            tickets.filter((ticket) => !before.tickets.includes(ticket)),
            (ticket) => saveTicket(pool, ticket)
          )
          yield* Effect.forEach(change.events, (event) => saveEvent(pool, event))
          return change.value
        })),
      beat: (pool, slot, epoch, { bootId, uptime, wall }, ttl) =>
        Effect.map(
          run(sql`UPDATE slots SET deadline = time.now + ${ttl}
            FROM (SELECT CAST(coalesce(
              (SELECT wall + ${uptime} - uptime FROM clock WHERE boot_id = ${bootId}), ${wall}) AS INTEGER) AS now) AS time
            WHERE pool = ${pool} AND number = ${slot} AND epoch = ${epoch} AND deadline > time.now AND max_until > time.now
            RETURNING number`),
          (rows) => rows.length === 1
        ),
      modifyLock: (name, reading, f) =>
        atomically(Effect.gen(function*() {
          const [known] = yield* sql<{ row: string }>`SELECT row FROM locks WHERE name = ${name}`
          const [value, row] = f(
            known === undefined ? { epoch: 0, holder: null } : decodeLock(known.row),
            yield* time(reading)
          )
          yield* sql`INSERT OR REPLACE INTO locks (name, row) VALUES (${name}, ${encodeLock(row)})`
          return value
        })),
      look: (pool, reading) =>
        atomically(Effect.gen(function*() {
          const now = yield* time(reading)
          return {
            now,
            slots: yield* loadSlots(pool),
            tickets: yield* loadTickets(pool, null),
            upkeep: yield* loadUpkeep(pool)
          }
        })),
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

const makeFolder = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = (yield* Path.Path).dirname(path)
    yield* fs.makeDirectory(folder, { recursive: true })
    yield* fs.access(folder, { writable: true })
    // root may write anywhere, read-only file systems excepted
    const probe = yield* fs.makeTempDirectory({ directory: folder, prefix: ".writable-" })
    yield* fs.remove(probe, { recursive: true })
    if (yield* fs.exists(path)) yield* fs.access(path, { writable: true })
  }).pipe(Effect.mapError((error) => new CacheError({ kind: "notWritable", path, detail: error.message })))

/** Looks at an existing file without changing it. */
const inspect = (path: string) =>
  Effect.scoped(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const info = yield* Effect.option(fs.stat(path))
    if (info._tag === "None" || info.value.size === FileSystem.Size(0)) return
    if (info.value.type !== "File") {
      return yield* new CacheError({ kind: "foreign", path, detail: "it is not a file" })
    }
    const sql = yield* open(path, { readonly: true, disableWAL: true })
    const [file] = yield* classify(path)(sql<{ application: number; version: number; tables: number }>`
      SELECT (SELECT application_id FROM pragma_application_id) AS application,
        (SELECT user_version FROM pragma_user_version) AS version,
        (SELECT count(*) FROM sqlite_master) AS tables`)
    if (file === undefined || (file.application === 0 && file.tables === 0)) return
    if (file.application !== applicationId) {
      return yield* new CacheError({ kind: "foreign", path, detail: "it is an SQLite file of something else" })
    }
    if (file.version !== schemaVersion) {
      return yield* new CacheError({
        kind: file.version > schemaVersion ? "newer" : "older",
        path,
        detail: `its schema has version ${file.version}, and this is airflow-resource with version ${schemaVersion}`
      })
    }
  }))

const open = (path: string, config: { readonly readonly?: boolean; readonly disableWAL?: boolean }) =>
  SqliteClient.make({ filename: path, ...config }).pipe(
    Effect.provide(Reactivity.layer),
    // opening throws where the file is not a database
    Effect.catchAllDefect((defect) => Effect.fail(toCacheError(path, defect)))
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

/** A caller's own transaction must not decide about ours. */
const detached = Effect.mapInputContext((context: Context.Context<never>) =>
  Context.omit(SqlClient.TransactionConnection)(context as Context.Context<SqlClient.TransactionConnection>)
) as <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** `withTransaction` begins deferred: what it reads may be stale when it writes. */
const immediate = (sql: SqlClient.SqlClient) =>
  SqlClient.makeWithTransaction({
    transactionTag: SqlClient.TransactionConnection,
    spanAttributes: [["db.system.name", "sqlite"]],
    acquireConnection: Effect.flatMap(Scope.make(), (scope) =>
      Scope.extend(sql.reserve, scope).pipe(
        Effect.tap((connection) => connection.executeUnprepared("BEGIN IMMEDIATE", [], undefined)),
        Effect.map((connection) => [scope, connection] as const),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )),
    begin: () => Effect.void,
    savepoint: (connection, id) => connection.executeUnprepared(`SAVEPOINT s${id}`, [], undefined),
    commit: (connection) => connection.executeUnprepared("COMMIT", [], undefined),
    rollback: (connection) => connection.executeUnprepared("ROLLBACK", [], undefined),
    rollbackSavepoint: (connection, id) => connection.executeUnprepared(`ROLLBACK TO SAVEPOINT s${id}`, [], undefined)
  })

const classify = (path: string) => <A>(effect: Effect.Effect<A, SqlError>): Effect.Effect<A, CacheError> =>
  effect.pipe(
    Effect.mapError((error) => toCacheError(path, error.cause)),
    Effect.retry({
      while: (error) => error.retryable,
      schedule: Schedule.jittered(Schedule.spaced("25 millis")).pipe(Schedule.intersect(Schedule.recurs(200)))
    })
  )

const toCacheError = (path: string, cause: unknown): CacheError => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""
  const kind = code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED")
    ? "busy"
    : code.startsWith("SQLITE_NOTADB") || code.startsWith("SQLITE_CORRUPT")
    ? "corrupt"
    : code.startsWith("SQLITE_READONLY") || code.startsWith("SQLITE_CANTOPEN")
    ? "notWritable"
    : "io"
  return new CacheError({ kind, path, detail: `${code} ${cause instanceof Error ? cause.message : ""}`.trim() })
}
