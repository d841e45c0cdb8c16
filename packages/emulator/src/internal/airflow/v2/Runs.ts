/** DAG runs in Airflow 3. */
import { Halt, type Json, noContent, type Reply } from "../../Http.js"
import * as DagBag from "../DagBag.js"
import * as Params from "../Params.js"
import * as Python from "../Python.js"
import type { RunFacts } from "../Runs.js"
import * as RunTable from "../RunTable.js"
import { type Call, like } from "../Site.js"
import * as Times from "../Times.js"
import { isAtLeast } from "../Version.js"
import * as XComs from "../XComs.js"
import * as Answers from "./Answers.js"
import * as Dags from "./Dags.js"

const time = (millis: number | null) => millis === null ? null : Times.zulu(Times.micros(millis))

const micros = (value: number | null | undefined) => value === null || value === undefined ? null : Times.zulu(value)

/** The version that the run was triggered with, as long as Airflow knows it. */
export const versionOf = (call: Call, run: RunFacts) => {
  const found = DagBag.find(call, run.dagId)?.versions.find(({ number }) => number === run.versionNumber)
  return found === undefined ? null : Dags.versionJson(call, run.dagId, found)
}

const toJson = (call: Call, run: RunFacts, state?: string): Json => {
  const course = RunTable.evaluate(call, run)
  const version = versionOf(call, run)
  const cleared = run.lives.filter(({ isIdle }) => !isIdle).at(-1)
  // whatever queues a run empties its times
  const { endedAt, startedAt } = state === "queued" ? { endedAt: null, startedAt: null } : course
  const duration = startedAt === null || endedAt === null ? null : (endedAt - startedAt) / 1000
  return {
    dag_run_id: run.runId,
    dag_id: run.dagId,
    logical_date: micros(run.logicalDate),
    queued_at: cleared === undefined || run.lives.length === 1 ? Times.zulu(run.queuedAt) : time(cleared.from),
    start_date: time(startedAt),
    end_date: time(endedAt),
    ...Answers.from(call, "3.1", { duration }),
    data_interval_start: micros(run.interval?.start),
    data_interval_end: micros(run.interval?.end),
    run_after: Times.zulu(run.runAfter),
    last_scheduling_decision: time(course.endedAt ?? course.startedAt),
    run_type: "manual",
    state: state ?? course.state,
    triggered_by: "rest_api",
    ...Answers.from(call, "3.1", { triggering_user_name: "astro" }),
    conf: run.conf,
    note: run.note,
    dag_versions: version === null ? [] : [version],
    bundle_version: null,
    ...Answers.from(call, "3.1", { dag_display_name: run.dagId }),
    ...Answers.from(call, "3.2", { partition_key: null }),
    ...Answers.from(call, "3.3", { partition_date: null })
  }
}

export const find = (call: Call, dagId: string, runId: string): RunFacts =>
  RunTable.find(call, dagId, runId) ??
    Answers.stop(404, `The DagRun with dag_id: \`${dagId}\` and run_id: \`${runId}\` was not found`)

const runIdPattern = "^[A-Za-z0-9_.~:+-]+$"
const generatedPattern = "^(?:manual|scheduled|asset_triggered)__(?:\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\+00:00)$"

const triggerFields = (call: Call) => ({
  dag_run_id: Answers.orNull(Answers.text),
  data_interval_start: Answers.orNull(Answers.date),
  data_interval_end: Answers.orNull(Answers.date),
  run_after: Answers.orNull(Answers.date),
  conf: isAtLeast(call.version, "3.1") ? Answers.orNull(Answers.dictionary) : Answers.dictionary,
  note: Answers.orNull(Answers.text),
  logical_date: Answers.required(Answers.orNull(Answers.date)),
  ...isAtLeast(call.version, "3.2") ? { partition_key: Answers.orNull(Answers.text) } : {}
})

