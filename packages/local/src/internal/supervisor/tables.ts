/** What is compared and restored of Airflow's tables, whatever the database. The SQL here is the same for all. */
import * as ErrorFields from "@airflow-resource/core/ErrorFields"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export class SnapshotError extends Schema.TaggedError<SnapshotError>("@airflow-resource/local/SnapshotError")(
  "SnapshotError",
  { operation: ErrorFields.fields.operation, detail: ErrorFields.fields.detail, remedy: ErrorFields.fields.remedy }
) {
  override get message(): string {
    return ErrorFields.message(this)
  }
}

/** Tables that a restore leaves as they are. */
export const isLeft = (table: string) =>
  table.startsWith("sqlite_") || isVersion(table) || [
    // The heartbeats of Airflow's processes: they end when they miss their row or find it changed. Airflow 3 lists the jobs of its
    // processes, which are the same for each test.
    "job",
    // Tokens that are no longer valid. They must not become valid again, and are found only by those that have them.
    "revoked_token"
  ].includes(table)

/** The version of the schema. Providers have tables of their own for it. */
export const isVersion = (table: string) => table.startsWith("alembic_version")

/** The tables of Airflow's users, and of their sessions in a browser. */
export const userTables = ["ab_user", "ab_user_role", "ab_user_group", "ab_register_user", "session"]

export const quote = (name: string) => `"${name.replaceAll("\"", "\"\"")}"`

export const list = (columns: ReadonlyArray<string>) => columns.map(quote).join(", ")

/** The columns of each table, in their order. */
export type Columns = ReadonlyMap<string, ReadonlyArray<string>>

export interface TableColumn {
  readonly table: string
  readonly column: string
}

export const ofRows = (rows: ReadonlyArray<TableColumn>): Columns => {
  const columns = new Map<string, Array<string>>()
  for (const { column, table } of rows) columns.set(table, [...columns.get(table) ?? [], column])
  return columns
}

/** The tables that the snapshot may differ in. */
export const compared = (current: Columns, saved: Columns): ReadonlyArray<string> =>
  Array.from(new Set([...current.keys(), ...saved.keys()])).filter((table) => !isLeft(table)).sort()

/** Statements that put the rows of the schema `snap` into the tables of the schema `main`. */
export const restoration = (main: string, current: Columns, saved: Columns): ReadonlyArray<string> =>
  Array.from(current).flatMap(([table, columns]) =>
    isLeft(table)
      ? []
      : saved.has(table)
      ? replace(main, table, columns)
      : [`DELETE FROM ${main}.${quote(table)}`]
  )

/** Whether a table has other rows than in the snapshot, as a condition. `rowsDiffer` is the one for columns that both have. */
export const differs = (
  main: string,
  table: string,
  [current, saved]: readonly [ReadonlyArray<string> | undefined, ReadonlyArray<string> | undefined],
  rowsDiffer: (columns: ReadonlyArray<string>) => string
): string => {
  if (current === undefined) return `EXISTS (SELECT * FROM snap.${quote(table)})`
  if (saved === undefined) return `EXISTS (SELECT * FROM ${main}.${quote(table)})`
  if (list(current) !== list(saved)) return "TRUE"
  return rowsDiffer(current.filter((column) => unseen[table]?.includes(column) !== true))
}

/** Nothing was done, because something is not as it must be. Another attempt fails as well. */
export class Refusal extends Data.TaggedError("Refusal")<{ readonly detail: string; readonly remedy: string }> {}

