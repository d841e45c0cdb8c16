/** Task instances and XComs in Airflow 3. */
import type { Json, Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as DagBag from "../DagBag.js"
import type { XCom } from "../Metadata.js"
import * as Python from "../Python.js"
import * as Runs from "../Runs.js"
import * as RunTable from "../RunTable.js"
import * as Times from "../Times.js"
import { isAtLeast } from "../Version.js"
import * as XComs from "../XComs.js"
import * as Body from "./Body.js"
import * as Dags from "./Dags.js"
import * as Lists from "./Lists.js"
import * as Log from "./Log.js"
import * as Responses from "./Responses.js"
import * as V2Runs from "./Runs.js"

/** A task instance or one of its tries. */
type Try = Pick<Runs.TaskRun, "startedAt" | "endedAt" | "state" | "tryNumber">

const time = (millis: number | null) => millis === null ? null : Times.zulu(Times.micros(millis))

/** The fields that a task instance and each of its tries have. */
const tryFields = (call: Call, { run, task }: RunTable.TaskInstance, attempt: Try): Json => ({
  start_date: time(attempt.startedAt),
  end_date: time(attempt.endedAt),
  duration: attempt.startedAt === null || attempt.endedAt === null
    ? null
    : (attempt.endedAt - attempt.startedAt) / 1000,
  state: attempt.state,
  try_number: attempt.tryNumber,
  max_tries: task.maxTries,
  task_display_name: task.spec.taskId,
  ...Responses.since(call, "3.1", { dag_display_name: run.dagId }),
  hostname: attempt.tryNumber === 0 ? "" : "airflow-host",
  unixname: "astro",
  pool: "default_pool",
  pool_slots: 1,
  queue: "default",
  priority_weight: RunTable.priorityWeight(run, task),
  operator: "_PythonDecoratedOperator",
  ...Responses.since(call, "3.1", { operator_name: "@task" }),
  queued_when: attempt.tryNumber === 0 ? null : time(attempt.startedAt),
  scheduled_when: attempt.tryNumber === 0 ? null : time(attempt.startedAt),
  pid: attempt.tryNumber === 0 ? null : 4242,
  executor: null,
  executor_config: "{}"
})

/** Before 3.3, lists leave out the rendered fields. */
const listed = (call: Call, instance: RunTable.TaskInstance): Json =>
  isAtLeast(call.version, "3.3") ? toJson(call, instance) : { ...toJson(call, instance), rendered_fields: {} }

const toJson = (call: Call, instance: RunTable.TaskInstance): Json => {
  const { run, task } = instance
  return {
    id: Log.instanceId(call, instance, task.tryNumber),
    task_id: task.spec.taskId,
    dag_id: run.dagId,
    dag_run_id: run.runId,
    map_index: task.mapIndex,
    logical_date: run.logicalDate === null ? null : Times.zulu(run.logicalDate),
    run_after: Times.zulu(run.runAfter),
    ...tryFields(call, instance, task),
    note: null,
    rendered_map_index: task.mapIndex < 0 ? null : String(task.mapIndex),
    rendered_fields: task.tryNumber === 0 ? {} : { templates_dict: null, op_args: [], op_kwargs: {} },
    trigger: null,
    triggerer_job: null,
    dag_version: V2Runs.versionOf(call, run)
  }
}

const tryJson = (call: Call, instance: RunTable.TaskInstance, attempt: Try): Json => ({
  task_id: instance.task.spec.taskId,
  dag_id: instance.run.dagId,
  dag_run_id: instance.run.runId,
  map_index: instance.task.mapIndex,
  ...tryFields(call, instance, attempt),
  dag_version: V2Runs.versionOf(call, instance.run)
})

/** All of these instances, without paging. */
export const collection = (call: Call, instances: ReadonlyArray<RunTable.TaskInstance>): Json => ({
  task_instances: instances.map((instance) => listed(call, instance)),
  total_entries: instances.length
})

const orderFields = {
  id: "id",
  state: "state",
  start_date: "start_date",
  end_date: "end_date",
  duration: "duration",
  map_index: "map_index",
  try_number: "try_number",
  logical_date: "logical_date",
  run_after: "run_after",
  data_interval_start: "logical_date",
  data_interval_end: "logical_date",
  rendered_map_index: "rendered_map_index",
  operator: "operator"
}

/** The states in the query. A task without a state matches both `none` and `no_status`. */
const wantedStates = (call: Call): ReadonlyArray<string> => {
  const states = call.request.query.getAll("state").map((name) => name === "no_status" ? "none" : name)
  if (states.every((name) => name === "none" || Runs.taskStates.includes(name))) return states
  const known = isAtLeast(call.version, "3.3") ? [...Runs.taskStates, "awaiting_input"] : Runs.taskStates
  return Responses.halt(422, `Invalid value for state. Valid values are ${known.join(", ")}`)
}

const paged = (call: Call, instances: ReadonlyArray<RunTable.TaskInstance>): Response => {
  const { query } = call.request
  const matches = (name: string, value: unknown) => !query.has(name) || query.getAll(name).includes(String(value))
  const states = wantedStates(call)
  const found = instances
    .map((instance) => listed(call, instance))
    .filter((task) =>
      (states.length === 0 || states.includes(String(task.state ?? "none"))) && matches("task_id", task.task_id) &&
      matches("map_index", task.map_index) &&
      matches("try_number", task.try_number) && matches("pool", task.pool)
    )
  const orderBy = query.getAll("order_by")
  const sorted = Lists.ordered(found, orderBy.length === 0 ? ["map_index"] : orderBy, orderFields)
  return Responses.ok({
    task_instances: Lists.slice(call, sorted),
    total_entries: found.length,
    ...Lists.cursors(call)
  })
}

export const list = (call: Call, dagId: string, runId: string): Response =>
  paged(call, V2Runs.selectRuns(call, dagId, runId).flatMap((run) => RunTable.instances(call, run)))

const batchFields = {
  dag_ids: Body.orNull(Body.list),
  dag_run_ids: Body.orNull(Body.list),
  task_ids: Body.orNull(Body.list),
  state: Body.orNull(Body.list),
  page_limit: Body.integer,
  page_offset: Body.integer
}

/** The order and the filters by time, duration, pool and queue are not emulated: they are refused as unknown fields. */
export const listBatch = (call: Call): Response => {
  const body = Body.read(call, batchFields)
  const { dag_ids: dagIds, dag_run_ids: runIds, state: states, task_ids: taskIds } = body
  const found = RunTable.listBatch(call, { dagIds, runIds, taskIds, states })
  const offset = Number(body.page_offset ?? 0)
  return Responses.ok({
    task_instances: found.slice(offset, offset + Number(body.page_limit ?? 100)).map((one) => listed(call, one)),
    total_entries: found.length,
    ...Lists.cursors(call)
  })
}

const ofTask = (call: Call, dagId: string, runId: string, taskId: string): ReadonlyArray<RunTable.TaskInstance> => {
  const run = RunTable.get(call, dagId, runId)
  return run === undefined ? [] : RunTable.instances(call, run).filter(({ task }) => task.spec.taskId === taskId)
}

const withIndex = (instances: ReadonlyArray<RunTable.TaskInstance>, mapIndex: string) =>
  instances.find(({ task }) => String(task.mapIndex) === mapIndex)

const requireInstance = (
  call: Call,
  dagId: string,
  runId: string,
  taskId: string,
  mapIndex: string
): RunTable.TaskInstance => {
  const instances = ofTask(call, dagId, runId, taskId)
  const found = withIndex(instances, mapIndex)
  if (found !== undefined) return found
  if (mapIndex !== "-1") {
    const where = `dag_id: \`${dagId}\`, run_id: \`${runId}\`, task_id: \`${taskId}\`, and map_index: \`${mapIndex}\``
    return Responses.halt(404, `The Mapped Task Instance with ${where} was not found`)
  }
  return Responses.halt(
    404,
    instances.length > 0
      ? "Task instance is mapped, add the map_index value to the URL"
      : `The Task Instance with dag_id: \`${dagId}\`, run_id: \`${runId}\` and task_id: \`${taskId}\` was not found`
  )
}

export const get = (call: Call, dagId: string, runId: string, taskId: string, mapIndex = "-1"): Response =>
  Responses.ok(toJson(call, requireInstance(call, dagId, runId, taskId, mapIndex)))

export const listMapped = (call: Call, dagId: string, runId: string, taskId: string): Response => {
  const instances = ofTask(call, dagId, runId, taskId)
  if (instances.length === 0) return Responses.failure(404, `Task id ${taskId} not found`)
  return instances.some(({ task }) => task.mapIndex === -1)
    ? Responses.failure(404, `Task id ${taskId} is not mapped`)
    : paged(call, instances)
}

const haltNotFound = (where: string): never => Responses.halt(404, `The Task Instance with ${where} was not found`)

export const listTries = (call: Call, dagId: string, runId: string, taskId: string, mapIndex = "-1"): Response => {
  const found = withIndex(ofTask(call, dagId, runId, taskId), mapIndex)
  if (found === undefined) {
    return haltNotFound(
      `dag_id: \`${dagId}\`, run_id: \`${runId}\`, task_id: \`${taskId}\` and map_index: \`${mapIndex}\``
    )
  }
  const earlier = found.task.attempts.filter((attempt) => attempt.number < found.task.tryNumber)
  const all = [
    ...earlier.map((attempt) => tryJson(call, found, { ...attempt, tryNumber: attempt.number })),
    tryJson(call, found, found.task)
  ]
  return Responses.ok({ task_instances: all, total_entries: all.length })
}

export const deleteInstance = (call: Call, dagId: string, runId: string, taskId: string): Response => {
  const mapIndex = call.request.query.get("map_index") ?? "-1"
  const { run, task } = withIndex(ofTask(call, dagId, runId, taskId), mapIndex) ?? haltNotFound(
    `dag_id: \`${dagId}\`, run_id: \`${runId}\`, task_id: \`${taskId}\` and map_index: \`${mapIndex}\``
  )
  run.deletedInstances.add(Runs.instanceKey(taskId, task.mapIndex))
  return Responses.ok(null)
}

export const getLog = (call: Call, dagId: string, runId: string, taskId: string, attempt: string): Response => {
  const found = withIndex(ofTask(call, dagId, runId, taskId), call.request.query.get("map_index") ?? "-1")
  const number = Number(attempt)
  const isTry = found !== undefined &&
    (found.task.tryNumber === number || found.task.attempts.some((other) => other.number === number))
  return isTry ? Log.get(call, found, number) : Responses.failure(404, "TaskInstance not found")
}

const clearFields = (call: Call) => ({
  dry_run: Body.boolean,
  start_date: Body.orNull(Body.date),
  end_date: Body.orNull(Body.date),
  only_failed: Body.boolean,
  only_running: Body.boolean,
  reset_dag_runs: Body.boolean,
  task_ids: Body.orNull(Body.list),
  dag_run_id: Body.orNull(Body.text),
  include_upstream: Body.boolean,
  include_downstream: Body.boolean,
  include_future: Body.boolean,
  include_past: Body.boolean,
  ...isAtLeast(call.version, "3.1") ? { run_on_latest_version: Body.boolean } : {}
})

/** In one run, or in all runs of the DAG. */
export const clear = (call: Call, dagId: string): Response => {
  const body = Body.read(call, clearFields(call))
  if (isAtLeast(call.version, "3.1")) Dags.requireParentDag(call, dagId)
  else if (DagBag.get(call, dagId) === undefined) Responses.halt(404, `DAG ${dagId} not found`)
  const wantedId = body.dag_run_id
  const runs = RunTable.list(call, dagId).filter(({ runId }) => typeof wantedId !== "string" || runId === wantedId)
  if (typeof wantedId === "string" && runs.length === 0) {
    return Responses.failure(404, `Dag Run id ${wantedId} not found in dag ${dagId}`)
  }
  // a task may be named with a map index; the emulator clears all its instances nevertheless
  const names = Array.isArray(body.task_ids)
    ? body.task_ids.map((name) => String(Array.isArray(name) ? name[0] : name))
    : null
  const cleared = runs.flatMap((run) => {
    const ids = names === null ? null : RunTable.closure(run, names, {
      downstream: body.include_downstream === true,
      upstream: body.include_upstream === true
    })
    const found = RunTable.clearable(call, run, ids, body.only_failed !== false)
    if (found.length === 0 || body.dry_run !== false) return found
    const taskIds = found.map(({ task }) => task.spec.taskId)
    RunTable.clear(call, run, taskIds, body.reset_dag_runs !== false)
    return RunTable.instances(call, run).filter(({ task }) => taskIds.includes(task.spec.taskId))
  })
  return Responses.ok({ ...collection(call, cleared), ...Lists.cursors(call) })
}

const xcomJson = (call: Call, run: Runs.RunFacts, xcom: XCom): Json => ({
  key: xcom.key,
  timestamp: time(xcom.at),
  logical_date: run.logicalDate === null ? null : Times.zulu(run.logicalDate),
  map_index: xcom.mapIndex,
  task_id: xcom.taskId,
  dag_id: xcom.dagId,
  run_id: xcom.runId,
  ...Responses.since(call, "3.1", {
    dag_display_name: xcom.dagId,
    task_display_name: xcom.taskId,
    run_after: Times.zulu(run.runAfter)
  })
})

export const listXComs = (call: Call, dagId: string, runId: string, taskId: string): Response => {
  const mapIndex = call.request.query.get("map_index")
  const key = call.request.query.get("xcom_key")
  const found = ofTask(call, dagId, runId, taskId)
    .filter(({ task }) => mapIndex === null || String(task.mapIndex) === mapIndex)
    .flatMap((instance) => XComs.list(call, instance).map((xcom) => xcomJson(call, instance.run, xcom)))
    .filter((xcom) => key === null || xcom.key === key)
  return Lists.page(call, "xcom_entries", found, (xcom) => xcom)
}

type XComHandler = (call: Call, dagId: string, runId: string, taskId: string, key: string) => Response

/** 3.0 has no route to a key with a slash. */
export const withoutSlash = (handle: XComHandler): XComHandler => (call, dagId, runId, taskId, key) =>
  key.includes("/") && !isAtLeast(call.version, "3.1") ? Responses.noRoute() : handle(call, dagId, runId, taskId, key)

export const getXCom: XComHandler = (call, dagId, runId, taskId, key) => {
  const { query } = call.request
  if (query.get("deserialize") === "true" && !isAtLeast(call.version, "3.1")) {
    return Responses.failure(400, "XCom deserialization is disabled in configuration.")
  }
  const instance = withIndex(ofTask(call, dagId, runId, taskId), query.get("map_index") ?? "-1")
  const xcom = instance === undefined ? undefined : XComs.get(call, instance, key)
  if (instance === undefined || xcom === undefined) {
    return Responses.failure(404, `XCom entry with key: \`${key}\` not found`)
  }
  const value = query.get("stringify") === "true" ? Python.str(xcom.value) : xcom.value
  return Responses.ok({ ...xcomJson(call, instance.run, xcom), value })
}

export const postXCom = (call: Call, dagId: string, runId: string, taskId: string): Response => {
  const body = Body.read(call, {
    key: Body.required(Body.text),
    value: Body.required(Body.anything),
    map_index: Body.integer
  })
  const dag = DagBag.get(call, dagId) ?? Responses.halt(404, `Dag with ID: \`${dagId}\` was not found`)
  const instance = withIndex(ofTask(call, dag.dagId, runId, taskId), String(body.map_index ?? -1)) ??
    Responses.halt(404, `Task with ID: \`${taskId}\` not found in dag: \`${dagId}\``)
  const key = String(body.key)
  if (XComs.get(call, instance, key) !== undefined) {
    return Responses.failure(409, `The XCom with key: \`${key}\` with mentioned task instance already exists.`)
  }
  // before 3.2 the value is stored as a JSON string
  const value = isAtLeast(call.version, "3.2") ? body.value : Python.dumps(body.value)
  return Responses.json(201, writeXCom(call, instance, key, value))
}

/** Writes an XCom and returns it. */
const writeXCom = (call: Call, instance: RunTable.TaskInstance, key: string, value: unknown): Json => {
  XComs.write(call, instance, key, { json: value })
  const xcom = XComs.get(call, instance, key)
  return xcom === undefined ? {} : { ...xcomJson(call, instance.run, xcom), value }
}

/** The task instance that has this XCom. */
const requireXCom = (call: Call, dagId: string, runId: string, taskId: string, key: string, mapIndex: string) => {
  const instance = withIndex(ofTask(call, dagId, runId, taskId), mapIndex)
  return instance !== undefined && XComs.get(call, instance, key) !== undefined
    ? instance
    : Responses.halt(404, `The XCom with key: \`${key}\` with mentioned task instance doesn't exist.`)
}

export const patchXCom: XComHandler = (call, dagId, runId, taskId, key) => {
  const body = Body.read(call, { value: Body.required(Body.anything), map_index: Body.integer })
  const instance = requireXCom(call, dagId, runId, taskId, key, String(body.map_index ?? -1))
  // before 3.2 the value is encoded twice
  const value = isAtLeast(call.version, "3.2") ? body.value : JSON.stringify(Python.dumps(body.value))
  return Responses.ok(writeXCom(call, instance, key, value))
}

export const deleteXCom: XComHandler = (call, dagId, runId, taskId, key) => {
  XComs.write(call, requireXCom(call, dagId, runId, taskId, key, call.request.query.get("map_index") ?? "-1"), key)
  return Responses.deleted()
}
