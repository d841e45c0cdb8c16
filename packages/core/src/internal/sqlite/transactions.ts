/** Transactions, and how failures of SQLite become `CacheError`. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import { CacheError } from "../../CacheError.js"

/**
 * Runs statements in one transaction. Replaces the client's `withTransaction`, which begins deferred, so that what it reads may be
 * stale by the time it writes, and which dies if COMMIT or ROLLBACK fails, as they do on a full disk.
 */
export const transaction =
  (sql: SqlClient.SqlClient, begin: "BEGIN" | "BEGIN IMMEDIATE") =>
  <A, E>(statements: Effect.Effect<A, E>): Effect.Effect<A, E | SqlError> =>
    Effect.scoped(Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const connection = yield* sql.reserve
        yield* connection.executeRaw(begin, [])
        return yield* restore(statements).pipe(
          Effect.provideService(SqlClient.TransactionConnection, [connection, 0]),
          Effect.zipLeft(connection.executeRaw("COMMIT", [])),
          // fails if SQLite has rolled back already, as it does on a full disk; in any case no transaction is open afterwards
          Effect.onError(() => Effect.ignore(connection.executeRaw("ROLLBACK", [])))
        )
      })
    ))

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
  if (Predicate.hasProperty(cause, "code") && cause.code === "ERR_DLOPEN_FAILED" || isWithoutBinary(cause)) {
    const detail = `SQLite's driver better-sqlite3 is not built for this Node.js (${globalThis.process?.version})`
    return new CacheError({ kind: "driver", path, detail })
  }
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""
  const kind = kinds.find(([prefix]) => code.startsWith(prefix))?.[1] ?? "io"
  return new CacheError({ kind, path, detail: `${code} ${cause instanceof Error ? cause.message : ""}`.trim() })
}

// internal

/** The driver's binary is loaded when the first database is opened. */
const isWithoutBinary = (cause: unknown) =>
  cause instanceof Error && cause.message.startsWith("Could not locate the bindings file")

const kinds: ReadonlyArray<readonly [prefix: string, kind: CacheError["kind"]]> = [
  // a deferred transaction read before it wrote; a retry would hide that mistake
  ["SQLITE_BUSY_SNAPSHOT", "io"],
  ["SQLITE_BUSY", "busy"],
  ["SQLITE_LOCKED", "busy"],
  ["SQLITE_FULL", "full"],
  // all that can fail here is making the -shm larger
  ["SQLITE_IOERR_SHMSIZE", "full"],
  ["SQLITE_NOTADB", "corrupt"],
  // a file has become shorter: an emptied -wal
  ["SQLITE_IOERR_SHORT_READ", "corrupt"],
  ["SQLITE_CORRUPT", "corrupt"],
  ["SQLITE_READONLY_DBMOVED", "replaced"],
  ["SQLITE_READONLY", "notWritable"],
  ["SQLITE_CANTOPEN", "notWritable"]
]
