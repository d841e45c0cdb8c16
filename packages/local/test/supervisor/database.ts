/** Databases with the tables of an Airflow that matter here. */
import Database from "better-sqlite3"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Snapshots } from "../../src/internal/supervisor/Database.js"
import * as Snapshot from "../../src/internal/supervisor/Snapshot.js"

const schema = `
  PRAGMA journal_mode = WAL;
  CREATE TABLE alembic_version (version_num TEXT);
  CREATE TABLE dag (dag_id TEXT PRIMARY KEY, is_paused INTEGER, last_parsed_time TEXT, next_dagrun TEXT);
  CREATE TABLE dag_run (id INTEGER PRIMARY KEY, dag_id TEXT REFERENCES dag, state TEXT);
  CREATE TABLE task_instance (task_id TEXT, state TEXT);
  CREATE TABLE dataset (id INTEGER PRIMARY KEY AUTOINCREMENT, uri TEXT);
  CREATE TABLE variable (id INTEGER PRIMARY KEY, "key" TEXT UNIQUE, val TEXT);
  CREATE TABLE job (id INTEGER PRIMARY KEY, job_type TEXT, latest_heartbeat TEXT);
  CREATE TABLE revoked_token (jti TEXT);
  CREATE TABLE xcom (value TEXT);
  CREATE TABLE ab_user (id INTEGER PRIMARY KEY, username TEXT, login_count INTEGER);
  CREATE TABLE ab_user_role (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES ab_user, role_id INTEGER);
  INSERT INTO alembic_version VALUES ('5f2621c13b39');
  INSERT INTO dag VALUES ('a', 1, '10:00', '1'), ('b', 1, '10:00', '1');
  INSERT INTO dag_run VALUES (1, 'a', 'success');
  INSERT INTO dataset VALUES (1, 'x');
  INSERT INTO variable VALUES (1, 'kept', 'before');
  INSERT INTO job VALUES (1, 'SchedulerJob', '10:00');
  INSERT INTO ab_user VALUES (1, 'admin', 0);
  INSERT INTO ab_user_role VALUES (1, 1, 1);
`

/** A database and where its snapshot belongs, until the scope closes. */
export const make = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "airflow-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
  )
  const database = path.join(folder, "airflow.db")
  const sql = yield* open(database)
  sql.exec(schema)
  return { folder, database, snapshot: path.join(folder, "snapshot.db"), sql }
})

export const open = (file: string) =>
  Effect.acquireRelease(Effect.sync(() => new Database(file)), (connection) => Effect.sync(() => connection.close()))

/** A file and its snapshot, as a reset uses them. */
export const snapshots = (file: string, snapshot: string): Snapshots => ({
  quiet: Snapshot.quiet(file),
  heartbeat: Snapshot.heartbeat(file),
  restore: Snapshot.restore(file, snapshot),
  differences: Snapshot.differences(file, snapshot)
})

/** The rows of a query, as text. */
export const rows = (sql: Database.Database, query: string): ReadonlyArray<string> =>
  sql.prepare<[], Array<unknown>>(query).raw().all().map((row) => row.join(" "))
