/** DAG runs as a pure function of what was asked for and of the time, like a deployment's power. */
import * as Duration from "effect/Duration"
import * as Dags from "../../Dags.js"

export interface RunFacts {
  readonly dagId: string
  readonly runId: string
  /** The DAG as it was when the run was triggered, and which of its versions that was. */
  readonly spec: Dags.DagSpec
  readonly versionNumber: number
  /** Microseconds, as all dates that a client may set. */
  readonly queuedAt: number
  readonly runAfter: number
  readonly logicalDate: number | null
  readonly interval: { readonly start: number; readonly end: number } | null
  readonly conf: unknown
  note: string | null
  /** From the trigger, and from each time the run was cleared. */
  readonly lives: Array<Life>
  /** Task instances that were deleted, as {@link instanceKey}. */
  readonly removed: Set<string>
}

export interface Life {
  readonly from: number
  /** What was cleared; all of it without a list. */
  readonly tasks: ReadonlyArray<string> | null
  /** Cleared without setting the run back: what was cleared stays undone. */
  readonly isIdle: boolean
  /** Somebody set the state. */
  forced: Forced | null
}

interface Forced {
  readonly at: number
  readonly state: "success" | "failed"
}

/** What a run depends on besides its own facts. */
export interface Scheduler {
  readonly now: number
  readonly speed: number
  /** From a trigger to the start of the run. */
  readonly latency: number
  /** The earliest moment from `from` on at which tasks of this DAG may start. */
  readonly opens: (from: number) => number
  /** When Airflow was stopped, which kills what is running. */
  readonly stops: ReadonlyArray<number>
}

export interface Attempt {
  readonly number: number
  readonly startedAt: number
  /** `Infinity` for one that never gets to its end. */
  readonly endedAt: number
  readonly state: "success" | "failed"
  readonly isKilled: boolean
  /** What it takes when nothing comes in between. */
  readonly length: number
}

export interface TaskRun {
  readonly task: Dags.TaskSpec
  readonly mapIndex: number
  readonly state: string | null
  readonly startedAt: number | null
  readonly endedAt: number | null
  /** 0 for a task that never ran. */
  readonly tryNumber: number
  readonly maxTries: number
  /** Those that have begun. */
  readonly attempts: ReadonlyArray<Attempt>
}

/** All that a task may have but for none, in the order in which Airflow names them. */
export const taskStates: ReadonlyArray<string> = [
  "removed",
  "scheduled",
  "queued",
  "running",
  "success",
  "restarting",
  "failed",
  "up_for_retry",
  "up_for_reschedule",
  "upstream_failed",
  "skipped",
  "deferred"
]

export interface Run {
  readonly state: "queued" | "running" | "success" | "failed"
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly tasks: ReadonlyArray<TaskRun>
}

interface Course {
  readonly task: Dags.TaskSpec
  /** From when on it waits for nothing but the scheduler. */
  readonly readyAt: number
  readonly end: number
  readonly state: "success" | "failed" | "upstream_failed" | "skipped"
  /** Those before the run was cleared included. */
  readonly attempts: ReadonlyArray<Attempt>
  readonly maxTries: number
  /** What was cleared keeps its times until it starts again. */
  readonly earlier: Times
}

type Times = Pick<TaskRun, "startedAt" | "endedAt">

export const instanceKey = (taskId: string, mapIndex: number): string => `${taskId}/${mapIndex}`

export const begin = (from: number, tasks: ReadonlyArray<string> | null = null, isIdle = false): Life => ({
  from,
  tasks,
  isIdle,
  forced: null
})

export const evaluate = (run: RunFacts, scheduler: Scheduler): Run => {
  const { now } = scheduler
  let courses: ReadonlyArray<Course> = []
  let started = Infinity
  let forced: Forced | null = null
  for (const life of run.lives) {
    if (life.isIdle) continue
    started = Math.max(scheduler.opens(life.from) + scheduler.latency, run.runAfter / 1000)
    courses = plan(run.spec, started, scheduler, courses, life)
    forced = life.forced
    if (forced !== null) {
      courses = courses.map((course) => overrule(course, life.forced ?? { at: now, state: "failed" }))
    }
  }
  const last = run.lives.at(-1)
  const undone = (taskId: string) => last?.isIdle === true && (last.tasks === null || last.tasks.includes(taskId))
  const tasks = courses.flatMap((course): ReadonlyArray<TaskRun> => {
    const seen = observe(course, now)
    const state = undone(course.task.taskId) ? null : seen.state
    return indicesOf(course.task)
      .filter((mapIndex) => !run.removed.has(instanceKey(course.task.taskId, mapIndex)))
      .map((mapIndex) => ({ task: course.task, mapIndex, maxTries: course.maxTries, ...seen, state }))
  })
  if (forced !== null) {
    return { state: forced.state, startedAt: Math.min(started, forced.at), endedAt: forced.at, tasks }
  }
  if (now < started) return { state: "queued", startedAt: null, endedAt: null, tasks }
  const end = Math.max(started, ...courses.map((course) => course.end))
  if (now < end) return { state: "running", startedAt: started, endedAt: null, tasks }
  // the run is what its last tasks are
  const upstream = new Set(run.spec.tasks.flatMap((task) => task.upstream ?? []))
  const failed = courses.some((course) => !upstream.has(course.task.taskId) && course.state !== "success")
  return { state: failed ? "failed" : "success", startedAt: started, endedAt: end, tasks }
}

