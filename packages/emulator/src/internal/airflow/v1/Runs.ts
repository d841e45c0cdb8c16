/** DAG runs in Airflow 2. */
import { Halt, isObject, noContent, type Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as DagBag from "../DagBag.js"
import * as Params from "../Params.js"
import * as Python from "../Python.js"
import type { RunFacts } from "../Runs.js"
import * as RunTable from "../RunTable.js"
import * as Times from "../Times.js"
import { checkFields, objectBody } from "./Body.js"
import { checkOrder, page, selectFields } from "./Lists.js"
import { badRequest, crashPage, ok, problem } from "./Responses.js"

const time = (millis: number | null) => millis === null ? null : Times.offset(Times.micros(millis))

/** In Airflow 2 every run has a logical date. */
const logicalDateOf = (run: RunFacts) => Times.offset(run.logicalDate ?? run.runAfter)

/** With `state`, as Airflow returns the run right after a request has set that state. */
const toJson = (call: Call, run: RunFacts, state?: string) => {
  const current = RunTable.evaluate(call, run)
  // the times of a run are cleared when it is queued
  const { endedAt, startedAt } = state === "queued" ? { endedAt: null, startedAt: null } : current
  return {
    conf: run.conf,
    dag_id: run.dagId,
    dag_run_id: run.runId,
    data_interval_end: run.interval === null ? null : Times.offset(run.interval.end),
    data_interval_start: run.interval === null ? null : Times.offset(run.interval.start),
    end_date: time(endedAt),
    execution_date: logicalDateOf(run),
    external_trigger: true,
    last_scheduling_decision: time(current.endedAt ?? current.startedAt),
    logical_date: logicalDateOf(run),
    note: run.note,
    run_type: "manual",
    start_date: time(startedAt),
    state: state ?? current.state
  }
}

export const requireRun = (call: Call, dagId: string, runId: string, title = "DAGRun not found"): RunFacts => {
  const run = RunTable.get(call, dagId, runId)
  if (run !== undefined) return run
  throw new Halt(problem(call, 404, title, `DAGRun with DAG ID: '${dagId}' and DagRun ID: '${runId}' not found`))
}

const readDate = (call: Call, value: unknown, field: string): number | undefined => {
  if (value === undefined) return undefined
  if (value === null) throw new Halt(badRequest(call, `{'${field}': ['Field may not be null.']}`))
  const micros = Times.parse(value)
  if (micros === undefined) throw new Halt(badRequest(call, `${Python.repr(value)} is not a 'date-time' - '${field}'`))
  return micros
}

const triggerFields = [
  "dag_run_id",
  "logical_date",
  "execution_date",
  "conf",
  "note",
  "data_interval_start",
  "data_interval_end"
]

export const trigger = (call: Call, dagId: string): Response => {
  const body = objectBody(call)
  if ("conf" in body && !isObject(body.conf)) {
    return badRequest(call, `${Python.repr(body.conf)} is not of type 'object' - 'conf'`)
  }
  checkFields(call, body, triggerFields)
  const dag = DagBag.get(call, dagId)
  if (dag === undefined || !dag.isPresent) {
    return problem(call, 404, "DAG not found", `DAG with dag_id: '${dagId}' not found`)
  }
  if (dag.hasImportErrors) {
    return problem(call, 400, "DAG cannot be triggered", `DAG with dag_id: '${dagId}' has import errors`)
  }
  const date = "logical_date" in body ? body.logical_date : body.execution_date
  const logicalDate = readDate(call, date, "logical_date") ?? call.world.ids.uniqueMicros(call.now)
  const start = readDate(call, body.data_interval_start, "data_interval_start")
  const end = readDate(call, body.data_interval_end, "data_interval_end")
  if ((start === undefined) !== (end === undefined)) {
    const message = "Both 'data_interval_start' and 'data_interval_end' must be specified together"
    return badRequest(call, `{'_schema': [${Python.repr(message)}]}`)
  }
  const given = body.dag_run_id ?? ""
  if (typeof given !== "string") return badRequest(call, `${Python.repr(given)} is not of type 'string' - 'dag_run_id'`)
  const runId = given === "" ? `manual__${Times.offset(logicalDate)}` : given
  if (!/^[A-Za-z0-9_.~:+-]+$/.test(runId)) return crashPage()
  if (runId.length > 250) return badRequest(call, "{'dag_run_id': ['Longer than maximum length 250.']}")
  const conflict = RunTable.conflict(call, dagId, runId, logicalDate)
  if (conflict !== undefined) {
    const field = conflict === "runId"
      ? `DAGRun ID: '${runId}'`
      : `DAGRun logical date: '${Times.offset(logicalDate).replace("T", " ")}'`
    return problem(call, 409, "Conflict", `DAGRun with DAG ID: '${dagId}' and ${field} already exists`)
  }
  const invalid = Params.check(dag.spec, body.conf)
  if (invalid !== undefined) return badRequest(call, invalid)
  const run = RunTable.trigger(call, dag, {
    runId,
    queuedAt: Times.micros(call.now),
    runAfter: Times.micros(call.now),
    logicalDate,
    interval: { start: start ?? logicalDate, end: end ?? logicalDate },
    conf: body.conf ?? {},
    note: typeof body.note === "string" ? body.note : null
  })
  // the response is sent before the scheduler sees the run
  return ok(toJson(call, run, "queued"))
}

type RunJson = ReturnType<typeof toJson>

const orderFields: Record<string, keyof RunJson> = {
  state: "state",
  dag_id: "dag_id",
  execution_date: "execution_date",
  dag_run_id: "dag_run_id",
  start_date: "start_date",
  end_date: "end_date",
  updated_at: "last_scheduling_decision",
  external_trigger: "external_trigger",
  conf: "conf"
}

const ordered = (call: Call, runs: Array<RunJson>, orderBy: string | null): ReadonlyArray<RunJson> => {
  checkOrder(call, orderBy, ["id", ...Object.keys(orderFields)])
  const field = orderFields[orderBy?.replace(/^-/, "") ?? ""] ?? "execution_date"
  runs.sort((a, b) => String(a[field]) < String(b[field]) ? -1 : 1)
  return orderBy?.startsWith("-") === true ? runs.reverse() : runs
}

/** Whether the run matches the filters by time. `filter` returns the value of a filter such as `start_date_gte`. */
const isWithin = (run: RunJson, filter: (name: string) => unknown): boolean =>
  (["execution_date", "start_date", "end_date"] as const).every((field) => {
    const value = Times.parse(run[field])
    const from = Times.parse(filter(`${field}_gte`))
    const to = Times.parse(filter(`${field}_lte`))
    return (from === undefined || (value ?? -Infinity) >= from) && (to === undefined || (value ?? Infinity) <= to)
  })

export const list = (call: Call, dagId: string): Response => {
  const { query } = call.request
  const states = query.getAll("state").flatMap((state) => state.split(","))
  const runs = RunTable.list(call, dagId)
    .map((run) => toJson(call, run))
    .filter((run) => (states.length === 0 || states.includes(run.state)) && isWithin(run, (name) => query.get(name)))
  return page(call, "dag_runs", ordered(call, runs, query.get("order_by")), (run) => selectFields(call, run))
}

const batchFields = ["dag_ids", "states", "order_by", "page_limit", "page_offset"].concat(
  ["execution_date", "start_date", "end_date"].flatMap((field) => [`${field}_gte`, `${field}_lte`])
)

export const listBatch = (call: Call): Response => {
  const body = objectBody(call)
  checkFields(call, body, batchFields)
  const dagIds = Array.isArray(body.dag_ids) ? body.dag_ids : undefined
  const states = Array.isArray(body.states) ? body.states : undefined
  const runs = RunTable.list(call)
    .map((run) => toJson(call, run))
    .filter((run) =>
      dagIds?.includes(run.dag_id) !== false && states?.includes(run.state) !== false &&
      isWithin(run, (name) => body[name])
    )
  const all = ordered(call, runs, typeof body.order_by === "string" ? body.order_by : null)
  const offset = Number(body.page_offset ?? 0)
  return ok({ dag_runs: all.slice(offset, offset + Number(body.page_limit ?? 100)), total_entries: all.length })
}

export const get = (call: Call, dagId: string, runId: string): Response =>
  ok(selectFields(call, toJson(call, requireRun(call, dagId, runId))))

/** Requests that change a run get its 404 with the message in the title. */
const requireRunToChange = (call: Call, dagId: string, runId: string, space = " "): RunFacts => {
  const run = RunTable.get(call, dagId, runId)
  if (run !== undefined) return run
  throw new Halt(problem(call, 404, `Dag Run id ${runId} not found in dag${space}${dagId}`, null))
}

export const patch = (call: Call, dagId: string, runId: string): Response => {
  const run = requireRunToChange(call, dagId, runId)
  const body = objectBody(call)
  checkFields(call, body, ["state"])
  const { state } = body
  if (state !== "success" && state !== "failed" && state !== "queued") {
    return badRequest(call, `${Python.repr(state)} is not one of ['success', 'failed', 'queued'] - 'state'`)
  }
  RunTable.setState(call, run, state)
  return ok(toJson(call, run, state))
}

export const deleteRun = (call: Call, dagId: string, runId: string): Response => {
  RunTable.deleteRun(call, requireRun(call, dagId, runId, "Not Found"))
  return noContent({ "content-type": "application/json" })
}

/** What a dry run, and the clearing of single tasks, return. */
const references = (instances: ReadonlyArray<RunTable.TaskInstance>) => ({
  task_instances: instances.map(({ run, task }) => ({
    dag_id: run.dagId,
    dag_run_id: run.runId,
    execution_date: logicalDateOf(run),
    task_id: task.spec.taskId
  }))
})

export const clear = (call: Call, dagId: string, runId: string): Response => {
  const body = objectBody(call)
  checkFields(call, body, ["dry_run"])
  const run = requireRunToChange(call, dagId, runId, "   ")
  if (body.dry_run !== false) return ok(references(RunTable.instances(call, run)))
  RunTable.clear(call, run, null)
  return ok(toJson(call, run, "queued"))
}

const clearFields = [
  "dry_run",
  "task_ids",
  "dag_run_id",
  "only_failed",
  "only_running",
  "reset_dag_runs",
  "include_upstream",
  "include_downstream"
]

/** In one run, or in all runs of the DAG. */
export const clearTasks = (call: Call, dagId: string): Response => {
  const body = objectBody(call)
  checkFields(call, body, clearFields)
  if (DagBag.get(call, dagId) === undefined) return problem(call, 404, `Dag id ${dagId} not found`, null)
  const runs = typeof body.dag_run_id === "string"
    ? [requireRunToChange(call, dagId, body.dag_run_id)]
    : RunTable.list(call, dagId)
  const cleared = runs.flatMap((run) => {
    const taskIds = Array.isArray(body.task_ids) ? body.task_ids.map(String) : null
    const ids = taskIds === null ? null : RunTable.closure(run, taskIds, {
      downstream: body.include_downstream === true,
      upstream: body.include_upstream === true
    })
    const found = RunTable.clearable(call, run, ids, body.only_failed !== false)
    const isCarriedOut = found.length > 0 && body.dry_run === false
    if (isCarriedOut) RunTable.clear(call, run, found.map(({ task }) => task.spec.taskId), body.reset_dag_runs === true)
    return found
  })
  return ok(references(cleared))
}

const states = ["queued", "running", "success", "failed"]

export const getStats = (call: Call): Response => {
  const dagIds = call.request.query.get("dag_ids")?.split(",")
  if (dagIds === undefined) return badRequest(call, "Missing query parameter 'dag_ids'")
  const dags = dagIds.map((dagId) => {
    const runs = RunTable.list(call, dagId).map((run) => RunTable.evaluate(call, run).state)
    const stats = states.map((state) => ({ state, count: runs.filter((other) => other === state).length }))
    return { dag_id: dagId, runs: runs.length, stats }
  })
  const found = dags.filter(({ runs }) => runs > 0).map(({ dag_id, stats }) => ({ dag_id, stats }))
  return ok({ dags: found, total_entries: found.length })
}
