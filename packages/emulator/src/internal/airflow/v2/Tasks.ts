/** Task instances and XComs in Airflow 3. */
import type { Json, Reply } from "../../Http.js"
import { noContent } from "../../Http.js"
import * as DagBag from "../DagBag.js"
import type { XCom } from "../Metadata.js"
import * as Python from "../Python.js"
import * as Runs from "../Runs.js"
import * as RunTable from "../RunTable.js"
import type { Call } from "../Site.js"
import * as Times from "../Times.js"
import { isAtLeast } from "../Version.js"
import * as XComs from "../XComs.js"
import * as Answers from "./Answers.js"
import * as Dags from "./Dags.js"
import * as Log from "./Log.js"
import * as V2Runs from "./Runs.js"

type Seen = Pick<Runs.TaskRun, "startedAt" | "endedAt" | "state" | "tryNumber">

const time = (millis: number | null) => millis === null ? null : Times.zulu(Times.micros(millis))

const state = (call: Call, { run, task }: RunTable.Instance, seen: Seen): Json => ({
  start_date: time(seen.startedAt),
  end_date: time(seen.endedAt),
  duration: seen.startedAt === null || seen.endedAt === null ? null : (seen.endedAt - seen.startedAt) / 1000,
  state: seen.state,
  try_number: seen.tryNumber,
  max_tries: task.maxTries,
  task_display_name: task.task.taskId,
  ...Answers.from(call, "3.1", { dag_display_name: run.dagId }),
  hostname: seen.tryNumber === 0 ? "" : "airflow-host",
  unixname: "astro",
  pool: "default_pool",
  pool_slots: 1,
  queue: "default",
  priority_weight: RunTable.weight(run, task),
  operator: "_PythonDecoratedOperator",
  ...Answers.from(call, "3.1", { operator_name: "@task" }),
  queued_when: seen.tryNumber === 0 ? null : time(seen.startedAt),
  scheduled_when: seen.tryNumber === 0 ? null : time(seen.startedAt),
  pid: seen.tryNumber === 0 ? null : 4242,
  executor: null,
  executor_config: "{}"
})

/** Lists leave out what was rendered, up to 3.2. */
const listed = (call: Call, instance: RunTable.Instance): Json =>
  isAtLeast(call.version, "3.3") ? toJson(call, instance) : { ...toJson(call, instance), rendered_fields: {} }

const toJson = (call: Call, instance: RunTable.Instance): Json => {
  const { run, task } = instance
  return {
    id: Log.instanceId(call, instance, task.tryNumber),
    task_id: task.task.taskId,
    dag_id: run.dagId,
    dag_run_id: run.runId,
    map_index: task.mapIndex,
    logical_date: run.logicalDate === null ? null : Times.zulu(run.logicalDate),
    run_after: Times.zulu(run.runAfter),
    ...state(call, instance, task),
    note: null,
    rendered_map_index: task.mapIndex < 0 ? null : String(task.mapIndex),
    rendered_fields: task.tryNumber === 0 ? {} : { templates_dict: null, op_args: [], op_kwargs: {} },
    trigger: null,
    triggerer_job: null,
    dag_version: V2Runs.versionOf(call, run)
  }
}

const tryJson = (call: Call, instance: RunTable.Instance, seen: Seen): Json => ({
  task_id: instance.task.task.taskId,
  dag_id: instance.run.dagId,
  dag_run_id: instance.run.runId,
  map_index: instance.task.mapIndex,
  ...state(call, instance, seen),
  dag_version: V2Runs.versionOf(call, instance.run)
})

