/**
 * The tasks of a run: their states and their logs.
 */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { TailOptions, TaskInstance, TaskLogOptions } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"
import { LogUnavailable, TaskStateMismatch } from "../AirflowError.js"
import * as Polling from "../Polling.js"
import type { LogLine, TaskLog } from "../TaskLog.js"
import { render } from "../TaskLog.js"
import type { Primitives } from "./primitives.js"
import type { Pin } from "./tracing.js"
import { apiError } from "./transport.js"

export const assertTasks = (
  airflow: Primitives,
  dagId: string,
  runId: string,
  expected: Readonly<Record<string, string | ReadonlyArray<string>>>
): Effect.Effect<void, AirflowApiError | TaskStateMismatch> =>
  Effect.flatMap(airflow.taskInstances(dagId, runId), (tasks) => {
    const mismatches = Object.entries(expected).flatMap(([taskId, stateOrStates]) => {
      const states = typeof stateOrStates === "string" ? [stateOrStates] : stateOrStates
      const actual = tasks.filter((task) => task.taskId === taskId).map(({ state }) => state)
      const isMatch = actual.length > 0 && actual.every((state) => states.includes(state))
      return isMatch ? [] : [{ taskId, expected: states, actual }]
    })
    return mismatches.length === 0 ? Effect.void : new TaskStateMismatch({ dagId, runId, mismatches })
  })

export const taskLog = (
  airflow: Primitives,
  dagId: string,
  runId: string,
  taskId: string,
  { awaitContent = "15 seconds", mapIndex = -1, timeout = "5 minutes", tryNumber = "last" }: TaskLogOptions = {},
  part: "all" | "end" = "all"
): Effect.Effect<TaskLog, AirflowApiError | LogUnavailable> =>
  Effect.gen(function*() {
    const unavailable = (reason: string) => new LogUnavailable({ dagId, runId, taskId, reason })
    const startedAt = yield* Clock.currentTimeMillis
    let reason = "Airflow did not respond"
    const check = Effect.gen(function*() {
      const instance = yield* instanceOf(airflow, dagId, runId, taskId, mapIndex)
      const ended = hasEnded(instance)
      if (ended && instance.tryNumber === 0) return yield* unavailable(neverRan(instance))
      if (ended && typeof tryNumber === "number" && tryNumber > instance.tryNumber) {
        return yield* unavailable(`there is no try ${tryNumber}: it ended after try ${instance.tryNumber}`)
      }
      const last = typeof tryNumber === "number" ? tryNumber : instance.tryNumber
      const first = tryNumber === "all" ? 1 : Math.max(1, last)
      reason = `the task is ${instance.state}, and Airflow was still sending its log`
      const logs = yield* readTries(airflow, instance, first, last, part)
      reason = `the task is ${instance.state}, and nothing has been logged`
      const lines = logs.flatMap(({ lines }) => lines)
      const log: TaskLog = {
        taskId,
        mapIndex,
        tryNumber: last,
        lines,
        sources: logs.flatMap(({ sources }) => sources),
        text: lines.map((line) => `${render(line)}\n`).join(""),
        complete: ended
      }
      if (lines.length > 0) return Option.some(log)
      const waited = (yield* Clock.currentTimeMillis) - startedAt
      return waited < Duration.toMillis(awaitContent) ? Option.none() : yield* unavailable(reason)
    })
    // remote logs arrive some seconds after the task has ended
    return yield* Polling.untilSome(check, Polling.poll).pipe(
      Effect.timeoutFail({ duration: timeout, onTimeout: () => unavailable(reason) })
    )
  })

