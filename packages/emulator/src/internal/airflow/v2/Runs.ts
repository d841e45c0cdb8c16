/** DAG runs in Airflow 3. */
import { Halt, type Json, type Response } from "../../Http.js"
import { type Call, like } from "../Airflow.js"
import * as DagBag from "../DagBag.js"
import * as Params from "../Params.js"
import * as Python from "../Python.js"
import type { RunFacts } from "../Runs.js"
import * as RunTable from "../RunTable.js"
import * as Times from "../Times.js"
import { isAtLeast } from "../Version.js"
import * as XComs from "../XComs.js"
import * as Body from "./Body.js"
import * as Dags from "./Dags.js"
import * as Lists from "./Lists.js"
import * as Responses from "./Responses.js"

const time = (millis: number | null) => millis === null ? null : Times.zulu(Times.micros(millis))

const micros = (value: number | null | undefined) => value === null || value === undefined ? null : Times.zulu(value)

/** The DAG version that the run was triggered with; `null` if Airflow no longer knows it. */
export const versionOf = (call: Call, run: RunFacts) => {
  const version = DagBag.get(call, run.dagId)?.versions.find(({ number }) => number === run.versionNumber)
  return version === undefined ? null : Dags.versionJson(call, run.dagId, version)
}

/** With `state`, as Airflow returns the run right after a request has set that state. */
const toJson = (call: Call, run: RunFacts, state?: string): Json => {
  const current = RunTable.evaluate(call, run)
  const version = versionOf(call, run)
  const execution = run.executions.filter(({ isIdle }) => !isIdle).at(-1)
  // the times of a run are cleared when it is queued
  const { endedAt, startedAt } = state === "queued" ? { endedAt: null, startedAt: null } : current
  const duration = startedAt === null || endedAt === null ? null : (endedAt - startedAt) / 1000
  return {
    dag_run_id: run.runId,
    dag_id: run.dagId,
    logical_date: micros(run.logicalDate),
    queued_at: execution === undefined || run.executions.length === 1
      ? Times.zulu(run.queuedAt)
      : time(execution.from),
    start_date: time(startedAt),
    end_date: time(endedAt),
    ...Responses.since(call, "3.1", { duration }),
    data_interval_start: micros(run.interval?.start),
    data_interval_end: micros(run.interval?.end),
    run_after: Times.zulu(run.runAfter),
    last_scheduling_decision: time(current.endedAt ?? current.startedAt),
    run_type: "manual",
    state: state ?? current.state,
    triggered_by: "rest_api",
    ...Responses.since(call, "3.1", { triggering_user_name: "astro" }),
    conf: run.conf,
    note: run.note,
    dag_versions: version === null ? [] : [version],
    bundle_version: null,
    ...Responses.since(call, "3.1", { dag_display_name: run.dagId }),
    ...Responses.since(call, "3.2", { partition_key: null }),
    ...Responses.since(call, "3.3", { partition_date: null })
  }
}

export const requireRun = (call: Call, dagId: string, runId: string): RunFacts =>
  RunTable.get(call, dagId, runId) ??
    Responses.halt(404, `The DagRun with dag_id: \`${dagId}\` and run_id: \`${runId}\` was not found`)

const runIdPattern = "^[A-Za-z0-9_.~:+-]+$"
const generatedPattern = "^(?:manual|scheduled|asset_triggered)__(?:\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\+00:00)$"

const triggerFields = (call: Call) => ({
  dag_run_id: Body.orNull(Body.text),
  data_interval_start: Body.orNull(Body.date),
  data_interval_end: Body.orNull(Body.date),
  run_after: Body.orNull(Body.date),
  conf: isAtLeast(call.version, "3.1") ? Body.orNull(Body.dictionary) : Body.dictionary,
  note: Body.orNull(Body.text),
  logical_date: Body.required(Body.orNull(Body.date)),
  ...isAtLeast(call.version, "3.2") ? { partition_key: Body.orNull(Body.text) } : {}
})

