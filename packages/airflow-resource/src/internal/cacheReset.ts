/** Removes a ledger that nobody uses, whatever its schema: the next process makes a new one, which finds the pool's deployments again. */
import { CacheError } from "@airflow-resource/core/CacheError"
import * as Host from "@airflow-resource/core/Host"
import * as FileSystem from "@effect/platform/FileSystem"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { unlinkSync } from "node:fs"
import { oneLine } from "./text.js"

/** Somebody holds a deployment by this ledger, or has it open. */
export class CacheInUse extends Schema.TaggedError<CacheInUse>("airflow-resource/CacheInUse")("CacheInUse", {
  path: Schema.String,
  by: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `The cache ${this.path} is in use:\n${this.by.map((one) => `  ${one}`).join("\n")}\n` +
      `Nothing was touched. End that first, and run this again.`
  }
  readonly retryable = true
}

/** Whether there was a file to remove. */
export const reset = (path: string): Effect.Effect<boolean, CacheError | CacheInUse, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const fail = (kind: CacheError["kind"]) => ({ message }: { readonly message: string }) =>
      new CacheError({ kind, path, detail: message })
    const file = yield* Effect.option(fs.stat(path))
    if (file._tag === "None") return false
    if (file.value.type !== "File") return yield* fail("foreign")({ message: "it is not a file" })
    // links lead to one ledger, which is to stay where they lead
    const real = yield* Effect.mapError(fs.realPath(path), fail("io"))
    yield* remove(real).pipe(
      Effect.provide(SqliteClient.layer({ filename: real, disableWAL: true })),
      Effect.catchAllDefect(Effect.fail),
      Effect.mapError((error) =>
        error instanceof CacheError || error instanceof CacheInUse ? error : toError(real, error)
      ),
      Effect.retry({
        while: (error) => error._tag === "CacheError" && error.kind === "busy",
        schedule: Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(20))
      }),
      Effect.catchIf(
        (error) => error._tag === "CacheError" && error.kind === "busy",
        () => new CacheInUse({ path, by: ["another process has it open: one that leases, waits, or does upkeep"] })
      )
    )
    if (real !== path) yield* Effect.mapError(fs.writeFileString(real, "", { flag: "wx" }), fail("io"))
    return true
  })

// internal

/** "ARL1" */
const applicationId = 0x41524c31

const Owner = Schema.Struct({
  host: Schema.String,
  bootId: Schema.String,
  pid: Schema.Number,
  startedAt: Schema.String
})
/** What the slots of every schema so far have in common. */
const Row = Schema.parseJson(Schema.Struct({
  number: Schema.Number,
  holder: Schema.NullOr(Schema.Struct({ owner: Owner, label: Schema.String }))
}))

const remove = (path: string) =>
  Effect.gen(function*() {
    const sql = (yield* SqliteClient.SqliteClient).withoutTransforms()
    const run = (statement: string) => sql.unsafe(statement)
    yield* run("PRAGMA busy_timeout = 50")
    const [file] = yield* sql.unsafe<{ application: number; tables: number }>(
      `SELECT (SELECT application_id FROM pragma_application_id) AS application,
        (SELECT count(*) FROM sqlite_master) AS tables`
    )
    if (file === undefined || (file.tables > 0 && file.application !== applicationId)) {
      return yield* new CacheError({ kind: "foreign", path, detail: "it is an SQLite file of something else" })
    }
    if (file.tables > 0) yield* refuseHeld(path)
    // takes the file away from everybody else, or fails as busy; what is in -wal goes into the file, and -wal and -shm go
    yield* run("PRAGMA locking_mode = EXCLUSIVE")
    yield* run("PRAGMA journal_mode = DELETE")
    yield* run("BEGIN EXCLUSIVE")
    if (file.tables > 0) yield* refuseHeld(path)
    // whoever opens the path from here on makes a new file
    yield* Effect.sync(() => unlinkSync(path))
    yield* run("ROLLBACK")
  })

const refuseHeld = (path: string) =>
  Effect.gen(function*() {
    const sql = (yield* SqliteClient.SqliteClient).withoutTransforms()
    const { isGone, owner: self } = yield* Host.live
    const now = yield* Clock.currentTimeMillis
    const rows = yield* sql.unsafe<{ deadline: number | null; row: string }>("SELECT deadline, row FROM slots")
    const slots = yield* Effect.mapError(
      Effect.forEach(
        rows,
        ({ deadline, row }) => Effect.map(Schema.decode(Row)(row), (slot) => ({ ...slot, deadline }))
      ),
      () => new CacheError({ kind: "newer", path, detail: "its slots are written in a way that is not known here" })
    )
    const by = slots.flatMap(({ deadline, holder, number }) => {
      if (holder === null) return []
      const { owner } = holder
      const isHere = owner.host === self.host && self.bootId !== "" && Host.bootOf(owner) === Host.bootOf(self)
      // older schemas knew of no containers
      const hasEnded = isGone(owner.bootId.includes(" ") ? owner : { ...owner, bootId: self.bootId })
      // of other hosts, and of earlier boots, only the deadline tells
      const isAlive = isHere ? !hasEnded : (deadline ?? 0) > now
      return isAlive ? [oneLine(`slot ${number}: ${holder.label} (process ${owner.pid} on ${owner.host})`)] : []
    })
    if (by.length > 0) return yield* new CacheInUse({ path, by })
  })

const toError = (path: string, error: unknown) => {
  const cause = error instanceof Object && "cause" in error ? error.cause : error
  const code = cause instanceof Object && "code" in cause ? String(cause.code) : ""
  const kind = ["SQLITE_BUSY", "SQLITE_LOCKED"].some((busy) => code.startsWith(busy))
    ? "busy"
    : ["SQLITE_NOTADB", "SQLITE_CORRUPT"].includes(code)
    ? "corrupt"
    : code.startsWith("SQLITE_READONLY") || code.startsWith("SQLITE_CANTOPEN") || code.startsWith("E")
    ? "notWritable"
    : "io"
  return new CacheError({ kind, path, detail: `${code} ${cause instanceof Error ? cause.message : ""}`.trim() })
}
