/**
 * How soon a test has a real Airflow on this machine, next to `airflow standalone`, which tests would start without a pool: until the first
 * response of 200 to an authenticated request that shows the DAG. And what a supervisor costs. Needs Linux, a Python and the built packages.
 * `npm run bench:local [version…]`, some minutes for each version.
 */
import { AirflowVersion } from "@airflow-resource/local"
import { NodeRuntime } from "@effect/platform-node"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Console, Deferred, Duration, Effect, Logger, LogLevel, Schedule } from "effect"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"

const rounds = 3
const dagId = "hello_world_dag"
const dags = path.join(import.meta.dirname, "../examples/dags")
const home = path.join(process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache"), "airflow-resource", "local")

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "bench-local-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
)

const freePort = Effect.async<number>((resume) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** Seconds. */
const timed = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.timed(self), ([took]) => Duration.toSeconds(took))

/** Starts one, waits until it shows the DAG, and uses it. */
const standalone = (version: string, environment: string, use: (call: Call) => Promise<void>) =>
  Effect.gen(function*() {
    const folder = yield* temporaryFolder
    const port = yield* freePort
    const is2 = version.startsWith("2.")
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(path.join(environment, "bin/airflow"), ["standalone"], {
          detached: true,
          stdio: "ignore",
          env: {
            HOME: folder,
            PATH: `${environment}/bin:/usr/bin:/bin`,
            AIRFLOW_HOME: folder,
            AIRFLOW__CORE__LOAD_EXAMPLES: "False",
            AIRFLOW__CORE__DAGS_FOLDER: dags,
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS: "True",
            AIRFLOW__API__PORT: String(port),
            // its tasks would search it at the default port
            AIRFLOW__CORE__EXECUTION_API_SERVER_URL: `http://127.0.0.1:${port}/execution/`,
            AIRFLOW__WEBSERVER__WEB_SERVER_PORT: String(port),
            AIRFLOW__API__AUTH_BACKENDS: "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth"
          }
        })
      ),
      ({ pid = 0 }) =>
        Effect.sync(() => {
          const members = execFileSync("ps", ["-eo", "pid=,sess="], { encoding: "utf8" }).trim().split("\n")
          for (const [member, session] of members.map((line) => line.trim().split(/\s+/).map(Number))) {
            if (session !== pid || member === undefined) continue
            try {
              process.kill(member, "SIGKILL")
            } catch {
              // it has ended
            }
          }
        })
    )
    const call = yield* Effect.tryPromise(async () => {
      const url = `http://127.0.0.1:${port}`
      const token = async () => {
        const { access_token } = await (await fetch(`${url}/auth/token`)).json() as { access_token: string }
        return `Bearer ${access_token}`
      }
      const password = () => fs.readFileSync(path.join(folder, "standalone_admin_password.txt"), "utf8").trim()
      const authorization = is2 ? `Basic ${Buffer.from(`admin:${password()}`).toString("base64")}` : await token()
      const call: Call = async (method, route, body) => {
        const response = await fetch(`${url}/api/v${is2 ? 1 : 2}/dags/${dagId}${route}`, {
          method,
          headers: { authorization, "content-type": "application/json" },
          ...(body === undefined ? {} : { body: JSON.stringify(body) })
        })
        if (!response.ok) throw new Error(String(response.status))
        return await response.json() as Awaited<ReturnType<Call>>
      }
      await call("GET", "")
      return call
    }).pipe(Effect.retry(Schedule.upTo(Schedule.spaced("50 millis"), "5 minutes")))
    yield* Effect.tryPromise(() => use(call))
  }).pipe(Effect.scoped)

type Call = (method: string, route: string, body?: object) => Promise<{ dag_run_id: string; state: string }>

