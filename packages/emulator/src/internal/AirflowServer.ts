/** The REST API of Airflow 2 (`/api/v1`) of one deployment, as a table of routes. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Power from "../Power.js"
import {
  Halt,
  isObject,
  type Json,
  match,
  noContent,
  parseJson,
  type Reply,
  reply,
  type Request,
  route
} from "./Http.js"
import * as Runs from "./Runs.js"
import * as TaskLog from "./TaskLog.js"
import { type Deployment, isoTime, phasesOf, type World } from "./World.js"

interface Call {
  readonly world: World
  readonly deployment: Deployment
  readonly request: Request
  readonly now: number
}

/** `request` is what comes after the deployment's path. */
export const handle = (world: World, deployment: Deployment, request: Request, now: number): Reply => {
  const call: Call = { world, deployment, request, now }
  const { method, segments } = request
  if (method === "DELETE" && request.headers["content-type"]?.includes("json") === true && request.body === "") {
    return reply(
      400,
      html,
      "<!doctype html>\n<html lang=en>\n<title>400 Bad Request</title>\n<h1>Bad Request</h1>\n<p>The browser (or proxy) sent a request that this server could not understand.</p>\n"
    )
  }
  if (method === "GET" && segments.join("/") === "health") return ok(health(call))
  if (segments[0] !== "api" || segments[1] !== "v1") return reply(404, html, notFoundPage)
  const found = match(routes, method, segments.slice(2))
  if (found._tag === "NotFound") {
    return plainProblem(
      404,
      "Not Found",
      noRoute
    )
  }
  if (found._tag === "MethodNotAllowed") {
    return plainProblem(405, "Method Not Allowed", "The method is not allowed for the requested URL.")
  }
  const extra = [...request.query.keys()].filter((name) => !found.route.query.includes(name))
  if (extra.length > 0) return problem(call, 400, null, `Extra query parameter(s) ${extra.join(", ")} not in spec`)
  try {
    return found.route.handle(call, ...found.parameters)
  } catch (error) {
    if (error instanceof Halt) return error.reply
    throw error
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// health

const health = ({ now, world }: Call) => ({
  dag_processor: { latest_dag_processor_heartbeat: null, status: null },
  metadatabase: { status: "healthy" },
  // a scheduler beats every five seconds
  scheduler: { latest_scheduler_heartbeat: date(now - (now - world.startedAt) % 5000), status: "healthy" },
  triggerer: { latest_triggerer_heartbeat: null, status: null }
})

// ---------------------------------------------------------------------------------------------------------------------
// DAGs

interface Dag {
  readonly dagId: string
  readonly spec: Runs.RunFacts["spec"]
  readonly isActive: boolean
  readonly parsedAt: number
}

const allDags = ({ world }: Call): ReadonlyArray<Dag> =>
  [...world.dags].map(([dagId, dag]) => ({ dagId, ...dag })).sort((a, b) => a.dagId < b.dagId ? -1 : 1)

const pausesOf = ({ deployment, world }: Call, dagId: string) =>
  deployment.airflow.pauses.get(dagId) ?? [{ at: 0, paused: world.dags.get(dagId)?.spec.paused ?? true }]

const isPaused = (call: Call, dagId: string): boolean => pausesOf(call, dagId).at(-1)?.paused ?? true

const setPaused = (call: Call, dagId: string, paused: boolean) =>
  call.deployment.airflow.pauses.set(dagId, [...pausesOf(call, dagId), { at: call.now, paused }])

const dagJson = (call: Call, { dagId, isActive, parsedAt, spec }: Dag) => ({
  dag_display_name: dagId,
  dag_id: dagId,
  default_view: "grid",
  description: null,
  file_token: `${Buffer.from(JSON.stringify(fileOf(dagId))).toString("base64url")}.emulated`,
  fileloc: fileOf(dagId),
  has_import_errors: false,
  has_task_concurrency_limits: false,
  is_active: isActive,
  is_paused: isPaused(call, dagId),
  is_subdag: false,
  last_expired: null,
  last_parsed_time: date(parsedAt),
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
  tags: (spec.tags ?? []).map((name) => ({ name })),
  timetable_description: "Never, external triggers only"
})

const fileOf = (dagId: string) => `/usr/local/airflow/dags/${dagId}.py`

const dagDetails = (call: Call, dag: Dag) => ({
  ...dagJson(call, dag),
  catchup: false,
  concurrency: 16,
  dag_run_timeout: null,
  dataset_expression: null,
  doc_md: null,
  end_date: null,
  is_paused_upon_creation: null,
  last_parsed: date(dag.parsedAt),
  orientation: "LR",
  owners: [],
  params: {},
  render_template_as_native_obj: false,
  start_date: "2024-01-01T00:00:00+00:00",
  template_searchpath: null,
  timezone: "UTC"
})

const getDag = (call: Call, dagId: string): Dag => {
  const dag = call.world.dags.get(dagId)
  if (dag !== undefined) return { dagId, ...dag }
  throw new Halt(problem(call, 404, "DAG not found", `The DAG with dag_id: ${dagId} was not found`))
}

const filterDags = (call: Call): ReadonlyArray<Dag> => {
  const { query } = call.request
  const pattern = query.get("dag_id_pattern")
  const tags = query.getAll("tags").flatMap((tag) => tag.split(","))
  const like = pattern === null || pattern === "~" ? /^/ : likePattern(pattern)
  return allDags(call).filter((dag) =>
    (query.get("only_active") === "false" || dag.isActive) &&
    like.test(dag.dagId) &&
    (tags.length === 0 || tags.some((tag) => dag.spec.tags?.includes(tag))) &&
    (!query.has("paused") || isPaused(call, dag.dagId) === (query.get("paused") === "true"))
  )
}

/** SQL's `ILIKE`, anywhere in the text. */
const likePattern = (pattern: string) =>
  new RegExp(
    pattern.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("%", ".*").replaceAll("_", "."),
    "i"
  )

const listDags = (call: Call): Reply => {
  const order = call.request.query.get("order_by")
  checkOrder(call, ["dag_id"])
  const dags = filterDags(call)
  return page(call, "dags", order === "-dag_id" ? [...dags].reverse() : dags, (dag) => dagJson(call, dag))
}

const patchPaused = (call: Call): boolean => {
  const body = objectBody(call)
  const readOnly = Object.keys(body).find((key) => key !== "is_paused")
  if (readOnly !== undefined) throw new Halt(badRequest(call, `Property is read-only - '${readOnly}'`))
  if (typeof body.is_paused !== "boolean") {
    throw new Halt(badRequest(call, `${python(body.is_paused)} is not of type 'boolean' - 'is_paused'`))
  }
  return body.is_paused
}

const patchDags = (call: Call): Reply => {
  if (!call.request.query.has("dag_id_pattern")) return badRequest(call, "Missing query parameter 'dag_id_pattern'")
  const paused = patchPaused(call)
  const dags = filterDags(call)
  for (const dag of dags) setPaused(call, dag.dagId, paused)
  return page(call, "dags", dags, (dag) => dagJson(call, dag))
}

const patchDag = (call: Call, dagId: string): Reply => {
  const dag = call.world.dags.get(dagId)
  if (dag === undefined) return problem(call, 404, `Dag with id: '${dagId}' not found`, null)
  setPaused(call, dagId, patchPaused(call))
  return ok(dagJson(call, { dagId, ...dag }))
}

// ---------------------------------------------------------------------------------------------------------------------
// runs

const evaluate = (call: Call, run: Runs.RunFacts): Runs.Run => {
  const { deployment, now, world } = call
  const phases = phasesOf(world, deployment)
  const pauses = pausesOf(call, run.dagId)
  const unpaused = (from: number): number =>
    pauses.filter((pause) => pause.at <= from).at(-1)?.paused === false
      ? from
      : pauses.find((pause) => pause.at > from && !pause.paused)?.at ?? Infinity
  // tasks start while the scheduler is up and the DAG is not paused; each may be true again only after the other
  const opens = (from: number): number => {
    const at = unpaused(Power.schedulerUp(phases, from))
    return at === Infinity || at === from ? at : opens(at)
  }
  return Runs.evaluate(run, {
    now,
    speed: world.speed,
    latency: world.timings.schedule,
    opens,
    stops: phases.flatMap((phase) => phase.status === "HIBERNATING" ? [phase.from] : [])
  })
}

const runJson = (call: Call, run: Runs.RunFacts, state?: string) => {
  const course = evaluate(call, run)
  return {
    conf: run.conf,
    dag_id: run.dagId,
    dag_run_id: run.runId,
    data_interval_end: run.logicalDate,
    data_interval_start: run.logicalDate,
    end_date: course.endedAt === null ? null : date(course.endedAt),
    execution_date: run.logicalDate,
    external_trigger: true,
    last_scheduling_decision: course.startedAt === null ? null : date(course.endedAt ?? course.startedAt),
    logical_date: run.logicalDate,
    note: run.note,
    run_type: "manual",
    start_date: course.startedAt === null ? null : date(course.startedAt),
    state: state ?? course.state
  }
}

const findRun = ({ deployment }: Call, dagId: string, runId: string) =>
  deployment.airflow.runs.find((run) => run.dagId === dagId && run.runId === runId)

const getRun = (call: Call, dagId: string, runId: string, title = "DAGRun not found"): Runs.RunFacts => {
  const run = findRun(call, dagId, runId)
  if (run !== undefined) return run
  throw new Halt(problem(call, 404, title, `DAGRun with DAG ID: '${dagId}' and DagRun ID: '${runId}' not found`))
}

const trigger = (call: Call, dagId: string): Reply => {
  const { deployment, now, world } = call
  const body = objectBody(call)
  const fields = [
    "dag_run_id",
    "logical_date",
    "execution_date",
    "conf",
    "note",
    "data_interval_start",
    "data_interval_end"
  ]
  if ("conf" in body && !isObject(body.conf)) {
    return badRequest(call, `${python(body.conf)} is not of type 'object' - 'conf'`)
  }
  checkFields(call, body, fields, "Bad Request")
  const dag = world.dags.get(dagId)
  if (dag === undefined || !dag.isActive) {
    return problem(call, 404, "DAG not found", `DAG with dag_id: '${dagId}' not found`)
  }
  const asked = "logical_date" in body ? body.logical_date : body.execution_date
  if (asked === null) return badRequest(call, "{'logical_date': ['Field may not be null.']}")
  const parsed = typeof asked === "string" && zonedDate.test(asked) ? DateTime.make(asked) : Option.none()
  if (asked !== undefined && Option.isNone(parsed)) {
    return badRequest(call, `${python(asked)} is not a 'date-time' - 'logical_date'`)
  }
  const logicalDate = Option.isSome(parsed) ? date(parsed.value.epochMillis) : microDate(world.ids.micros(now))
  const runId = body.dag_run_id ?? `manual__${logicalDate}`
  if (typeof runId !== "string") return badRequest(call, `${python(runId)} is not of type 'string' - 'dag_run_id'`)
  if (!/^[A-Za-z0-9_.~:+-]+$/.test(runId)) return reply(500, html, crashPage)
  if (runId.length > 250) return badRequest(call, "{'dag_run_id': ['Longer than maximum length 250.']}")
  const conflict = (words: string) =>
    problem(call, 409, "Conflict", `DAGRun with DAG ID: '${dagId}' and ${words} already exists`)
  if (findRun(call, dagId, runId) !== undefined) return conflict(`DAGRun ID: '${runId}'`)
  if (deployment.airflow.runs.some((run) => run.dagId === dagId && run.logicalDate === logicalDate)) {
    return conflict(`DAGRun logical date: '${logicalDate.replace("T", " ")}'`)
  }
  const run: Runs.RunFacts = {
    dagId,
    runId,
    spec: dag.spec,
    triggeredAt: now,
    logicalDate,
    conf: body.conf ?? {},
    note: typeof body.note === "string" ? body.note : null,
    forced: null
  }
  deployment.airflow.runs.push(run)
  // a trigger is answered before the scheduler looks at it
  return ok(runJson(call, run, "queued"))
}

const orderFields: Record<string, keyof ReturnType<typeof runJson>> = {
  dag_id: "dag_id",
  run_id: "dag_run_id",
  start_date: "start_date",
  end_date: "end_date",
  state: "state"
}

const listRuns = (call: Call, dagId: string): Reply => {
  const { query } = call.request
  checkOrder(call, ["id", "dag_id", "run_id", "execution_date", "start_date", "end_date", "state"])
  const order = query.get("order_by") ?? "execution_date"
  const field = orderFields[order.replace(/^-/, "")] ?? "execution_date"
  const states = query.getAll("state").flatMap((state) => state.split(","))
  const runs = call.deployment.airflow.runs
    .filter((run) => dagId === "~" || run.dagId === dagId)
    .map((run) => runJson(call, run))
    .filter((run) => states.length === 0 || states.includes(run.state))
    .sort((a, b) => String(a[field]) < String(b[field]) ? -1 : 1)
  return page(call, "dag_runs", order.startsWith("-") ? runs.reverse() : runs, (run) => run)
}

const patchRun = (call: Call, dagId: string, runId: string): Reply => {
  const { state } = objectBody(call)
  if (state !== "success" && state !== "failed" && state !== "queued") {
    return badRequest(call, `${python(state)} is not one of ['success', 'failed', 'queued'] - 'state'`)
  }
  const run = getRun(call, dagId, runId)
  // a queued run whose tasks are done is closed again by the scheduler, so there is nothing to remember
  if (state !== "queued") run.forced = { at: call.now, state }
  return ok(runJson(call, run, state))
}

const deleteRun = (call: Call, dagId: string, runId: string): Reply => {
  const run = getRun(call, dagId, runId, "Not Found")
  call.deployment.airflow.runs = call.deployment.airflow.runs.filter((other) => other !== run)
  return noContent({ "content-type": "application/json" })
}

// ---------------------------------------------------------------------------------------------------------------------
// task instances and their logs

const taskJson = (run: Runs.RunFacts, task: Runs.TaskRun) => {
  const { endedAt, startedAt } = task
  return {
    dag_id: run.dagId,
    dag_run_id: run.runId,
    duration: startedAt === null || endedAt === null ? null : (endedAt - startedAt) / 1000,
    end_date: endedAt === null ? null : date(endedAt),
    execution_date: run.logicalDate,
    executor: null,
    executor_config: "{}",
    hostname: task.tryNumber === 0 ? "" : "airflow-host",
    map_index: task.mapIndex,
    max_tries: 0,
    note: null,
    operator: "_PythonDecoratedOperator",
    pid: task.tryNumber === 0 ? null : 4242,
    pool: "default_pool",
    pool_slots: 1,
    priority_weight: 1,
    queue: "default",
    queued_when: startedAt === null || task.tryNumber === 0 ? null : date(startedAt),
    rendered_fields: task.tryNumber === 0 ? {} : { op_args: [], op_kwargs: {}, templates_dict: null },
    rendered_map_index: null,
    sla_miss: null,
    start_date: startedAt === null ? null : date(startedAt),
    state: task.state,
    task_display_name: task.task.taskId,
    task_id: task.task.taskId,
    trigger: null,
    triggerer_job: null,
    try_number: task.tryNumber,
    unixname: "astro"
  }
}

const tasksOf = (call: Call, dagId: string, runId: string) => {
  const run = findRun(call, dagId, runId)
  return run === undefined ? [] : evaluate(call, run).tasks.map((task) => ({ run, task }))
}

const listTasks = (call: Call, dagId: string, runId: string): Reply => {
  const states = call.request.query.getAll("state").flatMap((state) => state.split(","))
  const tasks = tasksOf(call, dagId, runId).filter(({ task }) =>
    states.length === 0 || states.includes(task.state ?? "none")
  )
  return page(call, "task_instances", tasks, ({ run, task }) => taskJson(run, task), Infinity)
}

const getTask = (call: Call, dagId: string, runId: string, taskId: string, mapIndex = "-1"): Reply => {
  const instances = tasksOf(call, dagId, runId).filter(({ task }) => task.task.taskId === taskId)
  const found = instances.find(({ task }) => String(task.mapIndex) === mapIndex)
  if (found !== undefined) return ok(taskJson(found.run, found.task))
  const isMapped = mapIndex === "-1" && instances.length > 0
  const detail = isMapped ? "Task instance is mapped, add the map_index value to the URL" : null
  return problem(call, 404, "Task instance not found", detail)
}

const listMapped = (call: Call, dagId: string, runId: string, taskId: string): Reply => {
  const instances = tasksOf(call, dagId, runId).filter(({ task }) => task.task.taskId === taskId)
  if (instances.length === 0) return problem(call, 404, "Task instance not found", null)
  if (instances.some(({ task }) => task.mapIndex === -1)) {
    return problem(call, 404, `Task id ${taskId} is not mapped`, null)
  }
  return page(call, "task_instances", instances, ({ run, task }) => taskJson(run, task), Infinity)
}

const getLog = (call: Call, dagId: string, runId: string, taskId: string, attempt: string): Reply => {
  const { headers, query } = call.request
  const mapIndex = query.get("map_index") ?? "-1"
  const found = tasksOf(call, dagId, runId).find(({ task }) =>
    task.task.taskId === taskId && String(task.mapIndex) === mapIndex
  )
  if (!/^\d+$/.test(attempt) || found === undefined) return problem(call, 404, "TaskInstance not found", null)
  const token = query.get("token")
  const from = token === null ? 0 : TaskLog.positionOf(token)
  if (from === undefined) {
    return problem(call, 400, "Bad Signature. Please use only the tokens provided by the API.", null)
  }
  const { host, text } = TaskLog.render(found.run, found.task, Number(attempt), call.now)
  const rest = text.slice(from)
  const accept = headers.accept ?? "*/*"
  if (accept.includes("text/plain") || accept === "*/*") return reply(200, "text/plain", `${host}\n${rest}\n`)
  return ok({
    content: TaskLog.pythonList(host, rest),
    continuation_token: TaskLog.continuation(text.length, found.task.endedAt !== null)
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// variables, connections, pools, users

const variableJson = (key: string, variable: { readonly value: string; readonly description: string | null }) => ({
  description: variable.description,
  key,
  value: variable.value
})

const variableBody = (call: Call): Json => {
  const body = objectBody(call)
  if ("value" in body && typeof body.value !== "string") {
    throw new Halt(badRequest(call, `${python(body.value)} is not of type 'string' - 'value'`))
  }
  const missing = ["key", "value"].find((name) => !(name in body))
  if (missing !== undefined) {
    const detail = `{'${missing}': ['Missing data for required field.']}`
    throw new Halt(problem(call, 400, "Invalid Variable schema", detail))
  }
  checkFields(call, body, ["key", "value", "description"], "Invalid Variable schema")
  return body
}

const postVariable = (call: Call): Reply => {
  const body = variableBody(call)
  const description = typeof body.description === "string" ? body.description : null
  call.deployment.airflow.variables.set(String(body.key), { value: String(body.value), description })
  return ok(body)
}

const patchVariable = (call: Call, key: string): Reply => {
  const { variables } = call.deployment.airflow
  const known = variables.get(key)
  if (known === undefined) return problem(call, 404, "Variable not found", "Variable does not exist")
  const body = variableBody(call)
  if (body.key !== key) return problem(call, 400, "Invalid post", "key from request body doesn't match uri parameter")
  const description = typeof body.description === "string" ? body.description : known.description
  const changed = { value: String(body.value), description }
  variables.set(key, changed)
  return ok(variableJson(key, changed))
}

const getVariable = (call: Call, key: string): Reply => {
  const variable = call.deployment.airflow.variables.get(key)
  return variable === undefined
    ? problem(call, 404, "Variable not found", "Variable does not exist")
    : ok(variableJson(key, variable))
}

const connectionFields = [
  "connection_id",
  "conn_type",
  "description",
  "host",
  "login",
  "password",
  "port",
  "schema",
  "extra"
]

const connectionJson = (fields: Json): Json => {
  const shown = Object.fromEntries(
    connectionFields.filter((name) => name !== "password").map((name) => [name, fields[name] ?? null])
  )
  return { ...shown, extra: typeof fields.extra === "string" ? masked(fields.extra) : null }
}

/** What looks like a secret is starred; text that is no JSON object comes back as it is. */
const masked = (extra: string): string => {
  const parsed = parseJson(extra)
  if (!isObject(parsed)) return extra
  const secret = /password|passwd|passphrase|secret|token|api_?key|apikey|access_?key|private_?key|authorization/i
  return JSON.stringify(
    Object.fromEntries(Object.entries(parsed).map(([key, value]) => [key, secret.test(key) ? "***" : value]))
  )
}

const connectionBody = (call: Call): Json => {
  const body = objectBody(call)
  if (body.extra !== undefined && body.extra !== null && typeof body.extra !== "string") {
    throw new Halt(badRequest(call, `${python(body.extra)} is not of type 'string' - 'extra'`))
  }
  checkFields(call, body, connectionFields, "Bad Request")
  return body
}

const postConnection = (call: Call): Reply => {
  const body = connectionBody(call)
  const missing = ["connection_id", "conn_type"].find((name) => typeof body[name] !== "string")
  if (missing !== undefined) return badRequest(call, `'${missing}' is a required property`)
  const id = String(body.connection_id)
  if (!/^[\w.-]+$/.test(id)) {
    const rule = "has to be made of alphanumeric characters, dashes, dots and underscores exclusively"
    return badRequest(call, `The key '${id}' ${rule}`)
  }
  const { connections } = call.deployment.airflow
  if (connections.has(id)) return problem(call, 409, "Conflict", `Connection already exist. ID: ${id}`)
  connections.set(id, body)
  return ok(connectionJson(body))
}

const getConnection = (call: Call, id: string): Json => {
  const connection = call.deployment.airflow.connections.get(id)
  if (connection !== undefined) return connection
  const detail = `The Connection with connection_id: \`${id}\` was not found`
  throw new Halt(problem(call, 404, "Connection not found", detail))
}

const patchConnection = (call: Call, id: string): Reply => {
  const known = getConnection(call, id)
  const body = connectionBody(call)
  if ("connection_id" in body && body.connection_id !== id) {
    return badRequest(call, "The connection_id cannot be updated.")
  }
  const mask = call.request.query.get("update_mask")?.split(",")
  const changes = Object.fromEntries(Object.entries(body).filter(([key]) => mask === undefined || mask.includes(key)))
  const changed = { ...known, ...changes }
  call.deployment.airflow.connections.set(id, changed)
  return ok(connectionJson(changed))
}

const deleteConnection = (call: Call, id: string): Reply => {
  getConnection(call, id)
  call.deployment.airflow.connections.delete(id)
  return noContent({ "content-type": "application/json" })
}

const poolJson = (call: Call, name: string) => {
  const { description, includeDeferred, slots } = getPool(call, name)
  const running = name === "default_pool"
    ? call.deployment.airflow.runs
      .flatMap((run) => evaluate(call, run).tasks).filter((task) => task.state === "running").length
    : 0
  return {
    deferred_slots: 0,
    description,
    include_deferred: includeDeferred,
    name,
    occupied_slots: running,
    open_slots: slots - running,
    queued_slots: 0,
    running_slots: running,
    scheduled_slots: 0,
    slots
  }
}

const getPool = (call: Call, name: string) => {
  const pool = call.deployment.airflow.pools.get(name)
  if (pool !== undefined) return pool
  throw new Halt(problem(call, 404, "Not Found", `Pool with name:'${name}' not found`))
}

const poolBody = (call: Call): Json => {
  const body = objectBody(call)
  checkFields(call, body, ["name", "slots", "description", "include_deferred"], "Bad Request")
  if ("slots" in body && !Number.isInteger(body.slots)) {
    throw new Halt(badRequest(call, `${python(body.slots)} is not of type 'integer' - 'slots'`))
  }
  return body
}

const savePool = (call: Call, name: string, body: Json): Reply => {
  const known = call.deployment.airflow.pools.get(name)
  call.deployment.airflow.pools.set(name, {
    slots: Number(body.slots ?? known?.slots),
    description: typeof body.description === "string" ? body.description : known?.description ?? null,
    includeDeferred: typeof body.include_deferred === "boolean"
      ? body.include_deferred
      : known?.includeDeferred ?? false
  })
  return ok(poolJson(call, name))
}

const missingProperties = (call: Call, body: Json): Reply | undefined => {
  const missing = ["name", "slots"].filter((name) => !(name in body))
  return missing.length === 0
    ? undefined
    : badRequest(call, `Missing required property(ies): [${missing.map((name) => `'${name}'`).join(", ")}]`)
}

const postPool = (call: Call): Reply => {
  const body = poolBody(call)
  const name = String(body.name)
  if (call.deployment.airflow.pools.has(name)) return problem(call, 409, "Conflict", `Pool: ${name} already exists`)
  return missingProperties(call, body) ?? savePool(call, name, body)
}

const patchPool = (call: Call, name: string): Reply => {
  getPool(call, name)
  const body = poolBody(call)
  const mask = call.request.query.get("update_mask")?.split(",")
  if (mask === undefined) return missingProperties(call, body) ?? savePool(call, name, body)
  return savePool(call, name, Object.fromEntries(Object.entries(body).filter(([key]) => mask.includes(key))))
}

const deletePool = (call: Call, name: string): Reply => {
  if (name === "default_pool") return badRequest(call, "Default Pool can't be deleted")
  getPool(call, name)
  call.deployment.airflow.pools.delete(name)
  return noContent({ "content-type": html })
}

const roles = ["Admin", "Op", "Public", "User", "Viewer"]

const postUser = (call: Call): Reply => {
  const body = objectBody(call)
  const missing = ["username", "email", "first_name", "last_name", "password"].find((name) =>
    typeof body[name] !== "string"
  )
  if (missing !== undefined) return badRequest(call, `{'${missing}': ['Missing data for required field.']}`)
  const asked = (Array.isArray(body.roles) ? body.roles : [{ name: "Viewer" }]).map((role) =>
    isObject(role) ? String(role.name) : String(role)
  )
  const unknown = asked.filter((role) => !roles.includes(role))
  if (unknown.length > 0) return badRequest(call, `Unknown roles: ${unknown.map((role) => `'${role}'`).join(", ")}`)
  const username = String(body.username)
  const { users } = call.deployment.airflow
  if (users.has(username)) {
    return problem(call, 409, "Conflict", `Username \`${username}\` already exists. Use PATCH to update.`)
  }
  if ([...users.values()].some((user) => user.email === body.email)) {
    return problem(call, 409, "Conflict", `The email \`${String(body.email)}\` is already taken.`)
  }
  const created = date(call.now).replace("+00:00", "")
  const user = {
    active: true,
    changed_on: created,
    created_on: created,
    email: body.email,
    fail_login_count: null,
    first_name: body.first_name,
    last_login: null,
    last_name: body.last_name,
    login_count: null,
    roles: asked.map((name) => ({ name })),
    username
  }
  users.set(username, user)
  return ok(user)
}

const withUser = (call: Call, username: string, found: (user: Json) => Reply): Reply => {
  const user = call.deployment.airflow.users.get(username)
  return user === undefined
    ? problem(call, 404, "User not found", `The User with username \`${username}\` was not found`)
    : found(user)
}

// ---------------------------------------------------------------------------------------------------------------------
// the table

const paging = ["limit", "offset", "order_by"]
const dateFilters = ["execution_date", "start_date", "end_date", "updated_at"].flatMap((
  name
) => [`${name}_gte`, `${name}_lte`])
const taskFilters = ["state", "pool", "queue", "executor", "duration_gte", "duration_lte", ...dateFilters]

const routes = [
  route<Call>("GET health", (call) => ok(health(call))),
  route<Call>("GET version", ({ deployment }) => ok({ git_version: "", version: deployment.runtime.airflowVersion })),
  route<Call>("GET dags", listDags, [...paging, "tags", "only_active", "paused", "fields", "dag_id_pattern"]),
  route<Call>("PATCH dags", patchDags, ["limit", "offset", "tags", "update_mask", "only_active", "dag_id_pattern"]),
  route<Call>("GET dags/:dagId", (call, dagId) => ok(dagJson(call, getDag(call, dagId))), ["fields"]),
  route<Call>("PATCH dags/:dagId", patchDag, ["update_mask"]),
  route<Call>("GET dags/:dagId/details", (call, dagId) => {
    const dag = getDag(call, dagId)
    return dag.isActive
      ? ok(dagDetails(call, dag))
      : problem(call, 404, "DAG not found", `The DAG with dag_id: ${dagId} was not found`)
  }, ["fields"]),
  route<Call>("POST dags/:dagId/dagRuns", trigger),
  route<Call>("GET dags/:dagId/dagRuns", listRuns, [...paging, "state", "fields", ...dateFilters]),
  route<Call>("GET dags/:dagId/dagRuns/:runId", (call, dagId, runId) => ok(runJson(call, getRun(call, dagId, runId))), [
    "fields"
  ]),
  route<Call>("PATCH dags/:dagId/dagRuns/:runId", patchRun),
  route<Call>("DELETE dags/:dagId/dagRuns/:runId", deleteRun),
  route<Call>("GET dags/:dagId/dagRuns/:runId/taskInstances", listTasks, ["limit", "offset", ...taskFilters]),
  route<Call>("GET dags/:dagId/dagRuns/:runId/taskInstances/:taskId", getTask),
  route<Call>("GET dags/:dagId/dagRuns/:runId/taskInstances/:taskId/listMapped", listMapped, [
    ...paging,
    ...taskFilters
  ]),
  route<Call>("GET dags/:dagId/dagRuns/:runId/taskInstances/:taskId/:mapIndex", getTask),
  route<Call>("GET dags/:dagId/dagRuns/:runId/taskInstances/:taskId/logs/:attempt", getLog, [
    "full_content",
    "map_index",
    "token"
  ]),
  // DAGs that are data have no files that could be broken
  route<Call>("GET importErrors", (call) => page(call, "import_errors", [], (error) => error), paging),
  route<Call>(
    "GET variables",
    (call) =>
      page(call, "variables", [...call.deployment.airflow.variables], ([key, value]) => variableJson(key, value)),
    paging
  ),
  route<Call>("POST variables", postVariable),
  route<Call>("GET variables/:key", getVariable),
  route<Call>("PATCH variables/:key", patchVariable, ["update_mask"]),
  route<Call>("DELETE variables/:key", (call, key) =>
    call.deployment.airflow.variables.delete(key)
      ? noContent({ "content-type": html })
      : problem(call, 404, "Variable not found", null)),
  route<Call>(
    "GET connections",
    (call) =>
      page(call, "connections", [...call.deployment.airflow.connections.values()], (connection) => {
        const { extra: _, ...shown } = connectionJson(connection)
        return shown
      }),
    paging
  ),
  route<Call>("POST connections", postConnection),
  route<Call>("GET connections/:id", (call, id) => ok(connectionJson(getConnection(call, id)))),
  route<Call>("PATCH connections/:id", patchConnection, ["update_mask"]),
  route<Call>("DELETE connections/:id", deleteConnection),
  route<Call>(
    "GET pools",
    (call) => page(call, "pools", [...call.deployment.airflow.pools.keys()], (name) => poolJson(call, name)),
    paging
  ),
  route<Call>("POST pools", postPool),
  route<Call>("GET pools/:name", (call, name) => withoutSlash(name, () => ok(poolJson(call, name)))),
  route<Call>("PATCH pools/:name", patchPool, ["update_mask"]),
  route<Call>("DELETE pools/:name", (call, name) => withoutSlash(name, () => deletePool(call, name))),
  route<Call>(
    "GET users",
    (call) => page(call, "users", [...call.deployment.airflow.users.values()], (user) => user),
    paging
  ),
  route<Call>("POST users", postUser),
  route<Call>("GET users/:username", (call, username) => withUser(call, username, ok)),
  route<Call>("DELETE users/:username", (call, username) =>
    withUser(call, username, () => {
      call.deployment.airflow.users.delete(username)
      return noContent({ "content-type": "application/json" })
    }))
]

/** Airflow 2 has no route to a pool with a slash in its name. */
const withoutSlash = (name: string, found: () => Reply): Reply =>
  name.includes("/")
    ? plainProblem(
      404,
      "Not Found",
      noRoute
    )
    : found()

// ---------------------------------------------------------------------------------------------------------------------
// answers

const html = "text/html; charset=utf-8"

const ok = (body: unknown): Reply => reply(200, "application/json", `${JSON.stringify(body, null, 2)}\n`)

const noRoute = "The requested URL was not found on the server. " +
  "If you entered the URL manually please check your spelling and try again."

const plainProblem = (status: number, title: string, detail: string): Reply =>
  reply(
    status,
    "application/problem+json",
    `${JSON.stringify({ detail, status, title, type: "about:blank" }, null, 2)}\n`
  )

const problem = (call: Call, status: number, title: string | null, detail: string | null): Reply => {
  const kind = status === 409 ? "AlreadyExists" : status === 404 ? "NotFound" : "BadRequest"
  const docs = `https://airflow.apache.org/docs/apache-airflow/${call.deployment.runtime.airflowVersion}`
  const type = `${docs}/stable-rest-api-ref.html#section/Errors/${kind}`
  return reply(status, "application/problem+json", `${JSON.stringify({ detail, status, title, type }, null, 2)}\n`)
}

const badRequest = (call: Call, detail: string): Reply => problem(call, 400, "Bad Request", detail)

const objectBody = (call: Call): Json => {
  const { body, headers } = call.request
  if (headers["content-type"]?.includes("json") !== true) {
    throw new Halt(plainProblem(415, "Unsupported Media Type", "Invalid Content-type, expected JSON data"))
  }
  const parsed = parseJson(body)
  if (parsed === undefined) throw new Halt(badRequest(call, "Request body is not valid JSON"))
  if (!isObject(parsed)) throw new Halt(badRequest(call, `${python(parsed)} is not of type 'object'`))
  return parsed
}

const checkFields = (call: Call, body: Json, known: ReadonlyArray<string>, title: string) => {
  const unknown = Object.keys(body).find((key) => !known.includes(key))
  if (unknown !== undefined) throw new Halt(problem(call, 400, title, `{'${unknown}': ['Unknown field.']}`))
}

const checkOrder = (call: Call, known: ReadonlyArray<string>) => {
  const name = call.request.query.get("order_by")?.replace(/^-/, "")
  if (name !== undefined && !known.includes(name)) {
    const detail = `Ordering with '${name}' is disallowed or the attribute does not exist on the model`
    throw new Halt(badRequest(call, detail))
  }
}

/** At most 100 at once, whatever was asked for; 0 asks for as many. */
const page = <A>(
  call: Call,
  name: string,
  all: ReadonlyArray<A>,
  toJson: (item: A) => unknown,
  maximum = 100
): Reply => {
  const asked = Number(call.request.query.get("limit") ?? 100)
  const offset = Number(call.request.query.get("offset") ?? 0)
  if (!Number.isInteger(asked) || !Number.isInteger(offset)) return badRequest(call, "Wrong type, expected 'integer'")
  if (asked < 0) return problem(call, 400, "Page limit must be a positive integer", null)
  const limit = Math.min(asked === 0 ? 100 : asked, maximum)
  return ok({ [name]: all.slice(offset, offset + limit).map(toJson), total_entries: all.length })
}

const zonedDate = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/

const date = (millis: number): string => microDate(Math.floor(millis * 1000))

/** `2026-11-22T18:15:50.344677+00:00`; a whole second has no fraction, as in Python. */
const microDate = (micros: number): string => {
  const seconds = Math.floor(micros / 1_000_000)
  const fraction = micros % 1_000_000
  const whole = isoTime(seconds * 1000).slice(0, 19)
  return `${whole}${fraction === 0 ? "" : `.${String(fraction).padStart(6, "0")}`}+00:00`
}

const python = (value: unknown): string => {
  if (value === null || value === undefined) return "None"
  if (typeof value === "boolean") return value ? "True" : "False"
  if (typeof value === "string") return `'${value}'`
  if (isObject(value)) return `{${Object.entries(value).map(([key, item]) => `'${key}': ${python(item)}`).join(", ")}}`
  return JSON.stringify(value)
}

const notFoundPage =
  "\n\n<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <title>Airflow 404</title>\n  </head>\n  <body>\n    <h1>Airflow 404</h1>\n    <p>Page cannot be found.</p>\n  </body>\n</html>\n"

const crashPage =
  "\n\n<!DOCTYPE html>\n<html lang=\"en\">\n  <body>\n    <h1> Ooops! </h1>\n    <pre>\nSomething bad has happened. For security reasons detailed information about the error is not logged.\n    </pre>\n  </body>\n</html>\n"
