/** The runs of one deployment's Airflow, and what may be done to them. */
import type { DagSpec } from "../../Dags.js"
import * as Power from "../../Power.js"
import { phasesOf } from "../World.js"
import * as DagBag from "./DagBag.js"
import * as Runs from "./Runs.js"
import type { Site } from "./Site.js"
import * as TaskLog from "./TaskLog.js"
import { isAtLeast } from "./Version.js"

export interface Instance {
  readonly run: Runs.RunFacts
  readonly task: Runs.TaskRun
}

export const evaluate = (site: Site, run: Runs.RunFacts): Runs.Run => {
  const { deployment, now, world } = site
  const phases = phasesOf(world, deployment)
  const unpaused = DagBag.unpausedFrom(site, run.dagId)
  const hasPool = (from: number) =>
    deployment.airflow.poolGaps.find((gap) => gap.from <= from && from < gap.to)?.to ?? from
  // tasks start while the scheduler is up, the DAG is not paused and there is a pool; each may be true again only
  // after the others
  const opens = (from: number): number => {
    const at = hasPool(unpaused(Power.schedulerUp(phases, from)))
    return at === Infinity || at === from ? at : opens(at)
  }
  return Runs.evaluate(run, {
    now,
    speed: world.speed,
    latency: world.timings.schedule,
    opens,
    stops: phases.flatMap((phase) => phase.status === "HIBERNATING" ? [phase.from] : [])
  })
}

/** In the order in which they were triggered; `~` stands for every DAG. */
export const list = ({ deployment }: Site, dagId = "~"): ReadonlyArray<Runs.RunFacts> =>
  deployment.airflow.runs.filter((run) => dagId === "~" || run.dagId === dagId)

export const find = (site: Site, dagId: string, runId: string): Runs.RunFacts | undefined =>
  list(site, dagId).find((run) => run.runId === runId)

export const instances = (site: Site, run: Runs.RunFacts): ReadonlyArray<Instance> =>
  evaluate(site, run).tasks.map((task) => ({ run, task }))

/** Those of all runs that a batch asks for; what is no list asks for everything. */
export const batch = (
  site: Site,
  asked: { readonly dagIds: unknown; readonly runIds: unknown; readonly taskIds: unknown; readonly states: unknown }
): ReadonlyArray<Instance> => {
  const isAsked = (list: unknown, value: string | null) => !Array.isArray(list) || list.includes(value)
  return list(site)
    .filter((run) => isAsked(asked.dagIds, run.dagId) && isAsked(asked.runIds, run.runId))
    .flatMap((run) => instances(site, run))
    .filter(({ task }) => isAsked(asked.taskIds, task.task.taskId) && isAsked(asked.states, task.state))
}

/** What stands in the way of a new run. */
export const conflict = (
  site: Site,
  dagId: string,
  runId: string,
  logicalDate: number | null
): "runId" | "logicalDate" | undefined => {
  if (find(site, dagId, runId) !== undefined) return "runId"
  const isTaken = logicalDate !== null && list(site, dagId).some((run) => run.logicalDate === logicalDate)
  return isTaken ? "logicalDate" : undefined
}

export const trigger = (
  site: Site,
  dag: DagBag.Dag,
  asked: Pick<Runs.RunFacts, "runId" | "queuedAt" | "runAfter" | "logicalDate" | "interval" | "conf" | "note">
): Runs.RunFacts => {
  const run: Runs.RunFacts = {
    ...asked,
    dagId: dag.dagId,
    spec: isAtLeast(site.version, "3.0") && !isAtLeast(site.version, "3.1") ? withoutSlashes(dag.spec) : dag.spec,
    versionNumber: dag.versions.length,
    lives: [Runs.begin(site.now)],
    removed: new Set()
  }
  site.deployment.airflow.runs.push(run)
  return run
}

/** On 3.0 a task that pushes a key with a slash fails: there is no route to it. */
const withoutSlashes = (spec: DagSpec): DagSpec => ({
  ...spec,
  tasks: spec.tasks.map((task) => {
    const keys = Runs.indicesOf(task).flatMap((index) => Object.keys(TaskLog.instanceOf(task, index).xcom ?? {}))
    if (!keys.some((key) => key.includes("/"))) return task
    return { ...task, outcome: "failed", error: { type: "AirflowRuntimeError", value: "API_SERVER_ERROR: 404" } }
  })
})

