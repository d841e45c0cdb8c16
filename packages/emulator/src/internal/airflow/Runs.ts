/** DAG runs as a pure function of requests and time, like a deployment's lifecycle. */
import * as Duration from "effect/Duration"
import * as Dags from "../../Dags.js"

export interface RunFacts {
  readonly dagId: string
  readonly runId: string
  /** The DAG, and the number of its version, at the time of the trigger. */
  readonly spec: Dags.DagSpec
  readonly versionNumber: number
  /** In microseconds, like all times that a client may set. */
  readonly queuedAt: number
  readonly runAfter: number
  readonly logicalDate: number | null
  readonly interval: { readonly start: number; readonly end: number } | null
  readonly conf: unknown
  note: string | null
  /** The trigger starts the first one, and each clearing starts another. */
  readonly executions: Array<Execution>
  /** Task instances that were deleted, each as an {@link instanceKey}. */
  readonly deletedInstances: Set<string>
}

export interface Execution {
  readonly from: number
  /** The ids of the tasks that were cleared; `null` means all tasks. */
  readonly tasks: ReadonlyArray<string> | null
  /** The tasks were cleared without resetting the run, which had ended: the scheduler does not run them. */
  readonly isIdle: boolean
  /** The state that a client has set. */
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
  /** From the trigger to the start of the run. */
  readonly latency: number
  /** Maps a time to the earliest time, not before it, at which tasks of this DAG may start. */
  readonly earliestStart: (from: number) => number
  /** When Airflow was stopped, which kills the running tasks. */
  readonly stoppedAt: ReadonlyArray<number>
}

export interface Attempt {
  readonly number: number
  readonly startedAt: number
  /** `Infinity` if it never ends. */
  readonly endedAt: number
  readonly state: "success" | "failed"
  readonly isKilled: boolean
  /** How long it takes unless it is killed. */
  readonly length: number
}

/** A task instance at one moment. */
export interface TaskRun {
  readonly spec: Dags.TaskSpec
  /** -1 for a task that is not mapped. */
  readonly mapIndex: number
  readonly state: string | null
  readonly startedAt: number | null
  readonly endedAt: number | null
  /** 0 for a task that has never run. */
  readonly tryNumber: number
  readonly maxTries: number
  /** The attempts that have begun. */
  readonly attempts: ReadonlyArray<Attempt>
}

/** All states of a task except "none", in the order in which Airflow lists them. */
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

/** A run at one moment. */
export interface Run {
  readonly state: "queued" | "running" | "success" | "failed"
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly tasks: ReadonlyArray<TaskRun>
}

/** When a task starts and ends, past and future. */
interface TaskPlan {
  readonly spec: Dags.TaskSpec
  /** From then on the task waits only for the scheduler. */
  readonly readyAt: number
  readonly end: number
  readonly state: "success" | "failed" | "upstream_failed" | "skipped"
  /** Includes the attempts before the run was cleared. */
  readonly attempts: ReadonlyArray<Attempt>
  readonly maxTries: number
  /** A cleared task keeps these times until it starts again. */
  readonly earlier: Times
}

type Times = Pick<TaskRun, "startedAt" | "endedAt">

export const instanceKey = (taskId: string, mapIndex: number): string => `${taskId}/${mapIndex}`

export const execution = (from: number, tasks: ReadonlyArray<string> | null = null, isIdle = false): Execution => ({
  from,
  tasks,
  isIdle,
  forced: null
})

export const evaluate = (run: RunFacts, scheduler: Scheduler): Run => {
  const { now } = scheduler
  let plans: ReadonlyArray<TaskPlan> = []
  let started = Infinity
  let forced: Forced | null = null
  for (const execution of run.executions) {
    if (execution.isIdle) continue
    started = Math.max(scheduler.earliestStart(execution.from) + scheduler.latency, run.runAfter / 1000)
    plans = planTasks(run.spec, started, scheduler, plans, execution)
    const { forced: override } = execution
    if (override !== null) plans = plans.map((plan) => force(plan, override))
    forced = override
  }
  const last = run.executions.at(-1)
  const isUndone = (taskId: string) => last?.isIdle === true && (last.tasks === null || last.tasks.includes(taskId))
  const tasks = plans.flatMap((plan): ReadonlyArray<TaskRun> => {
    const { spec } = plan
    const current = taskAt(plan, now)
    const state = isUndone(spec.taskId) ? null : current.state
    return indicesOf(spec)
      .filter((mapIndex) => !run.deletedInstances.has(instanceKey(spec.taskId, mapIndex)))
      .map((mapIndex) => ({ spec, mapIndex, maxTries: plan.maxTries, ...current, state }))
  })
  if (forced !== null) {
    return { state: forced.state, startedAt: Math.min(started, forced.at), endedAt: forced.at, tasks }
  }
  if (now < started) return { state: "queued", startedAt: null, endedAt: null, tasks }
  const end = Math.max(started, ...plans.map((plan) => plan.end))
  if (now < end) return { state: "running", startedAt: started, endedAt: null, tasks }
  // the tasks without downstream tasks decide the state of the run
  const upstream = new Set(run.spec.tasks.flatMap((task) => task.upstream ?? []))
  const failed = plans.some((plan) => !upstream.has(plan.spec.taskId) && plan.state !== "success")
  return { state: failed ? "failed" : "success", startedAt: started, endedAt: end, tasks }
}