/** All of them, without paging. */
export const collection = (call: Call, instances: ReadonlyArray<RunTable.Instance>): Json => ({
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

/** A task without a state has two names. */
const askedStates = (call: Call): ReadonlyArray<string> => {
  const asked = call.request.query.getAll("state").map((name) => name === "no_status" ? "none" : name)
  if (asked.every((name) => name === "none" || Runs.taskStates.includes(name))) return asked
  const known = isAtLeast(call.version, "3.3") ? [...Runs.taskStates, "awaiting_input"] : Runs.taskStates
  return Answers.stop(422, `Invalid value for state. Valid values are ${known.join(", ")}`)
}

const paged = (call: Call, instances: ReadonlyArray<RunTable.Instance>): Reply => {
  const { query } = call.request
  const isAny = (name: string, value: unknown) => !query.has(name) || query.getAll(name).includes(String(value))
  const asked = askedStates(call)
  const found = instances
    .map((instance) => listed(call, instance))
    .filter((task) =>
      (asked.length === 0 || asked.includes(String(task.state ?? "none"))) && isAny("task_id", task.task_id) &&
      isAny("map_index", task.map_index) &&
      isAny("try_number", task.try_number) && isAny("pool", task.pool)
    )
  const order = query.getAll("order_by")
  const sorted = Answers.ordered(found, order.length === 0 ? ["map_index"] : order, orderFields)
  return Answers.ok({
    task_instances: Answers.slice(call, sorted),
    total_entries: found.length,
    ...Answers.cursors(call)
  })
}

export const list = (call: Call, dagId: string, runId: string): Reply =>
  paged(call, V2Runs.named(call, dagId, runId).flatMap((run) => RunTable.instances(call, run)))

const batchFields = {
  dag_ids: Answers.orNull(Answers.texts),
  dag_run_ids: Answers.orNull(Answers.texts),
  task_ids: Answers.orNull(Answers.texts),
  state: Answers.orNull(Answers.texts),
  page_limit: Answers.integer,
  page_offset: Answers.integer
}

/** Its order and its filters by time, duration, pool and queue are not emulated, and refused. */
export const batch = (call: Call): Reply => {
  const body = Answers.fields(call, batchFields)
  const { dag_ids: dagIds, dag_run_ids: runIds, state: states, task_ids: taskIds } = body
  const found = RunTable.batch(call, { dagIds, runIds, taskIds, states })
  const offset = Number(body.page_offset ?? 0)
  return Answers.ok({
    task_instances: found.slice(offset, offset + Number(body.page_limit ?? 100)).map((one) => listed(call, one)),
    total_entries: found.length,
    ...Answers.cursors(call)
  })
}

const ofTask = (call: Call, dagId: string, runId: string, taskId: string): ReadonlyArray<RunTable.Instance> => {
  const run = RunTable.find(call, dagId, runId)
  return run === undefined ? [] : RunTable.instances(call, run).filter(({ task }) => task.task.taskId === taskId)
}

const withIndex = (instances: ReadonlyArray<RunTable.Instance>, mapIndex: string) =>
  instances.find(({ task }) => String(task.mapIndex) === mapIndex)

const find = (call: Call, dagId: string, runId: string, taskId: string, mapIndex: string): RunTable.Instance => {
  const instances = ofTask(call, dagId, runId, taskId)
  const found = withIndex(instances, mapIndex)
  if (found !== undefined) return found
  if (mapIndex !== "-1") {
    const where = `dag_id: \`${dagId}\`, run_id: \`${runId}\`, task_id: \`${taskId}\`, and map_index: \`${mapIndex}\``
    return Answers.stop(404, `The Mapped Task Instance with ${where} was not found`)
  }
  return Answers.stop(
    404,
    instances.length > 0
      ? "Task instance is mapped, add the map_index value to the URL"
      : `The Task Instance with dag_id: \`${dagId}\`, run_id: \`${runId}\` and task_id: \`${taskId}\` was not found`
  )
}

export const get = (call: Call, dagId: string, runId: string, taskId: string, mapIndex = "-1"): Reply =>
  Answers.ok(toJson(call, find(call, dagId, runId, taskId, mapIndex)))

export const listMapped = (call: Call, dagId: string, runId: string, taskId: string): Reply => {
  const instances = ofTask(call, dagId, runId, taskId)
  if (instances.length === 0) return Answers.failure(404, `Task id ${taskId} not found`)
  return instances.some(({ task }) => task.mapIndex === -1)
    ? Answers.failure(404, `Task id ${taskId} is not mapped`)
    : paged(call, instances)
}

const noInstance = (where: string): never => Answers.stop(404, `The Task Instance with ${where} was not found`)

export const tries = (call: Call, dagId: string, runId: string, taskId: string, mapIndex = "-1"): Reply => {
  const found = withIndex(ofTask(call, dagId, runId, taskId), mapIndex)
  if (found === undefined) {
    return noInstance(
      `dag_id: \`${dagId}\`, run_id: \`${runId}\`, task_id: \`${taskId}\` and map_index: \`${mapIndex}\``
    )
  }
  const earlier = found.task.attempts.filter((attempt) => attempt.number < found.task.tryNumber)
  const all = [
    ...earlier.map((attempt) => tryJson(call, found, { ...attempt, tryNumber: attempt.number })),
    tryJson(call, found, found.task)
  ]
  return Answers.ok({ task_instances: all, total_entries: all.length })
}

export const remove = (call: Call, dagId: string, runId: string, taskId: string): Reply => {
  const mapIndex = call.request.query.get("map_index") ?? "-1"
  const { run, task } = withIndex(ofTask(call, dagId, runId, taskId), mapIndex) ?? noInstance(
    `dag_id: \`${dagId}\`, run_id: \`${runId}\`, task_id: \`${taskId}\` and map_index: \`${mapIndex}\``
  )
  run.removed.add(Runs.instanceKey(taskId, task.mapIndex))
  return Answers.ok(null)
}

export const log = (call: Call, dagId: string, runId: string, taskId: string, attempt: string): Reply => {
  const found = withIndex(ofTask(call, dagId, runId, taskId), call.request.query.get("map_index") ?? "-1")
  const number = Number(attempt)
  const isTry = found !== undefined &&
    (found.task.tryNumber === number || found.task.attempts.some((other) => other.number === number))
  return isTry ? Log.get(call, found, number) : Answers.failure(404, "TaskInstance not found")
}

const clearFields = (call: Call) => ({
  dry_run: Answers.flag,
  start_date: Answers.orNull(Answers.date),
  end_date: Answers.orNull(Answers.date),
  only_failed: Answers.flag,
  only_running: Answers.flag,
  reset_dag_runs: Answers.flag,
  task_ids: Answers.orNull(Answers.texts),
  dag_run_id: Answers.orNull(Answers.text),
  include_upstream: Answers.flag,
  include_downstream: Answers.flag,
  include_future: Answers.flag,
  include_past: Answers.flag,
  ...isAtLeast(call.version, "3.1") ? { run_on_latest_version: Answers.flag } : {}
})

/** Of one run, or of all. */
export const clear = (call: Call, dagId: string): Reply => {
  const body = Answers.fields(call, clearFields(call))
  if (isAtLeast(call.version, "3.1")) Dags.require(call, dagId)
  else if (DagBag.find(call, dagId) === undefined) Answers.stop(404, `DAG ${dagId} not found`)
  const asked = body.dag_run_id
  const runs = RunTable.list(call, dagId).filter(({ runId }) => typeof asked !== "string" || runId === asked)
  if (typeof asked === "string" && runs.length === 0) {
    return Answers.failure(404, `Dag Run id ${asked} not found in dag ${dagId}`)
  }
  // a task may be named with an index; its other instances are cleared with it here
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
    const taskIds = found.map(({ task }) => task.task.taskId)
    RunTable.clear(call, run, taskIds, body.reset_dag_runs !== false)
    return RunTable.instances(call, run).filter(({ task }) => taskIds.includes(task.task.taskId))
  })
  return Answers.ok({ ...collection(call, cleared), ...Answers.cursors(call) })
}

