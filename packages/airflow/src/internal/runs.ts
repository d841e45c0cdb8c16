/**
 * Starting a run and waiting until it has ended.
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
import { importErrorsOf, orImportError } from "./dags.js"
import type { Primitives } from "./primitives.js"
import * as RunId from "./runId.js"
import { taskLog } from "./tasks.js"

export const trigger = (
  airflow: Primitives,
  dagId: string,
  { conf = {}, logicalDate, note, runId: requestedId, unpause = true }: TriggerOptions = {}
): Effect.Effect<DagRun, AirflowApiError | DagImportFailed> =>
  Effect.gen(function*() {
    const runId = yield* RunId.choose(dagId, requestedId)
    yield* Effect.annotateCurrentSpan("run_id", runId)
    const date = logicalDate === "now" ? yield* DateTime.now : logicalDate
    const run = { runId, conf, logicalDate: Option.fromNullable(date), note: Option.fromNullable(note) }
    let mayHaveArrived = false
    const startRun = airflow.startRun(dagId, run).pipe(
      // A trigger may have arrived although its response was lost: check whether there is a run with this id, which no
      // other call uses. Only then may a conflict be about this run; otherwise an earlier one has its id or its date.
      Effect.catchAll((error) => {
        if (error.kind === "conflict" && !mayHaveArrived) return idOrDateIsTaken(error)
        if (error.retryable || error.kind === "undecodable") mayHaveArrived = true
        else if (error.kind !== "conflict") return error
        return Effect.mapError(airflow.run(dagId, runId), (readError) =>
          readError.kind === "notFound" ? error : readError)
      }),
      // a retry cannot start a second run: if the first trigger arrives late, one of the two is a conflict
      Effect.retry({
        schedule: Polling.backoff,
        times: 4,
        while: ({ retryable }) =>
          retryable
      })
    )
    const unpauseDag = Effect.mapError(
      airflow.setPaused(dagId, false),
      (error) => new AirflowApiError({ ...error, operation: `trigger ${dagId}` })
    )
    return yield* (unpause ? Effect.zipRight(unpauseDag, startRun) : startRun)
  }).pipe(orImportError(airflow, dagId))

export const awaitRun = (
  airflow: Primitives,
  dagId: string,
  runId: string,
  { onState, timeout = "5 minutes", via = "poll" }: AwaitRunOptions = {}
): Effect.Effect<DagRun, AirflowApiError | RunStuck | RunVanished> =>
  Effect.gen(function*() {
    let lastState: RunState | undefined
    const reportState = (state: RunState) =>
      Effect.suspend(() => {
        if (state === lastState) return Effect.void
        lastState = state
        return onState?.(state) ?? Effect.void
      })
    const check = airflow.run(dagId, runId).pipe(
      // the webserver may be restarting
      Effect.retry({
        schedule: Schedule.upTo(Polling.backoff, "1 minute"),
        while: ({ retryable }) => retryable
      }),
      Effect.catchIf(
        ({ kind }) => kind === "notFound" && lastState !== undefined,
        () => new RunVanished({ dagId, runId })
      ),
      Effect.tap(({ state }) => reportState(state)),
      Effect.map(Option.liftPredicate(({ state }) => state === "success" || state === "failed"))
    )
    // the stream may end for any reason: only the run itself shows its outcome
    const stream = via === "stream" ? Effect.ignore(airflow.followRun(dagId, runId, reportState)) : Effect.void
    const ended = yield* Effect.zipRight(stream, Polling.untilSome(check, Polling.poll)).pipe(
      Effect.timeoutOption(timeout)
    )
    if (Option.isSome(ended)) return ended.value
    return yield* new RunStuck({
      dagId,
      runId,
      state: lastState ?? "unknown",
      waited: Duration.decode(timeout),
      diagnosis: yield* diagnose(airflow, dagId, runId)
    })
  })

/** Fails if the run fails, with the last lines of the failed tasks' logs. */
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
    const failed = tasks.filter(({ state }) => state === "failed")
    const others = tasks.filter(({ state }) => state !== "failed" && state !== "success")
    const logTails = yield* Effect.forEach(failed.slice(0, 3), (task) => logTailOf(airflow, task), { concurrency: 3 })
    return yield* new RunFailed({
      dagId,
      runId,
      tasks: [...failed, ...others].map(({ mapIndex, state, taskId, tryNumber }, index) => ({
        taskId,
        mapIndex,
        state,
        tryNumber,
        logTail: logTails[index] ?? ""
      }))
    })
  })

