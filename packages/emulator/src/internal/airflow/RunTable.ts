/** The runs in one deployment's Airflow, and the operations on them. */
import type { DagSpec } from "../../Dags.js"
import * as Lifecycle from "../../Lifecycle.js"
import { phasesOf } from "../World.js"
import type { Airflow } from "./Airflow.js"
import * as DagBag from "./DagBag.js"
import * as Runs from "./Runs.js"
import * as TaskLog from "./TaskLog.js"
import { isAtLeast } from "./Version.js"

export interface TaskInstance {
  readonly run: Runs.RunFacts
  readonly task: Runs.TaskRun
}

export const evaluate = (airflow: Airflow, run: Runs.RunFacts): Runs.Run => {
  const { deployment, now, world } = airflow
  const phases = phasesOf(world, deployment)
  const whenUnpaused = DagBag.unpausedFrom(airflow, run.dagId)
  const whenPool = (from: number) =>
    deployment.metadata.poolGaps.find((gap) => gap.from <= from && from < gap.to)?.to ?? from
  // Tasks start only while the scheduler runs, the DAG is not paused and there is a pool. When one of these comes true,
  // another one may have become false, hence the recursion.
  const earliestStart = (from: number): number => {
    const at = whenPool(whenUnpaused(Lifecycle.schedulerUp(phases, from)))
    return at === Infinity || at === from ? at : earliestStart(at)
  }
  return Runs.evaluate(run, {
    now,
    speed: world.speed,
    latency: world.timings.schedule,
    earliestStart,
    stoppedAt: phases.flatMap((phase) => phase.status === "HIBERNATING" ? [phase.from] : [])
  })
}

/** In the order in which they were triggered. `~` means all DAGs. */
export const list = ({ deployment }: Airflow, dagId = "~"): ReadonlyArray<Runs.RunFacts> =>
  deployment.metadata.runs.filter((run) => dagId === "~" || run.dagId === dagId)

export const get = (airflow: Airflow, dagId: string, runId: string): Runs.RunFacts | undefined =>
  list(airflow, dagId).find((run) => run.runId === runId)

export const instances = (airflow: Airflow, run: Runs.RunFacts): ReadonlyArray<TaskInstance> =>
  evaluate(airflow, run).tasks.map((task) => ({ run, task }))

/** The task instances that match every filter. A filter that is not a list matches everything. */
export const listBatch = (
  airflow: Airflow,
  filters: { readonly dagIds: unknown; readonly runIds: unknown; readonly taskIds: unknown; readonly states: unknown }
): ReadonlyArray<TaskInstance> => {
  const matches = (filter: unknown, value: string | null) => !Array.isArray(filter) || filter.includes(value)
  return list(airflow)
    .filter((run) => matches(filters.dagIds, run.dagId) && matches(filters.runIds, run.runId))
    .flatMap((run) => instances(airflow, run))
    .filter(({ task }) => matches(filters.taskIds, task.spec.taskId) && matches(filters.states, task.state))
}

/** The field in which a new run would conflict with an existing one. */
export const conflict = (
  airflow: Airflow,
  dagId: string,
  runId: string,
  logicalDate: number | null
): "runId" | "logicalDate" | undefined => {
  if (get(airflow, dagId, runId) !== undefined) return "runId"
  const isTaken = logicalDate !== null && list(airflow, dagId).some((run) => run.logicalDate === logicalDate)
  return isTaken ? "logicalDate" : undefined
}

export const trigger = (
  airflow: Airflow,
  dag: DagBag.Dag,
  fields: Pick<Runs.RunFacts, "runId" | "queuedAt" | "runAfter" | "logicalDate" | "interval" | "conf" | "note">
): Runs.RunFacts => {
  const run: Runs.RunFacts = {
    ...fields,
    dagId: dag.dagId,
    spec: isAtLeast(airflow.version, "3.0") && !isAtLeast(airflow.version, "3.1") ? withoutSlashes(dag.spec) : dag.spec,
    versionNumber: dag.versions.length,
    executions: [Runs.execution(airflow.now)],
    deletedInstances: new Set()
  }
  airflow.deployment.metadata.runs.push(run)
  return run
}

/** In Airflow 3.0 a task that pushes an XCom key with a slash fails, because there is no route to that key. */
const withoutSlashes = (spec: DagSpec): DagSpec => ({
  ...spec,
  tasks: spec.tasks.map((task) => {
    const keys = Runs.indicesOf(task).flatMap((index) => Object.keys(TaskLog.outputOf(task, index).xcom ?? {}))
    if (!keys.some((key) => key.includes("/"))) return task
    return { ...task, outcome: "failed", error: { type: "AirflowRuntimeError", value: "API_SERVER_ERROR: 404" } }
  })
})

