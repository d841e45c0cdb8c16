/** Airflow's database in SQLite. Every deployment starts with a copy of one that Airflow has filled once. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Facts } from "../DeploymentFolder.js"
import { databaseOf } from "../recipe.js"
import * as Sqlite from "../Sqlite.js"
import type { Database } from "./Database.js"
import * as Fill from "./Fill.js"
import * as Snapshot from "./Snapshot.js"

/** The database of a new deployment, in the folder of its Python environment. */
export const seedOf = (environment: string): string => path.join(environment, "seed.db")

/** The database that the deployment began with. */
export const baseOf = (folder: string): string => path.join(folder, "base.db")

/** What the database of a deployment goes back to. */
export const snapshotOf = (folder: string): string => path.join(folder, "snapshot.db")

/** Whose database it is. */
export type Owner = Pick<Facts, "environment" | "version" | "username" | "password">

export const make = (folder: string, facts: Owner): Database => {
  const [database, snapshot] = [databaseOf(folder), snapshotOf(folder)]
  return {
    settings: {},
    prepare: () => prepare(folder, facts),
    take: Snapshot.take(database, snapshot, { usersOf: baseOf(folder) }),
    quiet: Snapshot.quiet(database),
    heartbeat: Snapshot.heartbeat(database),
    restore: Snapshot.restore(database, snapshot),
    differences: Snapshot.differences(database, snapshot),
    use: (body) => Sqlite.use(database, body)
  }
}

/** Before a start: a new database, or the snapshot of the old one. Airflow must not be running. */
export const prepare = (folder: string, facts: Owner) =>
  Effect.gen(function*() {
    const database = databaseOf(folder)
    const base = baseOf(folder)
    if (!fs.existsSync(base)) {
      fs.copyFileSync(seedOf(facts.environment), `${base}.new`)
      if (facts.version.startsWith("2.")) yield* Sqlite.use(`${base}.new`, Fill.renameUser(facts))
      fs.renameSync(`${base}.new`, base)
    }
    const snapshot = fs.existsSync(snapshotOf(folder)) ? snapshotOf(folder) : base
    for (const suffix of ["-wal", "-shm", "-journal"]) fs.rmSync(`${database}${suffix}`, { force: true })
    fs.copyFileSync(snapshot, `${database}.new`)
    yield* useWriteAheadLog(`${database}.new`)
    // the heartbeats of processes that have ended would make Airflow healthy before its scheduler runs
    yield* Sqlite.use(`${database}.new`, (sql) => sql`DELETE FROM job`)
    fs.renameSync(`${database}.new`, database)
  })

/** Airflow reads and writes at the same time. The setting stays in the file. */
export const useWriteAheadLog = (database: string) => Sqlite.use(database, (sql) => sql`PRAGMA journal_mode = WAL`)
