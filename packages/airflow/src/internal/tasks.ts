/**
 * Tasks of a run: their states, and their logs as one model.
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
import { fail } from "./transport.js"

export const assertTasks = (
  airflow: Primitives,
  dagId: string,
  runId: string,
  expected: Readonly<Record<string, string | ReadonlyArray<string>>>
): Effect.Effect<void, AirflowApiError | TaskStateMismatch> =>
  Effect.flatMap(airflow.taskInstances(dagId, runId), (tasks) => {
    const mismatches = Object.entries(expected).flatMap(([taskId, wanted]) => {
      const states = typeof wanted === "string" ? [wanted] : wanted
      const actual = tasks.filter((task) => task.taskId === taskId).map(({ state }) => state)
      const isRight = actual.length > 0 && actual.every((state) => states.includes(state))
      return isRight ? [] : [{ taskId, expected: states, actual }]
    })
    return mismatches.length === 0 ? Effect.void : new TaskStateMismatch({ dagId, runId, mismatches })
  })

export const taskLog = (
  airflow: Primitives,
  dagId: string,
  runId: string,
  taskId: string,
  { awaitContent = "15 seconds", mapIndex = -1, tryNumber = "last" }: TaskLogOptions = {}
): Effect.Effect<TaskLog, AirflowApiError | LogUnavailable> =>
  Effect.gen(function*() {
    const missing = (reason: string) => new LogUnavailable({ dagId, runId, taskId, reason })
    let seen = "nothing of it was seen"
    const look = Effect.gen(function*() {
      const instance = yield* instanceOf(airflow, dagId, runId, taskId, mapIndex)
      const ended = isEnded(instance)
      if (ended && instance.tryNumber === 0) return yield* missing(`it never ran, and is ${instance.state}`)
      if (ended && typeof tryNumber === "number" && tryNumber > instance.tryNumber) {
        return yield* missing(`it had ${instance.tryNumber} tries, and not ${tryNumber}`)
      }
      const last = typeof tryNumber === "number" ? tryNumber : instance.tryNumber
      const first = tryNumber === "all" ? 1 : Math.max(1, last)
      const logs = yield* readTries(airflow, instance, first, last)
      seen = `it is ${instance.state}, and nothing has been logged`
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
      return lines.length === 0 ? Option.none() : Option.some(log)
    })
    // with logs kept elsewhere, they arrive some seconds after the task has ended
    return yield* Polling.untilSome(look, Polling.poll).pipe(
      Effect.timeoutFail({ duration: awaitContent, onTimeout: () => missing(seen) })
    )
  })

/** `pin` keeps each step on the client's clock, wherever the stream is run. */
export const tailTaskLog = (
  airflow: Primitives,
  pin: <A, E>(step: Effect.Effect<A, E>) => Effect.Effect<A, E>,
  dagId: string,
  runId: string,
  taskId: string,
  { mapIndex = -1, timeout = "15 minutes" }: TailOptions = {}
): Stream.Stream<LogLine, AirflowApiError | LogUnavailable> => {
  const missing = (reason: string) => new LogUnavailable({ dagId, runId, taskId, reason })
  const step = (tail: Tail) =>
    Effect.gen(function*() {
      if (tail.reads > 0) yield* Effect.sleep("1 second")
      const now = yield* Clock.currentTimeMillis
      const instance = yield* instanceOf(airflow, dagId, runId, taskId, mapIndex)
      const isOver = isEnded(instance)
      if (isOver && instance.tryNumber === 0) return yield* missing(`it never ran, and is ${instance.state}`)
      const logs = yield* readTries(airflow, instance, Math.max(1, tail.tryNumber), instance.tryNumber)
      const { lines, seen } = unseen(logs.flatMap(({ lines }) => lines), tail.seen)
      const endedAt = isOver ? tail.endedAt ?? now : undefined
      // the last lines may be written after the task is said to have ended, or be copied much later
      const isQuiet = tail.endedAt !== undefined && lines.length === 0
      const isLate = tail.endedAt !== undefined && now - tail.endedAt >= lateness
      if (isQuiet && seen.size === 0 && isLate) return yield* missing(`it is ${instance.state}, and nothing was logged`)
      const startedAt = tail.startedAt ?? now
      if (!isOver && now - startedAt >= Duration.toMillis(timeout)) {
        return yield* missing(`it is ${instance.state}, and has not ended in ${Duration.format(timeout)}`)
      }
      const isDone = (isQuiet || isLate) && seen.size > 0
      const next = { startedAt, endedAt, seen, tryNumber: instance.tryNumber, reads: tail.reads + 1 }
      return [Chunk.fromIterable(lines), isDone ? Option.none<Tail>() : Option.some<Tail>(next)] as const
    })
  const start: Tail = { startedAt: undefined, endedAt: undefined, seen: new Map(), tryNumber: 0, reads: 0 }
  return Stream.paginateChunkEffect(start, (tail) => pin(step(tail)))
}

// internal

interface Tail {
  readonly startedAt: number | undefined
  readonly endedAt: number | undefined
  /** How often each line has come. */
  readonly seen: ReadonlyMap<string, number>
  readonly tryNumber: number
  readonly reads: number
}

const lateness = 15_000

/** A log is read whole again and again, and a new line may stand between old ones. */
const unseen = (lines: ReadonlyArray<LogLine>, before: ReadonlyMap<string, number>) => {
  const counts = new Map<string, number>()
  const fresh = lines.filter((line) => {
    const key = `${line.tryNumber} ${render(line)}`
    const count = (counts.get(key) ?? 0) + 1
    counts.set(key, count)
    return count > (before.get(key) ?? 0)
  })
  const seen = new Map(before)
  for (const [key, count] of counts) seen.set(key, Math.max(count, before.get(key) ?? 0))
  return { lines: fresh, seen }
}

const readTries = (
  airflow: Primitives,
  { dagId, mapIndex, runId, taskId }: TaskInstance,
  first: number,
  last: number
) =>
  Effect.forEach(
    Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index),
    (tryNumber) =>
      airflow.readLog(dagId, runId, taskId, mapIndex, tryNumber).pipe(
        // a try that has only begun may not be known to all yet
        Effect.catchIf(({ kind }) => kind === "notFound", () => Effect.succeed({ lines: [], sources: [] }))
      )
  )

const isEnded = ({ state }: TaskInstance) =>
  ["success", "failed", "skipped", "upstream_failed", "removed"].includes(state)

const instanceOf = (airflow: Primitives, dagId: string, runId: string, taskId: string, mapIndex: number) =>
  Effect.flatMap(airflow.taskInstances(dagId, runId), (tasks) => {
    const instances = tasks.filter((task) => task.taskId === taskId)
    const found = instances.find((task) => task.mapIndex === mapIndex)
    if (found !== undefined) return Effect.succeed(found)
    const operation = `read the log of ${taskId}`
    return instances.length > 0
      ? fail(operation, {
        kind: "badRequest",
        detail: mapIndex < 0
          ? `it is mapped over ${instances.length} instances`
          : `it has no instance ${mapIndex}`,
        remedy: `Say which instance (mapIndex: ${instances.map((task) => task.mapIndex).join(", ")}).`
      })
      : fail(operation, {
        kind: "notFound",
        detail: `the run ${runId} of ${dagId} has no such task`,
        remedy: `It has ${Array.from(new Set(tasks.map((task) => task.taskId))).join(", ") || "none yet"}.`
      })
  })
