/** DAGs and their files in Airflow 2. */
import { Halt, noContent, type Reply, reply } from "../../Http.js"
import * as DagBag from "../DagBag.js"
import * as Params from "../Params.js"
import * as Python from "../Python.js"
import * as RunTable from "../RunTable.js"
import { type Call, like } from "../Site.js"
import * as Times from "../Times.js"
import * as Tokens from "../Tokens.js"
import { badRequest, checkOrder, crashPage, html, objectBody, ok, page, picked, problem, slice } from "./Answers.js"

const folder = "/usr/local/airflow/dags"

const pathOf = (file: string) => `${folder}/${file}`

const toJson = (call: Call, dag: DagBag.Dag) => ({
  dag_display_name: dag.dagId,
  dag_id: dag.dagId,
  default_view: "grid",
  description: null,
  file_token: Tokens.sign(pathOf(dag.file)),
  fileloc: pathOf(dag.file),
  has_import_errors: dag.hasImportErrors,
  has_task_concurrency_limits: false,
  is_active: dag.isPresent,
  is_paused: DagBag.isPaused(call, dag.dagId),
  is_subdag: false,
  last_expired: null,
  last_parsed_time: parsedAt(call, dag),
  last_pickled: null,
  max_active_runs: 16,
  max_active_tasks: 16,
  max_consecutive_failed_dag_runs: 0,
  next_dagrun: null,
  next_dagrun_create_after: null,
  next_dagrun_data_interval_end: null,
  next_dagrun_data_interval_start: null,
  owners: ["airflow"],
  pickle_id: null,
  root_dag_id: null,
  schedule_interval: null,
  scheduler_lock: null,
  tags: (dag.spec.tags ?? []).map((name) => ({ name })),
  timetable_description: "Never, external triggers only"
})

const parsedAt = (call: Call, dag: DagBag.Dag) => Times.offset(Times.micros(DagBag.lastParsed(call, dag)))

const find = (call: Call, dagId: string): DagBag.Dag => {
  const dag = DagBag.find(call, dagId)
  if (dag !== undefined) return dag
  throw new Halt(problem(call, 404, "DAG not found", `The DAG with dag_id: ${dagId} was not found`))
}

const filtered = (call: Call): ReadonlyArray<DagBag.Dag> => {
  const { query } = call.request
  const tags = query.getAll("tags").flatMap((tag) => tag.split(","))
  const pattern = like(query.get("dag_id_pattern"))
  return DagBag.all(call).filter((dag) =>
    (query.get("only_active") === "false" || dag.isPresent) &&
    pattern.test(dag.dagId) &&
    (tags.length === 0 || tags.some((tag) => dag.spec.tags?.includes(tag))) &&
    (!query.has("paused") || DagBag.isPaused(call, dag.dagId) === (query.get("paused")?.toLowerCase() === "true"))
  )
}

export const list = (call: Call): Reply => {
  const order = call.request.query.get("order_by")
  checkOrder(call, order, ["dag_id"])
  const dags = filtered(call)
  return page(call, "dags", order === "-dag_id" ? [...dags].reverse() : dags, (dag) => picked(call, toJson(call, dag)))
}

export const get = (call: Call, dagId: string): Reply => ok(picked(call, toJson(call, find(call, dagId))))

export const details = (call: Call, dagId: string): Reply => {
  const dag = find(call, dagId)
  if (!dag.isPresent) return problem(call, 404, "DAG not found", `The DAG with dag_id: ${dagId} was not found`)
  return ok(picked(call, {
    ...toJson(call, dag),
    catchup: false,
    concurrency: 16,
    dag_run_timeout: null,
    dataset_expression: null,
    doc_md: null,
    end_date: null,
    is_paused_upon_creation: null,
    last_parsed: parsedAt(call, dag),
    orientation: "LR",
    owners: [],
    params: Object.fromEntries(
      Object.entries(dag.spec.params ?? {}).map(([name, param]) => [name, {
        __class: "airflow.models.param.Param",
        description: null,
        schema: Params.schemaOf(param),
        value: param.default ?? null
      }])
    ),
    render_template_as_native_obj: false,
    start_date: "2024-01-01T00:00:00+00:00",
    template_searchpath: null,
    timezone: "UTC"
  }))
}