/** -1 stands for a task that is not mapped. */
export const indicesOf = ({ mapped }: Dags.TaskSpec): ReadonlyArray<number> =>
  mapped === undefined
    ? [-1]
    : Array.from({ length: typeof mapped === "number" ? mapped : mapped.length }, (_, index) => index)

/** When each task will have started and ended, if nothing else is asked for. */
const plan = (
  spec: Dags.DagSpec,
  started: number,
  scheduler: Scheduler,
  before: ReadonlyArray<Course>,
  life: Life
): ReadonlyArray<Course> => {
  const ordered = Dags.inOrder(spec)
  const courses: Array<Course> = []
  for (const task of typeof ordered === "string" ? [] : ordered) {
    const old = before.find((course) => course.task === task)
    const isKept = life.tasks?.includes(task.taskId) === false
    if (old !== undefined && isKept && old.end <= life.from) {
      courses.push(old)
      continue
    }
    const prior = old === undefined ? [] : attemptsUntil(old, life.from)
    const maxTries = prior.length + (task.tries ?? 1) - 1
    const earlier = old === undefined ? { startedAt: null, endedAt: null } : timesOf(old, life.from)
    const upstream = courses.filter((course) => task.upstream?.includes(course.task.taskId) === true)
    const broken = upstream.filter((course) => course.state !== "success" && course.end < Infinity)
    if (broken.length > 0) {
      const end = Math.min(...broken.map((course) => course.end))
      courses.push({ task, readyAt: end, end, state: "upstream_failed", attempts: prior, maxTries, earlier })
      continue
    }
    const readyAt = Math.max(started, ...upstream.map((course) => course.end))
    const attempts = attemptsOf(task, readyAt, scheduler, prior.length)
    const last = attempts.at(-1)
    courses.push({
      task,
      readyAt,
      end: last?.endedAt ?? readyAt,
      state: last?.state ?? "success",
      attempts: [...prior, ...attempts],
      maxTries,
      earlier
    })
  }
  return courses
}

/** A task fails until its last try. */
const attemptsOf = (
  task: Dags.TaskSpec,
  readyAt: number,
  scheduler: Scheduler,
  offset: number
): ReadonlyArray<Attempt> => {
  const tries = task.tries ?? 1
  const scaled = (input: Duration.DurationInput) => Duration.toMillis(input) / scheduler.speed
  const length = scaled(task.duration ?? 0)
  const attempts: Array<Attempt> = []
  let from = readyAt
  for (let index = 1; index <= tries; index++) {
    const startedAt = scheduler.opens(from)
    const end = startedAt + length
    const stop = scheduler.stops.find((at) => at > startedAt && at < end)
    const isKilled = stop !== undefined
    const state = isKilled || index < tries ? "failed" : task.outcome ?? "success"
    attempts.push({ number: offset + index, startedAt, endedAt: stop ?? end, state, isKilled, length })
    from = (stop ?? end) + scaled(task.retryDelay ?? "1 second")
  }
  return attempts
}

/** What had begun by then, cut off there. */
const attemptsUntil = (course: Course, at: number): ReadonlyArray<Attempt> =>
  course.attempts.filter((attempt) => attempt.startedAt <= at).map((attempt) =>
    attempt.endedAt <= at ? attempt : { ...attempt, endedAt: at, state: "failed" as const, isKilled: true }
  )

/** A run that is set to failed fails what is running and skips the rest. */
const overrule = (course: Course, { at, state }: Forced): Course => {
  if (course.end <= at) return state === "success" ? { ...course, state } : course
  const attempts = attemptsUntil(course, at)
  const last = attempts.at(-1)
  const isRunning = last?.isKilled === true && last.endedAt === at
  const ended = last !== undefined && isRunning ? [...attempts.slice(0, -1), { ...last, state }] : attempts
  const rest = isRunning ? "failed" : "skipped"
  return { ...course, readyAt: at, end: at, attempts: ended, state: state === "success" ? "success" : rest }
}

const timesOf = (course: Course, at: number): Times => {
  const { endedAt, startedAt } = observe(course, at)
  return { startedAt, endedAt }
}

const observe = (course: Course, now: number) => {
  const attempts = course.attempts.filter((attempt) => attempt.startedAt <= now)
  const last = attempts.at(-1)
  const tryNumber = last?.number ?? 0
  if (now >= course.end) {
    const ran = last !== undefined && last.endedAt === course.end
    return {
      state: course.state,
      startedAt: ran ? last.startedAt : course.end,
      endedAt: course.end,
      tryNumber,
      attempts
    }
  }
  if (last === undefined || last.startedAt < course.readyAt) {
    return { state: now < course.readyAt ? null : "scheduled", ...course.earlier, tryNumber, attempts }
  }
  if (now < last.endedAt) return { state: "running", startedAt: last.startedAt, endedAt: null, tryNumber, attempts }
  return { state: "up_for_retry", startedAt: last.startedAt, endedAt: last.endedAt, tryNumber, attempts }
}