/** The map indices of a task's instances: -1 alone for a task that is not mapped. */
export const indicesOf = ({ mapped }: Dags.TaskSpec): ReadonlyArray<number> =>
  mapped === undefined
    ? [-1]
    : Array.from({ length: typeof mapped === "number" ? mapped : mapped.length }, (_, index) => index)

/** Plans one execution of the tasks, given the plans of the executions before it. */
const planTasks = (
  spec: Dags.DagSpec,
  started: number,
  scheduler: Scheduler,
  before: ReadonlyArray<TaskPlan>,
  execution: Execution
): ReadonlyArray<TaskPlan> => {
  const ordered = Dags.inOrder(spec)
  const plans: Array<TaskPlan> = []
  for (const task of typeof ordered === "string" ? [] : ordered) {
    const old = before.find((plan) => plan.spec === task)
    const isKept = execution.tasks?.includes(task.taskId) === false
    if (old !== undefined && isKept && old.end <= execution.from) {
      plans.push(old)
      continue
    }
    const prior = old === undefined ? [] : attemptsUntil(old, execution.from)
    const maxTries = prior.length + (task.tries ?? 1) - 1
    const earlier = old === undefined ? { startedAt: null, endedAt: null } : timesAt(old, execution.from)
    const upstream = plans.filter((plan) => task.upstream?.includes(plan.spec.taskId) === true)
    const broken = upstream.filter((plan) => plan.state !== "success" && plan.end < Infinity)
    if (broken.length > 0) {
      const end = Math.min(...broken.map((plan) => plan.end))
      plans.push({ spec: task, readyAt: end, end, state: "upstream_failed", attempts: prior, maxTries, earlier })
      continue
    }
    const readyAt = Math.max(started, ...upstream.map((plan) => plan.end))
    const attempts = planAttempts(task, readyAt, scheduler, prior.length)
    const last = attempts.at(-1)
    plans.push({
      spec: task,
      readyAt,
      end: last?.endedAt ?? readyAt,
      state: last?.state ?? "success",
      attempts: [...prior, ...attempts],
      maxTries,
      earlier
    })
  }
  return plans
}

/** Every attempt but the last fails. */
const planAttempts = (
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
    const startedAt = scheduler.earliestStart(from)
    const end = startedAt + length
    const stop = scheduler.stoppedAt.find((at) => at > startedAt && at < end)
    const isKilled = stop !== undefined
    const state = isKilled || index < tries ? "failed" : task.outcome ?? "success"
    attempts.push({ number: offset + index, startedAt, endedAt: stop ?? end, state, isKilled, length })
    from = (stop ?? end) + scaled(task.retryDelay ?? "1 second")
  }
  return attempts
}

/** The attempts that had begun by then. One that had not ended is killed at that time. */
const attemptsUntil = (plan: TaskPlan, at: number): ReadonlyArray<Attempt> =>
  plan.attempts.filter((attempt) => attempt.startedAt <= at).map((attempt) =>
    attempt.endedAt <= at ? attempt : { ...attempt, endedAt: at, state: "failed" as const, isKilled: true }
  )

/** Setting a run to failed fails its running tasks and skips the ones that have not started. */
const force = (plan: TaskPlan, { at, state }: Forced): TaskPlan => {
  if (plan.end <= at) return state === "success" ? { ...plan, state } : plan
  const attempts = attemptsUntil(plan, at)
  const last = attempts.at(-1)
  const isRunning = last?.isKilled === true && last.endedAt === at
  const ended = last !== undefined && isRunning ? [...attempts.slice(0, -1), { ...last, state }] : attempts
  const rest = isRunning ? "failed" : "skipped"
  return { ...plan, readyAt: at, end: at, attempts: ended, state: state === "success" ? "success" : rest }
}

const timesAt = (plan: TaskPlan, at: number): Times => {
  const { endedAt, startedAt } = taskAt(plan, at)
  return { startedAt, endedAt }
}

const taskAt = (plan: TaskPlan, now: number) => {
  const attempts = plan.attempts.filter((attempt) => attempt.startedAt <= now)
  const last = attempts.at(-1)
  const tryNumber = last?.number ?? 0
  if (now >= plan.end) {
    const ran = last !== undefined && last.endedAt === plan.end
    return {
      state: plan.state,
      startedAt: ran ? last.startedAt : plan.end,
      endedAt: plan.end,
      tryNumber,
      attempts
    }
  }
  if (last === undefined || last.startedAt < plan.readyAt) {
    return { state: now < plan.readyAt ? null : "scheduled", ...plan.earlier, tryNumber, attempts }
  }
  if (now < last.endedAt) return { state: "running", startedAt: last.startedAt, endedAt: null, tryNumber, attempts }
  return { state: "up_for_retry", startedAt: last.startedAt, endedAt: last.endedAt, tryNumber, attempts }
}
