/**
 * Copies of Airflow's SQLite database, and putting one back while Airflow's processes go on.
 *
 * A connection is open only as long as a step takes, and never waits inside SQLite: that would stop this process's event loop.
 */
import * as ErrorFields from "@airflow-resource/core/ErrorFields"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"

export class SnapshotError extends Schema.TaggedError<SnapshotError>("@airflow-resource/local/SnapshotError")(
  "SnapshotError",
  { operation: ErrorFields.fields.operation, detail: ErrorFields.fields.detail, remedy: ErrorFields.fields.remedy }
) {
  override get message(): string {
    return ErrorFields.message(this)
  }
}

/**
 * Copies the database into `snapshot`, which is replaced in one step. The copy has the users of the snapshot `usersOf` instead of the
 * database's: a lease may have created some already, and they must not come back with the copy.
 */
export const take = (
  database: string,
  snapshot: string,
  { usersOf }: { readonly usersOf?: string | undefined } = {}
): Effect.Effect<void, SnapshotError> => {
  const copy = `${snapshot}.new`
  const remove = Effect.sync(() => fs.rmSync(copy, { force: true }))
  return attempt(`take a snapshot of ${database}`, database, (run) =>
    Effect.gen(function*() {
      yield* remove
      yield* run("VACUUM INTO ?", copy)
      if (usersOf !== undefined) yield* copyUsers(run, copy, yield* existing(usersOf))
      yield* Effect.sync(() => fs.renameSync(copy, snapshot))
    }).pipe(Effect.onError(() => remove)))
}

/**
 * Puts the rows of a snapshot back in one transaction, while Airflow runs. Airflow must have nothing to do meanwhile: see `QuietRestore`.
 */
export const restore = (database: string, snapshot: string): Effect.Effect<void, SnapshotError> =>
  attempt(`restore ${database}`, database, (run) =>
    Effect.gen(function*() {
      yield* run("ATTACH ? AS snap", yield* existing(snapshot))
      yield* transaction(
        run,
        "BEGIN IMMEDIATE",
        Effect.gen(function*() {
          const [current, saved] = [yield* columnsOf(run, "main"), yield* columnsOf(run, "snap")]
          yield* requireSameSchema(run, current, saved)
          for (const [table, columns] of current) {
            if (isLeft(table)) continue
            for (const statement of saved.has(table) ? replace(table, columns) : [`DELETE FROM main.${quote(table)}`]) {
              yield* run(statement)
            }
          }
          // Airflow 2 adds one for each task, which has been killed
          if (current.has("job")) yield* run("DELETE FROM main.job WHERE job_type = 'LocalTaskJob'")
        })
      )
    }))

/** Leaves Airflow nothing to do: pauses all DAGs, and ends all runs. A restore takes it back. */
export const quiet = (database: string): Effect.Effect<void, SnapshotError> =>
  attempt(`end all runs of ${database}`, database, (run) =>
    transaction(
      run,
      "BEGIN IMMEDIATE",
      Effect.forEach([
        "UPDATE dag SET is_paused = TRUE",
        "UPDATE dag_run SET state = 'failed' WHERE state IN ('queued', 'running')",
        `UPDATE task_instance SET state = 'failed'
          WHERE state IS NULL OR state NOT IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')`
      ], (statement) =>
        run(statement), { discard: true })
    ))

/** When the scheduler has last been heard of, in the database's words. */
export const heartbeat = (database: string): Effect.Effect<string, SnapshotError> =>
  attempt(`read the scheduler's heartbeat from ${database}`, database, (run) =>
    Effect.map(
      run<{ readonly at: string | null }>(
        `SELECT max(latest_heartbeat) AS "at" FROM job WHERE job_type = 'SchedulerJob'`
      ),
      ([row]) => row?.at ?? ""
    ))

/**
 * The tables that have rows which the snapshot has not, or the other way round, except what a test cannot see.
 */
export const differences = (
  database: string,
  snapshot: string
): Effect.Effect<ReadonlyArray<string>, SnapshotError> =>
  attempt(`compare ${database} with its snapshot`, database, (run) =>
    Effect.gen(function*() {
      yield* run("ATTACH ? AS snap", yield* existing(snapshot))
      return yield* transaction(
        run,
        "BEGIN",
        Effect.gen(function*() {
          const [current, saved] = [yield* columnsOf(run, "main"), yield* columnsOf(run, "snap")]
          const tables = Array.from(new Set([...current.keys(), ...saved.keys()])).filter((table) => !isLeft(table))
          return yield* Effect.filter(tables.sort(), (table) =>
            hasDifference(run, table, current.get(table), saved.get(table)))
        })
      )
    }))

