/** An open ledger file: its transactions, and whether it is still the file at its path. */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CacheError } from "../../CacheError.js"
import { connect } from "./connection.js"
import * as files from "./files.js"
import * as header from "./header.js"
import { migrate } from "./schema.js"
import { classify, detached, transaction } from "./transactions.js"

type Statements<A> = Effect.Effect<A, SqlError | CacheError>

export interface LedgerFile {
  readonly sql: SqlClient
  /** Its real path. */
  readonly file: string
  /** The files that have to stay where they are. */
  readonly watched: ReadonlyArray<files.Watched>
  /** Fails if the file at the path is no longer the open one. */
  readonly refuseReplaced: Effect.Effect<void, CacheError>
  /** Runs statements in one transaction that has the write lock from its beginning. */
  readonly write: <A>(statements: Statements<A>) => Effect.Effect<A, CacheError>
  /** Runs statements in one transaction that only reads and needs no lock. */
  readonly read: <A>(statements: Statements<A>) => Effect.Effect<A, CacheError>
  /** Runs a single statement. */
  readonly run: <A>(statements: Statements<A>) => Effect.Effect<A, CacheError>
}

/**
 * Opens the file until the scope closes, and creates it and its folder if they are missing. A file that is not a ledger
 * of our schema is refused and not changed.
 */
export const open = (
  path: string
): Effect.Effect<LedgerFile, CacheError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const file = yield* files.locate(path)
    yield* header.check(path, file, header.read)
    const opened = yield* files.watch(path, path)
    const sql = yield* connect(path, file)
    const immediate = transaction(sql, "BEGIN IMMEDIATE")
    const deferred = transaction(sql, "BEGIN")
    // the caller's span covers the operation; its statements get no spans
    const run: LedgerFile["run"] = (statements) =>
      statements.pipe(detached, classify(path), Effect.withTracerEnabled(false))

    // short, because the driver's own wait blocks the event loop; `classify` waits instead
    yield* run(sql`PRAGMA busy_timeout = 10`)
    yield* run(sql`PRAGMA synchronous = FULL`)
    yield* run(immediate(migrate(sql)))
    // -wal and -shm too: processes with different ones would not see each other's writes. SQLite deletes them only when
    // the last process closes the file
    const watched = [opened, yield* files.watch(path, `${file}-wal`), yield* files.watch(path, `${file}-shm`)]
    const refuseReplaced = files.refuseReplaced(path, watched)
    return {
      sql,
      file,
      watched,
      refuseReplaced,
      write: (statements) => run(immediate(Effect.zipRight(refuseReplaced, statements))),
      read: (statements) => run(deferred(Effect.zipRight(refuseReplaced, statements))),
      run
    }
  })