/** Setting a run to queued is not recorded: its tasks have ended, so that the scheduler ends it again at once. */
export const setState = (airflow: Airflow, run: Runs.RunFacts, state: "queued" | "success" | "failed") => {
  const execution = run.executions.filter(({ isIdle }) => !isIdle).at(-1)
  if (execution !== undefined && state !== "queued") execution.forced = { at: airflow.now, state }
}

/** Clears these tasks, or all of them. Without `resetsRun`, a run that has ended does not run again. */
export const clear = (
  airflow: Airflow,
  run: Runs.RunFacts,
  taskIds: ReadonlyArray<string> | null,
  resetsRun = true
) => {
  const isActive = ["queued", "running"].includes(evaluate(airflow, run).state)
  run.executions.push(Runs.execution(airflow.now, taskIds, !resetsRun && !isActive))
}

/**
 * The task instances that clearing resets. With `onlyFailed`, only those that failed or that an upstream failure
 * stopped.
 */
export const clearable = (
  airflow: Airflow,
  run: Runs.RunFacts,
  taskIds: ReadonlyArray<string> | null,
  onlyFailed: boolean
): ReadonlyArray<TaskInstance> =>
  instances(airflow, run).filter(({ task }) =>
    (taskIds === null || taskIds.includes(task.spec.taskId)) &&
    (!onlyFailed || task.state === "failed" || task.state === "upstream_failed")
  )

/** These tasks and, if asked for, everything downstream or upstream of them. */
export const closure = (
  run: Runs.RunFacts,
  taskIds: ReadonlyArray<string>,
  { downstream, upstream }: { readonly downstream: boolean; readonly upstream: boolean }
): ReadonlyArray<string> => {
  const reached = new Set(taskIds)
  const grow = (next: (task: Runs.RunFacts["spec"]["tasks"][number]) => ReadonlyArray<string>): void => {
    const before = reached.size
    for (const task of run.spec.tasks) for (const id of next(task)) reached.add(id)
    if (reached.size > before) grow(next)
  }
  if (downstream) grow((task) => task.upstream?.some((id) => reached.has(id)) === true ? [task.taskId] : [])
  if (upstream) grow((task) => reached.has(task.taskId) ? task.upstream ?? [] : [])
  return [...reached]
}

/** The number of tasks downstream of it, itself included. */
export const priorityWeight = (run: Runs.RunFacts, { spec }: Runs.TaskRun): number =>
  closure(run, [spec.taskId], { downstream: true, upstream: false }).length

/** Deletes a run and its task instances. Their logs stay. */
export const deleteRun = (airflow: Airflow, run: Runs.RunFacts) => {
  const { metadata } = airflow.deployment
  for (const { task } of instances(airflow, run)) {
    for (const attempt of task.attempts) {
      const file = TaskLog.fileOf(run, task, attempt.number)
      const left = metadata.logFiles.get(file) ?? []
      metadata.logFiles.set(file, [...left, ...TaskLog.entries(task, attempt, airflow.now)])
    }
  }
  metadata.runs = metadata.runs.filter((other) => other !== run)
  metadata.xcoms = metadata.xcoms.filter((xcom) => xcom.dagId !== run.dagId || xcom.runId !== run.runId)
}

/** Deletes a DAG and its runs. Returns `false`, and deletes nothing, while one of its tasks is running. */
export const deleteDag = (airflow: Airflow, dagId: string): boolean => {
  const runs = list(airflow, dagId)
  if (runs.some((run) => evaluate(airflow, run).tasks.some((task) => task.state === "running"))) return false
  for (const run of runs) deleteRun(airflow, run)
  const { metadata } = airflow.deployment
  metadata.pauses.delete(dagId)
  metadata.deletedDags.push({ dagId, at: airflow.now })
  return true
}

/** The content of the attempt's log file, which starts with what deleted runs with the same id have left in it. */
export const logOf = (airflow: Airflow, { run, task }: TaskInstance, attempt: number): ReadonlyArray<TaskLog.Entry> => {
  const found = task.attempts.find(({ number }) => number === attempt)
  const left = airflow.deployment.metadata.logFiles.get(TaskLog.fileOf(run, task, attempt)) ?? []
  return [...left, ...found === undefined ? [] : TaskLog.entries(task, found, airflow.now)]
}

/** The number of running tasks in a pool. All tasks use the default pool. */
export const countRunning = (airflow: Airflow, pool: string): number =>
  pool === "default_pool"
    ? list(airflow).flatMap((run) => evaluate(airflow, run).tasks).filter((task) => task.state === "running").length
    : 0