// internal

/** Tables that a restore leaves as they are. */
const isLeft = (table: string) =>
  table.startsWith("sqlite_") || isVersion(table) || [
    // The heartbeats of Airflow's processes: they end when they miss their row or find it changed. Airflow 3 lists the jobs of its
    // processes, which are the same for each test.
    "job",
    // Tokens that are no longer valid. They must not become valid again, and are found only by those that have them.
    "revoked_token"
  ].includes(table)

/** The version of the schema. Providers have tables of their own for it. */
const isVersion = (table: string) => table.startsWith("alembic_version")

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
  // when the folder was last scanned
  dag_bundle: ["last_refreshed"],
  // when the file was last parsed
  import_error: ["timestamp"],
  dag_warning: ["timestamp"],
  // each call with a password counts as a login
  ab_user: ["last_login", "login_count", "fail_login_count", "changed_on"]
}

/** The tables of Airflow's users, and of their sessions in a browser. */
const userTables = ["ab_user", "ab_user_role", "ab_user_group", "ab_register_user", "session"]

const quote = (name: string) => `"${name.replaceAll("\"", "\"\"")}"`

const list = (columns: ReadonlyArray<string>) => columns.map(quote).join(", ")

const replace = (table: string, columns: ReadonlyArray<string>): ReadonlyArray<string> => {
  const name = quote(table)
  const insert = (into: string) =>
    `INSERT INTO ${into}.${name} (${list(columns)}) SELECT ${list(columns)} FROM snap.${name}`
  if (table !== "dag") return [`DELETE FROM main.${name}`, insert("main")]
  const changes = columns.filter((column) => !kept.includes(column)).map((column) =>
    `${quote(column)} = excluded.${quote(column)}`
  )
  return [
    "DELETE FROM main.dag WHERE dag_id NOT IN (SELECT dag_id FROM snap.dag)",
    // without WHERE, SQLite takes ON for a part of a join
    `${insert("main")} WHERE TRUE ON CONFLICT (dag_id) DO UPDATE SET ${changes.join(", ")}`
  ]
}

const copyUsers = (run: Run, copy: string, base: string) =>
  Effect.gen(function*() {
    yield* run("ATTACH ? AS copy", copy)
    yield* run("ATTACH ? AS snap", base)
    const [copied, saved] = [yield* columnsOf(run, "copy"), yield* columnsOf(run, "snap")]
    yield* transaction(
      run,
      "BEGIN IMMEDIATE",
      Effect.forEach(userTables.filter((table) => copied.has(table)), (table) =>
        Effect.gen(function*() {
          yield* run(`DELETE FROM copy.${quote(table)}`)
          if (!saved.has(table)) return
          const columns = list(copied.get(table) ?? [])
          yield* run(`INSERT INTO copy.${quote(table)} (${columns}) SELECT ${columns} FROM snap.${quote(table)}`)
        }))
    )
    yield* run("DETACH snap")
    yield* run("DETACH copy")
  })

const hasDifference = (
  run: Run,
  table: string,
  current: ReadonlyArray<string> | undefined,
  saved: ReadonlyArray<string> | undefined
) => {
  const name = quote(table)
  const isTrue = (condition: string) =>
    Effect.map(run<{ readonly is: number }>(`SELECT ${condition} AS "is"`), ([row]) => row?.is === 1)
  if (current === undefined) return isTrue(`EXISTS (SELECT * FROM snap.${name})`)
  if (saved === undefined) return isTrue(`EXISTS (SELECT * FROM main.${name})`)
  if (list(current) !== list(saved)) return Effect.succeed(true)
  const columns = list(current.filter((column) => unseen[table]?.includes(column) !== true))
  const select = (from: string) => `SELECT ${columns} FROM ${from}.${name}`
  return isTrue(
    `(SELECT count(*) FROM main.${name}) <> (SELECT count(*) FROM snap.${name})
      OR EXISTS (${select("main")} EXCEPT ${select("snap")})
      OR EXISTS (${select("snap")} EXCEPT ${select("main")})`
  )
}

type Columns = ReadonlyMap<string, ReadonlyArray<string>>

