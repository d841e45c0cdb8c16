/**
 * A real Airflow on loopback. It is installed from PyPI into a cached environment outside the repository, and runs for
 * one scope with an empty database and a copy of the DAG files in `dags`.
 */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { install } from "./install.js"
import { admin, commonSettings, majorOf, majors, type Site, type User, viewer } from "./majors.js"
import { AirflowFailed, launch, run, tail, watch } from "./processes.js"
import { awaitReady } from "./readiness.js"

export { versions } from "./install.js"
export { AirflowFailed } from "./processes.js"

/** A server that accepts the credentials and has parsed all DAGs. */
export interface RealAirflow extends User {
  readonly version: string
  readonly major: 2 | 3
  readonly url: string
  readonly viewer: User
  /** The `authorization` header of `username`. */
  readonly authorization: string
  /** A folder that tests may write to. Airflow scans it every second. */
  readonly dagsFolder: string
  readonly pids: Readonly<Record<string, number>>
  /** Fails when one of its processes ends before the scope does. */
  readonly ended: Effect.Effect<never, AirflowFailed>
}

const dags = path.join(import.meta.dirname, "dags")
const dagFiles = fs.readdirSync(dags).filter((name) => name.endsWith(".py"))

const temporaryHome = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "airflow-home-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
)

const freePort = Effect.async<number, AirflowFailed>((resume) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() =>
      resume(
        typeof address === "object" && address !== null
          ? Effect.succeed(address.port)
          : new AirflowFailed({ message: "no free port" })
      )
    )
  })
})

/** A home folder with the DAG files, and free ports. They are found at the same time so that they differ. */
const makeSite = (venv: string) =>
  Effect.gen(function*() {
    const home = yield* temporaryHome
    const dagsFolder = path.join(home, "dags")
    fs.mkdirSync(dagsFolder)
    for (const file of dagFiles) fs.copyFileSync(path.join(dags, file), path.join(dagsFolder, file))
    const [port, ...logPorts] = yield* Effect.all([freePort, freePort, freePort], { concurrency: "unbounded" })
    return { home, dagsFolder, venv, port, logPorts, url: `http://127.0.0.1:${port}` } satisfies Site
  })

/** Starts an Airflow and returns it once it is ready. */
export const start = (version: string) =>
  Effect.gen(function*() {
    const venv = yield* install(version)
    const site = yield* makeSite(venv)
    const major = majors[majorOf(version)]
    const environment = (lockSeconds: number) => ({ ...commonSettings(site, lockSeconds), ...major.settings(site) })
    const bin = (command: string) => path.join(venv, "bin", command)
    const command = (name: string, ...args: ReadonlyArray<string>) => run(bin(name), args, environment(60), 5)

    yield* command("airflow", "db", "migrate")
    yield* major.prepare(site, command)
    const processes = yield* Effect.forEach(Object.entries(major.processes), ([name, lockSeconds]) =>
      launch(bin("airflow"), name, environment(lockSeconds), site.home))

    const ended = watch(processes)
    const authorization = yield* awaitReady(major, site.url, dagFiles).pipe(
      Effect.mapError((missing) => {
        const logs = processes.map((process) =>
          `== ${process.name}\n${tail(process)}`
        ).join("\n")
        return new AirflowFailed({ message: `Airflow ${version} was not ready in time (${missing}):\n${logs}` })
      }),
      Effect.raceFirst(ended)
    )
    const airflow: RealAirflow = {
      ...admin,
      version,
      major: majorOf(version),
      url: site.url,
      viewer,
      authorization,
      dagsFolder: site.dagsFolder,
      pids: Object.fromEntries(processes.map(({ child, name }) => [name, child.pid ?? 0])),
      ended
    }
    return airflow
  })
