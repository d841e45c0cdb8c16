/** The database that new deployments start with. Airflow fills it when it starts for the first time, which takes a while. */
import { ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as FileLock from "../FileLock.js"
import * as Recipe from "../recipe.js"
import * as Sqlite from "../Sqlite.js"
import * as Fill from "./Fill.js"
import * as Parts from "./Parts.js"
import * as SqliteDatabase from "./SqliteDatabase.js"

export const exists = (environment: string): boolean => fs.existsSync(SqliteDatabase.seedOf(environment))

/** Held while it is made. */
export const lockOf = (environment: string): string => `${SqliteDatabase.seedOf(environment)}.lock`

/** Makes the seed of an environment unless it has one: once, however many processes ask. */
export const ensure = (
  environment: string,
  version: string,
  runner: typeof ProcessRunner.Service
) =>
  Effect.gen(function*() {
    const seed = SqliteDatabase.seedOf(environment)
    if (fs.existsSync(seed)) return
    yield* FileLock.acquire(lockOf(environment))
    if (fs.existsSync(seed)) return
    const home = yield* temporaryFolder(environment)
    const dagsFolder = path.join(home, "dags")
    fs.mkdirSync(dagsFolder)
    const options: Parts.Options = {
      home,
      dagsFolder,
      environment,
      version,
      user: Fill.firstUser(),
      secret: randomBytes(32).toString("hex"),
      fernetKey: randomBytes(32).toString("base64url") + "="
    }
    yield* Effect.provideService(Fill.fill(options), ProcessRunner, runner)
    const database = Recipe.databaseOf(home)
    if (version.startsWith("2.")) yield* SqliteDatabase.useWriteAheadLog(database)
    yield* Effect.scoped(Parts.start(options))
    const copy = `${seed}.${randomBytes(4).toString("hex")}`
    yield* Sqlite.use(database, (sql) => sql`VACUUM INTO ${copy}`)
    fs.renameSync(copy, seed)
  }).pipe(Effect.scoped)

// internal

const temporaryFolder = (environment: string) =>
  Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(environment, "seeding-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  )
