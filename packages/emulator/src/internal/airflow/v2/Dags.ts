/** DAGs, their versions and their files in Airflow 3. */
import { isObject, noContent, type Response, response } from "../../Http.js"
import { type Call, like } from "../Airflow.js"
import * as DagBag from "../DagBag.js"
import * as Params from "../Params.js"
import * as RunTable from "../RunTable.js"
import * as Times from "../Times.js"
import * as Tokens from "../Tokens.js"
import { isAtLeast } from "../Version.js"
import * as Body from "./Body.js"
import * as Lists from "./Lists.js"
import * as Responses from "./Responses.js"

const bundle = "dags-folder"

export const pathOf = (file: string) => `/usr/local/airflow/dags/${file}`

const time = (millis: number) => Times.zulu(Times.micros(millis))

const fileToken = (dag: DagBag.Dag) => Tokens.sign({ bundle_name: bundle, relative_fileloc: dag.file })

/** A DAG is stale if its file cannot be imported or no longer exists. */
const isStale = (dag: DagBag.Dag) => !dag.isPresent || dag.hasImportErrors

/** The first fields of a DAG and of its details. */
const firstFields = (call: Call, dag: DagBag.Dag) => ({
  dag_id: dag.dagId,
  dag_display_name: dag.dagId,
  is_paused: DagBag.isPaused(call, dag.dagId),
  is_stale: isStale(dag),
  last_parsed_time: time(DagBag.lastParsed(call, dag)),
  ...Responses.since(call, "3.1", { last_parse_duration: 0.05 }),
  last_expired: null,
  bundle_name: bundle,
  bundle_version: null,
  relative_fileloc: dag.file,
  fileloc: pathOf(dag.file),
  description: null,
  timetable_summary: null,
  timetable_description: "Never, external triggers only",
  ...Responses.since(call, "3.2", { timetable_partitioned: false }),
  ...Responses.since(call, "3.3", { timetable_periodic: false }),
  tags: (dag.spec.tags ?? []).map((name) => ({
    name,
    dag_id: dag.dagId,
    ...Responses.since(call, "3.1", { dag_display_name: dag.dagId })
  })),
  max_active_tasks: 16,
  max_active_runs: 16,
  max_consecutive_failed_dag_runs: 0,
  has_task_concurrency_limits: false,
  has_import_errors: dag.hasImportErrors,
  next_dagrun_logical_date: null,
  next_dagrun_data_interval_start: null,
  next_dagrun_data_interval_end: null,
  next_dagrun_run_after: null,
  ...Responses.since(call, "3.2", { allowed_run_types: null }),
  owners: ["airflow"]
})

/** The last fields of a DAG and of its details. */
const lastFields = (call: Call, dag: DagBag.Dag) => ({
  ...Responses.since(call, "3.3", { is_backfillable: false }),
  file_token: fileToken(dag)
})

const toJson = (call: Call, dag: DagBag.Dag) => ({ ...firstFields(call, dag), ...lastFields(call, dag) })

export const versionJson = (call: Call, dagId: string, version: DagBag.DagVersion) => ({
  id: Tokens.uuid(call.deployment.id, dagId, version.number, version.createdAt),
  version_number: version.number,
  dag_id: dagId,
  bundle_name: bundle,
  bundle_version: null,
  created_at: time(version.createdAt),
  ...Responses.since(call, "3.1", { dag_display_name: dagId }),
  bundle_url: null
})

const requireDag = (call: Call, dagId: string): DagBag.Dag =>
  DagBag.get(call, dagId) ?? Responses.halt(
    404,
    isAtLeast(call.version, "3.1")
      ? `The Dag with ID: \`${dagId}\` was not found`
      : `Dag with id ${dagId} was not found`
  )

/** The same for the lists of a DAG's runs, tasks and versions, whose message differs in 3.0. */
export const requireParentDag = (call: Call, dagId: string): DagBag.Dag =>
  DagBag.get(call, dagId) ?? Responses.halt(
    404,
    isAtLeast(call.version, "3.1")
      ? `The Dag with ID: \`${dagId}\` was not found`
      : `The DAG with dag_id: \`${dagId}\` was not found`
  )

const isFavorite = ({ deployment }: Call, { dagId }: DagBag.Dag) => deployment.metadata.favorites.has(dagId)

const isTrue = (value: string | null) => value?.toLowerCase() === "true"

