/**
 * Simulated runs of DAGs that are declared as data. The state of a run at any time follows from its DAG and from what
 * was done to the run, and when; nothing else is stored.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { RunState, TaskInstance } from "../Airflow.js"
import type { LogLine } from "../TaskLog.js"
import { defaultPool, type NewRun } from "./primitives.js"

/** A task, and what happens when it runs. */
export interface MemoryTask {
  readonly taskId: string
  /** What each try prints. The lines are spread over its duration. */
  readonly log: string
  /** How long each try takes, and each wait between two tries [no time]. */
  readonly duration?: Duration.DurationInput | undefined
  /** The outcome of the last try [`success`]. */
  readonly outcome?: "success" | "failed" | undefined
  /** The number of tries. All but the last one fail [1]. */
  readonly tries?: number | undefined
  /** The exception that is logged at the end of each failed try. */
  readonly error?: { readonly type: string; readonly value: string } | undefined
  /** The values that the task pushes when it succeeds, by key. */
  readonly xcom?: Readonly<Record<string, unknown>> | undefined
  /** The number of instances of a mapped task, or what differs in each of them [the task is not mapped]. */
  readonly mapped?: number | ReadonlyArray<Pick<Partial<MemoryTask>, "log" | "xcom">> | undefined
  /** Earlier tasks in the list that must succeed first [the previous task]. */
  readonly upstream?: ReadonlyArray<string> | undefined
}

export interface MemoryDag {
  readonly dagId: string
  readonly tags?: ReadonlyArray<string> | undefined
  readonly tasks: ReadonlyArray<MemoryTask>
  /** The types of the members of `conf`. */
  readonly params?: Readonly<Record<string, { readonly type: "integer" | "string" | "boolean" }>> | undefined
  /** The stack trace if the DAG's file cannot be imported. */
  readonly importError?: string | undefined
}

/** What was done to a run, and when. */
export interface Run extends NewRun {
  readonly dag: MemoryDag
  readonly queuedAt: number
  /** When the run was triggered or cleared, or when its DAG was unpaused, whichever came last. */
  readonly startedAt: number | undefined
  /** Set if the run was ended by `setRunState` instead of by its tasks. */
  readonly endedByHand: { readonly state: "success" | "failed"; readonly endedAt: number } | undefined
  /** The number of tries that each task had before the run was cleared. */
  readonly triesBefore: ReadonlyMap<string, number>
}

/** A task instance at one moment. */
export interface SimulatedInstance {
  readonly instance: TaskInstance
  /** The values that it has pushed. */
  readonly xcom: Readonly<Record<string, unknown>>
  /** The lines that a try has logged. Empty before the try begins. */
  readonly log: (tryNumber: number) => ReadonlyArray<LogLine>
}

export const timeOf = (millis: number | undefined) => Option.map(Option.fromNullable(millis), DateTime.unsafeMake)

export const stateOf = (run: Run, now: number): { readonly state: RunState; readonly endedAt?: number } => {
  if (run.endedByHand !== undefined) return run.endedByHand
  if (run.startedAt === undefined) return { state: "queued" }
  const courses = coursesOf(run)
  const endedAt = Math.max(run.startedAt, ...courses.map(({ end }) => end))
  if (endedAt > now) return { state: "running" }
  return { state: courses.some(({ task }) => task.outcome === "failed") ? "failed" : "success", endedAt }
}

/** The task instances of a run. */
export const simulate = (run: Run, now: number): ReadonlyArray<SimulatedInstance> =>
  coursesOf(run).flatMap((course) => {
    const { taskId, tries = 1 } = course.task
    const progress = progressOf(course, run, now)
    return mappedTasks(course.task).map(([mapIndex, task]): SimulatedInstance => ({
      instance: {
        dagId: run.dag.dagId,
        runId: run.runId,
        taskId,
        mapIndex,
        maxTries: tries - 1,
        pool: defaultPool,
        ...progress
      },
      xcom: progress.state === "success" ? task.xcom ?? {} : {},
      log: (tryNumber) =>
        tryNumber < 1 || tryNumber > progress.tryNumber ? [] : linesOf({ ...course, task }, run, now, tryNumber)
    }))
  })

// internal