/** The columns of each table, in their order. */
const columnsOf = (run: Run, schema: "main" | "snap" | "copy"): Effect.Effect<Columns, SqlError> =>
  Effect.map(
    run<{ readonly table: string; readonly column: string }>(
      `SELECT t.name AS "table", c.name AS "column"
        FROM ${schema}.sqlite_master AS t, pragma_table_info(t.name, '${schema}') AS c
        WHERE t.type = 'table' ORDER BY t.name, c.cid`
    ),
    (rows) => {
      const columns = new Map<string, Array<string>>()
      for (const row of rows) columns.set(row.table, [...columns.get(row.table) ?? [], row.column])
      return columns
    }
  )

/** An empty or foreign file would empty Airflow's database. */
const requireSameSchema = (run: Run, current: Columns, saved: Columns) =>
  Effect.gen(function*() {
    const versions = Array.from(current.keys()).filter(isVersion)
    const differ = yield* Effect.filter(versions, (table) =>
      hasDifference(run, table, current.get(table), saved.get(table)))
    if (versions.length === 0 || differ.length > 0) {
      return yield* refusal(
        "the database and the snapshot are of different versions of Airflow",
        "Take a new snapshot."
      )
    }
  })

interface Refusal {
  readonly _tag: "Refusal"
  readonly detail: string
  readonly remedy: string
}

const refusal = (detail: string, remedy: string): Effect.Effect<never, Refusal> =>
  Effect.fail({ _tag: "Refusal", detail, remedy })

/** SQLite would create the file. */
const existing = (file: string): Effect.Effect<string, Refusal> =>
  fs.existsSync(file) ? Effect.succeed(file) : refusal(`${file} does not exist`, "Delete the deployment.")

/** Runs a statement. Quicker than the client's own way, which makes a span for each. */
type Run = <Row = unknown>(
  statement: string,
  ...parameters: ReadonlyArray<string>
) => Effect.Effect<ReadonlyArray<Row>, SqlError>

const transaction = <A, E>(
  run: Run,
  begin: "BEGIN" | "BEGIN IMMEDIATE",
  statements: Effect.Effect<A, E>
): Effect.Effect<A, E | SqlError> =>
  run(begin).pipe(
    Effect.zipRight(statements),
    Effect.zipLeft(run("COMMIT")),
    // there may be none
    Effect.onError(() => Effect.ignore(run("ROLLBACK"))),
    Effect.uninterruptible
  )

/** Opens the database for some statements. They run again, from the beginning, while Airflow has it locked. */
const attempt = <A>(
  operation: string,
  database: string,
  use: (run: Run) => Effect.Effect<A, SqlError | Refusal>
): Effect.Effect<A, SnapshotError> =>
  Effect.flatMap(connect(database), use).pipe(
    Effect.scoped,
    // the driver and the file system throw
    Effect.catchAllDefect((cause) => Effect.fail({ _tag: "Thrown" as const, cause })),
    Effect.retry({
      while: isBusy,
      schedule: Schedule.jittered(Schedule.spaced("20 millis")).pipe(Schedule.upTo("30 seconds"))
    }),
    Effect.mapError((error) =>
      error._tag === "Refusal"
        ? new SnapshotError({ operation, detail: error.detail, remedy: error.remedy })
        : new SnapshotError({
          operation,
          detail: detailOf(error.cause),
          remedy: isBusy(error) ? "Restart the deployment." : "Delete the deployment, and look at its disk."
        })
    )
  )

const connect = (database: string): Effect.Effect<Run, SqlError | Refusal, Scope.Scope> =>
  Effect.gen(function*() {
    const { reserve } = yield* SqliteClient.make({ filename: yield* existing(database), disableWAL: true })
    const connection = yield* reserve
    const run: Run = (statement, ...parameters) =>
      Effect.suspend(() => connection.executeUnprepared(statement, parameters, undefined))
    yield* run("PRAGMA busy_timeout = 10")
    yield* run("PRAGMA foreign_keys = OFF")
    return run
  }).pipe(Effect.provide(Reactivity.layer))

const codeOf = (cause: unknown): string => Predicate.hasProperty(cause, "code") ? String(cause.code) : ""

const isBusy = (error: { readonly _tag: string; readonly cause?: unknown }): boolean =>
  /^SQLITE_(BUSY|LOCKED)/.test(codeOf(error.cause))

/** Only SQLite's words: the error of a statement has its values too. */
const detailOf = (cause: unknown): string =>
  `${cause instanceof Error ? cause.message : String(cause)} (${codeOf(cause) || "unknown"})`
