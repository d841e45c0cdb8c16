/**
 * Copies of Airflow's SQLite database, and putting one back while Airflow's processes go on.
 *
 * A connection is open only as long as a step takes, and never waits inside SQLite: that would stop this process's event loop.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import {
  type Columns,
  compared,
  differs,
  forgetTaskJobs,
  type Heartbeat,
  heartbeat as heartbeatQuery,
  list,
  ofRows,
  quiet as statements,
  quote,
  Refusal,
  requireSameVersion,
  restoration,
  SnapshotError,
  type TableColumn,
  userTables,
  withoutRuns
} from "./tables.js"

/**
 * Copies the database into `snapshot`, which is replaced in one step. With `usersOf`, the copy has the users of that snapshot instead of the
 * database's: a lease may have created some already, and they must not come back with the copy. It also has no runs then.
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
      if (usersOf !== undefined) yield* clean(run, copy, yield* existing(usersOf))
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
          yield* requireSameVersion(current, (versions) => different(run, versions, [current, saved]))
          for (const statement of restoration("main", current, saved)) yield* run(statement)
          if (current.has("job")) yield* run(forgetTaskJobs("main"))
        })
      )
    }))

/** Leaves Airflow nothing to do: pauses all DAGs, and ends all runs. A restore takes it back. */
export const quiet = (database: string): Effect.Effect<void, SnapshotError> =>
  attempt(`end all runs of ${database}`, database, (run) =>
    transaction(
      run,
      "BEGIN IMMEDIATE",
      Effect.forEach(Object.values(statements), (statement) => run(statement), { discard: true })
    ))

/** When the scheduler has last been heard of, in the database's words. */
export const heartbeat = (database: string): Effect.Effect<string, SnapshotError> =>
  attempt(
    `read the scheduler's heartbeat from ${database}`,
    database,
    (run) => Effect.map(run<Heartbeat>(heartbeatQuery), ([row]) => row?.at ?? "")
  )

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
          return yield* different(run, compared(current, saved), [current, saved])
        })
      )
    }))

// internal

const clean = (run: Run, copy: string, base: string) =>
  Effect.gen(function*() {
    yield* run("ATTACH ? AS copy", copy)
    yield* run("ATTACH ? AS snap", base)
    const [copied, saved] = [yield* columnsOf(run, "copy"), yield* columnsOf(run, "snap")]
    yield* transaction(
      run,
      "BEGIN IMMEDIATE",
      Effect.gen(function*() {
        for (const table of userTables.filter((table) => copied.has(table))) {
          yield* run(`DELETE FROM copy.${quote(table)}`)
          if (!saved.has(table)) continue
          const columns = list(copied.get(table) ?? [])
          yield* run(`INSERT INTO copy.${quote(table)} (${columns}) SELECT ${columns} FROM snap.${quote(table)}`)
        }
        for (const statement of withoutRuns("copy", copied)) yield* run(statement)
      })
    )
    yield* run("DETACH snap")
    yield* run("DETACH copy")
  })

/** Those of the tables that differ. */
const different = (run: Run, all: ReadonlyArray<string>, [current, saved]: readonly [Columns, Columns]) =>
  Effect.filter(all, (table) => {
    const condition = differs("main", table, [current.get(table), saved.get(table)], (columns) => {
      const select = (from: string) => `SELECT ${list(columns)} FROM ${from}.${quote(table)}`
      return `(SELECT count(*) FROM main.${quote(table)}) <> (SELECT count(*) FROM snap.${quote(table)})
        OR EXISTS (${select("main")} EXCEPT ${select("snap")})
        OR EXISTS (${select("snap")} EXCEPT ${select("main")})`
    })
    return Effect.map(run<{ readonly is: number }>(`SELECT ${condition} AS "is"`), ([row]) => row?.is === 1)
  })

/** The columns of each table, in their order. */
const columnsOf = (run: Run, schema: "main" | "snap" | "copy"): Effect.Effect<Columns, SqlError> =>
  Effect.map(
    run<TableColumn>(
      `SELECT t.name AS "table", c.name AS "column"
        FROM ${schema}.sqlite_master AS t, pragma_table_info(t.name, '${schema}') AS c
        WHERE t.type = 'table' ORDER BY t.name, c.cid`
    ),
    ofRows
  )

/** SQLite would create the file. */
const existing = (file: string): Effect.Effect<string, Refusal> =>
  fs.existsSync(file)
    ? Effect.succeed(file)
    : new Refusal({ detail: `${file} does not exist`, remedy: "Delete the deployment." })

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
