/**
 * Starting a run and waiting for its end.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { AwaitRunOptions, CompletedRun, DagRun, RunState, TaskInstance, TriggerOptions } from "../Airflow.js"
import type { DagImportFailed } from "../AirflowError.js"
import { AirflowApiError, RunFailed, RunStuck, RunVanished } from "../AirflowError.js"
import * as Polling from "../Polling.js"
import { render } from "../TaskLog.js"
import { failWhereBroken, importErrorsOf } from "./dags.js"
import type { Primitives } from "./primitives.js"
import * as RunId from "./runId.js"
import { taskLog } from "./tasks.js"

export const trigger = (
  airflow: Primitives,
  dagId: string,
  { conf = {}, logicalDate, note, runId: wanted, unpause = true }: TriggerOptions = {}
): Effect.Effect<DagRun, AirflowApiError | DagImportFailed> =>
  Effect.gen(function*() {
    const runId = yield* RunId.choose(dagId, wanted)
    const date = logicalDate === "now" ? yield* DateTime.now : logicalDate
    const run = { runId, conf, logicalDate: Option.fromNullable(date), note: Option.fromNullable(note) }
    const started = airflow.startRun(dagId, run).pipe(
      // it may have arrived all the same, and the id is ours alone; a conflict does not say what is there already
      Effect.catchIf(
        (error) => error.retryable || error.kind === "conflict" || error.kind === "undecodable",
        (error) => Effect.mapError(airflow.run(dagId, runId), (unseen) => unseen.kind === "notFound" ? error : unseen)
      ),
      // known not to have arrived, or refused as a double if it comes in late: one run in any case
      Effect.retry({ schedule: Polling.backoff, times: 4, while: ({ retryable }) => retryable })
    )
    const unpaused = Effect.mapError(
      airflow.setPaused(dagId, false),
      (error) => new AirflowApiError({ ...error, operation: `trigger ${dagId}` })
    )
    return yield* (unpause ? Effect.zipRight(unpaused, started) : started)
  }).pipe(failWhereBroken(airflow, dagId))

export const awaitRun = (
  airflow: Primitives,
  dagId: string,
  runId: string,
  { onState, timeout = "5 minutes", via = "poll" }: AwaitRunOptions = {}
): Effect.Effect<DagRun, AirflowApiError | RunStuck | RunVanished> =>
  Effect.gen(function*() {
    let last: RunState | undefined
    const tell = (state: RunState) =>
      Effect.suspend(() => {
        if (state === last) return Effect.void
        last = state
        return onState?.(state) ?? Effect.void
      })
    const look = airflow.run(dagId, runId).pipe(
      // a webserver that restarts is no reason to give up
      Effect.retry({
        schedule: Schedule.upTo(Polling.backoff, "1 minute"),
        while: ({ retryable }) => retryable
      }),
      Effect.catchIf(
        ({ kind }) => kind === "notFound" && last !== undefined,
        () => new RunVanished({ dagId, runId })
      ),
      Effect.tap(({ state }) => tell(state)),
      Effect.map(Option.liftPredicate(({ state }) => state === "success" || state === "failed"))
    )
    // however the long answer ends, the run itself says what became of it
    const followed = via === "stream" ? Effect.ignore(airflow.followRun(dagId, runId, tell)) : Effect.void
    const found = yield* Effect.zipRight(followed, Polling.untilSome(look, Polling.poll)).pipe(
      Effect.timeoutOption(timeout)
    )
    if (Option.isSome(found)) return found.value
    return yield* new RunStuck({
      dagId,
      runId,
      state: last ?? "unknown",
      waited: Duration.decode(timeout),
      diagnosis: yield* diagnose(airflow, dagId, runId)
    })
  })

/** A run that failed is a failure, with the ends of the logs that say why. */
export const awaitSuccess = (
  airflow: Primitives,
  dagId: string,
  runId: string,
  options: AwaitRunOptions = {}
): Effect.Effect<CompletedRun, AirflowApiError | RunFailed | RunStuck | RunVanished> =>
  Effect.gen(function*() {
    const run = yield* awaitRun(airflow, dagId, runId, options)
    const tasks = yield* airflow.taskInstances(dagId, runId)
    if (run.state === "success") return { ...run, tasks }
    const [failed, others] = [
      tasks.filter(({ state }) => state === "failed"),
      tasks.filter(({ state }) => state !== "failed" && state !== "success")
    ]
    const tails = yield* Effect.forEach(failed.slice(0, 3), (task) => logTail(airflow, task), { concurrency: 3 })
    return yield* new RunFailed({
      dagId,
      runId,
      tasks: [...failed, ...others].map(({ mapIndex, state, taskId, tryNumber }, index) => ({
        taskId,
        mapIndex,
        state,
        tryNumber,
        logTail: tails[index] ?? ""
      }))
    })
  })