export const trigger = (call: Call, dagId: string): Response => {
  const body = Body.read(call, triggerFields(call))
  const start = Times.parse(body.data_interval_start)
  const end = Times.parse(body.data_interval_end)
  if ((start === undefined) !== (end === undefined)) {
    const message = "Either both data_interval_start and data_interval_end must be provided or both must be None"
    return Responses.invalid(
      ["body"],
      { type: "value_error", msg: `Value error, ${message}`, ctx: { error: {} } },
      body
    )
  }
  const dag = DagBag.get(call, dagId)
  if (dag === undefined || !dag.isPresent || dag.hasImportErrors) {
    return Responses.failure(404, `${Responses.dagWord(call, "3.2")} with dag_id: '${dagId}' not found`)
  }
  const now = call.world.ids.uniqueMicros(call.now)
  const logicalDate = Times.parse(body.logical_date) ?? null
  const runAfter = Times.parse(body.run_after) ?? now
  const given = typeof body.dag_run_id === "string" ? body.dag_run_id : ""
  const runId = given === "" ? newRunId(call, logicalDate, runAfter) : given
  if (!new RegExp(runIdPattern).test(runId)) {
    const detail =
      `The run_id provided '${runId}' does not match regex pattern '${runIdPattern}' or '${generatedPattern}'`
    return Responses.failure(400, detail)
  }
  const invalid = Params.check(dag.spec, body.conf)
  if (invalid !== undefined) return Responses.failure(400, invalid)
  const conflict = RunTable.conflict(call, dagId, runId, logicalDate)
  if (conflict !== undefined) {
    const column = conflict === "runId" ? "run_id" : "logical_date"
    return Responses.uniqueViolation(call, "dag_run", ["dag_id", column])
  }
  const interval = logicalDate === null ? null : { start: start ?? logicalDate, end: end ?? logicalDate }
  // in 3.0 a run with a logical date but no interval runs after that date
  const isDated = logicalDate !== null && start === undefined && !isAtLeast(call.version, "3.1")
  const run = RunTable.trigger(call, dag, {
    runId,
    queuedAt: now,
    runAfter: isDated ? logicalDate : runAfter,
    logicalDate,
    interval,
    conf: body.conf ?? {},
    note: typeof body.note === "string" ? body.note : null
  })
  // the response is sent before the scheduler sees the run
  return Responses.ok(toJson(call, run, "queued"))
}

/** In 3.0 the id of a run without a logical date ends with a random suffix. */
const newRunId = (call: Call, logicalDate: number | null, runAfter: number): string => {
  const isRandom = logicalDate === null && !isAtLeast(call.version, "3.1")
  return `manual__${Times.offset(runAfter)}${isRandom ? `_${call.world.ids.text(8)}` : ""}`
}

const orderFields = {
  id: "",
  state: "state",
  dag_id: "dag_id",
  run_id: "dag_run_id",
  dag_run_id: "dag_run_id",
  logical_date: "logical_date",
  run_after: "run_after",
  start_date: "start_date",
  end_date: "end_date",
  updated_at: "start_date",
  duration: "duration",
  conf: "conf"
}

const dateFields = ["logical_date", "run_after", "start_date", "end_date"]

const states = ["queued", "running", "success", "failed"]

/** Whether the run matches the filters by time. `filter` returns the value of a filter such as `start_date_gte`. */
const isWithin = (run: Json, filter: (name: string) => unknown): boolean =>
  dateFields.every((field) => {
    const value = Times.parse(run[field])
    const limit = (suffix: string) => Times.parse(filter(`${field}_${suffix}`))
    const [gte, gt, lte, lt] = [limit("gte"), limit("gt"), limit("lte"), limit("lt")]
    if (value === undefined) return [gte, gt, lte, lt].every((bound) => bound === undefined)
    return value >= (gte ?? -Infinity) && value > (gt ?? -Infinity) && value <= (lte ?? Infinity) &&
      value < (lt ?? Infinity)
  })

export const list = (call: Call, dagId: string): Response => {
  const { query } = call.request
  if (dagId !== "~") Dags.requireParentDag(call, dagId)
  const wanted = query.getAll("state")
  if (wanted.some((state) => !states.includes(state))) {
    return Responses.failure(422, `Invalid value for state. Valid values are ${states.join(", ")}`)
  }
  const pattern = like(isAtLeast(call.version, "3.1") ? query.get("run_id_pattern") : null)
  const runs = RunTable.list(call, dagId)
    .map((run) => toJson(call, run))
    .filter((run) =>
      (wanted.length === 0 || wanted.includes(String(run.state))) &&
      (query.getAll("run_type").length === 0 || query.getAll("run_type").includes(String(run.run_type))) &&
      pattern.test(String(run.dag_run_id)) &&
      isWithin(run, (name) => query.get(name))
    )
  const sorted = Lists.ordered(runs, query.getAll("order_by"), orderFields)
  return Responses.ok({
    dag_runs: Lists.slice(call, sorted),
    total_entries: runs.length,
    ...Lists.cursors(call)
  })
}

const batchFields = {
  order_by: Body.orNull(Body.anything),
  page_offset: Body.integer,
  page_limit: Body.integer,
  dag_ids: Body.orNull(Body.list),
  states: Body.orNull(Body.list),
  ...Object.fromEntries(
    dateFields.flatMap((field) =>
      ["gte", "gt", "lte", "lt"].map((suffix) => [`${field}_${suffix}`, Body.orNull(Body.date)])
    )
  )
}

export const listBatch = (call: Call, dagId: string): Response => {
  if (dagId !== "~") {
    const error = { type: "literal_error", msg: "Input should be '~'", ctx: { expected: "'~'" } }
    return Responses.invalid(["path", "dag_id"], error, dagId)
  }
  const body = Body.read(call, batchFields)
  const dagIds = Array.isArray(body.dag_ids) ? body.dag_ids : undefined
  const wanted = Array.isArray(body.states) ? body.states : undefined
  const runs = RunTable.list(call)
    .map((run) => toJson(call, run))
    .filter((run) =>
      dagIds?.includes(run.dag_id) !== false && wanted?.includes(run.state) !== false &&
      isWithin(run, (name) => body[name])
    )
  const orderBy = Array.isArray(body.order_by)
    ? body.order_by.map(String)
    : body.order_by
    ? [String(body.order_by)]
    : []
  const offset = Number(body.page_offset ?? 0)
  const found = Lists.ordered(runs, orderBy, orderFields).slice(offset, offset + Number(body.page_limit ?? 100))
  return Responses.ok({ dag_runs: found, total_entries: runs.length, ...Lists.cursors(call) })
}

