/**
 * Airflow 2: `/api/v1`.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Airflow, AirflowApiError, Dag, DagRun, TaskInstance } from "../../Airflow.js"
import * as schedules from "../schedules.js"
import { awaitRun } from "./awaitRun.js"
import type { Helpers } from "./helpers.js"
import * as RunId from "./runId.js"
import type { Call, Transport } from "./transport.js"
import { segment } from "./transport.js"

const Time = Schema.optionalWith(Schema.DateTimeUtc, { as: "Option", nullable: true })

const DagRow = Schema.Struct({
  dag_id: Schema.String,
  is_paused: Schema.NullOr(Schema.Boolean),
  is_active: Schema.NullOr(Schema.Boolean),
  tags: Schema.optional(Schema.NullOr(Schema.Array(Schema.Struct({ name: Schema.String }))))
})
const RunRow = Schema.Struct({
  dag_id: Schema.String,
  dag_run_id: Schema.String,
  state: Schema.Literal("queued", "running", "success", "failed"),
  start_date: Time,
  end_date: Time
})
const TaskRow = Schema.Struct({
  task_id: Schema.String,
  map_index: Schema.optional(Schema.Number),
  state: Schema.NullOr(Schema.String),
  try_number: Schema.Number
})
const HealthBody = Schema.Struct({
  metadatabase: Schema.Struct({ status: Schema.NullOr(Schema.String) }),
  scheduler: Schema.Struct({ status: Schema.NullOr(Schema.String), latest_scheduler_heartbeat: Time }),
  triggerer: Schema.optional(Schema.Struct({ status: Schema.NullOr(Schema.String) })),
  dag_processor: Schema.optional(Schema.Struct({ status: Schema.NullOr(Schema.String) }))
})

const toDag = (row: typeof DagRow.Type): Dag => ({
  dagId: row.dag_id,
  isPaused: row.is_paused === true,
  isActive: row.is_active === true,
  tags: (row.tags ?? []).map(({ name }) => name)
})
const toRun = (row: typeof RunRow.Type): DagRun => ({
  dagId: row.dag_id,
  runId: row.dag_run_id,
  state: row.state,
  startedAt: row.start_date,
  endedAt: row.end_date
})
const toTask = (row: typeof TaskRow.Type): TaskInstance => ({
  taskId: row.task_id,
  mapIndex: row.map_index ?? -1,
  state: row.state ?? "none",
  tryNumber: row.try_number
})

const Dags = Schema.Struct({ dags: Schema.Array(DagRow), total_entries: Schema.Number })
const Runs = Schema.Struct({ dag_runs: Schema.Array(RunRow), total_entries: Schema.Number })
const Tasks = Schema.Struct({ task_instances: Schema.Array(TaskRow) })
const Variables = Schema.Struct({
  variables: Schema.Array(Schema.Struct({ key: Schema.String })),
  total_entries: Schema.Number
})
const Connections = Schema.Struct({
  connections: Schema.Array(Schema.Struct({ connection_id: Schema.String })),
  total_entries: Schema.Number
})
const Pools = Schema.Struct({
  pools: Schema.Array(Schema.Struct({ name: Schema.String, slots: Schema.Number })),
  total_entries: Schema.Number
})
const ImportErrors = Schema.Struct({
  import_errors: Schema.Array(Schema.Struct({ filename: Schema.String, stack_trace: Schema.String })),
  total_entries: Schema.Number
})

const pageSize = 100

export const make = (baseUrl: string, { json, text }: Transport): Omit<Airflow, keyof Helpers> => {
  const apiUrl = `${baseUrl}/api/v1`
  const call = (method: Call["method"], operation: string, path: string, body?: unknown): Call => ({
    method,
    operation,
    path: `/api/v1${path}`,
    ...(body === undefined ? {} : { body })
  })
  const get = <A, I>(operation: string, path: string, schema: Schema.Schema<A, I>) =>
    json(call("GET", operation, path), schema)
  const change = (method: "POST" | "PATCH", operation: string, path: string, body: unknown) =>
    Effect.asVoid(text(call(method, operation, path, body)))
  const remove = (operation: string, path: string) =>
    text(call("DELETE", operation, path)).pipe(
      Effect.asVoid,
      Effect.catchIf((error) => error.kind === "notFound", () => Effect.void)
    )

  const dagPath = (dagId: string) => `/dags/${segment(dagId)}`
  const runPath = (dagId: string, runId: string) => `${dagPath(dagId)}/dagRuns/${segment(runId)}`
  const taskPath = (dagId: string, runId: string, taskId: string) =>
    `${runPath(dagId, runId)}/taskInstances/${segment(taskId)}`

  /** Every page, counted by what came: the server may send fewer than were asked for, and move rows while they are read. */
  const pages = <A, I, B>(
    operation: string,
    path: string,
    order: string,
    schema: Schema.Schema<A & { readonly total_entries: number }, I>,
    rows: (page: A) => ReadonlyArray<B>,
    keyOf: (row: B) => string
  ): Effect.Effect<ReadonlyArray<B>, AirflowApiError> => {
    const query = `${path.includes("?") ? "&" : "?"}limit=${pageSize}&order_by=${order}`
    const from = (offset: number, found: ReadonlyMap<string, B>): Effect.Effect<ReadonlyArray<B>, AirflowApiError> =>
      Effect.flatMap(get(operation, `${path}${query}&offset=${offset}`, schema), (page) => {
        const here = rows(page)
        const all = new Map([...found, ...here.map((row) => [keyOf(row), row] as const)])
        const seen = offset + here.length
        return here.length === 0 || seen >= page.total_entries
          ? Effect.succeed(Array.from(all.values()))
          : from(seen, all)
      })
    return from(0, new Map())
  }

  const run = (dagId: string, runId: string) =>
    Effect.map(get(`read the run ${runId} of ${dagId}`, runPath(dagId, runId), RunRow), toRun)
  const taskInstances = (dagId: string, runId: string) =>
    Effect.map(
      // not paged: the server caps no page here, and knows no order
      get(`list the tasks of ${runId}`, `${runPath(dagId, runId)}/taskInstances?limit=10000`, Tasks),
      ({ task_instances }) => task_instances.map(toTask)
    ).pipe(
      // an unknown run has no tasks either: ask
      Effect.tap((tasks) => tasks.length === 0 ? run(dagId, runId) : Effect.void)
    )
  /** One call pauses a page of DAGs. */
  const pauseFrom = (offset: number): Effect.Effect<void, AirflowApiError> => {
    const query = `dag_id_pattern=~&only_active=false&limit=${pageSize}${offset === 0 ? "" : `&offset=${offset}`}`
    return Effect.flatMap(
      json(call("PATCH", "pause all DAGs", `/dags?${query}`, { is_paused: true }), Dags),
      (page) => {
        const seen = offset + page.dags.length
        return page.dags.length === 0 || seen >= page.total_entries ? Effect.void : pauseFrom(seen)
      }
    )
  }
  const dag = (dagId: string) => Effect.map(get(`read the DAG ${dagId}`, dagPath(dagId), DagRow), toDag)
  const health = Effect.map(get("read Airflow's health", "/health", HealthBody), (body) => ({
    metadatabase: body.metadatabase.status ?? "unknown",
    scheduler: {
      status: body.scheduler.status ?? "unknown",
      heartbeat: body.scheduler.latest_scheduler_heartbeat
    },
    triggerer: Option.fromNullable(body.triggerer?.status),
    dagProcessor: Option.fromNullable(body.dag_processor?.status)
  }))

  return {
    baseUrl,
    apiUrl,
    version: Effect.map(
      get("read Airflow's version", "/version", Schema.Struct({ version: Schema.String })),
      ({ version }) => version
    ),
    health,
    importErrors: Effect.map(
      pages(
        "list import errors",
        "/importErrors",
        "import_error_id",
        ImportErrors,
        (page) => page.import_errors,
        ({ filename }) => filename
      ),
      (rows) => rows.map(({ filename, stack_trace }) => ({ filename, stackTrace: stack_trace }))
    ),
    dags: Effect.map(
      pages("list DAGs", "/dags?only_active=false", "dag_id", Dags, (page) => page.dags, (row) => row.dag_id),
      (rows) => rows.map(toDag)
    ),
    dag,
    setPaused: (dagId, isPaused) =>
      change("PATCH", `${isPaused ? "pause" : "unpause"} ${dagId}`, dagPath(dagId), { is_paused: isPaused }),
    pauseAll: pauseFrom(0),
    trigger: (dagId, options = {}) =>
      Effect.gen(function*() {
        const operation = `trigger ${dagId}`
        const runId = yield* RunId.choose(dagId, options.runId)
        const body = { dag_run_id: runId, conf: options.conf ?? {} }
        return yield* json(call("POST", operation, `${dagPath(dagId)}/dagRuns`, body), RunRow).pipe(
          Effect.map(toRun),
          // it may have arrived all the same, and the id is ours alone
          Effect.catchIf(
            (error) => error.retryable || error.kind === "conflict" || error.kind === "undecodable",
            (error) => Effect.mapError(run(dagId, runId), (unseen) => unseen.kind === "notFound" ? error : unseen)
          ),
          // known not to have arrived, or refused as a double if it comes in late: one run in any case
          Effect.retry({ schedule: schedules.backoff, times: 2, while: ({ retryable }) => retryable })
        )
      }),
    runs: (dagId) =>
      Effect.map(
        pages(
          "list runs",
          `/dags/${dagId === undefined ? "~" : segment(dagId)}/dagRuns`,
          "id",
          Runs,
          (page) => page.dag_runs,
          (row) => `${row.dag_id}/${row.dag_run_id}`
        ),
        (rows) => rows.map(toRun)
      ),
    run,
    awaitRun: (dagId, runId, options = {}) =>
      awaitRun({ dag, health, run, taskInstances }, dagId, runId, options.timeout),
    setRunState: (dagId, runId, state) =>
      change("PATCH", `set the run ${runId} to ${state}`, runPath(dagId, runId), { state }),
    deleteRun: (dagId, runId) => remove(`delete the run ${runId}`, runPath(dagId, runId)),
    taskInstances,
    taskLog: (dagId, runId, taskId, { mapIndex = -1 } = {}) =>
      Effect.gen(function*() {
        const path = taskPath(dagId, runId, taskId)
        const { try_number } = yield* get(
          `read the task ${taskId}`,
          mapIndex < 0 ? path : `${path}/${mapIndex}`,
          TaskRow
        )
        const read = text({
          ...call(
            "GET",
            `read the log of ${taskId}`,
            `${path}/logs/${Math.max(1, try_number)}?full_content=true${mapIndex < 0 ? "" : `&map_index=${mapIndex}`}`
          ),
          accept: "text/plain"
        })
        // with logs kept elsewhere, the text arrives some seconds after the task has ended
        const arrived = schedules.untilSome(Effect.map(read, Option.liftPredicate(hasContent)), schedules.poll)
        return yield* Effect.flatMap(
          Effect.timeoutOption(arrived, "15 seconds"),
          Option.match({
            onNone: () => read,
            onSome: Effect.succeed
          })
        )
      }),
    variables: Effect.map(
      pages("list variables", "/variables", "id", Variables, (page) => page.variables, ({ key }) => key),
      (rows) => rows.map(({ key }) => key)
    ),
    setVariable: (key, value) => change("POST", `set the variable ${key}`, "/variables", { key, value }),
    deleteVariable: (key) => remove(`delete the variable ${key}`, `/variables/${segment(key)}`),
    connections: Effect.map(
      pages(
        "list connections",
        "/connections",
        "connection_id",
        Connections,
        (page) => page.connections,
        (row) => row.connection_id
      ),
      (rows) => rows.map(({ connection_id }) => connection_id)
    ),
    createConnection: ({ host, id, password, type }) =>
      change("POST", `create the connection ${id}`, "/connections", {
        connection_id: id,
        conn_type: type,
        ...(host === undefined ? {} : { host }),
        ...(password === undefined ? {} : { password: Redacted.value(password) })
      }),
    deleteConnection: (id) => remove(`delete the connection ${id}`, `/connections/${segment(id)}`),
    pools: pages("list pools", "/pools", "id", Pools, (page) => page.pools, ({ name }) => name),
    createPool: ({ name, slots }) => change("POST", `create the pool ${name}`, "/pools", { name, slots }),
    deletePool: (name) => remove(`delete the pool ${name}`, `/pools/${segment(name)}`),
    setPoolSlots: (name, slots) =>
      change("PATCH", `set the slots of ${name}`, `/pools/${segment(name)}?update_mask=slots`, { slots }),
    createUser: ({ password, username }) =>
      change("POST", `create the user ${username}`, "/users", {
        username,
        password: Redacted.value(password),
        email: `${username}@example.com`,
        first_name: username,
        last_name: "airflow-resource",
        roles: [{ name: "Admin" }]
      }).pipe(
        Effect.as("created" as const),
        Effect.catchAll((error) => {
          if (error.kind === "conflict") return Effect.succeed("exists" as const)
          // a managed Airflow keeps its users elsewhere
          const closed = error.kind === "notFound" || error.kind === "forbidden" || error.status === 405
          return closed ? Effect.succeed("unsupported" as const) : Effect.fail(error)
        })
      )
  }
}

/** More than the lines that say where the log is. */
const hasContent = (log: string) =>
  log.split("\n").some((line, index) => index > 0 && line.trim() !== "" && !/^( INFO - ::|\*\*\* )/.test(line))