// internal

const idOrDateIsTaken = (error: AirflowApiError) =>
  new AirflowApiError({
    ...error,
    remedy:
      "The DAG has a run with this id or this logical date: choose another one. To wait for that run, use awaitRun."
  })

const logTailOf = (airflow: Primitives, { dagId, mapIndex, runId, taskId }: TaskInstance) =>
  taskLog(airflow, dagId, runId, taskId, { mapIndex, awaitContent: "5 seconds", timeout: "1 minute" }, "end").pipe(
    Effect.map(({ lines }) => lines.slice(-20).map(render).join("\n")),
    Effect.catchAll((error) => Effect.succeed(`(${error.message})`))
  )

/** What may block a run. If something cannot be read, its error is part of the diagnosis. */
const diagnose = (airflow: Primitives, dagId: string, runId: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.forEach(
    [
      Effect.map(airflow.dag(dagId), ({ isPaused }) => [
        isPaused ? "the DAG is paused: unpause it" : "the DAG is not paused"
      ]),
      Effect.map(airflow.health, ({ dagProcessor, metadatabase, scheduler, triggerer }) => [
        `the scheduler is ${scheduler.status}`,
        ...(metadatabase === "healthy" ? [] : [`the metadatabase is ${metadatabase}`]),
        ...[["triggerer", triggerer] as const, ["DAG processor", dagProcessor] as const].flatMap(([name, component]) =>
          Option.match(component, {
            onNone: () => [],
            onSome: ({ status }) => status === "healthy" ? [] : [`the ${name} is ${status}`]
          })
        )
      ]),
      Effect.zipWith(
        airflow.run(dagId, runId),
        DateTime.now,
        ({ logicalDate }, now) =>
          Option.toArray(Option.filter(logicalDate, DateTime.greaterThan(now))).map((date) =>
            `its logical date ${DateTime.formatIso(date)} is in the future, and Airflow may wait for it`
          )
      ),
      Effect.flatMap(airflow.taskInstances(dagId, runId), (tasks) => describeTasks(airflow, tasks)),
      Effect.map(airflow.runs(dagId), (runs) => {
        const others = runs.filter((run) => run.runId !== runId && (run.state === "queued" || run.state === "running"))
        return others.length === 0 ? [] : [`${others.length} other run(s) of the DAG queued or running`]
      }),
      Effect.map(
        importErrorsOf(airflow, dagId),
        (errors) => errors.map(({ filename }) => `${filename} cannot be imported: see importErrors`)
      )
    ],
    (findings) => Effect.catchAll(findings, (error) => Effect.succeed([error.message])),
    { concurrency: 3 }
  ).pipe(Effect.map((findings) => findings.flat()))

const describeTasks = (airflow: Primitives, tasks: ReadonlyArray<TaskInstance>) =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const states = tasks.map(({ mapIndex, state, taskId }) =>
      `${taskId}${mapIndex < 0 ? "" : `[${mapIndex}]`} ${state}`
    )
    const waiting = tasks.filter(({ state }) => state === "scheduled" || state === "queued")
    const pools = waiting.length === 0 ? [] : yield* airflow.pools.list
    const poolProblems = Array.from(new Set(waiting.map(({ pool }) => pool))).flatMap((name) => {
      const pool = pools.find((pool) => pool.name === name)
      if (pool === undefined) return [`the pool ${name} does not exist, so its tasks never start`]
      return pool.openSlots > 0
        ? []
        : [`the pool ${name} is full: ${pool.occupiedSlots} of ${pool.slots} slots are occupied`]
    })
    const queuedSince = Math.min(
      ...waiting.flatMap(({ queuedAt }) => Option.toArray(queuedAt)).map(DateTime.toEpochMillis)
    )
    return [
      `tasks: ${states.slice(0, 20).join(", ") || "none yet"}${states.length > 20 ? ", …" : ""}`,
      ...poolProblems,
      ...(queuedSince === Infinity
        ? []
        : [`a task has been queued for ${Duration.format(Duration.millis(now - queuedSince))}`])
    ]
  })