const xcomJson = (call: Call, run: Runs.RunFacts, xcom: XCom): Json => ({
  key: xcom.key,
  timestamp: time(xcom.at),
  logical_date: run.logicalDate === null ? null : Times.zulu(run.logicalDate),
  map_index: xcom.mapIndex,
  task_id: xcom.taskId,
  dag_id: xcom.dagId,
  run_id: xcom.runId,
  ...Answers.from(call, "3.1", {
    dag_display_name: xcom.dagId,
    task_display_name: xcom.taskId,
    run_after: Times.zulu(run.runAfter)
  })
})

export const listXComs = (call: Call, dagId: string, runId: string, taskId: string): Reply => {
  const mapIndex = call.request.query.get("map_index")
  const key = call.request.query.get("xcom_key")
  const found = ofTask(call, dagId, runId, taskId)
    .filter(({ task }) => mapIndex === null || String(task.mapIndex) === mapIndex)
    .flatMap((instance) => XComs.list(call, instance).map((xcom) => xcomJson(call, instance.run, xcom)))
    .filter((xcom) => key === null || xcom.key === key)
  return Answers.page(call, "xcom_entries", found, (xcom) => xcom)
}

type OneXCom = (call: Call, dagId: string, runId: string, taskId: string, key: string) => Reply

