/** Transactions, and how failures of SQLite become `CacheError`. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { CacheError } from "../../CacheError.js"

/** Replaces the client's `withTransaction`, which begins deferred: what it reads may be stale by the time it writes. */
export const transaction = (sql: SqlClient.SqlClient, begin: "BEGIN" | "BEGIN IMMEDIATE") =>
  SqlClient.makeWithTransaction({
    transactionTag: SqlClient.TransactionConnection,
    spanAttributes: [["db.system.name", "sqlite"]],
    // begins here and not in `begin`, where a busy database would be a defect instead of a typed failure
    acquireConnection: Effect.flatMap(Scope.make(), (scope) =>
      Scope.extend(sql.reserve, scope).pipe(
        Effect.tap((connection) => connection.executeUnprepared(begin, [], undefined)),
        Effect.map((connection) => [scope, connection] as const),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )),
    begin: () => Effect.void,
    savepoint: (connection, id) => connection.executeUnprepared(`SAVEPOINT s${id}`, [], undefined),
    commit: (connection) => connection.executeUnprepared("COMMIT", [], undefined),
    rollback: (connection) => connection.executeUnprepared("ROLLBACK", [], undefined),
    rollbackSavepoint: (connection, id) => connection.executeUnprepared(`ROLLBACK TO SAVEPOINT s${id}`, [], undefined)
  })

/** Runs outside the caller's own transaction, whatever database that is on: it must not decide whether ours commits. */
export const detached = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(self, (context: Context.Context<R>) =>
    Context.omit(SqlClient.TransactionConnection)(
      context as Context.Context<R | SqlClient.TransactionConnection>
    ) as Context.Context<R>)

/**
 * Turns failures into {@link CacheError}, and retries for a few seconds while another process holds the lock. The driver's
 * own wait would block the event loop.
 */
export const classify =
  (path: string) =>
  <A, E extends SqlError | CacheError, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, CacheError, R> =>
    effect.pipe(
      Effect.mapError((error: SqlError | CacheError) =>
        error._tag === "CacheError" ? error : toCacheError(path, error.cause)
      ),
      Effect.retry({
        while: (error) => error.retryable,
        schedule: Schedule.jittered(Schedule.spaced("25 millis")).pipe(Schedule.intersect(Schedule.recurs(150)))
      })
    )

export const toCacheError = (path: string, cause: unknown): CacheError => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""
  const kind = kinds.find(([prefix]) => code.startsWith(prefix))?.[1] ?? "io"
  return new CacheError({ kind, path, detail: `${code} ${cause instanceof Error ? cause.message : ""}`.trim() })
}

// internal

const kinds: ReadonlyArray<readonly [prefix: string, kind: CacheError["kind"]]> = [
  // a deferred transaction read before it wrote; a retry would hide that mistake
  ["SQLITE_BUSY_SNAPSHOT", "io"],
  ["SQLITE_BUSY", "busy"],
  ["SQLITE_LOCKED", "busy"],
  ["SQLITE_NOTADB", "corrupt"],
  ["SQLITE_CORRUPT", "corrupt"],
  ["SQLITE_READONLY_DBMOVED", "replaced"],
  ["SQLITE_READONLY", "notWritable"],
  ["SQLITE_CANTOPEN", "notWritable"]
]