/** `pin` runs each step under the client's clock, wherever the stream is run. */
export const tailTaskLog = (
  airflow: Primitives,
  pin: Pin,
  dagId: string,
  runId: string,
  taskId: string,
  { mapIndex = -1, timeout = "15 minutes" }: TailOptions = {}
): Stream.Stream<LogLine, AirflowApiError | LogUnavailable> => {
  const unavailable = (reason: string) => new LogUnavailable({ dagId, runId, taskId, reason })
  const step = (tail: Tail) =>
    Effect.gen(function*() {
      if (tail.reads > 0) yield* Effect.sleep("1 second")
      const now = yield* Clock.currentTimeMillis
      const instance = yield* instanceOf(airflow, dagId, runId, taskId, mapIndex)
      const ended = hasEnded(instance)
      if (ended && instance.tryNumber === 0) return yield* unavailable(neverRan(instance))
      const logs = yield* readTries(airflow, instance, Math.max(1, tail.tryNumber), instance.tryNumber)
      const { emitted, lines } = withoutEmitted(logs.flatMap(({ lines }) => lines), tail.emitted)
      const endedAt = ended ? tail.endedAt ?? now : undefined
      // the last lines may be written after Airflow reports the end of the task, or be copied much later
      const isQuiet = tail.endedAt !== undefined && lines.length === 0
      const isLate = tail.endedAt !== undefined && now - tail.endedAt >= Duration.toMillis(lastLinesLimit)
      if (isQuiet && emitted.size === 0 && isLate) {
        return yield* unavailable(`the task is ${instance.state}, and nothing was logged`)
      }
      const startedAt = tail.startedAt ?? now
      if (!ended && now - startedAt >= Duration.toMillis(timeout)) {
        return yield* unavailable(`the task is still ${instance.state} after ${Duration.format(timeout)}`)
      }
      const isDone = (isQuiet || isLate) && emitted.size > 0
      const next = { startedAt, endedAt, emitted, tryNumber: instance.tryNumber, reads: tail.reads + 1 }
      return [Chunk.fromIterable(lines), isDone ? Option.none<Tail>() : Option.some<Tail>(next)] as const
    })
  const start: Tail = { startedAt: undefined, endedAt: undefined, emitted: new Map(), tryNumber: 0, reads: 0 }
  return Stream.paginateChunkEffect(start, (tail) => pin(step(tail)))
}

// internal

/** How far a log has been followed. */
interface Tail {
  readonly startedAt: number | undefined
  readonly endedAt: number | undefined
  /** How often each line has been emitted. */
  readonly emitted: ReadonlyMap<string, number>
  readonly tryNumber: number
  readonly reads: number
}

/** How long after the end of a task its log may still grow. */
const lastLinesLimit = Duration.seconds(15)

const neverRan = ({ state }: TaskInstance) => `the task never ran and is ${state}`

/** Each read returns the whole log, and new lines may appear between old ones. Keeps only the new lines. */
const withoutEmitted = (lines: ReadonlyArray<LogLine>, previous: ReadonlyMap<string, number>) => {
  const counts = new Map<string, number>()
  const newLines = lines.filter((line) => {
    const key = `${line.tryNumber} ${render(line)}`
    const count = (counts.get(key) ?? 0) + 1
    counts.set(key, count)
    return count > (previous.get(key) ?? 0)
  })
  const emitted = new Map(previous)
  for (const [key, count] of counts) emitted.set(key, Math.max(count, previous.get(key) ?? 0))
  return { lines: newLines, emitted }
}

const readTries = (
  airflow: Primitives,
  { dagId, mapIndex, runId, taskId }: TaskInstance,
  first: number,
  last: number,
  part: "all" | "end" = "all"
) =>
  Effect.forEach(
    Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index),
    (tryNumber) =>
      airflow.readLog(dagId, runId, taskId, mapIndex, tryNumber, part).pipe(
        // Airflow may not find the log of a try that has just begun
        Effect.catchIf(({ kind }) => kind === "notFound", () => Effect.succeed({ lines: [], sources: [] }))
      )
  )

const hasEnded = ({ state }: TaskInstance) =>
  ["success", "failed", "skipped", "upstream_failed", "removed"].includes(state)

const instanceOf = (airflow: Primitives, dagId: string, runId: string, taskId: string, mapIndex: number) =>
  Effect.flatMap(airflow.taskInstances(dagId, runId), (tasks) => {
    const instances = tasks.filter((task) => task.taskId === taskId)
    const instance = instances.find((task) => task.mapIndex === mapIndex)
    if (instance !== undefined) return Effect.succeed(instance)
    const operation = `read the log of ${taskId}`
    return instances.length > 0
      ? apiError(operation, {
        kind: "badRequest",
        detail: mapIndex < 0
          ? `it is mapped over ${instances.length} instances`
          : `it has no instance ${mapIndex}`,
        remedy: `Select an instance (mapIndex: ${instances.map((task) => task.mapIndex).join(", ")}).`
      })
      : apiError(operation, {
        kind: "notFound",
        detail: `the run ${runId} of ${dagId} has no such task`,
        remedy: `Its tasks are: ${Array.from(new Set(tasks.map((task) => task.taskId))).join(", ") || "none yet"}.`
      })
  })
