/** Deletes a ledger that no process uses. */
import * as FileSystem from "@effect/platform/FileSystem"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { unlinkSync } from "node:fs"
import { CacheError, CacheInUse } from "../../CacheError.js"
import * as Host from "../../Host.js"
import { Owner } from "../../Slot.js"
import { oneLine } from "../oneLine.js"
import { connect } from "./connection.js"
import { notWritable } from "./files.js"
import * as header from "./header.js"
import { detached, toCacheError } from "./transactions.js"

/** Deletes the file, and returns whether there was one. */
export const reset = (path: string): Effect.Effect<boolean, CacheError | CacheInUse, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const orFail = notWritable(path)
    if (!(yield* orFail(fs.exists(path)))) return false
    const info = yield* orFail(fs.stat(path))
    if (info.type !== "File") return yield* new CacheError({ kind: "foreign", path, detail: "it is not a file" })
    const file = yield* orFail(fs.realPath(path))
    yield* deleteFile(path, file).pipe(
      Effect.retry({
        while: isBusy,
        schedule: Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(20))
      }),
      Effect.catchIf(
        isBusy,
        () =>
          new CacheInUse({
            path,
            by: [
              "another process has it open: a lease, a waiter, upkeep, or a reaper, which ends within a minute if nothing is left to do"
            ]
          })
      )
    )
    // behind a link, leave an empty file: no ledger can be created at a link without a target
    if (file !== path) yield* orFail(fs.writeFileString(file, "", { flag: "wx" }))
    return true
  })

// internal

const isBusy = (error: CacheError | CacheInUse) => error._tag === "CacheError" && error.kind === "busy"

const deleteFile = (path: string, file: string) =>
  Effect.gen(function*() {
    const sql = yield* connect(path, file, { disableWAL: true })
    yield* sql`PRAGMA busy_timeout = 50`
    const contents = yield* header.select(sql)
    yield* header.refuseForeign(path, contents)
    const refuseHeld = contents.tables > 0 ? refuseHolders(path, sql) : Effect.void
    yield* refuseHeld
    // shuts out every other process, or fails as busy; moves what is in -wal into the file, and deletes -wal and -shm
    yield* sql`PRAGMA locking_mode = EXCLUSIVE`
    yield* sql`PRAGMA journal_mode = DELETE`
    yield* sql`BEGIN EXCLUSIVE`
    yield* refuseHeld
    // a process that opens the path from now on creates a new file
    yield* Effect.try({
      try: () => unlinkSync(file),
      catch: (cause) => new CacheError({ kind: "notWritable", path, detail: String(cause) })
    })
    yield* sql`ROLLBACK`
  }).pipe(
    Effect.catchTag("SqlError", ({ cause }) => toCacheError(path, cause)),
    Effect.scoped,
    detached,
    Effect.withTracerEnabled(false)
  )

/** What the slots of all schemas so far have in common. */
const SlotOfAnySchema = Schema.parseJson(Schema.Struct({
  number: Schema.Number,
  holder: Schema.NullOr(Schema.Struct({ owner: Owner, label: Schema.String })),
  name: Schema.optional(Schema.NullOr(Schema.String)),
  power: Schema.optional(Schema.String),
  adopted: Schema.optional(Schema.Unknown)
}))

const refuseHolders = (path: string, sql: SqlClient) =>
  Effect.gen(function*() {
    const host = yield* Host.live
    const now = yield* Clock.currentTimeMillis
    const rows = yield* sql<{ deadline: number | null; row: string }>`SELECT deadline, row FROM slots`
    const held = yield* Effect.forEach(rows, ({ deadline, row }) =>
      Effect.map(Schema.decode(SlotOfAnySchema)(row), ({ adopted, holder, name, number, power }) =>
        holder === null || !mayBeAlive(host, holder.owner, deadline ?? 0, now)
          // a new ledger could not find it again: it has no marker
          ? Boolean(adopted) && power !== "asleep"
            ? [`slot ${number}: ${name} is adopted and may be awake: run \`airflow-resource reap\` first`]
            : []
          : [oneLine(`slot ${number}: ${holder.label} (process ${holder.owner.pid} on ${holder.owner.host})`)])).pipe(
        Effect.catchTag(
          "ParseError",
          () =>
            new CacheError({ kind: "newer", path, detail: "its slots have an unknown format" })
        )
      )
    const by = held.flat()
    if (by.length > 0) {
      return yield* new CacheInUse({ path, by })
    }
  })

const mayBeAlive = (host: Host.Host, owner: Owner, deadline: number, now: number): boolean => {
  const self = host.owner
  const isSameBoot = owner.host === self.host && self.bootId !== "" && Host.bootOf(owner) === Host.bootOf(self)
  // of processes on other hosts and in earlier boots, only the deadline is known
  if (!isSameBoot) return deadline > now
  // older schemas have no pid namespace in the boot id
  return !host.isGone(owner.bootId.includes(" ") ? owner : { ...owner, bootId: self.bootId })
}
