/** DAGs, their versions and their files in Airflow 3. */
import { isObject, noContent, type Reply, reply } from "../../Http.js"
import * as DagBag from "../DagBag.js"
import * as Params from "../Params.js"
import * as RunTable from "../RunTable.js"
import { type Call, like } from "../Site.js"
import * as Times from "../Times.js"
import * as Tokens from "../Tokens.js"
import { isAtLeast } from "../Version.js"
import * as Answers from "./Answers.js"

const bundle = "dags-folder"

export const pathOf = (file: string) => `/usr/local/airflow/dags/${file}`

const time = (millis: number) => Times.zulu(Times.micros(millis))

const fileToken = (dag: DagBag.Dag) => Tokens.sign({ bundle_name: bundle, relative_fileloc: dag.file })

/** The file cannot be imported, or is gone. */
const isStale = (dag: DagBag.Dag) => !dag.isPresent || dag.hasImportErrors

const base = (call: Call, dag: DagBag.Dag) => ({
  dag_id: dag.dagId,
  dag_display_name: dag.dagId,
  is_paused: DagBag.isPaused(call, dag.dagId),
  is_stale: isStale(dag),
  last_parsed_time: time(DagBag.lastParsed(call, dag)),
  ...Answers.from(call, "3.1", { last_parse_duration: 0.05 }),
  last_expired: null,
  bundle_name: bundle,
  bundle_version: null,
  relative_fileloc: dag.file,
  fileloc: pathOf(dag.file),
  description: null,
  timetable_summary: null,
  timetable_description: "Never, external triggers only",
  ...Answers.from(call, "3.2", { timetable_partitioned: false }),
  ...Answers.from(call, "3.3", { timetable_periodic: false }),
  tags: (dag.spec.tags ?? []).map((name) => ({
    name,
    dag_id: dag.dagId,
    ...Answers.from(call, "3.1", { dag_display_name: dag.dagId })
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
  ...Answers.from(call, "3.2", { allowed_run_types: null }),
  owners: ["airflow"]
})

const ending = (call: Call, dag: DagBag.Dag) => ({
  ...Answers.from(call, "3.3", { is_backfillable: false }),
  file_token: fileToken(dag)
})

const toJson = (call: Call, dag: DagBag.Dag) => ({ ...base(call, dag), ...ending(call, dag) })

export const versionJson = (call: Call, dagId: string, version: DagBag.DagVersion) => ({
  id: Tokens.uuid(call.deployment.id, dagId, version.number, version.createdAt),
  version_number: version.number,
  dag_id: dagId,
  bundle_name: bundle,
  bundle_version: null,
  created_at: time(version.createdAt),
  ...Answers.from(call, "3.1", { dag_display_name: dagId }),
  bundle_url: null
})

export const find = (call: Call, dagId: string): DagBag.Dag =>
  DagBag.find(call, dagId) ?? Answers.stop(
    404,
    isAtLeast(call.version, "3.1")
      ? `The Dag with ID: \`${dagId}\` was not found`
      : `Dag with id ${dagId} was not found`
  )

/** Where lists below a DAG ask for it. */
export const require = (call: Call, dagId: string): DagBag.Dag =>
  DagBag.find(call, dagId) ?? Answers.stop(
    404,
    isAtLeast(call.version, "3.1")
      ? `The Dag with ID: \`${dagId}\` was not found`
      : `The DAG with dag_id: \`${dagId}\` was not found`
  )

const isTrue = (value: string | null) => value?.toLowerCase() === "true"

const filtered = (call: Call): ReadonlyArray<DagBag.Dag> => {
  const { query } = call.request
  const tags = query.getAll("tags")
  const pattern = like(query.get("dag_id_pattern"))
  const knowsErrors = isAtLeast(call.version, "3.1") && query.has("has_import_errors")
  return DagBag.all(call).filter((dag) =>
    (query.get("exclude_stale")?.toLowerCase() === "false" || !isStale(dag)) &&
    pattern.test(dag.dagId) &&
    (tags.length === 0 || tags.some((tag) => dag.spec.tags?.includes(tag))) &&
    (!query.has("paused") || DagBag.isPaused(call, dag.dagId) === isTrue(query.get("paused"))) &&
    (!knowsErrors || dag.hasImportErrors === isTrue(query.get("has_import_errors")))
  )
}

export const list = (call: Call): Reply => {
  const dags = filtered(call).map((dag) => toJson(call, dag))
  const order = call.request.query.getAll("order_by")
  const sorted = Answers.ordered(dags, order, { dag_id: "dag_id", dag_display_name: "dag_display_name" })
  return Answers.page(call, "dags", sorted, (dag) => dag)
}

export const get = (call: Call, dagId: string): Reply => Answers.ok(toJson(call, find(call, dagId)))

export const details = (call: Call, dagId: string): Reply => {
  const dag = find(call, dagId)
  const latest = dag.versions.at(-1)
  const active = RunTable.list(call, dagId).filter((run) => {
    const { state } = RunTable.evaluate(call, run)
    return state === "queued" || state === "running"
  })
  return Answers.ok({
    ...base(call, dag),
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
    ...Answers.from(call, "3.1", { default_args: {} }),
    ...Answers.from(call, "3.3", { rerun_with_latest_version: null }),
    owner_links: {},
    ...Answers.from(call, "3.1", { is_favorite: false }),
    ...Answers.from(call, "3.2", { active_runs_count: active.length }),
    ...ending(call, dag),
    concurrency: 16,
    latest_dag_version: latest === undefined ? null : versionJson(call, dagId, latest)
  })
}

const askedPaused = (call: Call): boolean => {
  const mask = call.request.query.getAll("update_mask")
  if (mask.some((name) => name !== "is_paused")) {
    Answers.stop(400, "Only `is_paused` field can be updated through the REST API")
  }
  return Answers.fields(call, { is_paused: Answers.required(Answers.flag) }).is_paused === true
}

export const patch = (call: Call, dagId: string): Reply => {
  const paused = askedPaused(call)
  const dag = DagBag.find(call, dagId) ?? Answers.stop(404, `Dag with id: ${dagId} was not found`)
  DagBag.setPaused(call, dagId, paused)
  return Answers.ok(toJson(call, dag))
}

/** Those of the page that match; without a pattern none do. */
export const patchMany = (call: Call): Reply => {
  const paused = askedPaused(call)
  const dags = call.request.query.has("dag_id_pattern") ? filtered(call) : []
  for (const dag of Answers.slice(call, dags)) DagBag.setPaused(call, dag.dagId, paused)
  return Answers.page(call, "dags", dags, (dag) => toJson(call, dag))
}

export const remove = (call: Call, dagId: string): Reply => {
  if (DagBag.find(call, dagId) === undefined) return Answers.failure(404, `Dag with id: ${dagId} was not found`)
  return RunTable.removeDag(call, dagId)
    ? noContent()
    : Answers.failure(409, `Task instances of dag with id: '${dagId}' are still running`)
}

export const versions = (call: Call, dagId: string): Reply =>
  Answers.page(call, "dag_versions", require(call, dagId).versions, (version) => versionJson(call, dagId, version))

export const version = (call: Call, dagId: string, number: string): Reply => {
  const found = DagBag.find(call, dagId)?.versions.find((version) => String(version.number) === number)
  return found === undefined
    ? Answers.failure(404, `The DagVersion with dag_id: \`${dagId}\` and version_number: \`${number}\` was not found`)
    : Answers.ok(versionJson(call, dagId, found))
}

const importErrorJson = (call: Call, error: DagBag.ImportError) => ({
  import_error_id: error.id,
  timestamp: time(error.at),
  filename: isAtLeast(call.version, "3.1") ? error.file : pathOf(error.file),
  bundle_name: bundle,
  stack_trace: error.stackTrace
})

export const importErrors = (call: Call): Reply => {
  const { query } = call.request
  const pattern = like(isAtLeast(call.version, "3.1") ? query.get("filename_pattern") : null)
  const errors = DagBag.read(call).importErrors
    .map((error) => importErrorJson(call, error))
    .filter(({ filename }) => pattern.test(filename))
  const sorted = Answers.ordered(errors, query.getAll("order_by"), {
    id: "import_error_id",
    import_error_id: "import_error_id",
    timestamp: "timestamp",
    filename: "filename",
    bundle_name: "bundle_name",
    stacktrace: "stack_trace"
  })
  return Answers.page(call, "import_errors", sorted, (error) => error)
}

export const importError = (call: Call, id: string): Reply => {
  const found = DagBag.read(call).importErrors.find((error) => String(error.id) === id)
  return found === undefined
    ? Answers.failure(404, `The ImportError with import_error_id: \`${id}\` was not found`)
    : Answers.ok(importErrorJson(call, found))
}

export const source = (call: Call, dagId: string): Reply => {
  const asked = call.request.query.get("version_number")
  const versions = DagBag.find(call, dagId)?.versions ?? []
  const found = asked === null ? versions.at(-1) : versions.find((version) => String(version.number) === asked)
  if (found === undefined) {
    const which = `${Answers.dagWord(call, "3.2")} ${dagId}, version_number ${asked ?? "None"}`
    return Answers.failure(404, `The source code of the ${which} was not found`)
  }
  const content = DagBag.source(found.spec, "airflow.sdk")
  const accept = call.request.headers.accept ?? "*/*"
  if (accept.includes("text/plain")) return reply(200, "text/plain; charset=utf-8", content)
  if (!accept.includes("application/json") && !accept.includes("*/*")) {
    return Answers.failure(406, "Only application/json or text/plain is supported")
  }
  const named = Answers.from(call, "3.1", { dag_display_name: dagId })
  return Answers.ok({ content, dag_id: dagId, version_number: found.number, ...named })
}

/** Asking again before it was done is a conflict. */
export const parse = (call: Call, token: string): Reply => {
  const opened = Tokens.open(token)
  const file = isObject(opened) ? opened.relative_fileloc : undefined
  const dag = DagBag.all(call).find((dag) => dag.file === file)
  if (dag === undefined) return Answers.failure(404, "File not found")
  return DagBag.requestParse(call, dag.file)
    ? Answers.json(201, null)
    : Answers.uniqueViolation(call, "dag_priority_parsing_request", ["id"])
}

export const stats = (call: Call): Reply => {
  const asked = call.request.query.getAll("dag_ids")
  const dags = DagBag.all(call).filter(({ dagId }) => asked.length === 0 || asked.includes(dagId)).flatMap(
    ({ dagId }) => {
      const states = RunTable.list(call, dagId).map((run) => RunTable.evaluate(call, run).state)
      if (states.length === 0) return []
      return [{
        dag_id: dagId,
        ...Answers.from(call, "3.1", { dag_display_name: dagId }),
        stats: ["queued", "running", "success", "failed"].map((state) => ({
          state,
          count: states.filter((other) => other === state).length
        }))
      }]
    }
  )
  return Answers.ok({ dags, total_entries: dags.length })
}