/** A queued run whose tasks are done is closed again by the scheduler, so there is nothing to remember then. */
export const setState = (site: Site, run: Runs.RunFacts, state: "queued" | "success" | "failed") => {
  const life = run.lives.filter(({ isIdle }) => !isIdle).at(-1)
  if (life !== undefined && state !== "queued") life.forced = { at: site.now, state }
}

export const clear = (
  site: Site,
  run: Runs.RunFacts,
  taskIds: ReadonlyArray<string> | null,
  resetsRun = true
) => {
  const isActive = ["queued", "running"].includes(evaluate(site, run).state)
  run.lives.push(Runs.begin(site.now, taskIds, !resetsRun && !isActive))
}

/** Those that would be cleared: with `only_failed` what failed or could not run for it. */
export const clearable = (
  site: Site,
  run: Runs.RunFacts,
  taskIds: ReadonlyArray<string> | null,
  onlyFailed: boolean
): ReadonlyArray<Instance> =>
  instances(site, run).filter(({ task }) =>
    (taskIds === null || taskIds.includes(task.task.taskId)) &&
    (!onlyFailed || task.state === "failed" || task.state === "upstream_failed")
  )

/** These tasks and all that come after them, or before them. */
export const closure = (
  run: Runs.RunFacts,
  taskIds: ReadonlyArray<string>,
  { downstream, upstream }: { readonly downstream: boolean; readonly upstream: boolean }
): ReadonlyArray<string> => {
  const found = new Set(taskIds)
  const grow = (next: (task: Runs.RunFacts["spec"]["tasks"][number]) => ReadonlyArray<string>): void => {
    const before = found.size
    for (const task of run.spec.tasks) for (const id of next(task)) found.add(id)
    if (found.size > before) grow(next)
  }
  if (downstream) grow((task) => task.upstream?.some((id) => found.has(id)) === true ? [task.taskId] : [])
  if (upstream) grow((task) => found.has(task.taskId) ? task.upstream ?? [] : [])
  return [...found]
}

/** How many tasks depend on it, itself included. */
export const weight = (run: Runs.RunFacts, { task }: Runs.TaskRun): number =>
  closure(run, [task.taskId], { downstream: true, upstream: false }).length

/** Its tasks are gone with it, and their logs stay. */
export const remove = (site: Site, run: Runs.RunFacts) => {
  const { airflow } = site.deployment
  for (const { task } of instances(site, run)) {
    for (const attempt of task.attempts) {
      const file = TaskLog.fileOf(run, task, attempt.number)
      airflow.logFiles.set(file, [...airflow.logFiles.get(file) ?? [], ...TaskLog.entries(task, attempt, site.now)])
    }
  }
  airflow.runs = airflow.runs.filter((other) => other !== run)
  airflow.xcoms = airflow.xcoms.filter((xcom) => xcom.dagId !== run.dagId || xcom.runId !== run.runId)
}

/** With all its runs; `false` while one of its tasks is running. */
export const removeDag = (site: Site, dagId: string): boolean => {
  const runs = list(site, dagId)
  if (runs.some((run) => evaluate(site, run).tasks.some((task) => task.state === "running"))) return false
  for (const run of runs) remove(site, run)
  const { airflow } = site.deployment
  airflow.pauses.delete(dagId)
  airflow.deletedDags.push({ dagId, at: site.now })
  return true
}

/** What the file of this attempt holds, what a deleted run of the same id left in it first. */
export const logOf = (site: Site, { run, task }: Instance, attempt: number): ReadonlyArray<TaskLog.Entry> => {
  const found = task.attempts.find(({ number }) => number === attempt)
  const left = site.deployment.airflow.logFiles.get(TaskLog.fileOf(run, task, attempt)) ?? []
  return [...left, ...found === undefined ? [] : TaskLog.entries(task, found, site.now)]
}

/** How many tasks of a pool are running. */
export const running = (site: Site, pool: string): number =>
  pool === "default_pool"
    ? list(site).flatMap((run) => evaluate(site, run).tasks).filter((task) => task.state === "running").length
    : 0
