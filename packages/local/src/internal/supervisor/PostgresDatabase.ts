/** Airflow's database on a PostgreSQL server: one for each deployment, which has its snapshot in a schema of its own. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as path from "node:path"
import type { PostgresServer } from "../../PostgresServer.js"
import * as DeploymentFolder from "../DeploymentFolder.js"
import * as Postgres from "../Postgres.js"
import type { Database } from "./Database.js"
import * as Fill from "./Fill.js"
import * as tables from "./tables.js"

export const nameOf = (folder: string): string => `airflow_resource_${path.basename(folder)}`

export const make = ({ facts, folder, server }: {
  readonly folder: string
  readonly facts: Pick<DeploymentFolder.Facts, "version" | "username" | "password">
  readonly server: PostgresServer
}): Database => {
  const name = nameOf(folder)
  const attempt = <A>(operation: string, statements: (sql: SqlClient) => Effect.Effect<A, SqlError | tables.Refusal>) =>
    Postgres.use(server, name, (sql) => sql.withTransaction(statements(sql))).pipe(
      retried,
      explained(server, operation)
    )
  const restore = (sql: SqlClient) =>
    Effect.gen(function*() {
      const [current, saved] = yield* bothOf(sql)
      yield* tables.requireSameVersion(current, (versions) => different(sql, versions, [current, saved]))
      if (current.has("job")) yield* sql.unsafe(tables.forgetTaskJobs("public"))
      yield* lock(sql, Array.from(current.keys()).filter((table) => !tables.isLeft(table)))
      yield* Postgres.skipTriggers(sql)
      // sequences go on, so that their next ids are free
      yield* sql.unsafe(tables.restoration("public", current, saved).join(";\n"))
    })
  return {
    settings: {
      AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: Postgres.urlOf(server, name, "psycopg2"),
      AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC: Postgres.urlOf(server, name, "asyncpg")
    },
    prepare: (airflow) =>
      Effect.gen(function*() {
        if (yield* hasSnapshot(server, name)) {
          yield* attempt("restore the database before a start", (sql) =>
            Effect.gen(function*() {
              // killed processes may still have locks
              yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()`
              yield* restore(sql)
              // the heartbeats of processes that have ended would make Airflow healthy before its scheduler runs
              yield* sql`DELETE FROM job`
            }))
          return
        }
        // new, or left by a process that was killed before the first snapshot
        DeploymentFolder.delivered.remove(folder)
        yield* onServer(server, folder, (run) =>
          Effect.zipRight(
            run(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`),
            run(`CREATE DATABASE "${name}" TEMPLATE template0 ENCODING 'UTF8'`)
          )).pipe(explained(server, `create the database ${name}`))
        yield* Fill.fill({ ...airflow, user: Fill.firstUser() })
        if (facts.version.startsWith("2.")) yield* Postgres.use(server, name, Fill.renameUser(facts))
      }),
    take: attempt("take a snapshot of the database", (sql) =>
      Effect.gen(function*() {
        // all tables as of one moment
        yield* sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`
        const [current, saved] = yield* bothOf(sql)
        const sourceOf = (table: string) => {
          if (saved.size === 0 || !tables.userTables.includes(table)) return qualified(table)
          return saved.has(table) ? `earlier.${tables.quote(table)}` : `${qualified(table)} WITH NO DATA`
        }
        yield* sql.unsafe([
          ...(saved.size === 0 ? [] : ["ALTER SCHEMA snap RENAME TO earlier"]),
          "CREATE SCHEMA snap",
          ...Array.from(current.keys(), (table) =>
            `CREATE TABLE snap.${tables.quote(table)} AS TABLE ${sourceOf(table)}`),
          ...tables.withoutRuns("snap", current),
          ...(saved.size === 0 ? [] : ["DROP SCHEMA earlier CASCADE"])
        ].join(";\n"))
      })),
    quiet: attempt("end all runs", (sql) =>
      Effect.zipRight(
        lock(sql, Object.keys(tables.quiet)),
        sql.unsafe(Object.values(tables.quiet).join(";\n"))
      )),
    heartbeat: attempt(
      "read the scheduler's heartbeat",
      (sql) => Effect.map(sql.unsafe<tables.Heartbeat>(tables.heartbeat), ([row]) => row?.at ?? "")
    ),
    restore: attempt("restore the database", restore),
    differences: attempt("compare the database with its snapshot", (sql) =>
      Effect.gen(function*() {
        yield* sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`
        const [current, saved] = yield* bothOf(sql)
        return yield* different(sql, tables.compared(current, saved), [current, saved])
      })),
    use: (body) => Postgres.use(server, name, body)
  }
}

/** Drops the database of a deployment, if it is there. */
export const drop = (folder: string, server: PostgresServer): Effect.Effect<void, tables.SnapshotError> =>
  onServer(server, folder, (run) => run(`DROP DATABASE IF EXISTS "${nameOf(folder)}" WITH (FORCE)`)).pipe(
    Effect.asVoid,
    explained(server, `drop the database ${nameOf(folder)}`)
  )

