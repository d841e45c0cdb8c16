/**
 * A real Airflow on loopback, as local deployments run it. It is installed from PyPI into a cached environment outside the repository, and
 * runs for one scope with a new database and a copy of the DAG files in `dags` and of those of the examples.
 */
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { AirflowVersion, PythonEnvironment } from "@airflow-resource/local"
import { NodeContext } from "@effect/platform-node"
import { Console, Effect, Layer, Option } from "effect"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { databaseOf, type User } from "../../packages/local/src/internal/recipe.js"
import * as Parts from "../../packages/local/src/internal/supervisor/Parts.js"
import * as Seed from "../../packages/local/src/internal/supervisor/Seed.js"
import * as SqliteDatabase from "../../packages/local/src/internal/supervisor/SqliteDatabase.js"
import { awaitDags } from "./readiness.js"

export { AirflowFailed } from "../../packages/local/src/internal/supervisor/Parts.js"

/** The versions that have pins, oldest first. */
export const versions = AirflowVersion.tested

/** A server that accepts the credentials and has parsed all DAGs. */
export interface RealAirflow extends Omit<User, "role"> {
  readonly version: string
  readonly major: 2 | 3
  readonly url: string
  readonly viewer: User
  /** The `authorization` header of `username`. */
  readonly authorization: string
  /** The file of its SQLite database. */
  readonly database: string
  /** A folder that tests may write to. Airflow scans it every second. */
  readonly dagsFolder: string
  /** The file that says which of its processes run: their pids by their names, as JSON. */
  readonly pidsFile: string
  /** Fails when its processes have ended more than once. */
  readonly ended: Effect.Effect<never, Parts.AirflowFailed>
}

const admin: User = { username: "admin", password: "admin", role: "Admin" }
const viewer: User = { username: "viewer", password: "viewer", role: "Viewer" }

const dagFiles = ["dags", "../../examples/dags"].flatMap((folder) => {
  const dags = path.join(import.meta.dirname, folder)
  return fs.readdirSync(dags).filter((name) => name.endsWith(".py")).map((name) => path.join(dags, name))
})

const environments = path.join(
  process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache"),
  "airflow-resource",
  "local"
)

const install = (version: string) =>
  Effect.gen(function*() {
    const { folder } = yield* PythonEnvironment.ensure({
      home: environments,
      version,
      python: Option.fromNullable(process.env["AIRFLOW_RESOURCE_PYTHON"]),
      requirements: Option.none(),
      database: "sqlite"
    }, Console.log)
    yield* Seed.ensure(folder, version, yield* ProcessRunner.ProcessRunner)
    return folder
  }).pipe(
    Effect.mapError(({ message }) => new Parts.AirflowFailed({ message })),
    Effect.provide(Layer.merge(ProcessRunner.layer, NodeContext.layer))
  )

const temporaryHome = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "airflow-home-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
)

/** Starts an Airflow and returns it once it is ready. */
export const start = (version: string) =>
  Effect.gen(function*() {
    const environment = yield* install(version)
    const home = yield* temporaryHome
    const dagsFolder = path.join(home, "dags")
    const pidsFile = path.join(home, "pids.json")
    fs.mkdirSync(dagsFolder)
    for (const file of dagFiles) fs.copyFileSync(file, path.join(dagsFolder, path.basename(file)))
    yield* Effect.mapError(
      SqliteDatabase.prepare(home, { environment, version, ...admin }),
      ({ message }) => new Parts.AirflowFailed({ message })
    )
    const parts = yield* Parts.start({
      home,
      dagsFolder,
      environment,
      version,
      user: admin,
      otherUsers: [viewer],
      secret: randomBytes(32).toString("hex"),
      fernetKey: `${randomBytes(32).toString("base64url")}=`,
      // the scheduler ends if it is about to change a run that is deleted through the API
      restarts: 1,
      onStarted: (pids) => Effect.sync(() => fs.writeFileSync(pidsFile, JSON.stringify(pids)))
    })
    yield* awaitDags(parts, viewer, dagFiles.map((file) => path.basename(file))).pipe(
      Effect.mapError((missing) => new Parts.AirflowFailed({ message: `Airflow ${version} is not ready: ${missing}` })),
      Effect.raceFirst(parts.failed)
    )
    const airflow: RealAirflow = {
      ...admin,
      version,
      major: parts.recipe.major,
      url: parts.url,
      viewer,
      authorization: parts.authorization,
      database: databaseOf(home),
      dagsFolder,
      pidsFile,
      ended: parts.failed
    }
    return airflow
  })