/** The DAGs that match the filters in the query. */
const filtered = (call: Call): ReadonlyArray<DagBag.Dag> => {
  const { query } = call.request
  const tags = query.getAll("tags")
  const pattern = like(query.get("dag_id_pattern"))
  const has = (name: string) => isAtLeast(call.version, "3.1") && query.has(name)
  return DagBag.list(call).filter((dag) =>
    (query.get("exclude_stale")?.toLowerCase() === "false" || !isStale(dag)) &&
    pattern.test(dag.dagId) &&
    (tags.length === 0 || tags.some((tag) => dag.spec.tags?.includes(tag))) &&
    (!query.has("paused") || DagBag.isPaused(call, dag.dagId) === isTrue(query.get("paused"))) &&
    (!has("has_import_errors") || dag.hasImportErrors === isTrue(query.get("has_import_errors"))) &&
    (!has("is_favorite") || isFavorite(call, dag) === isTrue(query.get("is_favorite")))
  )
}

export const list = (call: Call): Response => {
  const dags = filtered(call).map((dag) => toJson(call, dag))
  const order = call.request.query.getAll("order_by")
  const sorted = Lists.ordered(dags, order, { dag_id: "dag_id", dag_display_name: "dag_display_name" })
  return Lists.page(call, "dags", sorted, (dag) => dag)
}

export const get = (call: Call, dagId: string): Response => Responses.ok(toJson(call, requireDag(call, dagId)))

export const getDetails = (call: Call, dagId: string): Response => {
  const dag = requireDag(call, dagId)
  const latest = dag.versions.at(-1)
  const active = RunTable.list(call, dagId).filter((run) => {
    const { state } = RunTable.evaluate(call, run)
    return state === "queued" || state === "running"
  })
  return Responses.ok({
    ...firstFields(call, dag),
    catchup: false,
    dag_run_timeout: null,
    asset_expression: null,
    doc_md: null,
    start_date: "2024-01-01T00:00:00Z",
    end_date: null,
    is_paused_upon_creation: null,
    params: Object.fromEntries(
      Object.entries(dag.spec.params ?? {}).map(([name, param]) => [name, {
        value: param.default ?? null,
        schema: Params.schemaOf(param),
        description: null,
        ...isAtLeast(call.version, "3.2") ? { source: null } : { __class: "airflow.sdk.definitions.param.Param" }
      }])
    ),
    render_template_as_native_obj: false,
    template_search_path: null,
    timezone: "UTC",
    last_parsed: time(DagBag.lastParsed(call, dag)),
    ...Responses.since(call, "3.1", { default_args: {} }),
    ...Responses.since(call, "3.3", { rerun_with_latest_version: null }),
    owner_links: {},
    ...Responses.since(call, "3.1", { is_favorite: isFavorite(call, dag) }),
    ...Responses.since(call, "3.2", { active_runs_count: active.length }),
    ...lastFields(call, dag),
    concurrency: 16,
    latest_dag_version: latest === undefined ? null : versionJson(call, dagId, latest)
  })
}

const readIsPaused = (call: Call): boolean => {
  const mask = Body.updateMask(call)
  if (mask.some((name) => name !== "is_paused")) {
    Responses.halt(400, "Only `is_paused` field can be updated through the REST API")
  }
  return Body.read(call, { is_paused: Body.required(Body.boolean) }).is_paused === true
}

export const patch = (call: Call, dagId: string): Response => {
  const paused = readIsPaused(call)
  const dag = DagBag.get(call, dagId) ?? Responses.halt(404, `Dag with id: ${dagId} was not found`)
  DagBag.setPaused(call, dagId, paused)
  return Responses.ok(toJson(call, dag))
}

/** Applies to the DAGs on the page. Without a pattern no DAG matches. */
export const patchList = (call: Call): Response => {
  const paused = readIsPaused(call)
  const dags = call.request.query.has("dag_id_pattern") ? filtered(call) : []
  for (const dag of Lists.slice(call, dags)) DagBag.setPaused(call, dag.dagId, paused)
  return Lists.page(call, "dags", dags, (dag) => toJson(call, dag))
}

const requireMarkableDag = (call: Call, dagId: string): DagBag.Dag =>
  DagBag.get(call, dagId) ??
    Responses.halt(404, `${Responses.dagWord(call, "3.2")} with id '${dagId}' not found`)

export const favorite = (call: Call, dagId: string): Response => {
  if (isFavorite(call, requireMarkableDag(call, dagId))) {
    return Responses.uniqueViolation(call, "dag_favorite", ["user_id", "dag_id"])
  }
  call.deployment.metadata.favorites.add(dagId)
  return Responses.deleted()
}

export const unfavorite = (call: Call, dagId: string): Response => {
  if (!isFavorite(call, requireMarkableDag(call, dagId))) {
    return Responses.failure(409, `${Responses.dagWord(call, "3.2")} is not marked as favorite`)
  }
  call.deployment.metadata.favorites.delete(dagId)
  return Responses.deleted()
}

