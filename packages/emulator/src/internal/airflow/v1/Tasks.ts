/** Task instances, their logs and XComs in Airflow 2. */
import { Halt, type Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import type { XCom } from "../Metadata.js"
import * as Python from "../Python.js"
import * as Runs from "../Runs.js"
import * as RunTable from "../RunTable.js"
import * as Times from "../Times.js"
import * as XComs from "../XComs.js"
import { checkFields, objectBody } from "./Body.js"
import { page } from "./Lists.js"
import * as Log from "./Log.js"
import { badRequest, crashPage, ok, problem } from "./Responses.js"

const time = (millis: number | null) => millis === null ? null : Times.offset(Times.micros(millis))

/** The fields that a task instance and each of its tries have. */
const tryJson = (
  { run, task }: RunTable.TaskInstance,
  attempt: Pick<Runs.TaskRun, "startedAt" | "endedAt" | "state" | "tryNumber">
) => ({
  dag_id: run.dagId,
  dag_run_id: run.runId,
  duration: attempt.startedAt === null || attempt.endedAt === null
    ? null
    : (attempt.endedAt - attempt.startedAt) / 1000,
  end_date: time(attempt.endedAt),
  executor: null,
  executor_config: "{}",
  hostname: attempt.tryNumber === 0 ? "" : "airflow-host",
  map_index: task.mapIndex,
  max_tries: task.maxTries,
  operator: "_PythonDecoratedOperator",
  pid: attempt.tryNumber === 0 ? null : 4242,
  pool: "default_pool",
  pool_slots: 1,
  priority_weight: RunTable.priorityWeight(run, task),
  queue: "default",
  queued_when: attempt.tryNumber === 0 ? null : time(attempt.startedAt),
  start_date: time(attempt.startedAt),
  state: attempt.state,
  task_display_name: task.spec.taskId,
  task_id: task.spec.taskId,
  try_number: attempt.tryNumber,
  unixname: "astro"
})

const toJson = (instance: RunTable.TaskInstance) => ({
  ...tryJson(instance, instance.task),
  execution_date: Times.offset(instance.run.logicalDate ?? instance.run.runAfter),
  note: null,
  rendered_fields: instance.task.tryNumber === 0 ? {} : { op_args: [], op_kwargs: {}, templates_dict: null },
  rendered_map_index: null,
  sla_miss: null,
  trigger: null,
  triggerer_job: null
})

/** No instances if the run does not exist. `~` means all runs. */
const instancesOf = (call: Call, dagId: string, runId: string): ReadonlyArray<RunTable.TaskInstance> =>
  RunTable.list(call, dagId).filter((run) => runId === "~" || run.runId === runId)
    .flatMap((run) => RunTable.instances(call, run))

const ofTask = (call: Call, dagId: string, runId: string, taskId: string) =>
  instancesOf(call, dagId, runId).filter(({ task }) => task.spec.taskId === taskId)

const withIndex = (instances: ReadonlyArray<RunTable.TaskInstance>, mapIndex: string) =>
  instances.find(({ task }) => String(task.mapIndex) === mapIndex)

export const list = (call: Call, dagId: string, runId: string): Response => {
  const states = call.request.query.getAll("state").flatMap((state) => state.split(","))
  if (states.some((state) => state !== "none" && !Runs.taskStates.includes(state))) return crashPage()
  const tasks = instancesOf(call, dagId, runId).filter(({ task }) =>
    states.length === 0 || states.includes(task.state ?? "none")
  )
  return page(call, "task_instances", tasks, toJson, Infinity)
}

/** The filters by time, duration, pool and queue are not emulated: they are refused as unknown fields. */
export const listBatch = (call: Call): Response => {
  const body = objectBody(call)
  checkFields(call, body, ["dag_ids", "dag_run_ids", "task_ids", "state", "page_limit", "page_offset"])
  const { dag_ids: dagIds, dag_run_ids: runIds, state: states, task_ids: taskIds } = body
  const found = RunTable.listBatch(call, { dagIds, runIds, taskIds, states })
  const offset = Number(body.page_offset ?? 0)
  return ok({
    task_instances: found.slice(offset, offset + Number(body.page_limit ?? 100)).map(toJson),
    total_entries: found.length
  })
}

export const get = (call: Call, dagId: string, runId: string, taskId: string, mapIndex = "-1"): Response => {
  const instances = ofTask(call, dagId, runId, taskId)
  const found = withIndex(instances, mapIndex)
  if (found !== undefined) return ok(toJson(found))
  const isMapped = mapIndex === "-1" && instances.length > 0
  const detail = isMapped ? "Task instance is mapped, add the map_index value to the URL" : null
  return problem(call, 404, "Task instance not found", detail)
}

export const listMapped = (call: Call, dagId: string, runId: string, taskId: string): Response => {
  const instances = ofTask(call, dagId, runId, taskId)
  if (instances.length === 0) return problem(call, 404, `Task id ${taskId} not found`, null)
  if (instances.some(({ task }) => task.mapIndex === -1)) {
    return problem(call, 404, `Task id ${taskId} is not mapped`, null)
  }
  return page(call, "task_instances", instances, toJson, Infinity)
}

export const listTries = (call: Call, dagId: string, runId: string, taskId: string, mapIndex = "-1"): Response => {
  const found = withIndex(ofTask(call, dagId, runId, taskId), mapIndex)
  const all = found === undefined ? [] : [
    ...found.task.attempts.filter((attempt) => attempt.number < found.task.tryNumber).map((attempt) =>
      tryJson(found, { ...attempt, tryNumber: attempt.number })
    ),
    tryJson(found, found.task)
  ]
  return ok({ task_instances: all, total_entries: all.length })
}

export const getLog = (call: Call, dagId: string, runId: string, taskId: string, attempt: string): Response => {
  const mapIndex = call.request.query.get("map_index") ?? "-1"
  const found = withIndex(ofTask(call, dagId, runId, taskId), mapIndex)
  return !/^\d+$/.test(attempt) || found === undefined
    ? problem(call, 404, "TaskInstance not found", null)
    : Log.get(call, found, Number(attempt))
}

const xcomJson = ({ run }: RunTable.TaskInstance, xcom: XCom) => ({
  dag_id: xcom.dagId,
  execution_date: Times.offset(run.logicalDate ?? run.runAfter),
  key: xcom.key,
  map_index: xcom.mapIndex,
  task_id: xcom.taskId,
  timestamp: Times.offset(Times.micros(xcom.at))
})

export const listXComs = (call: Call, dagId: string, runId: string, taskId: string): Response => {
  const mapIndex = call.request.query.get("map_index")
  const key = call.request.query.get("xcom_key")
  const found = ofTask(call, dagId, runId, taskId)
    .filter(({ task }) => mapIndex === null || String(task.mapIndex) === mapIndex)
    .flatMap((instance) => XComs.list(call, instance).map((xcom) => ({ instance, xcom })))
    .filter(({ xcom }) => key === null || xcom.key === key)
  return page(call, "xcom_entries", found, ({ instance, xcom }) => xcomJson(instance, xcom))
}

export const getXCom = (call: Call, dagId: string, runId: string, taskId: string, key: string): Response => {
  const { query } = call.request
  if (query.get("deserialize") === "true") {
    throw new Halt(badRequest(call, "XCom deserialization is disabled in configuration."))
  }
  const instance = withIndex(ofTask(call, dagId, runId, taskId), query.get("map_index") ?? "-1")
  const xcom = instance === undefined ? undefined : XComs.get(call, instance, key)
  if (instance === undefined || xcom === undefined) return problem(call, 404, "XCom entry not found", null)
  const value = query.get("stringify") === "false" ? xcom.value : Python.str(xcom.value)
  return ok({ ...xcomJson(instance, xcom), value })
}
