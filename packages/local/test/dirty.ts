/** The real Airflow that `npm run test:airflow` has started, and everything that a test can leave in it. */
import { DateTime, Effect, Schedule } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Processes from "../src/internal/Processes.js"

const {
  AIRFLOW_AUTHORIZATION: authorization = "",
  AIRFLOW_DAGS_FOLDER: dagsFolder = "",
  AIRFLOW_PIDS_FILE: pidsFile = "",
  AIRFLOW_URL: url = ""
} = process.env
export const { AIRFLOW_DATABASE: database = "", AIRFLOW_VERSION: version = "" } = process.env

const [majorNumber = 0, minor = 0] = version.split(".").map(Number)
export const major = majorNumber === 2 ? 2 : 3

/** Airflow's own processes. */
export const parts: Effect.Effect<ReadonlyArray<Processes.ProcessId>> = Effect.suspend(() =>
  Effect.forEach(
    Object.values<number>(JSON.parse(fs.readFileSync(pidsFile, "utf8"))),
    (pid) => Effect.map(Processes.startedAt(pid), (startedAt = "") => ({ pid, startedAt }))
  )
)

/** Polls until a condition holds. */
export const until = <A>(self: Effect.Effect<A>, isReached: (value: A) => boolean) =>
  self.pipe(
    Effect.filterOrFail(isReached, (value) => `not reached: ${JSON.stringify(value)}`),
    Effect.retry(Schedule.upTo(Schedule.spaced("100 millis"), "2 minutes")),
    Effect.orDie
  )

interface Response {
  readonly status: number
  readonly body: any // eslint-disable-line typescript/no-explicit-any
}

/** Sends a request, again while Airflow has its database locked. */
export const send = (method: string, route: string, body?: object): Effect.Effect<Response> =>
  until(
    Effect.promise(async (signal) => {
      const response = await fetch(`${url}/api/v${major - 1}${route}`, {
        method,
        headers: { authorization, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal
      })
      const text = await response.text()
      return { status: response.status, body: response.ok && text !== "" ? JSON.parse(text) : text }
    }),
    ({ status }) => status < 500
  )

const change = (method: string, route: string, body?: object) =>
  Effect.filterOrDie(
    send(method, route, body),
    ({ status }) => status < 300,
    (response) => new Error(`${method} ${route}: ${response.status} ${response.body}`)
  )

export const dagIds = ["quick", "ended", "running", "scheduled", "consumer"].map((name) => `restore_${name}`)

/** Delivers dirty.py until the scope closes, and waits until all its DAGs have been parsed. */
export const deliver = Effect.gen(function*() {
  const now = yield* DateTime.now
  const file = path.join(dagsFolder, "dirty.py")
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      fs.copyFileSync(new URL("dirty.py", import.meta.url), `${file}.new`)
      fs.renameSync(`${file}.new`, file)
    }),
    () => Effect.sync(() => fs.rmSync(file))
  )
  yield* Effect.forEach(dagIds, (dagId) =>
    until(
      send("GET", `/dags/${dagId}`),
      ({ body, status }) =>
        status === 200 && (body.is_active ?? !body.is_stale) &&
        Date.parse(body.last_parsed_time) > DateTime.toEpochMillis(now)
    ))
})

const unpause = (dagId: string) => change("PATCH", `/dags/${dagId}`, { is_paused: false })

const trigger = (dagId: string) =>
  Effect.map(
    change("POST", `/dags/${dagId}/dagRuns`, major === 2 ? {} : { logical_date: null }),
    ({ body }) => String(body.dag_run_id)
  )

const awaitRun = (dagId: string, runId: string) =>
  until(
    send("GET", `/dags/${dagId}/dagRuns/${encodeURIComponent(runId)}`),
    ({ body }) => body.state === "success"
  )

/** Triggers a run and waits for its success. */
export const runOnce = Effect.gen(function*() {
  yield* unpause("restore_quick")
  yield* awaitRun("restore_quick", yield* trigger("restore_quick"))
})

/** The processes that a task of dirty.py has started, and its own. */
const lingering = (name: string): Effect.Effect<ReadonlyArray<Processes.ProcessId>> =>
  Effect.gen(function*() {
    const file = path.join(dagsFolder, `${name}.pids`)
    const recorded = Effect.sync(() => fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim().split("\n") : [])
    const pids = yield* until(recorded, (lines) => lines.length === 5)
    yield* Effect.sync(() => fs.rmSync(file))
    return yield* Effect.forEach(
      pids,
      (pid) => Effect.map(Processes.startedAt(Number(pid)), (startedAt = "") => ({ pid: Number(pid), startedAt }))
    )
  })

/** Another suite over the same server may leave one. */
export const username = "of_the_restore"

/** Of Airflow 2. */
export const createUser = change("POST", "/users", {
  username,
  password: "left",
  first_name: "left",
  last_name: "left",
  email: `${username}@example.org`,
  roles: [{ name: "Viewer" }]
})

/** Leaves everything that a test can leave, and returns the processes that are left. */
export const leave = Effect.gen(function*() {
  for (const key of ["left_1", "left_2", "left_3"]) {
    yield* change("POST", "/variables", { key, value: "1" })
    yield* change("POST", "/connections", { connection_id: key, conn_type: "http" })
    yield* change("POST", "/pools", { name: key, slots: 1 })
  }
  yield* change("PATCH", "/pools/default_pool?update_mask=slots", { slots: 7 })
  // While its DAG is paused: if the database is locked, Airflow deletes the backfill's runs again, and the scheduler ends if it is
  // about to start one.
  if (major === 3) {
    const { body, status } = yield* send("POST", "/backfills", {
      dag_id: "restore_scheduled",
      from_date: "2024-02-01T00:00:00Z",
      to_date: "2024-02-03T00:00:00Z",
      dag_run_conf: {},
      max_active_runs: 1
    })
    // before 3.3, Airflow keeps a backfill whose runs it could not create while SQLite was locked, and refuses another one
    if (status >= 300 && !(status === 409 && minor < 3)) {
      return yield* Effect.dieMessage(`POST /backfills: ${status} ${body}`)
    }
  }
  yield* Effect.forEach(dagIds, unpause)
  for (const runId of [yield* trigger("restore_quick"), yield* trigger("restore_quick")]) {
    yield* awaitRun("restore_quick", runId)
  }
  yield* until(
    send("GET", `/dags/restore_scheduled/dagRuns`),
    ({ body }) => body.dag_runs.some((run: { readonly state: string }) => run.state === "success")
  )
  const events = major === 2
    ? "/dags/restore_consumer/datasets/queuedEvent"
    : "/dags/restore_consumer/assets/queuedEvents"
  yield* until(send("GET", events), ({ body }) => body.total_entries === 1)
  if (major === 2) {
    yield* createUser
  } else {
    if (minor >= 1) yield* change("POST", "/dags/restore_quick/favorite")
  }
  // both of Airflow's workers may be busy until these processes have ended
  yield* trigger("restore_ended")
  const ofEnded = yield* lingering("ended")
  yield* trigger("restore_running")
  const ofRunning = yield* lingering("running")
  return [...ofEnded, ...ofRunning]
})
