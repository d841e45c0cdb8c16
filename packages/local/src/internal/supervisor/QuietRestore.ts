/**
 * The reset of an Airflow that goes on running: it is kept from starting anything, its tasks are killed, and its database is restored.
 */
import * as ErrorFields from "@airflow-resource/core/ErrorFields"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Processes from "../Processes.js"
import * as Snapshot from "./Snapshot.js"
import * as taskProcesses from "./taskProcesses.js"

/** What an Airflow has to be told before its database is restored. */
export interface Api<E> {
  readonly pauseAll: Effect.Effect<void, E>
  readonly failLiveRuns: Effect.Effect<void, E>
}

export interface Options<E> extends taskProcesses.Parts {
  readonly api: Api<E>
  readonly database: string
  readonly snapshot: string
  /** Whether all of Airflow's own processes run. */
  readonly isAlive: Effect.Effect<boolean>
}

/** What is left to do: the tables that differ from the snapshot, and processes that run or do not run against expectation. */
export interface Dirty {
  readonly dirty: ReadonlyArray<string>
}

export class ApiFailed extends Schema.TaggedError<ApiFailed>("@airflow-resource/local/ApiFailed")(
  "ApiFailed",
  ErrorFields.fields
) {
  override get message(): string {
    return ErrorFields.message(this)
  }
}

/**
 * Restores the database, and verifies that Airflow is as it was when the snapshot was taken. Otherwise its scheduler has to be restarted
 * over the restored database.
 */
export const restore = <E>(
  options: Options<E>
): Effect.Effect<"restored" | Dirty, E | Snapshot.SnapshotError> =>
  Effect.gen(function*() {
    const { api, database, isAlive, snapshot } = options
    yield* api.pauseAll
    yield* api.failLiveRuns
    yield* killTasks(options)
    // the scheduler finishes what it had begun, and hears of the tasks' ends
    yield* Effect.sleep("500 millis")
    const survivors = yield* killTasks(options)
    yield* Snapshot.restore(database, snapshot)
    const tables = yield* Snapshot.differences(database, snapshot)
    const dirty = [
      ...tables,
      ...survivors.map(({ pid }) => `process ${pid} of a task`),
      ...((yield* isAlive) ? [] : ["a process of Airflow that has ended"])
    ]
    return dirty.length === 0 ? "restored" : { dirty }
  })

/** The API of a running Airflow. */
export const makeApi = (options: {
  readonly url: string
  readonly major: 2 | 3
  /** The value of an administrator's `authorization` header. */
  readonly authorization: Effect.Effect<Redacted.Redacted>
}): Api<ApiFailed> => {
  const call = (operation: string, method: "GET" | "PATCH", route: string, body?: object) =>
    Effect.flatMap(options.authorization, (authorization) =>
      send({
        operation,
        url: `${options.url}/api/v${options.major - 1}${route}`,
        init: {
          method,
          headers: { authorization: Redacted.value(authorization), "content-type": "application/json" },
          ...(body === undefined ? {} : { body: JSON.stringify(body) })
        }
      }))
  const dags = `dag_id_pattern=~&limit=${page}&${options.major === 2 ? "only_active" : "exclude_stale"}=false`
  const pauseFrom = (offset: number): Effect.Effect<void, ApiFailed> =>
    Effect.flatMap(
      call("pause all DAGs", "PATCH", `/dags?${dags}&offset=${offset}`, { is_paused: true }),
      ({ total_entries = 0 }) => offset + page < total_entries ? pauseFrom(offset + page) : Effect.void
    )
  const liveRuns = call("list live runs", "GET", `/dags/~/dagRuns?state=queued&state=running&limit=${page}`)
  const fail = (run: Run) =>
    call(
      `fail the run ${run.dag_run_id} of ${run.dag_id}`,
      "PATCH",
      `/dags/${encodeURIComponent(run.dag_id)}/dagRuns/${encodeURIComponent(run.dag_run_id)}`,
      { state: "failed" }
    ).pipe(
      // it has ended or is gone
      Effect.catchIf(({ status }) => status === 404 || status === 409, () => Effect.void)
    )
  const failRuns = Effect.flatMap(
    liveRuns,
    ({ dag_runs = [] }) => Effect.as(Effect.forEach(dag_runs, fail, { concurrency: 2, discard: true }), dag_runs.length)
  )
  return {
    pauseAll: pauseFrom(0),
    failLiveRuns: failRuns.pipe(
      Effect.repeat({ until: (count) => count === 0, times: 20 }),
      Effect.asVoid
    )
  }
}

// internal

const page = 100

interface Run {
  readonly dag_id: string
  readonly dag_run_id: string
}

interface Body {
  readonly total_entries?: number
  readonly dag_runs?: ReadonlyArray<Run>
}

/** Every call may be sent again. Airflow responds with 500 and 503 while it has its database locked. */
const send = (
  { init, operation, url }: { readonly operation: string; readonly url: string; readonly init: RequestInit }
): Effect.Effect<Body, ApiFailed> =>
  Effect.tryPromise({
    try: (signal) =>
      fetch(url, { ...init, signal }).then(async (response) => ({ response, text: await response.text() })),
    // the message could contain the headers
    catch: () => new ApiFailed({ operation, detail: "Airflow did not respond", remedy })
  }).pipe(
    Effect.timeoutFail({
      duration: "10 seconds",
      onTimeout: () => new ApiFailed({ operation, detail: "Airflow did not respond within 10 seconds", remedy })
    }),
    Effect.flatMap(({ response: { ok, status }, text }) =>
      ok
        ? Effect.try({
          try: () => JSON.parse(text) as Body,
          catch: () => new ApiFailed({ operation, detail: "the response is not JSON", remedy, status })
        })
        : Effect.fail(new ApiFailed({ operation, detail: `Airflow responded with ${status}`, remedy, status }))
    ),
    Effect.retry({
      while: ({ status = 500 }) => status >= 500,
      schedule: Schedule.jittered(Schedule.spaced("100 millis")).pipe(Schedule.upTo("20 seconds"))
    })
  )

const remedy = "Restart the deployment."

/** Kills until a look finds none, because a process may fork while it is being killed. Returns what is left after many looks. */
const killTasks = (parts: taskProcesses.Parts, looks = 50): Effect.Effect<ReadonlyArray<Processes.Process>> =>
  Effect.gen(function*() {
    const found = yield* taskProcesses.list(parts)
    if (found.length === 0 || looks === 0) return found
    yield* Effect.forEach(found, (process) => Processes.kill(process, "SIGKILL"), { discard: true })
    yield* Effect.sleep("10 millis")
    return yield* killTasks(parts, looks - 1)
  })