/** The instances of a task: the index of each, and the task with what differs in this instance. */
const mappedTasks = (task: MemoryTask): ReadonlyArray<readonly [mapIndex: number, task: MemoryTask]> => {
  if (task.mapped === undefined) return [[-1, task]]
  const differences = typeof task.mapped === "number" ? Array.from({ length: task.mapped }, () => ({})) : task.mapped
  return differences.map((difference, mapIndex) => [mapIndex, { ...task, ...difference }])
}

/** When the tries of a task happen in a run. Each takes `duration`, and so does each wait between two of them. */
interface Course {
  readonly task: MemoryTask
  readonly duration: number
  readonly start: number
  readonly firstTry: number
  readonly lastTry: number
  readonly end: number
  readonly upstreamFailed: boolean
}

const coursesOf = ({ dag, startedAt = Infinity, triesBefore }: Run): ReadonlyArray<Course> => {
  const courses: Array<Course> = []
  for (const task of dag.tasks) {
    const { tries = 1, upstream } = task
    const previous = upstream === undefined
      ? courses.slice(-1)
      : courses.filter((course) => upstream.includes(course.task.taskId))
    const upstreamFailed = previous.some((course) => course.upstreamFailed || course.task.outcome === "failed")
    const start = Math.max(startedAt, ...previous.map(({ end }) => end))
    const duration = Duration.toMillis(task.duration ?? 0)
    const firstTry = (triesBefore.get(task.taskId) ?? 0) + 1
    const lastTry = Math.ceil(firstTry / tries) * tries
    const end = upstreamFailed ? start : start + (2 * (lastTry - firstTry) + 1) * duration
    courses.push({ task, duration, start, firstTry, lastTry, end, upstreamFailed })
  }
  return courses
}

const startOfTry = ({ duration, firstTry, start }: Course, tryNumber: number) =>
  start + 2 * (tryNumber - firstTry) * duration

/** The time up to which a run went on. A run that was ended by hand stays as it was then. */
const endOfRun = (run: Run, now: number) => run.endedByHand?.endedAt ?? now

const progressOf = (course: Course, run: Run, now: number) => {
  const { duration, end, firstTry, lastTry, start, task, upstreamFailed } = course
  const until = endOfRun(run, now)
  const progress = (state: string, tryNumber: number, startedAt?: number, endedAt?: number) => ({
    state,
    tryNumber,
    queuedAt: timeOf(startedAt),
    startedAt: timeOf(startedAt),
    endedAt: timeOf(endedAt)
  })
  if (start > until) return progress("none", firstTry - 1)
  if (upstreamFailed) return progress("upstream_failed", firstTry - 1, start, start)
  if (end <= until) return progress(task.outcome ?? "success", lastTry, startOfTry(course, lastTry), end)
  const step = Math.floor((until - start) / duration)
  const tryNumber = firstTry + Math.floor(step / 2)
  const startedAt = startOfTry(course, tryNumber)
  if (run.endedByHand !== undefined) return progress(run.endedByHand.state, tryNumber, startedAt, until)
  return step % 2 === 0
    ? progress("running", tryNumber, startedAt)
    : progress("up_for_retry", tryNumber, startedAt, startedAt + duration)
}

const linesOf = (course: Course, run: Run, now: number, tryNumber: number): ReadonlyArray<LogLine> => {
  const { duration, firstTry, task: { error, log, outcome, tries = 1 } } = course
  // tries from before a clear have ended, and their logs are complete
  const [startedAt, until] = tryNumber < firstTry
    ? [run.queuedAt, Infinity]
    : [startOfTry(course, tryNumber), endOfRun(run, now)]
  const line = (time: number, level: string, message: string, errors: LogLine["errors"] = []): LogLine => ({
    tryNumber,
    timestamp: timeOf(time),
    level: Option.some(level),
    logger: Option.none(),
    message,
    fields: {},
    errors
  })
  const lines = log.split("\n").map((message, index, messages) =>
    line(startedAt + duration * index / messages.length, "INFO", message)
  )
  if (error !== undefined && (outcome === "failed" || tryNumber % tries !== 0)) {
    lines.push(line(startedAt + duration, "ERROR", "Task failed with exception", [{ ...error, frames: [] }]))
  }
  return lines.filter(({ timestamp }) => Option.exists(timestamp, ({ epochMillis }) => epochMillis <= until))
}