export const trigger = (call: Call, dagId: string): Reply => {
  const body = Answers.fields(call, triggerFields(call))
  const start = Times.read(body.data_interval_start)
  const end = Times.read(body.data_interval_end)
  if ((start === undefined) !== (end === undefined)) {
    const words = "Either both data_interval_start and data_interval_end must be provided or both must be None"
    return Answers.invalid(["body"], { type: "value_error", msg: `Value error, ${words}`, ctx: { error: {} } }, body)
  }
  const dag = DagBag.find(call, dagId)
  if (dag === undefined || !dag.isPresent || dag.hasImportErrors) {
    return Answers.failure(404, `${Answers.dagWord(call, "3.2")} with dag_id: '${dagId}' not found`)
  }
  const now = call.world.ids.micros(call.now)
  const logicalDate = Times.read(body.logical_date) ?? null
  const asked = Times.read(body.run_after) ?? now
  const given = typeof body.dag_run_id === "string" ? body.dag_run_id : ""
  const runId = given === "" ? newRunId(call, logicalDate, asked) : given
  if (!new RegExp(runIdPattern).test(runId)) {
    const detail =
      `The run_id provided '${runId}' does not match regex pattern '${runIdPattern}' or '${generatedPattern}'`
    return Answers.failure(400, detail)
  }
  const wrong = Params.check(dag.spec, body.conf)
  if (wrong !== undefined) return Answers.failure(400, wrong)
  const conflict = RunTable.conflict(call, dagId, runId, logicalDate)
  if (conflict !== undefined) {
    const column = conflict === "runId" ? "run_id" : "logical_date"
    return Answers.uniqueViolation(call, "dag_run", ["dag_id", column])
  }
  const interval = logicalDate === null ? null : { start: start ?? logicalDate, end: end ?? logicalDate }
  // in 3.0 a date decides, unless it comes with an interval
  const isDated = logicalDate !== null && start === undefined && !isAtLeast(call.version, "3.1")
  const run = RunTable.trigger(call, dag, {
    runId,
    queuedAt: now,
    runAfter: isDated ? logicalDate : asked,
    logicalDate,
    interval,
    conf: body.conf ?? {},
    note: typeof body.note === "string" ? body.note : null
  })
  // a trigger is answered before the scheduler looks at it
  return Answers.ok(toJson(call, run, "queued"))
}

/** In 3.0 one without a logical date ends in something random. */
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

/** The time lies within what `FIELD_gte`, `_gt`, `_lte` and `_lt` say. */
const isWithin = (run: Json, given: (name: string) => unknown): boolean =>
  dateFields.every((field) => {
    const value = Times.read(run[field])
    const asked = (suffix: string) => Times.read(given(`${field}_${suffix}`))
    const [gte, gt, lte, lt] = [asked("gte"), asked("gt"), asked("lte"), asked("lt")]
    if (value === undefined) return [gte, gt, lte, lt].every((limit) => limit === undefined)
    return value >= (gte ?? -Infinity) && value > (gt ?? -Infinity) && value <= (lte ?? Infinity) &&
      value < (lt ?? Infinity)
  })

export const list = (call: Call, dagId: string): Reply => {
  const { query } = call.request
  if (dagId !== "~") Dags.require(call, dagId)
  const asked = query.getAll("state")
  if (asked.some((state) => !states.includes(state))) {
    return Answers.failure(422, `Invalid value for state. Valid values are ${states.join(", ")}`)
  }
  const pattern = like(isAtLeast(call.version, "3.1") ? query.get("run_id_pattern") : null)
  const runs = RunTable.list(call, dagId)
    .map((run) => toJson(call, run))
    .filter((run) =>
      (asked.length === 0 || asked.includes(String(run.state))) &&
      (query.getAll("run_type").length === 0 || query.getAll("run_type").includes(String(run.run_type))) &&
      pattern.test(String(run.dag_run_id)) &&
      isWithin(run, (name) => query.get(name))
    )
  const sorted = Answers.ordered(runs, query.getAll("order_by"), orderFields)
  return Answers.ok({ dag_runs: Answers.slice(call, sorted), total_entries: runs.length, ...Answers.cursors(call) })
}

const batchFields = {
  order_by: Answers.orNull(Answers.anything),
  page_offset: Answers.integer,
  page_limit: Answers.integer,
  dag_ids: Answers.orNull(Answers.texts),
  states: Answers.orNull(Answers.texts),
  ...Object.fromEntries(
    dateFields.flatMap((field) =>
      ["gte", "gt", "lte", "lt"].map((suffix) => [`${field}_${suffix}`, Answers.orNull(Answers.date)])
    )
  )
}

export const batch = (call: Call, dagId: string): Reply => {
  if (dagId !== "~") {
    const flaw = { type: "literal_error", msg: "Input should be '~'", ctx: { expected: "'~'" } }
    return Answers.invalid(["path", "dag_id"], flaw, dagId)
  }
  const body = Answers.fields(call, batchFields)
  const dagIds = Array.isArray(body.dag_ids) ? body.dag_ids : undefined
  const asked = Array.isArray(body.states) ? body.states : undefined
  const runs = RunTable.list(call)
    .map((run) => toJson(call, run))
    .filter((run) =>
      dagIds?.includes(run.dag_id) !== false && asked?.includes(run.state) !== false &&
      isWithin(run, (name) => body[name])
    )
  const order = Array.isArray(body.order_by) ? body.order_by.map(String) : body.order_by ? [String(body.order_by)] : []
  const offset = Number(body.page_offset ?? 0)
  const found = Answers.ordered(runs, order, orderFields).slice(offset, offset + Number(body.page_limit ?? 100))
  return Answers.ok({ dag_runs: found, total_entries: runs.length, ...Answers.cursors(call) })
}

