/**
 * How DAGs that are declared as data play out. All that is to be seen of a run follows from what was asked for, and when.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { RunState, TaskInstance } from "../Airflow.js"
import type { LogLine } from "../TaskLog.js"
import type { NewRun } from "./primitives.js"

export interface MemoryTask {
  readonly taskId: string
  /** What each try prints, spread over its duration. */
  readonly log: string
  /** Of each try, and of the wait between two [no time]. */
  readonly duration?: Duration.DurationInput | undefined
  /** Of the last try [success]. */
  readonly outcome?: "success" | "failed" | undefined
  /** All tries but the last fail [1]. */
  readonly tries?: number | undefined
  /** Logged at the end of every try that fails. */
  readonly error?: { readonly type: string; readonly value: string } | undefined
  /** What it pushes when it succeeds, by key. */
  readonly xcom?: Readonly<Record<string, unknown>> | undefined
  /** How many instances it is mapped to, or what each of them does in its own way [it is not mapped]. */
  readonly mapped?: number | ReadonlyArray<Pick<Partial<MemoryTask>, "log" | "xcom">> | undefined
  /** Tasks before it in the list that must succeed first [the one before it]. */
  readonly upstream?: ReadonlyArray<string> | undefined
}

export interface MemoryDag {
  readonly dagId: string
  readonly tags?: ReadonlyArray<string> | undefined
  readonly tasks: ReadonlyArray<MemoryTask>
  /** What `conf` may give, and what of. */
  readonly params?: Readonly<Record<string, { readonly type: "integer" | "string" | "boolean" }>> | undefined
  /** The stack trace of a file that cannot be imported. */
  readonly importError?: string | undefined
}

/** The facts about a run. */
export interface Run extends NewRun {
  readonly dag: MemoryDag
  readonly queuedAt: number
  /** When it was triggered, cleared, or its DAG was unpaused, whichever came last. */
  readonly startedAt: number | undefined
  /** Ended by hand, whatever its tasks were about. */
  readonly set: { readonly state: "success" | "failed"; readonly endedAt: number } | undefined
  /** The tries that each task had before the run was cleared. */
  readonly triesBefore: ReadonlyMap<string, number>
}

/** An instance of a task at one moment. */
export interface Instance {
  readonly seen: TaskInstance
  /** What it has pushed. */
  readonly xcom: Readonly<Record<string, unknown>>
  /** What a try has logged; nothing if it has not begun. */
  readonly log: (tryNumber: number) => ReadonlyArray<LogLine>
}

export const defaultPool = "default_pool"

export const timeOf = (at: number | undefined) => Option.map(Option.fromNullable(at), DateTime.unsafeMake)

export const stateOf = (run: Run, now: number): { readonly state: RunState; readonly endedAt?: number } => {
  if (run.set !== undefined) return run.set
  if (run.startedAt === undefined) return { state: "queued" }
  const courses = coursesOf(run)
  const endedAt = Math.max(run.startedAt, ...courses.map(({ end }) => end))
  if (endedAt > now) return { state: "running" }
  return { state: courses.some(({ task }) => task.outcome === "failed") ? "failed" : "success", endedAt }
}

export const instancesOf = (run: Run, now: number): ReadonlyArray<Instance> =>
  coursesOf(run).flatMap((course) => {
    const { taskId, tries = 1 } = course.task
    const progress = progressOf(course, run, now)
    return membersOf(course.task).map(([mapIndex, task]): Instance => ({
      seen: {
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

/** The instances of a task, each with its index and what it does in its own way. */
const membersOf = (task: MemoryTask): ReadonlyArray<readonly [mapIndex: number, task: MemoryTask]> => {
  if (task.mapped === undefined) return [[-1, task]]
  const own = typeof task.mapped === "number" ? Array.from({ length: task.mapped }, () => ({})) : task.mapped
  return own.map((way, mapIndex) => [mapIndex, { ...task, ...way }])
}

/** The tries of a task in a run: each takes `duration`, and so does the wait between two. */
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
    const before = upstream === undefined
      ? courses.slice(-1)
      : courses.filter((course) => upstream.includes(course.task.taskId))
    const upstreamFailed = before.some((course) => course.upstreamFailed || course.task.outcome === "failed")
    const start = Math.max(startedAt, ...before.map(({ end }) => end))
    const duration = Duration.toMillis(task.duration ?? 0)
    const firstTry = (triesBefore.get(task.taskId) ?? 0) + 1
    const lastTry = Math.ceil(firstTry / tries) * tries
    const end = upstreamFailed ? start : start + (2 * (lastTry - firstTry) + 1) * duration
    courses.push({ task, duration, start, firstTry, lastTry, end, upstreamFailed })
  }
  return courses
}

const beginOf = ({ duration, firstTry, start }: Course, tryNumber: number) =>
  start + 2 * (tryNumber - firstTry) * duration

/** Until when the run went on. What was ended by hand stays as it was at that moment. */
const endOfSight = (run: Run, now: number) => run.set?.endedAt ?? now

const progressOf = (course: Course, run: Run, now: number) => {
  const { duration, end, firstTry, lastTry, start, task, upstreamFailed } = course
  const until = endOfSight(run, now)
  const at = (state: string, tryNumber: number, begin?: number, end?: number) => ({
    state,
    tryNumber,
    queuedAt: timeOf(begin),
    startedAt: timeOf(begin),
    endedAt: timeOf(end)
  })
  if (start > until) return at("none", firstTry - 1)
  if (upstreamFailed) return at("upstream_failed", firstTry - 1, start, start)
  if (end <= until) return at(task.outcome ?? "success", lastTry, beginOf(course, lastTry), end)
  const step = Math.floor((until - start) / duration)
  const tryNumber = firstTry + Math.floor(step / 2)
  const begin = beginOf(course, tryNumber)
  if (run.set !== undefined) return at(run.set.state, tryNumber, begin, until)
  return step % 2 === 0 ? at("running", tryNumber, begin) : at("up_for_retry", tryNumber, begin, begin + duration)
}

const linesOf = (course: Course, run: Run, now: number, tryNumber: number): ReadonlyArray<LogLine> => {
  const { duration, firstTry, task: { error, log, outcome, tries = 1 } } = course
  // tries from before a clear are over, whenever they were
  const [begin, until] = tryNumber < firstTry
    ? [run.queuedAt, Infinity]
    : [beginOf(course, tryNumber), endOfSight(run, now)]
  const line = (at: number, level: string, message: string, errors: LogLine["errors"] = []): LogLine => ({
    tryNumber,
    timestamp: timeOf(at),
    level: Option.some(level),
    logger: Option.none(),
    message,
    fields: {},
    errors
  })
  const lines = log.split("\n").map((message, index, all) =>
    line(begin + duration * index / all.length, "INFO", message)
  )
  if (error !== undefined && (outcome === "failed" || tryNumber % tries !== 0)) {
    lines.push(line(begin + duration, "ERROR", "Task failed with exception", [{ ...error, frames: [] }]))
  }
  return lines.filter(({ timestamp }) => Option.exists(timestamp, ({ epochMillis }) => epochMillis <= until))
}
