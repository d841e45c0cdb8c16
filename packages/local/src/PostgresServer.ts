/**
 * A PostgreSQL server on which each deployment gets a database of its own.
 *
 * @since 0.1.0
 */
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as AirflowVersion from "./AirflowVersion.js"
import type { Refusal } from "./internal/Postgres.js"

/**
 * Where the server is, and the user that creates the databases.
 *
 * @since 0.1.0
 * @category models
 */
export const PostgresServer = Schema.Struct({
  host: Schema.String,
  port: Schema.Number,
  user: Schema.String,
  password: Schema.Redacted(Schema.String),
  /** The database that is connected to in order to create others. It is not changed. */
  database: Schema.String,
  /** Whether the connections are encrypted. */
  encrypted: Schema.Boolean
})

/**
 * @since 0.1.0
 * @category models
 */
export type PostgresServer = typeof PostgresServer.Type

/**
 * Reads a URL. `Left` says what is expected, without the URL, which contains a password.
 *
 * @example
 * ```ts
 * import * as PostgresServer from "@airflow-resource/local/PostgresServer"
 *
 * export const server = PostgresServer.parse("postgresql://postgres:secret@localhost:5432/postgres")
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (text: string): Either.Either<PostgresServer, string> =>
  Either.try({
    try: () => {
      const url = new URL(text.trim())
      const part = (value: string) => decodeURIComponent(value)
      const [host, user] = [part(url.hostname).replace(/^\[(.*)\]$/, "$1"), part(url.username)]
      const { sslmode = "disable", ...others } = Object.fromEntries(url.searchParams)
      const database = part(url.pathname.slice(1)) || "postgres"
      const isKnown = /^postgres(ql)?:$/.test(url.protocol) && host !== "" && user !== "" && !database.includes("/") &&
        ["disable", "require"].includes(sslmode) && Object.keys(others).length === 0 && url.hash === ""
      return isKnown
        ? {
          host,
          port: Number(url.port || 5432),
          user,
          password: Redacted.make(part(url.password)),
          database,
          encrypted: sslmode === "require"
        }
        : undefined
    },
    catch: () => expected
  }).pipe(Either.flatMap((server) => Either.fromNullable(server, () => expected)))

/**
 * A short name for the server and its user. It does not depend on the password, which may change.
 *
 * @since 0.1.0
 * @category accessors
 */
export const label = ({ host, port, user }: PostgresServer): string =>
  createHash("sha256").update(JSON.stringify([host, port, user])).digest("hex").slice(0, 8)

/**
 * Returns the server's version, once it is certain that it can have databases for this Airflow. Changes nothing.
 *
 * @since 0.1.0
 * @category accessors
 */
export const check: (server: PostgresServer, airflow: string) => Effect.Effect<string, ProviderError> = Effect.fn(
  "PostgresServer.check"
)(function*(server, airflow) {
  const operation = `use the PostgreSQL server ${server.host}:${server.port}`
  const fail = (refusal: Refusal) => new ProviderError({ operation, ...refusal })
  // loaded here, because most do without
  const Postgres = yield* Effect.promise(() => import("./internal/Postgres.js"))
  const { mayCreate, number, version } = yield* Postgres.use(server, server.database, (sql) =>
    Effect.gen(function*() {
      const [found] = yield* sql<{ readonly version: string; readonly number: number; readonly mayCreate: boolean }>`
        SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
          rolcreatedb OR rolsuper AS "mayCreate"
        FROM pg_roles WHERE rolname = current_user`
      yield* Postgres.skipTriggers(sql)
      return found!
    })).pipe(Effect.mapError((error) => fail(Postgres.refusalOf(server, error))))
  const least = oldest(airflow)
  if (number < least * 10_000) {
    return yield* fail({
      kind: "unusable",
      detail: `it is PostgreSQL ${version}, and Airflow ${airflow} needs ${least} or newer`,
      remedy: "Use a newer server, or remove AIRFLOW_RESOURCE_LOCAL_DATABASE."
    })
  }
  if (!mayCreate) {
    return yield* fail(Postgres.mayNot(server, "create databases", `ALTER ROLE "${server.user}" CREATEDB`))
  }
  return version
})

// internal

const expected =
  "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded, and " +
  "?sslmode=require or nothing behind it"

/** As Airflow documents it. Older ones than 13 cannot drop a database that is in use. */
const oldest = (airflow: string): number => AirflowVersion.order(airflow, "3.3.0") >= 0 ? 14 : 13
