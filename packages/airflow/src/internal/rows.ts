/**
 * Schemas of both APIs' responses. Unknown members are ignored, and members that some version lacks are optional.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type {
  ComponentHealth,
  Connection,
  Dag,
  DagRun,
  Health,
  ImportError,
  PoolInUse,
  TaskInstance,
  User,
  Variable
} from "../Airflow.js"
import { defaultPool } from "./primitives.js"

const Time = Schema.optionalWith(Schema.DateTimeUtc, { as: "Option", nullable: true })
const Text = Schema.optionalWith(Schema.String, { as: "Option", nullable: true })

export const DagRow = Schema.Struct({
  dag_id: Schema.String,
  dag_display_name: Text,
  is_paused: Schema.NullOr(Schema.Boolean),
  /** Airflow 2 */
  is_active: Schema.optional(Schema.NullOr(Schema.Boolean)),
  /** Airflow 3 */
  is_stale: Schema.optional(Schema.Boolean),
  has_import_errors: Schema.optional(Schema.NullOr(Schema.Boolean)),
  fileloc: Text,
  file_token: Text,
  bundle_name: Text,
  last_parsed_time: Time,
  timetable_description: Text,
  /** Airflow 3.2 and later */
  timetable_partitioned: Schema.optional(Schema.Boolean),
  tags: Schema.optional(Schema.NullOr(Schema.Array(Schema.Struct({ name: Schema.String }))))
})

export const toDag = (row: typeof DagRow.Type): Dag => ({
  dagId: row.dag_id,
  displayName: Option.getOrElse(row.dag_display_name, () => row.dag_id),
  isPaused: row.is_paused === true,
  isActive: row.is_stale === undefined ? row.is_active === true : !row.is_stale,
  hasImportErrors: row.has_import_errors === true,
  fileLocation: Option.getOrElse(row.fileloc, () => ""),
  fileToken: Option.getOrElse(row.file_token, () => ""),
  bundleName: row.bundle_name,
  lastParsedAt: row.last_parsed_time,
  tags: (row.tags ?? []).map(({ name }) => name),
  timetable: Option.getOrElse(row.timetable_description, () => ""),
  isPartitioned: row.timetable_partitioned === true
})

export const RunRow = Schema.Struct({
  dag_id: Schema.String,
  dag_run_id: Schema.String,
  state: Schema.Literal("queued", "running", "success", "failed"),
  run_type: Text,
  logical_date: Time,
  start_date: Time,
  end_date: Time,
  conf: Schema.optional(Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.Unknown }))),
  note: Text
})

export const toRun = (row: typeof RunRow.Type): DagRun => ({
  dagId: row.dag_id,
  runId: row.dag_run_id,
  state: row.state,
  runType: Option.getOrElse(row.run_type, () => "manual"),
  logicalDate: row.logical_date,
  startedAt: row.start_date,
  endedAt: row.end_date,
  conf: row.conf ?? {},
  note: row.note
})

export const TaskRow = Schema.Struct({
  dag_id: Schema.String,
  dag_run_id: Schema.String,
  task_id: Schema.String,
  map_index: Schema.optionalWith(Schema.Number, { default: () => -1 }),
  state: Schema.NullOr(Schema.String),
  try_number: Schema.Number,
  max_tries: Schema.optionalWith(Schema.Number, { default: () => 0 }),
  pool: Schema.optionalWith(Schema.String, { default: () => defaultPool }),
  queued_when: Time,
  start_date: Time,
  end_date: Time
})

export const toTask = (row: typeof TaskRow.Type): TaskInstance => ({
  dagId: row.dag_id,
  runId: row.dag_run_id,
  taskId: row.task_id,
  mapIndex: row.map_index,
  state: row.state ?? "none",
  tryNumber: row.try_number,
  maxTries: row.max_tries,
  pool: row.pool,
  queuedAt: row.queued_when,
  startedAt: row.start_date,
  endedAt: row.end_date
})

const Status = Schema.NullOr(Schema.String)
export const HealthBody = Schema.Struct({
  metadatabase: Schema.Struct({ status: Status }),
  scheduler: Schema.Struct({ status: Status, latest_scheduler_heartbeat: Time }),
  triggerer: Schema.optional(Schema.Struct({ status: Status, latest_triggerer_heartbeat: Time })),
  dag_processor: Schema.optional(Schema.Struct({ status: Status, latest_dag_processor_heartbeat: Time }))
})

const componentOf = (
  status: string | null | undefined,
  heartbeat: ComponentHealth["heartbeat"] | undefined
): Option.Option<ComponentHealth> =>
  status === null || status === undefined
    ? Option.none()
    : Option.some({ status, heartbeat: heartbeat ?? Option.none() })

