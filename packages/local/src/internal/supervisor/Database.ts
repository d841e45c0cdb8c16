/** Airflow's database in SQLite. Every deployment starts with a copy of one that Airflow has filled once. */
import * as Effect from "effect/Effect"
import { pbkdf2Sync, randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Facts } from "../DeploymentFolder.js"
import { databaseOf } from "../recipe.js"
import * as Sqlite from "../Sqlite.js"

/** The database of a new deployment, in the folder of its Python environment. */
export const seedOf = (environment: string): string => path.join(environment, "seed.db")

/** The user of the seed on Airflow 2. */
export const seedUser = "seed"

/** The database that the deployment began with. */
export const baseOf = (folder: string): string => path.join(folder, "base.db")

/** What the database of a deployment goes back to. */
export const snapshotOf = (folder: string): string => path.join(folder, "snapshot.db")

/** Whose database it is. */
export type Owner = Pick<Facts, "environment" | "version" | "username" | "password">

/** Before a start: a new database, or the snapshot of the old one. Airflow must not be running. */
export const prepare = (folder: string, facts: Owner) =>
  Effect.gen(function*() {
    const database = databaseOf(folder)
    const base = baseOf(folder)
    if (!fs.existsSync(base)) {
      fs.copyFileSync(seedOf(facts.environment), `${base}.new`)
      if (facts.version.startsWith("2.")) yield* renameUser(`${base}.new`, facts)
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

// internal

/** A cheap hash is safe for a random secret of 256 bits, and saves a tenth of a second with every request. */
const renameUser = (database: string, { password, username }: Owner) => {
  const salt = randomBytes(8).toString("hex")
  const hash = `pbkdf2:sha256:1$${salt}$${pbkdf2Sync(password, salt, 1, 32, "sha256").toString("hex")}`
  return Sqlite.use(
    database,
    (sql) =>
      sql`UPDATE ab_user SET username = ${username}, email = ${`${username}@localhost`}, password = ${hash} WHERE username = ${seedUser}`
  )
}
