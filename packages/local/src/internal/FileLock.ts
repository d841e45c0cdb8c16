/**
 * A lock between the processes of this machine, one per file. SQLite takes the operating system's lock on the file, so it is free as
 * soon as its holder has ended, in whatever way.
 *
 * The file stays empty, and is never deleted: a process that still waits for the old file would not see the lock on a new one. Nothing
 * else may open it, because closing it again would drop this process's lock.
 */
import * as ErrorFields from "@airflow-resource/core/ErrorFields"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"

/** The file cannot be locked, by any process. */
export class LockError extends Schema.TaggedError<LockError>("@airflow-resource/local/LockError")("LockError", {
  kind: Schema.Literal("notWritable", "full", "driver", "io"),
  ...ErrorFields.fields
}) {
  override get message(): string {
    return ErrorFields.message(this)
  }
}

/** Waits until no other process and no other scope of this process has the lock, then holds it until the scope closes. */
export const acquire = (file: string): Effect.Effect<void, LockError, Scope.Scope> =>
  tryAcquire(file).pipe(
    Effect.repeat({ until: (acquired) => acquired, schedule: Schedule.jittered(Schedule.spaced("150 millis")) }),
    Effect.asVoid
  )

/** Takes the lock until the scope closes, unless it is held: then returns `false` at once. The folder must exist. */
export const tryAcquire = (file: string): Effect.Effect<boolean, LockError, Scope.Scope> =>
  Effect.uninterruptible(Effect.gen(function*() {
    // of its own, because a connection without the lock is of no use
    const scope = yield* Effect.flatMap(Effect.scope, (parent) => Scope.fork(parent, parent.strategy))
    const exit = yield* Effect.exit(Scope.extend(begin(file), scope))
    if (Exit.isSuccess(exit)) return true
    yield* Scope.close(scope, exit)
    const error = Cause.squash(exit.cause)
    const cause = Predicate.hasProperty(error, "cause") ? error.cause : error
    const code = codeOf(cause)
    return code.startsWith("SQLITE_BUSY") ? false : yield* lockError(file, code, cause)
  }))

// internal

const begin = (file: string) =>
  Effect.gen(function*() {
    // a write-ahead log would be created by writing to the file
    const sql = yield* SqliteClient.make({ filename: file, disableWAL: true })
    const connection = yield* sql.reserve
    // the driver's own wait blocks the event loop
    yield* connection.executeRaw("PRAGMA busy_timeout = 0", [])
    yield* connection.executeRaw("BEGIN EXCLUSIVE", [])
  }).pipe(Effect.provide(Reactivity.layer))

const codeOf = (cause: unknown) => Predicate.hasProperty(cause, "code") ? String(cause.code) : ""

const lockError = (file: string, code: string, cause: unknown) => {
  const [kind, remedy] = kinds.find(([pattern]) => pattern.test(code))?.slice(1) as Refusal | undefined ?? other
  const detail = `${code} ${cause instanceof Error ? cause.message : String(cause)}`.trim()
  return new LockError({ kind, operation: `lock ${file}`, detail, remedy })
}

type Refusal = readonly [kind: LockError["kind"], remedy: string]

const other: Refusal = ["io", "Check the disk that the file is on."]

const kinds: ReadonlyArray<readonly [pattern: RegExp, ...Refusal]> = [
  [/^SQLITE_FULL/, "full", "Free space on this disk."],
  [/^SQLITE_(READONLY|CANTOPEN|PERM)|^EACCES/, "notWritable", "Make the file and its folder writable."],
  [/^ERR_DLOPEN/, "driver", "Run `npm rebuild better-sqlite3` with the Node.js that runs this."]
]