// internal

const logTail = (airflow: Primitives, { dagId, mapIndex, runId, taskId }: TaskInstance) =>
  taskLog(airflow, dagId, runId, taskId, { mapIndex, awaitContent: "5 seconds" }).pipe(
    Effect.map(({ lines }) => lines.slice(-20).map(render).join("\n")),
    Effect.catchAll((error) => Effect.succeed(`(${error.message})`))
  )

/** What can be seen that stands in the way of a run; what cannot be read is said to be so. */
const diagnose = (airflow: Primitives, dagId: string, runId: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.forEach(
    [
      Effect.map(airflow.dag(dagId), ({ isPaused }) => [
        isPaused ? "the DAG is paused: unpause it" : "the DAG is not paused"
      ]),
      Effect.map(airflow.health, ({ dagProcessor, metadatabase, scheduler, triggerer }) => [
        `the scheduler is ${scheduler.status}`,
        ...(metadatabase === "healthy" ? [] : [`the metadatabase is ${metadatabase}`]),
        ...[["triggerer", triggerer] as const, ["DAG processor", dagProcessor] as const].flatMap(([name, part]) =>
          Option.match(part, {
            onNone: () => [],
            onSome: ({ status }) => status === "healthy" ? [] : [`the ${name} is ${status}`]
          })
        )
      ]),
      Effect.flatMap(airflow.taskInstances(dagId, runId), (tasks) => describeTasks(airflow, tasks)),
      Effect.map(airflow.runs(dagId), (runs) => {
        const others = runs.filter((run) => run.runId !== runId && (run.state === "queued" || run.state === "running"))
        return others.length === 0 ? [] : [`${others.length} other run(s) of the DAG are queued or running`]
      }),
      Effect.map(
        importErrorsOf(airflow, dagId),
        (errors) => errors.map(({ filename }) => `${filename} cannot be imported: see importErrors`)
      )
    ],
    (finding) => Effect.catchAll(finding, (error) => Effect.succeed([error.message])),
    { concurrency: 3 }
  ).pipe(Effect.map((found) => found.flat()))

const describeTasks = (airflow: Primitives, tasks: ReadonlyArray<TaskInstance>) =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const states = tasks.map(({ mapIndex, state, taskId }) =>
      `${taskId}${mapIndex < 0 ? "" : `[${mapIndex}]`} ${state}`
    )
    const waiting = tasks.filter(({ state }) => state === "scheduled" || state === "queued")
    const pools = waiting.length === 0 ? [] : yield* airflow.pools.list
    const full = Array.from(new Set(waiting.map(({ pool }) => pool))).flatMap((name) => {
      const pool = pools.find((pool) => pool.name === name)
      if (pool === undefined) return [`the pool ${name} does not exist, so its tasks never start`]
      return pool.openSlots > 0 ? [] : [`the pool ${name} is full: ${pool.occupiedSlots} of ${pool.slots} slots taken`]
    })
    const oldest = Math.min(...waiting.flatMap(({ queuedAt }) => Option.toArray(queuedAt)).map(DateTime.toEpochMillis))
    return [
      `tasks: ${states.slice(0, 20).join(", ") || "none yet"}${states.length > 20 ? ", …" : ""}`,
      ...full,
      ...(oldest === Infinity ? [] : [`a task has been queued for ${Duration.format(Duration.millis(now - oldest))}`])
    ]
  })