/** Fails if `differing` finds that the versions differ: a snapshot that is empty, or of another schema, would empty Airflow's database. */
export const requireSameVersion = <E, R>(
  current: Columns,
  differing: (tables: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>, E, R>
): Effect.Effect<void, E | Refusal, R> =>
  Effect.gen(function*() {
    const versions = Array.from(current.keys()).filter(isVersion)
    if (versions.length === 0 || (yield* differing(versions)).length > 0) {
      return yield* new Refusal({
        detail: "the database and the snapshot are of different versions of Airflow",
        remedy: "Take a new snapshot."
      })
    }
  })

/** Statements that leave Airflow nothing to do: they pause all DAGs, and end all runs. */
export const quiet: Readonly<Record<"dag" | "dag_run" | "task_instance", string>> = {
  dag: "UPDATE dag SET is_paused = TRUE",
  dag_run: "UPDATE dag_run SET state = 'failed' WHERE state IN ('queued', 'running')",
  task_instance: `UPDATE task_instance SET state = 'failed'
    WHERE state IS NULL OR state NOT IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')`
}

/**
 * Statements that take out of a copy in the schema `copy` what a scheduler has begun by itself: a DAG may be unpaused from the beginning,
 * and each lease would have its runs again.
 */
export const withoutRuns = (copy: string, copied: Columns): ReadonlyArray<string> => [
  `UPDATE ${copy}.dag SET is_paused = TRUE`,
  ...ofRuns.filter((table) => copied.has(table)).map((table) => `DELETE FROM ${copy}.${quote(table)}`)
]

/** A query for when the scheduler has last been heard of, in the database's words. */
export const heartbeat = `SELECT CAST(max(latest_heartbeat) AS TEXT) AS "at" FROM job WHERE job_type = 'SchedulerJob'`

export interface Heartbeat {
  readonly at: string | null
}

/** Airflow 2 adds a job for each task, which has been killed. */
export const forgetTaskJobs = (main: string) => `DELETE FROM ${main}.job WHERE job_type = 'LocalTaskJob'`

// internal

/** The tables of runs, their tasks and what these have caused. */
const ofRuns = [
  "asset_alias_asset_event",
  "asset_dag_run_queue",
  "asset_event",
  "asset_partition_dag_run",
  "asset_state_store",
  "backfill",
  "backfill_dag_run",
  "callback",
  "dag_run",
  "dag_run_note",
  "dagrun_asset_event",
  "dagrun_dataset_event",
  "dataset_alias_dataset_event",
  "dataset_dag_run_queue",
  "dataset_event",
  "deadline",
  "hitl_detail",
  "hitl_detail_history",
  "partitioned_asset_key_log",
  "rendered_task_instance_fields",
  "sla_miss",
  "task_fail",
  "task_instance",
  "task_instance_history",
  "task_instance_note",
  "task_map",
  "task_reschedule",
  "task_state_store",
  "trigger",
  "xcom"
]

/** Columns of `dag` that keep their value: a DAG that was parsed too long ago becomes inactive. */
const kept = ["last_parsed_time", "last_parse_duration"]

/** What changes by itself within seconds, however many tests have run. */
const unseen: Readonly<Record<string, ReadonlyArray<string>>> = {
  // written whenever the DAG's file is parsed: the time, and the next run from then on
  dag: [
    ...kept,
    "next_dagrun",
    "next_dagrun_data_interval_start",
    "next_dagrun_data_interval_end",
    "next_dagrun_create_after"
  ],
  // Airflow 2 renews it whenever a file that names the dataset is parsed
  dataset: ["updated_at"],
  // when the folder was last scanned
  dag_bundle: ["last_refreshed"],
  // when the file was last parsed
  import_error: ["timestamp"],
  dag_warning: ["timestamp"],
  // each call with a password counts as a login
  ab_user: ["last_login", "login_count", "fail_login_count", "changed_on"]
}

const replace = (main: string, table: string, columns: ReadonlyArray<string>): ReadonlyArray<string> => {
  const name = quote(table)
  const insert = `INSERT INTO ${main}.${name} (${list(columns)}) SELECT ${list(columns)} FROM snap.${name}`
  if (table !== "dag") return [`DELETE FROM ${main}.${name}`, insert]
  const changes = columns.filter((column) => !kept.includes(column)).map((column) =>
    `${quote(column)} = excluded.${quote(column)}`
  )
  return [
    `DELETE FROM ${main}.dag WHERE dag_id NOT IN (SELECT dag_id FROM snap.dag)`,
    // without WHERE, SQLite takes ON for a part of a join
    `${insert} WHERE TRUE ON CONFLICT (dag_id) DO UPDATE SET ${changes.join(", ")}`
  ]
}