export const deleteDag = (call: Call, dagId: string): Response => {
  if (DagBag.get(call, dagId) === undefined) return Responses.failure(404, `Dag with id: ${dagId} was not found`)
  return RunTable.deleteDag(call, dagId)
    ? noContent()
    : Responses.failure(409, `Task instances of dag with id: '${dagId}' are still running`)
}

export const listVersions = (call: Call, dagId: string): Response =>
  Lists.page(
    call,
    "dag_versions",
    requireParentDag(call, dagId).versions,
    (version) => versionJson(call, dagId, version)
  )

export const getVersion = (call: Call, dagId: string, number: string): Response => {
  const found = DagBag.get(call, dagId)?.versions.find((version) => String(version.number) === number)
  return found === undefined
    ? Responses.failure(404, `The DagVersion with dag_id: \`${dagId}\` and version_number: \`${number}\` was not found`)
    : Responses.ok(versionJson(call, dagId, found))
}

const importErrorJson = (call: Call, error: DagBag.ImportError) => ({
  import_error_id: error.id,
  timestamp: time(error.at),
  filename: isAtLeast(call.version, "3.1") ? error.file : pathOf(error.file),
  bundle_name: bundle,
  stack_trace: error.stackTrace
})

export const listImportErrors = (call: Call): Response => {
  const { query } = call.request
  const pattern = like(isAtLeast(call.version, "3.1") ? query.get("filename_pattern") : null)
  const errors = DagBag.read(call).importErrors
    .map((error) => importErrorJson(call, error))
    .filter(({ filename }) => pattern.test(filename))
  const sorted = Lists.ordered(errors, query.getAll("order_by"), {
    id: "import_error_id",
    import_error_id: "import_error_id",
    timestamp: "timestamp",
    filename: "filename",
    bundle_name: "bundle_name",
    stacktrace: "stack_trace"
  })
  return Lists.page(call, "import_errors", sorted, (error) => error)
}

export const getImportError = (call: Call, id: string): Response => {
  const found = DagBag.read(call).importErrors.find((error) => String(error.id) === id)
  return found === undefined
    ? Responses.failure(404, `The ImportError with import_error_id: \`${id}\` was not found`)
    : Responses.ok(importErrorJson(call, found))
}

export const getSource = (call: Call, dagId: string): Response => {
  const number = call.request.query.get("version_number")
  const versions = DagBag.get(call, dagId)?.versions ?? []
  const found = number === null ? versions.at(-1) : versions.find((version) => String(version.number) === number)
  if (found === undefined) {
    const name = `${Responses.dagWord(call, "3.2")} ${dagId}, version_number ${number ?? "None"}`
    return Responses.failure(404, `The source code of the ${name} was not found`)
  }
  const content = DagBag.renderSource(found.spec, "airflow.sdk")
  const accept = call.request.headers.accept ?? "*/*"
  if (accept.includes("text/plain")) return response(200, "text/plain; charset=utf-8", content)
  if (!accept.includes("application/json") && !accept.includes("*/*")) {
    return Responses.failure(406, "Only application/json or text/plain is supported")
  }
  const displayName = Responses.since(call, "3.1", { dag_display_name: dagId })
  return Responses.ok({ content, dag_id: dagId, version_number: found.number, ...displayName })
}

/** A second request before the file was parsed is a conflict. */
export const requestParse = (call: Call, token: string): Response => {
  const payload = Tokens.verify(token)
  const file = isObject(payload) ? payload.relative_fileloc : undefined
  const dag = DagBag.list(call).find((dag) => dag.file === file)
  if (dag === undefined) return Responses.failure(404, "File not found")
  return DagBag.requestParse(call, dag.file)
    ? Responses.json(201, null)
    : Responses.uniqueViolation(call, "dag_priority_parsing_request", ["id"])
}

export const getStats = (call: Call): Response => {
  const dagIds = call.request.query.getAll("dag_ids")
  const dags = DagBag.list(call).filter(({ dagId }) => dagIds.length === 0 || dagIds.includes(dagId)).flatMap(
    ({ dagId }) => {
      const states = RunTable.list(call, dagId).map((run) => RunTable.evaluate(call, run).state)
      if (states.length === 0) return []
      return [{
        dag_id: dagId,
        ...Responses.since(call, "3.1", { dag_display_name: dagId }),
        stats: ["queued", "running", "success", "failed"].map((state) => ({
          state,
          count: states.filter((other) => other === state).length
        }))
      }]
    }
  )
  return Responses.ok({ dags, total_entries: dags.length })
}
