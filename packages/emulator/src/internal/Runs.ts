/** DAG runs as a pure function of what was asked for and of the time, like a deployment's power. */
import * as Duration from "effect/Duration"
import * as Dags from "../Dags.js"

export interface RunFacts {
  readonly dagId: string
  readonly runId: string
  /** The DAG as it was when the run was triggered. */
  readonly spec: Dags.DagSpec
  readonly triggeredAt: number
  readonly logicalDate: string
  readonly conf: unknown
  note: string | null
  /** Somebody set the state. */
  forced: { readonly at: number; readonly state: "success" | "failed" } | null
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

export interface TaskRun {
  readonly task: Dags.TaskSpec
  readonly mapIndex: number
  readonly state: string | null
  readonly startedAt: number | null
  readonly endedAt: number | null
  /** 0 for a task that never ran. */
  readonly tryNumber: number
  readonly killed: boolean
}

export interface Run {
  readonly state: "queued" | "running" | "success" | "failed"
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly tasks: ReadonlyArray<TaskRun>
}

interface Course {
  readonly task: Dags.TaskSpec
  readonly start: number
  readonly end: number
  readonly state: "success" | "failed" | "upstream_failed"
  readonly killed: boolean
}

export const evaluate = (run: RunFacts, scheduler: Scheduler): Run => {
  const { now } = scheduler
  const started = scheduler.opens(run.triggeredAt) + scheduler.latency
  const courses = plan(run.spec, started, scheduler)
  const forced = run.forced !== null && run.forced.at <= now ? run.forced : null
  const tasks = courses.flatMap((course) => {
    const seen = forced === null ? observe(course, started, now) : overrule(course, forced)
    const indices = course.task.mapped === undefined
      ? [-1]
      : Array.from({ length: course.task.mapped }, (_, index) => index)
    return indices.map((mapIndex) => ({ task: course.task, mapIndex, killed: course.killed, ...seen }))
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

/** When each task will have started and ended, if nothing else is asked for. */
const plan = (spec: Dags.DagSpec, started: number, scheduler: Scheduler): ReadonlyArray<Course> => {
  const ordered = Dags.inOrder(spec)
  const courses: Array<Course> = []
  for (const task of typeof ordered === "string" ? [] : ordered) {
    const upstream = courses.filter((course) => task.upstream?.includes(course.task.taskId) === true)
    const broken = upstream.filter((course) => course.state !== "success" && course.end < Infinity)
    if (broken.length > 0) {
      const at = Math.min(...broken.map((course) => course.end))
      courses.push({ task, start: at, end: at, state: "upstream_failed", killed: false })
      continue
    }
    const start = scheduler.opens(Math.max(started, ...upstream.map((course) => course.end)))
    const end = start + Duration.toMillis(task.duration ?? 0) / scheduler.speed
    const stop = scheduler.stops.find((at) => at > start && at < end)
    courses.push(
      stop === undefined
        ? { task, start, end, state: task.outcome ?? "success", killed: false }
        : { task, start, end: stop, state: "failed", killed: true }
    )
  }
  return courses
}

const observe = ({ end, start, state }: Course, runStarted: number, now: number) => {
  const tryNumber = state === "upstream_failed" ? 0 : 1
  if (now < start) {
    return { state: now < runStarted ? null : "scheduled", startedAt: null, endedAt: null, tryNumber: 0 }
  }
  if (now < end) return { state: "running", startedAt: start, endedAt: null, tryNumber }
  return { state, startedAt: start, endedAt: end, tryNumber }
}

/** A run that is set to failed fails what is running and skips the rest. */
const overrule = (
  { end, start, state }: Course,
  forced: { readonly at: number; readonly state: "success" | "failed" }
) => {
  const tryNumber = start <= forced.at && state !== "upstream_failed" ? 1 : 0
  if (end <= forced.at) {
    return { state: forced.state === "success" ? "success" : state, startedAt: start, endedAt: end, tryNumber }
  }
  const running = start <= forced.at
  return {
    state: forced.state === "success" ? "success" : running ? "failed" : "skipped",
    startedAt: running ? start : forced.at,
    endedAt: forced.at,
    tryNumber
  }
}