/** What a test does: one run. Both ways poll as often. */
const runOnce = (is2: boolean) => async (call: Call) => {
  await call("PATCH", "", { is_paused: false })
  const { dag_run_id: runId } = await call("POST", "/dagRuns", is2 ? {} : { logical_date: null })
  for (const deadline = performance.now() + 120_000; performance.now() < deadline;) {
    const { state } = await call("GET", `/dagRuns/${encodeURIComponent(runId)}`)
    if (state === "success") return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error("the run did not succeed within two minutes")
}

const lease = <E>(body: (resource: AirflowResource.AirflowResource) => Effect.Effect<void, E>) =>
  AirflowResource.use({ testName: "bench" }, body)

/** Seconds until a lease is ready. */
const untilReady = Effect.gen(function*() {
  const ready = yield* Deferred.make<void>()
  const fiber = yield* Effect.fork(lease(() => Effect.asVoid(Deferred.succeed(ready, undefined))))
  const took = yield* timed(Deferred.await(ready))
  yield* fiber
  return took
})

/** Seconds from the end of a test that has left data until the next lease of the same deployment is ready. */
const handedOver = Effect.gen(function*() {
  const isOver = yield* Deferred.make<void>()
  const ready = yield* Deferred.make<void>()
  const first = yield* Effect.fork(lease(({ airflow }) =>
    Effect.gen(function*() {
      yield* airflow.variables.put({ key: "left", value: "behind" })
      yield* airflow.runDag(dagId, { timeout: "2 minutes" })
      yield* Deferred.succeed(isOver, undefined)
      // the next lease waits by then
      yield* Effect.sleep("2 seconds")
    })
  ))
  yield* Deferred.await(isOver)
  const second = yield* Effect.fork(lease(() => Effect.asVoid(Deferred.succeed(ready, undefined))))
  yield* first
  const took = yield* timed(Deferred.await(ready))
  yield* second
  return took
})

const tests = 20
const bareTests = 4

/** Seconds for each test. */
const makespan = <E, R>(count: number, concurrency: number, test: Effect.Effect<void, E, R>) =>
  Effect.map(
    timed(Effect.all(Array.from({ length: count }, () => test), { concurrency, discard: true })),
    (took) => took / count
  )

/** What the supervisors cost while their deployments idle: MiB of memory, and percent of a core. */
const supervisors = Effect.gen(function*() {
  const pids = execFileSync("pgrep", ["-f", "supervisor/main"], { encoding: "utf8" }).trim().split("\n")
  const ticks = () =>
    pids.map((pid) => {
      const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
      return Number(fields[11]) + Number(fields[12])
    })
  const before = ticks()
  yield* Effect.sleep("20 seconds")
  const after = ticks()
  return pids.map((pid, i) => {
    const [, kibibytes] = /^Pss: +(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")) ?? []
    // a tick is a hundredth of a second
    return `${Math.round(Number(kibibytes) / 1024)} MiB, ${((after[i]! - before[i]!) / 20).toFixed(1)} % of a core`
  })
})

const median = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!

const bench = (version: string) =>
  Effect.gen(function*() {
    const project = yield* temporaryFolder
    fs.writeFileSync(path.join(project, "package.json"), "{}")
    process.chdir(project)
    Object.assign(process.env, {
      AIRFLOW_RESOURCE_PROVIDER: "local",
      AIRFLOW_RESOURCE_AIRFLOW_VERSION: version,
      AIRFLOW_DAG_PATH: dags,
      AIRFLOW_RESOURCE_MAX: "1"
    })
    const pooled = Effect.provide(AirflowResources.layerFromEnv)
    const [bare, environment] = yield* Effect.gen(function*() {
      // installs Airflow, and starts it for the first time
      yield* lease(() => Effect.void)
      const [environment] = fs.readdirSync(path.join(home, "environments")).filter((name) =>
        name.startsWith(`${version}-`) && fs.existsSync(path.join(home, "environments", name, "seed.db"))
      )
      const bare: Array<number> = []
      const woken: Array<number> = []
      const over: Array<number> = []
      for (let round = 0; round < rounds; round++) {
        bare.push(yield* timed(standalone(version, path.join(home, "environments", environment!), async () => {})))
        woken.push(yield* untilReady)
        over.push(yield* handedOver)
      }
      const line = (what: string, values: ReadonlyArray<number>) =>
        Console.log(
          `Airflow ${version}, ${what}: ${median(values).toFixed(2)} s (${
            values.map((one) => one.toFixed(2)).join(", ")
          }), ${(median(values) / median(bare)).toFixed(2)} × standalone`
        )
      yield* line("standalone", bare)
      yield* line("woken", woken)
      yield* line("handed over, with a reset", over)
      yield* lease(() =>
        Effect.flatMap(supervisors, (costs) => Console.log(`Airflow ${version}, supervisor: ${costs.join("; ")}`))
      )
      return [median(bare), path.join(home, "environments", environment!)] as const
    }).pipe(pooled)
    process.env["AIRFLOW_RESOURCE_MAX"] = "2"
    // more than there are deployments, as vitest has workers: so a deployment is handed over awake
    const each = yield* makespan(
      tests,
      4,
      lease(({ airflow }) => Effect.asVoid(airflow.runDag(dagId, { timeout: "2 minutes" })))
    ).pipe(pooled)
    const eachBare = yield* makespan(bareTests, 2, standalone(version, environment, runOnce(version.startsWith("2."))))
    yield* Console.log(
      `Airflow ${version}, ${tests} tests on 2 deployments: ${each.toFixed(2)} s each, ${
        (each / eachBare).toFixed(2)
      } × one standalone for each (${eachBare.toFixed(2)} s, from ${bareTests} tests; ready in ${
        bare.toFixed(2)
      } s alone)`
    )
  }).pipe(Effect.scoped)

const asked = process.argv.slice(2)
const versions = asked.length > 0
  ? asked
  : ["2.", "3."].flatMap((major) => AirflowVersion.tested.filter((version) => version.startsWith(major)).slice(-1))

Effect.forEach(versions, bench, { discard: true }).pipe(
  Logger.withMinimumLogLevel(LogLevel.Error),
  NodeRuntime.runMain
)