/** 3.0 has no route to a key with a slash. */
export const withoutSlash = (found: OneXCom): OneXCom => (call, dagId, runId, taskId, key) =>
  key.includes("/") && !isAtLeast(call.version, "3.1") ? Answers.noRoute() : found(call, dagId, runId, taskId, key)

export const getXCom: OneXCom = (call, dagId, runId, taskId, key) => {
  const { query } = call.request
  if (query.get("deserialize") === "true" && !isAtLeast(call.version, "3.1")) {
    return Answers.failure(400, "XCom deserialization is disabled in configuration.")
  }
  const instance = withIndex(ofTask(call, dagId, runId, taskId), query.get("map_index") ?? "-1")
  const xcom = instance === undefined ? undefined : XComs.find(call, instance, key)
  if (instance === undefined || xcom === undefined) {
    return Answers.failure(404, `XCom entry with key: \`${key}\` not found`)
  }
  const value = query.get("stringify") === "true" ? Python.str(xcom.value) : xcom.value
  return Answers.ok({ ...xcomJson(call, instance.run, xcom), value })
}

export const postXCom = (call: Call, dagId: string, runId: string, taskId: string): Reply => {
  const body = Answers.fields(call, {
    key: Answers.required(Answers.text),
    value: Answers.required(Answers.anything),
    map_index: Answers.integer
  })
  const dag = DagBag.find(call, dagId) ?? Answers.stop(404, `Dag with ID: \`${dagId}\` was not found`)
  const instance = withIndex(ofTask(call, dag.dagId, runId, taskId), String(body.map_index ?? -1)) ??
    Answers.stop(404, `Task with ID: \`${taskId}\` not found in dag: \`${dagId}\``)
  const key = String(body.key)
  if (XComs.find(call, instance, key) !== undefined) {
    return Answers.failure(409, `The XCom with key: \`${key}\` with mentioned task instance already exists.`)
  }
  // up to 3.1 it becomes a text on the way
  const value = isAtLeast(call.version, "3.2") ? body.value : Python.dumps(body.value)
  return Answers.json(201, written(call, instance, key, value))
}

const written = (call: Call, instance: RunTable.Instance, key: string, value: unknown): Json => {
  XComs.write(call, instance, key, { json: value })
  const xcom = XComs.find(call, instance, key)
  return xcom === undefined ? {} : { ...xcomJson(call, instance.run, xcom), value }
}

const existing = (call: Call, dagId: string, runId: string, taskId: string, key: string, mapIndex: string) => {
  const instance = withIndex(ofTask(call, dagId, runId, taskId), mapIndex)
  return instance !== undefined && XComs.find(call, instance, key) !== undefined
    ? instance
    : Answers.stop(404, `The XCom with key: \`${key}\` with mentioned task instance doesn't exist.`)
}

export const patchXCom: OneXCom = (call, dagId, runId, taskId, key) => {
  const body = Answers.fields(call, { value: Answers.required(Answers.anything), map_index: Answers.integer })
  const instance = existing(call, dagId, runId, taskId, key, String(body.map_index ?? -1))
  // up to 3.1 even twice
  const value = isAtLeast(call.version, "3.2") ? body.value : JSON.stringify(Python.dumps(body.value))
  return Answers.ok(written(call, instance, key, value))
}

export const removeXCom: OneXCom = (call, dagId, runId, taskId, key) => {
  XComs.write(call, existing(call, dagId, runId, taskId, key, call.request.query.get("map_index") ?? "-1"), key)
  return noContent({ "content-type": "application/json" })
}
