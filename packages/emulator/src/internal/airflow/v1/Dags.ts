/** DAGs and their files in Airflow 2. */
import { Halt, noContent, type Response, response } from "../../Http.js"
import { type Call, like } from "../Airflow.js"
import * as DagBag from "../DagBag.js"
import * as Params from "../Params.js"
import * as Python from "../Python.js"
import * as RunTable from "../RunTable.js"
import * as Times from "../Times.js"
import * as Tokens from "../Tokens.js"
import { objectBody } from "./Body.js"
import { checkOrder, page, selectFields, slice } from "./Lists.js"
import { badRequest, crashPage, html, ok, problem } from "./Responses.js"

const pathOf = (file: string) => `/usr/local/airflow/dags/${file}`

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

const requireDag = (call: Call, dagId: string): DagBag.Dag => {
  const dag = DagBag.get(call, dagId)
  if (dag !== undefined) return dag
  throw new Halt(problem(call, 404, "DAG not found", `The DAG with dag_id: ${dagId} was not found`))
}

/** The DAGs that match the filters in the query. */
const filtered = (call: Call): ReadonlyArray<DagBag.Dag> => {
  const { query } = call.request
  const tags = query.getAll("tags").flatMap((tag) => tag.split(","))
  const pattern = like(query.get("dag_id_pattern"))
  return DagBag.list(call).filter((dag) =>
    (query.get("only_active") === "false" || dag.isPresent) &&
    pattern.test(dag.dagId) &&
    (tags.length === 0 || tags.some((tag) => dag.spec.tags?.includes(tag))) &&
    (!query.has("paused") || DagBag.isPaused(call, dag.dagId) === (query.get("paused")?.toLowerCase() === "true"))
  )
}

export const list = (call: Call): Response => {
  const orderBy = call.request.query.get("order_by")
  checkOrder(call, orderBy, ["dag_id"])
  const dags = filtered(call)
  return page(
    call,
    "dags",
    orderBy === "-dag_id" ? [...dags].reverse() : dags,
    (dag) => selectFields(call, toJson(call, dag))
  )
}

export const get = (call: Call, dagId: string): Response =>
  ok(selectFields(call, toJson(call, requireDag(call, dagId))))

export const getDetails = (call: Call, dagId: string): Response => {
  const dag = requireDag(call, dagId)
  if (!dag.isPresent) return problem(call, 404, "DAG not found", `The DAG with dag_id: ${dagId} was not found`)
  return ok(selectFields(call, {
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

const readIsPaused = (call: Call): boolean => {
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

export const patchList = (call: Call): Response => {
  if (!call.request.query.has("dag_id_pattern")) return badRequest(call, "Missing query parameter 'dag_id_pattern'")
  const paused = readIsPaused(call)
  const dags = filtered(call)
  for (const dag of slice(call, dags)) DagBag.setPaused(call, dag.dagId, paused)
  return page(call, "dags", dags, (dag) => toJson(call, dag))
}

/** The 404 of requests that change a DAG, with the message in the title. */
const noDag = (call: Call, dagId: string): Response => problem(call, 404, `Dag with id: '${dagId}' not found`, null)

export const patch = (call: Call, dagId: string): Response => {
  const dag = DagBag.get(call, dagId)
  if (dag === undefined) return noDag(call, dagId)
  DagBag.setPaused(call, dagId, readIsPaused(call))
  return ok(toJson(call, dag))
}

export const deleteDag = (call: Call, dagId: string): Response => {
  if (DagBag.get(call, dagId) === undefined) return noDag(call, dagId)
  return RunTable.deleteDag(call, dagId)
    ? noContent({ "content-type": "application/json" })
    : problem(call, 409, "Conflict", `Task instances of dag with id: '${dagId}' are still running`)
}

const importErrorJson = (error: DagBag.ImportError) => ({
  filename: pathOf(error.file),
  import_error_id: error.id,
  stack_trace: error.stackTrace,
  timestamp: Times.offset(Times.micros(error.at))
})

export const listImportErrors = (call: Call): Response => {
  checkOrder(call, call.request.query.get("order_by"), ["import_error_id", "timestamp", "filename"])
  return page(call, "import_errors", DagBag.read(call).importErrors, importErrorJson)
}

export const getImportError = (call: Call, id: string): Response => {
  const error = DagBag.read(call).importErrors.find((candidate) => String(candidate.id) === id)
  return error === undefined
    ? problem(call, 404, "Import error not found", `The ImportError with import_error_id: \`${id}\` was not found`)
    : ok(importErrorJson(error))
}

const findByToken = (call: Call, token: string): DagBag.Dag | undefined => {
  const path = Tokens.verify(token)
  return DagBag.list(call).find((dag) => pathOf(dag.file) === path)
}

export const getSource = (call: Call, token: string): Response => {
  const dag = findByToken(call, token)
  if (dag === undefined) return problem(call, 404, "Dag source not found", null)
  const content = DagBag.renderSource(dag.spec, "airflow.decorators")
  const { accept } = call.request.headers
  if (accept?.includes("text/plain") === true || accept?.includes("*/*") === true) {
    return response(200, "text/plain", content)
  }
  if (accept?.includes("application/json") === true) {
    return response(200, "application/json", Python.dumps({ content }))
  }
  return response(406, html, "Not Allowed Accept Header")
}

export const requestParse = (call: Call, token: string): Response => {
  const dag = findByToken(call, token)
  if (dag === undefined) return problem(call, 404, "File not found", null)
  return response(201, html, DagBag.requestParse(call, dag.file) ? "" : "Duplicate request")
}