export const get = (call: Call, dagId: string, runId: string): Response =>
  Responses.ok(toJson(call, requireRun(call, dagId, runId)))

export const patch = (call: Call, dagId: string, runId: string): Response => {
  const body = Body.read(call, {
    state: Body.orNull(Body.oneOf("queued", "success", "failed")),
    note: Body.orNull(Body.text)
  })
  const run = requireRun(call, dagId, runId)
  const { note, state } = Body.masked(call, body)
  if (note !== undefined) run.note = typeof note === "string" ? note : null
  if (state !== "queued" && state !== "success" && state !== "failed") return Responses.ok(toJson(call, run))
  RunTable.setState(call, run, state)
  return Responses.ok(toJson(call, run, state))
}

export const deleteRun = (call: Call, dagId: string, runId: string): Response => {
  RunTable.deleteRun(call, requireRun(call, dagId, runId))
  return Responses.deleted()
}

/** A dry run shows the task instances that would be cleared. Otherwise the response is the cleared run. */
export const clear = (
  call: Call,
  dagId: string,
  runId: string,
  show: (instances: ReadonlyArray<RunTable.TaskInstance>) => Response
): Response => {
  const body = Body.read(call, {
    dry_run: Body.boolean,
    only_failed: Body.boolean,
    ...isAtLeast(call.version, "3.1") ? { run_on_latest_version: Body.boolean } : {}
  })
  const run = requireRun(call, dagId, runId)
  const onlyFailed = body.only_failed === true
  const found = RunTable.clearable(call, run, null, onlyFailed)
  if (body.dry_run !== false) return show(found)
  RunTable.clear(call, run, onlyFailed ? found.map(({ task }) => task.spec.taskId) : null)
  return Responses.ok(toJson(call, run, "queued"))
}

/** Streams one line per interval until the run has ended. */
export const wait = (call: Call, dagId: string, runId: string): Response => {
  const { query } = call.request
  const given = query.get("interval")
  if (given === null) return Responses.invalid(["query", "interval"], Responses.fieldRequired, null)
  const interval = Number(given)
  if (!(interval > 0)) {
    const error = { type: "greater_than", msg: "Input should be greater than 0", ctx: { gt: 0 } }
    return Responses.invalid(["query", "interval"], error, given)
  }
  requireRun(call, dagId, runId)
  const results = query.getAll("result")
  const next = (now: number) => {
    const airflow = { ...call, now }
    const run = RunTable.get(airflow, dagId, runId)
    // the status has been sent already, so that a deleted run can only end the response
    if (run === undefined) return { text: "", isLast: true }
    const { state } = RunTable.evaluate(airflow, run)
    const isLast = state === "success" || state === "failed"
    const line = isLast && results.length > 0 ? { state, results: resultsOf(airflow, run, results) } : { state }
    return { text: `${Python.dumps(line)}\n`, isLast }
  }
  // the speed applies to the interval too, within reason
  return { status: 200, headers: {}, body: { intervalMillis: Math.max(interval * 1000 / call.world.speed, 10), next } }
}

const resultsOf = (call: Call, run: RunFacts, taskIds: ReadonlyArray<string>): Json =>
  Object.fromEntries(taskIds.map((taskId) => {
    const instances = RunTable.instances(call, run).filter(({ task }) => task.spec.taskId === taskId)
    const values = instances.map((instance) => XComs.get(call, instance, "return_value")?.value ?? null)
    return [taskId, instances.some(({ task }) => task.mapIndex >= 0) ? values : values[0] ?? null]
  }))

/** The runs that a path selects. `~` means all runs. */
export const selectRuns = (call: Call, dagId: string, runId: string): ReadonlyArray<RunFacts> => {
  const runs = RunTable.list(call, dagId).filter((run) => runId === "~" || run.runId === runId)
  if (runs.length > 0 || runId === "~") return runs
  if (!isAtLeast(call.version, "3.1") && dagId !== "~" && DagBag.get(call, dagId) === undefined) {
    return Responses.halt(404, `DAG with dag_id: \`${dagId}\` was not found`)
  }
  const isNew = isAtLeast(call.version, "3.2")
  // before 3.2 it is enough that any DAG has a run with this id
  if (!isNew && RunTable.list(call).some((run) => run.runId === runId)) return []
  const fields = isNew ? `dag_id: \`${dagId}\` and run_id: \`${runId}\`` : `run_id: \`${runId}\``
  throw new Halt(Responses.failure(404, `DagRun with ${fields} was not found`))
}
