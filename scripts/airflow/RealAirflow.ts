/**
 * A real Airflow 2 on loopback: installed from PyPI into a cached environment outside the repository, started for one scope.
 */
import { Console, Data, Effect, Schedule } from "effect"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"

export class AirflowFailed extends Data.TaggedError("AirflowFailed")<{ readonly message: string }> {}

const here = import.meta.dirname
const username = "admin"
const password = "admin"

const run = (command: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv, minutes: number) =>
  Effect.tryPromise({
    try: (signal) =>
      promisify(execFile)(command, args, { env, signal, timeout: minutes * 60_000, maxBuffer: 64 * 1024 * 1024 }),
    catch: (cause) => {
      const output = cause instanceof Error && "stderr" in cause ? String(cause.stderr).slice(-2000) : ""
      return new AirflowFailed({ message: `${path.basename(command)} ${args[0] ?? ""} failed: ${cause}\n${output}` })
    }
  })

/** The environment of exactly these pins, made once. */
const install = (version: string) =>
  Effect.gen(function*() {
    const pins = path.join(here, `airflow-${version}.txt`)
    if (!fs.existsSync(pins)) {
      return yield* new AirflowFailed({
        message: `There are no pins for Airflow ${version}: ${path.basename(pins)} is missing.`
      })
    }
    const hash = createHash("sha256").update(fs.readFileSync(pins)).digest("hex").slice(0, 12)
    const cache = path.join(
      process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache"),
      "airflow-resource",
      "airflow"
    )
    const venv = path.join(cache, `${version}-${hash}`)
    const done = path.join(venv, ".installed")
    if (fs.existsSync(done)) return venv
    yield* Console.log(`installing Airflow ${version} into ${venv}`)
    const tools = path.join(cache, "tools")
    const python = process.env["PYTHON"] ?? "python3"
    yield* run(python, ["-m", "venv", tools], process.env, 5)
    yield* run(path.join(tools, "bin/pip"), ["install", "--quiet", "uv"], process.env, 10)
    const uv = path.join(tools, "bin/uv")
    yield* run(uv, ["venv", "--clear", "--python", path.join(tools, "bin/python"), venv], process.env, 5)
    yield* run(uv, ["pip", "install", "--python", path.join(venv, "bin/python"), "-r", pins], process.env, 20)
    fs.writeFileSync(done, "")
    return venv
  })

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

/** Every process of the session that `leader` leads. Without `/proc` only its own group is known. */
const sessionOf = (leader: number): ReadonlyArray<number> =>
  !fs.existsSync("/proc/self/stat") ?
    [-leader] :
    fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
      try {
        // the fields come after the name in brackets: state, parent, group, session
        const [, , , session] = fs.readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")
        return session === String(leader) ? [Number(name)] : []
      } catch {
        return []
      }
    })

/** Ends the whole session of a process: tasks have groups of their own, and workers may outlive the scheduler. */
const stop = (child: ChildProcess) =>
  Effect.gen(function*() {
    const { pid } = child
    if (pid === undefined) return
    const kill = (target: number, signal: NodeJS.Signals) => {
      try {
        process.kill(target, signal)
      } catch {
        // it has ended
      }
    }
    kill(-pid, "SIGTERM")
    yield* Effect.sync(() => sessionOf(pid).length === 0 || (child.exitCode ?? child.signalCode) !== null).pipe(
      Effect.repeat({ until: (ended) => ended, schedule: Schedule.spaced("100 millis") }),
      Effect.timeoutOption("5 seconds")
    )
    for (const left of sessionOf(pid)) kill(left, "SIGKILL")
  })

/** Starts webserver and scheduler, and answers where they are once they take our credentials and know every DAG. */
export const start = (version: string) =>
  Effect.gen(function*() {
    const venv = yield* install(version)
    const home = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "airflow-home-"))),
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
    )
    const [port, workerLogs, triggerLogs] = [yield* freePort, yield* freePort, yield* freePort]
    const env: NodeJS.ProcessEnv = {
      HOME: home,
      LANG: "C.UTF-8",
      PYTHONDONTWRITEBYTECODE: "1",
      PATH: `${venv}/bin:${process.env["PATH"]}`,
      AIRFLOW_HOME: home,
      AIRFLOW__CORE__DAGS_FOLDER: path.join(here, "dags"),
      AIRFLOW__CORE__LOAD_EXAMPLES: "False",
      AIRFLOW__CORE__EXECUTOR: "LocalExecutor",
      AIRFLOW__CORE__PARALLELISM: "2",
      AIRFLOW__CORE__FERNET_KEY: "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=",
      AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL: "0",
      AIRFLOW__CORE__MIN_SERIALIZED_DAG_FETCH_INTERVAL: "0",
      AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS: "False",
      AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: `sqlite:///${home}/airflow.db?timeout=60`,
      _AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK: "1",
      AIRFLOW__API__AUTH_BACKENDS:
        "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth,airflow.api.auth.backend.session",
      AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT: String(workerLogs),
      AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT: String(triggerLogs),
      AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC: "1",
      AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC: "2",
      AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME: "0.2",
      AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL: "1",
      AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL: "1",
      AIRFLOW__SCHEDULER__PARSING_PROCESSES: "1",
      AIRFLOW__USAGE_DATA_COLLECTION__ENABLED: "False",
      AIRFLOW__WEBSERVER__BASE_URL: `http://127.0.0.1:${port}`,
      AIRFLOW__WEBSERVER__SECRET_KEY: "only-for-tests-on-loopback",
      AIRFLOW__WEBSERVER__WEB_SERVER_HOST: "127.0.0.1",
      AIRFLOW__WEBSERVER__WEB_SERVER_PORT: String(port),
      AIRFLOW__WEBSERVER__WORKERS: "1"
    }
    const airflow = path.join(venv, "bin/airflow")
    yield* run(airflow, ["db", "migrate"], env, 5)
    const wal = `import sqlite3; sqlite3.connect('${home}/airflow.db').execute('PRAGMA journal_mode=WAL')`
    yield* run(path.join(venv, "bin/python"), ["-c", wal], env, 1)
    const user = ["-u", username, "-p", password, "-f", "A", "-l", "B", "-r", "Admin", "-e", "admin@example.org"]
    yield* run(airflow, ["users", "create", ...user], env, 5)

    const log = path.join(home, "processes.log")
    const children = yield* Effect.forEach(["webserver", "scheduler"], (name) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const output = fs.openSync(log, "a")
          return spawn(airflow, [name], { env, detached: true, stdio: ["ignore", output, output] })
        }),
        stop
      ))

    const url = `http://127.0.0.1:${port}`
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`
    const failed = () =>
      new AirflowFailed({ message: `Airflow did not start:\n${fs.readFileSync(log, "utf8").slice(-3000)}` })
    const files = fs.readdirSync(path.join(here, "dags")).filter((name) => name.endsWith(".py"))
    const look = Effect.tryPromise(async (signal) => {
      const response = await fetch(`${url}/api/v1/dags`, { headers: { authorization }, signal })
      return response.ok ? ((await response.json()) as { readonly total_entries: number }).total_entries : 0
    }).pipe(Effect.filterOrFail((dags) => dags === files.length, () => "not yet"))
    yield* look.pipe(
      Effect.retry({
        schedule: Schedule.spaced("500 millis"),
        while: () => children.every((child) => child.exitCode === null)
      }),
      Effect.timeout("3 minutes"),
      Effect.mapError(failed)
    )
    return { url, username, password, version }
  })
