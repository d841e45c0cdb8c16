/** Short connections to databases of a PostgreSQL server, and what its refusals mean. */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import { type SqlClient, TransactionConnection } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"

/** Where the server is, and how to log in. */
export interface Server {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: Redacted.Redacted
  readonly encrypted: boolean
}

/** Connects to the database while `body` runs. All its statements have the same connection. */
export const use = <A, E>(
  server: Server,
  database: string,
  body: (sql: SqlClient) => Effect.Effect<A, E>
): Effect.Effect<A, E | SqlError> =>
  PgClient.make({
    host: server.host,
    port: server.port,
    username: server.user,
    password: server.password,
    database,
    // like that of Airflow's own driver, encryption does not prove which server it is
    ssl: server.encrypted ? { rejectUnauthorized: false } : false,
    maxConnections: 1,
    connectTimeout: "10 seconds",
    applicationName: "airflow-resource"
  }).pipe(
    Effect.flatMap((client) => body(client.withoutTransforms())),
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    // a caller's own transaction, whatever database that is on, would take our statements
    Effect.mapInputContext((context: Context.Context<never>) => Context.omit(TransactionConnection)(context as never))
  )

/** Foreign keys are neither checked nor followed, until the end of the connection or of its transaction. */
export const skipTriggers = (sql: SqlClient) => sql.unsafe("SET session_replication_role = replica")

/** A database's URL for Python's SQLAlchemy. */
export const urlOf = (server: Server, database: string, driver: "psycopg2" | "asyncpg"): string => {
  const { encrypted, host, password, port, user } = server
  const login = [user, Redacted.value(password)].map(encodeURIComponent).join(":")
  const parameter = driver === "psycopg2" ? "sslmode" : "ssl"
  const address = host.includes(":") ? `[${host}]` : host
  return `postgresql+${driver}://${login}@${address}:${port}/${database}?${parameter}=${
    encrypted ? "require" : "disable"
  }`
}

export interface Refusal extends Pick<ProviderError, "kind" | "detail" | "remedy"> {}

export const codeOf = (cause: unknown): string => Predicate.hasProperty(cause, "code") ? String(cause.code) : ""

/** Only the server's words: the error of a statement has its values too. */
export const refusalOf = (server: Server, { cause }: SqlError): Refusal => {
  const code = codeOf(cause)
  const message = cause instanceof Error ? cause.message : String(cause)
  if (code.startsWith("28") || message.startsWith("SASL")) {
    return {
      kind: "unauthorized",
      detail: `it refuses the login of ${server.user}: ${message}`,
      remedy:
        "Correct the user and the password in AIRFLOW_RESOURCE_LOCAL_DATABASE; if the server requires encryption, " +
        "add ?sslmode=require."
    }
  }
  if (code === "42501") {
    return mayNot(
      server,
      "switch foreign keys off, as each reset does",
      `GRANT SET ON PARAMETER session_replication_role TO "${server.user}"`
    )
  }
  if (code === "3D000") {
    return { kind: "notFound", detail: message, remedy: "Name a database that exists, such as /postgres." }
  }
  // its own codes begin with a digit, or with XX
  return /^(\d|XX)\w+$/.test(code) && !/^(08|57P)/.test(code)
    ? { kind: "server", detail: `${message} (${code})`, remedy: "See the log of the PostgreSQL server." }
    : {
      kind: "unreachable",
      detail: `${server.host}:${server.port} does not respond as PostgreSQL does: ${message || code}`,
      remedy: "Start the server, or correct AIRFLOW_RESOURCE_LOCAL_DATABASE."
    }
}

export const mayNot = ({ user }: Server, what: string, statement: string): Refusal => ({
  kind: "forbidden",
  detail: `its user ${user} may not ${what}`,
  remedy: `Use a superuser, or let one execute: ${statement}`
})