// internal

const explained =
  (server: PostgresServer, operation: string) =>
  <A, R>(self: Effect.Effect<A, SqlError | tables.Refusal, R>): Effect.Effect<A, tables.SnapshotError, R> =>
    Effect.mapError(self, (error) => {
      const { detail, remedy } = error._tag === "Refusal" ? error : Postgres.refusalOf(server, error)
      return new tables.SnapshotError({ operation, detail, remedy })
    })

/** Again, from the beginning, while Airflow has a lock. */
const retried = <A>(self: Effect.Effect<A, SqlError | tables.Refusal>) =>
  Effect.retry(self, {
    while: (error) => error._tag === "SqlError" && ["55P03", "40P01", "40001"].includes(Postgres.codeOf(error.cause)),
    schedule: Schedule.jittered(Schedule.spaced("20 millis")).pipe(Schedule.upTo("30 seconds"))
  })

/** Statements about a deployment's database. The lock is for the case that a process is killed while the server carries one out. */
const onServer = <A>(
  server: PostgresServer,
  folder: string,
  body: (run: (statement: string) => Effect.Effect<unknown, SqlError>) => Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> =>
  Postgres.use(server, server.database, (sql) =>
    Effect.scoped(Effect.gen(function*() {
      // the server does not create a database in a transaction, and the lock belongs to the connection
      const connection = yield* sql.reserve
      const run = (statement: string) => connection.executeUnprepared(statement, [], undefined)
      yield* run(`SELECT pg_advisory_lock(hashtext('${nameOf(folder)}'))`)
      return yield* body(run)
    })))

/** It has had one since Airflow was healthy for the first time. */
const hasSnapshot = (server: PostgresServer, name: string) =>
  Postgres.use(server, name, columnsOf("snap")).pipe(
    Effect.map(({ size }) => size > 0),
    Effect.catchIf(({ cause }) => Postgres.codeOf(cause) === "3D000", () => Effect.succeed(false)),
    explained(server, `use the database ${name}`)
  )

/** Until the end of the transaction. It waits for no table while it has others, so that it is not what Airflow waits for in turn. */
const lock = (sql: SqlClient, names: ReadonlyArray<string>) =>
  sql.unsafe(`LOCK TABLE ${names.map(qualified).join(", ")} IN EXCLUSIVE MODE NOWAIT`)

const qualified = (table: string) => `public.${tables.quote(table)}`

const columnsOf = (schema: "public" | "snap") => (sql: SqlClient): Effect.Effect<tables.Columns, SqlError> =>
  Effect.map(
    sql<tables.TableColumn>`SELECT c.relname AS "table", a.attname AS "column"
      FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
      WHERE c.relnamespace = to_regnamespace(${schema}) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
      ORDER BY c.relname, a.attnum`,
    tables.ofRows
  )

const bothOf = (sql: SqlClient) => Effect.all([columnsOf("public")(sql), columnsOf("snap")(sql)])

type Both = readonly [current: tables.Columns, saved: tables.Columns]

/** Those of the tables that differ. As text, because not every type can be compared. */
const different = (sql: SqlClient, all: ReadonlyArray<string>, [current, saved]: Both) => {
  const query = (table: string) => {
    const condition = tables.differs("public", table, [current.get(table), saved.get(table)], (columns) => {
      const rows = (schema: string) => `SELECT ROW(${tables.list(columns)})::text FROM ${schema}.${tables.quote(table)}`
      return `EXISTS (${rows("public")} EXCEPT ALL ${rows("snap")}) OR EXISTS (${rows("snap")} EXCEPT ALL ${
        rows("public")
      })`
    })
    return `SELECT '${table.replaceAll("'", "''")}' AS "table" WHERE ${condition}`
  }
  if (all.length === 0) return Effect.succeed([])
  return Effect.map(
    sql.unsafe<{ readonly table: string }>(all.map(query).join(" UNION ALL ")),
    (rows) => rows.map(({ table }) => table).sort()
  )
}
