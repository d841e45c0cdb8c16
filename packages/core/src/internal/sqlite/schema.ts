/** The schema of the ledger's database, and the statement that every heartbeat sends. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { randomHex } from "../randomHex.js"

/** "ARL1" in the file's header: the file is one of our ledgers. */
export const applicationId = 0x41524c31
/** The header's `user_version`: which of our schemas the file has. */
export const schemaVersion = 5

const day = 86_400_000
/** How long an ended ticket is kept, in milliseconds; until then its key is not granted again. */
export const ticketRetention = 7 * day
/** How long an event is kept, in milliseconds. */
export const eventRetention = 30 * day

/** Creates the tables in an empty file. Runs in an immediate transaction, so that one process creates them once. */
export const migrate = (sql: SqlClient) =>
  Effect.gen(function*() {
    const [file] = yield* sql<{ user_version: number }>`PRAGMA user_version`
    if (file?.user_version === schemaVersion) return
    yield* Effect.forEach(schema, (statement) => sql.unsafe(statement))
    yield* sql.unsafe(`PRAGMA application_id = ${applicationId}`)
    yield* sql.unsafe(`PRAGMA user_version = ${schemaVersion}`)
    yield* sql`INSERT INTO meta (key, value) VALUES ('ledger_id', ${yield* randomHex(6)})`
  })

/**
 * Extends a holder's deadline; sent by the store and by the heartbeat thread. Parameters: ttl, uptime, boot id, wall
 * clock, pool, slot, epoch. A deadline that has passed is not extended, even if no process has expired the holder yet
 * (counterexample 9).
 */
export const beat = `UPDATE slots SET deadline = time.now + ?, seen = time.now
  FROM (SELECT CAST(round(coalesce((SELECT wall + ? - uptime FROM clock WHERE boot_id = ?), ?)) AS INTEGER) AS now) AS time
  WHERE pool = ? AND number = ? AND epoch = ? AND deadline > time.now AND max_until > time.now
  RETURNING number`

// internal

const schema: ReadonlyArray<string> = [
  `CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`,
  `CREATE TABLE clock (
    one INTEGER PRIMARY KEY CHECK (one = 1), boot_id TEXT NOT NULL, wall REAL NOT NULL, uptime REAL NOT NULL,
    last INTEGER NOT NULL) STRICT`,
  `CREATE TABLE slots (
    pool TEXT NOT NULL, number INTEGER NOT NULL, epoch INTEGER NOT NULL, deadline INTEGER, max_until INTEGER,
    seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (pool, number)) STRICT`,
  `CREATE TABLE tickets (
    pool TEXT NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, seen INTEGER NOT NULL,
    row TEXT NOT NULL, PRIMARY KEY (pool, key)) STRICT`,
  `CREATE INDEX tickets_by_seq ON tickets (pool, seq)`,
  `CREATE INDEX tickets_live ON tickets (pool, seq) WHERE state <> 'ended'`,
  `CREATE INDEX tickets_ended ON tickets (seen) WHERE state = 'ended'`,
  `CREATE TABLE locks (name TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT`,
  `CREATE TABLE lock_uses (name TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT`,
  `CREATE TABLE runs (pool TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (pool, id)) STRICT`,
  `CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, pool TEXT NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
    slot INTEGER, epoch INTEGER, lease_id TEXT, detail TEXT NOT NULL) STRICT`,
  `CREATE INDEX events_of_lease ON events (pool, lease_id)`,
  `CREATE INDEX events_by_time ON events (at)`,
  // to read with sqlite3: the columns of the Python fixture's cache
  `CREATE VIEW deployments AS
    SELECT pool, number AS slot,
      row ->> '$.deploymentId' AS deployment_id, row ->> '$.name' AS deployment_name,
      CASE row ->> '$.power' WHEN 'awake' THEN 'HEALTHY' WHEN 'asleep' THEN 'HIBERNATING' ELSE 'UNKNOWN' END AS status,
      row ->> '$.holder.owner.pid' AS worker_pid,
      row ->> '$.holder.label' AS test_name,
      row ->> '$.holder' IS NOT NULL AS in_use,
      strftime('%Y-%m-%dT%H:%M:%fZ', (row ->> '$.filledAt') / 1000.0, 'unixepoch') AS created_at,
      strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(row ->> '$.holder.since', row ->> '$.freedAt') / 1000.0, 'unixepoch')
        AS last_accessed
    FROM slots WHERE row ->> '$.name' IS NOT NULL ORDER BY pool, number`
]