export const get = (call: Call, dagId: string, runId: string): Reply =>
  Answers.ok(toJson(call, find(call, dagId, runId)))

export const patch = (call: Call, dagId: string, runId: string): Reply => {
  const body = Answers.fields(call, {
    state: Answers.orNull(Answers.oneOf("queued", "success", "failed")),
    note: Answers.orNull(Answers.text)
  })
  const run = find(call, dagId, runId)
  const { note, state } = Answers.maskedBy(call, body)
  if (note !== undefined) run.note = typeof note === "string" ? note : null
  if (state !== "queued" && state !== "success" && state !== "failed") return Answers.ok(toJson(call, run))
  RunTable.setState(call, run, state)
  return Answers.ok(toJson(call, run, state))
}

export const remove = (call: Call, dagId: string, runId: string): Reply => {
  RunTable.remove(call, find(call, dagId, runId))
  return noContent({ "content-type": "application/json" })
}

/** What would be cleared, or the run as it is afterwards. */
export const clear = (
  call: Call,
  dagId: string,
  runId: string,
  show: (instances: ReadonlyArray<RunTable.Instance>) => Reply
): Reply => {
  const body = Answers.fields(call, {
    dry_run: Answers.flag,
    only_failed: Answers.flag,
    ...isAtLeast(call.version, "3.1") ? { run_on_latest_version: Answers.flag } : {}
  })
  const run = find(call, dagId, runId)
  const onlyFailed = body.only_failed === true
  const found = RunTable.clearable(call, run, null, onlyFailed)
  if (body.dry_run !== false) return show(found)
  RunTable.clear(call, run, onlyFailed ? found.map(({ task }) => task.task.taskId) : null)
  return Answers.ok(toJson(call, run, "queued"))
}

/** One line every so often, until the run has ended. */
export const wait = (call: Call, dagId: string, runId: string): Reply => {
  const { query } = call.request
  const given = query.get("interval")
  if (given === null) return Answers.invalid(["query", "interval"], Answers.missing, null)
  const interval = Number(given)
  if (!(interval > 0)) {
    const flaw = { type: "greater_than", msg: "Input should be greater than 0", ctx: { gt: 0 } }
    return Answers.invalid(["query", "interval"], flaw, given)
  }
  find(call, dagId, runId)
  const results = query.getAll("result")
  const next = (now: number) => {
    const later = { ...call, now }
    const run = RunTable.find(later, dagId, runId)
    // the status is sent already, so a run that is gone can only end the answer
    if (run === undefined) return { text: "", isLast: true }
    const { state } = RunTable.evaluate(later, run)
    const isLast = state === "success" || state === "failed"
    const line = isLast && results.length > 0 ? { state, results: resultsOf(later, run, results) } : { state }
    return { text: `${Python.dumps(line)}\n`, isLast }
  }
  // as fast as everything else, but never so fast that it is busy with nothing else
  return { status: 200, headers: {}, body: { everyMillis: Math.max(interval * 1000 / call.world.speed, 10), next } }
}

const resultsOf = (call: Call, run: RunFacts, taskIds: ReadonlyArray<string>): Json =>
  Object.fromEntries(taskIds.map((taskId) => {
    const instances = RunTable.instances(call, run).filter(({ task }) => task.task.taskId === taskId)
    const values = instances.map((instance) => XComs.find(call, instance, "return_value")?.value ?? null)
    return [taskId, instances.some(({ task }) => task.mapIndex >= 0) ? values : values[0] ?? null]
  }))

/** The runs that a path names; `~` stands for all of them. */
export const named = (call: Call, dagId: string, runId: string): ReadonlyArray<RunFacts> => {
  const runs = RunTable.list(call, dagId).filter((run) => runId === "~" || run.runId === runId)
  if (runs.length > 0 || runId === "~") return runs
  if (!isAtLeast(call.version, "3.1") && dagId !== "~" && DagBag.find(call, dagId) === undefined) {
    return Answers.stop(404, `DAG with dag_id: \`${dagId}\` was not found`)
  }
  const isNew = isAtLeast(call.version, "3.2")
  // up to 3.1 a run of any DAG will do
  if (!isNew && RunTable.list(call).some((run) => run.runId === runId)) return []
  const words = isNew ? `dag_id: \`${dagId}\` and run_id: \`${runId}\`` : `run_id: \`${runId}\``
  throw new Halt(Answers.failure(404, `DagRun with ${words} was not found`))
}