export const toHealth = ({ dag_processor, metadatabase, scheduler, triggerer }: typeof HealthBody.Type): Health => ({
  metadatabase: metadatabase.status ?? "unknown",
  scheduler: { status: scheduler.status ?? "unknown", heartbeat: scheduler.latest_scheduler_heartbeat },
  triggerer: componentOf(triggerer?.status, triggerer?.latest_triggerer_heartbeat),
  dagProcessor: componentOf(dag_processor?.status, dag_processor?.latest_dag_processor_heartbeat)
})

export const ImportErrorRow = Schema.Struct({
  import_error_id: Schema.Number,
  filename: Schema.String,
  bundle_name: Text,
  timestamp: Time,
  stack_trace: Schema.String
})

export const toImportError = (row: typeof ImportErrorRow.Type): ImportError => ({
  filename: row.filename,
  bundleName: row.bundle_name,
  timestamp: row.timestamp,
  stackTrace: row.stack_trace
})

export const VariableRow = Schema.Struct({
  key: Schema.String,
  value: Schema.NullOr(Schema.String),
  description: Schema.optional(Schema.NullOr(Schema.String))
})

export const toVariable = ({ description, key, value }: typeof VariableRow.Type): Variable => ({
  key,
  value: value ?? "",
  ...present({ description })
})

export const ConnectionRow = Schema.Struct({
  connection_id: Schema.String,
  conn_type: Schema.String,
  description: Schema.optional(Schema.NullOr(Schema.String)),
  host: Schema.optional(Schema.NullOr(Schema.String)),
  login: Schema.optional(Schema.NullOr(Schema.String)),
  port: Schema.optional(Schema.NullOr(Schema.Number)),
  schema: Schema.optional(Schema.NullOr(Schema.String)),
  extra: Schema.optional(Schema.NullOr(Schema.String))
})

const Extra = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))

export const toConnection = (row: typeof ConnectionRow.Type): Connection => ({
  id: row.connection_id,
  type: row.conn_type,
  ...present({
    description: row.description,
    host: row.host,
    login: row.login,
    port: row.port,
    schema: row.schema,
    // on Airflow 2 this may be any text
    extra: Either.getOrUndefined(Schema.decodeUnknownEither(Extra)(row.extra))
  })
})

export const PoolRow = Schema.Struct({
  name: Schema.String,
  slots: Schema.Number,
  description: Schema.optional(Schema.NullOr(Schema.String)),
  include_deferred: Schema.optional(Schema.Boolean),
  occupied_slots: Schema.optionalWith(Schema.Number, { default: () => 0 }),
  open_slots: Schema.optionalWith(Schema.Number, { default: () => 0 })
})

export const toPool = (row: typeof PoolRow.Type): PoolInUse => ({
  name: row.name,
  slots: row.slots,
  ...present({ description: row.description, includeDeferred: row.include_deferred }),
  occupiedSlots: row.occupied_slots,
  openSlots: row.open_slots
})

export const UserRow = Schema.Struct({
  username: Schema.String,
  email: Schema.String,
  roles: Schema.optionalWith(Schema.Array(Schema.Struct({ name: Schema.String })), { default: () => [] })
})

export const toUser = ({ email, roles, username }: typeof UserRow.Type): User => ({
  username,
  email,
  roles: roles.map(({ name }) => name)
})

/** The members that are neither null nor undefined. */
export const present = <A extends Record<string, unknown>>(members: A) =>
  Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== null && value !== undefined)
  ) as { readonly [K in keyof A]?: Exclude<A[K], null | undefined> }

/** A page of a list: its rows, which have another name in each list, and the total number of rows. */
export const pageOf = <A, I>(member: string, row: Schema.Schema<A, I>) =>
  Schema.Struct({
    total: Schema.propertySignature(Schema.Number).pipe(Schema.fromKey("total_entries")),
    rows: Schema.propertySignature(Schema.Array(row)).pipe(Schema.fromKey(member))
  })

export const DagPage = pageOf("dags", DagRow)
export const RunPage = pageOf("dag_runs", RunRow)
export const TaskPage = pageOf("task_instances", TaskRow)
export const ImportErrorPage = pageOf("import_errors", ImportErrorRow)
export const VariablePage = pageOf("variables", VariableRow)
export const ConnectionPage = pageOf("connections", ConnectionRow)
export const PoolPage = pageOf("pools", PoolRow)
export const XComPage = pageOf("xcom_entries", Schema.Struct({ key: Schema.String }))

export const Count = Schema.Struct({ total_entries: Schema.Number })

export const BackfillPage = pageOf(
  "backfills",
  Schema.Struct({ id: Schema.Number, completed_at: Schema.NullOr(Schema.String) })
)
export const AssetPage = pageOf("assets", Schema.Struct({ id: Schema.Number, name: Schema.String }))

/** The waiting partitions of all DAGs. */
export const PartitionList = Schema.Struct({
  partitioned_dag_runs: Schema.Array(Schema.Struct({ dag_id: Schema.String, partition_key: Schema.String }))
})

export const XComBody = Schema.Struct({ value: Schema.Unknown })