const askedPaused = (call: Call): boolean => {
  const body = objectBody(call)
  const mask = call.request.query.get("update_mask")
  if (mask !== null && mask !== "is_paused") {
    throw new Halt(badRequest(call, "Only `is_paused` field can be updated through the REST API"))
  }
  const readOnly = Object.keys(body).find((key) => key !== "is_paused")
  if (readOnly !== undefined) throw new Halt(badRequest(call, `Property is read-only - '${readOnly}'`))
  if (!("is_paused" in body)) throw new Halt(crashPage())
  if (typeof body.is_paused !== "boolean") {
    throw new Halt(badRequest(call, `${Python.repr(body.is_paused)} is not of type 'boolean' - 'is_paused'`))
  }
  return body.is_paused
}

export const patchMany = (call: Call): Reply => {
  if (!call.request.query.has("dag_id_pattern")) return badRequest(call, "Missing query parameter 'dag_id_pattern'")
  const paused = askedPaused(call)
  const dags = filtered(call)
  for (const dag of slice(call, dags)) DagBag.setPaused(call, dag.dagId, paused)
  return page(call, "dags", dags, (dag) => toJson(call, dag))
}

export const patch = (call: Call, dagId: string): Reply => {
  const dag = DagBag.find(call, dagId)
  if (dag === undefined) return problem(call, 404, `Dag with id: '${dagId}' not found`, null)
  DagBag.setPaused(call, dagId, askedPaused(call))
  return ok(toJson(call, dag))
}

export const remove = (call: Call, dagId: string): Reply => {
  if (DagBag.find(call, dagId) === undefined) return problem(call, 404, `Dag with id: '${dagId}' not found`, null)
  return RunTable.removeDag(call, dagId)
    ? noContent({ "content-type": "application/json" })
    : problem(call, 409, "Conflict", `Task instances of dag with id: '${dagId}' are still running`)
}

const importErrorJson = (error: DagBag.ImportError) => ({
  filename: pathOf(error.file),
  import_error_id: error.id,
  stack_trace: error.stackTrace,
  timestamp: Times.offset(Times.micros(error.at))
})

export const importErrors = (call: Call): Reply => {
  checkOrder(call, call.request.query.get("order_by"), ["import_error_id", "timestamp", "filename"])
  return page(call, "import_errors", DagBag.read(call).importErrors, importErrorJson)
}

export const importError = (call: Call, id: string): Reply => {
  const found = DagBag.read(call).importErrors.find((error) => String(error.id) === id)
  return found === undefined
    ? problem(call, 404, "Import error not found", `The ImportError with import_error_id: \`${id}\` was not found`)
    : ok(importErrorJson(found))
}

const ofToken = (call: Call, token: string): DagBag.Dag | undefined => {
  const path = Tokens.open(token)
  return DagBag.all(call).find((dag) => pathOf(dag.file) === path)
}

export const source = (call: Call, token: string): Reply => {
  const dag = ofToken(call, token)
  if (dag === undefined) return problem(call, 404, "Dag source not found", null)
  const content = DagBag.source(dag.spec, "airflow.decorators")
  const { accept } = call.request.headers
  if (accept?.includes("text/plain") === true || accept?.includes("*/*") === true) {
    return reply(200, "text/plain", content)
  }
  if (accept?.includes("application/json") === true) {
    return reply(200, "application/json", Python.dumps({ content }))
  }
  return reply(406, html, "Not Allowed Accept Header")
}

export const parse = (call: Call, token: string): Reply => {
  const dag = ofToken(call, token)
  if (dag === undefined) return problem(call, 404, "File not found", null)
  return reply(201, html, DagBag.requestParse(call, dag.file) ? "" : "Duplicate request")
}
