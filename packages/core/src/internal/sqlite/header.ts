/** Checks what a file is before it is used: only a ledger of our schema is opened, and no other file is changed. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as nodeFs from "node:fs"
import { CacheError } from "../../CacheError.js"
import { connect } from "./connection.js"
import * as files from "./files.js"
import { applicationId, schemaVersion } from "./schema.js"
import { classify } from "./transactions.js"

export interface Header {
  readonly application: number
  readonly version: number
  readonly tables: number
}

/**
 * Returns the version of the ledger's schema, `None` for an empty file. Fails for any file that is not a ledger of our
 * schema.
 */
export const check = (
  path: string,
  file: string,
  read: (path: string, file: string) => Effect.Effect<Header, CacheError>
): Effect.Effect<Option.Option<number>, CacheError> =>
  Effect.gen(function*() {
    const info = yield* files.stat(path, file)
    if (!info.isFile()) return yield* new CacheError({ kind: "foreign", path, detail: "it is not a file" })
    if (info.size === 0) return Option.none()
    const header = yield* read(path, file)
    yield* refuseForeign(path, header)
    if (header.application === 0) return Option.none()
    if (header.version !== schemaVersion) {
      return yield* new CacheError({
        kind: header.version > schemaVersion ? "newer" : "older",
        path,
        detail: `its schema has version ${header.version}, but this airflow-resource needs version ${schemaVersion}`
      })
    }
    return Option.some(header.version)
  })

/** Fails for a database of another application. */
export const refuseForeign = (path: string, { application, tables }: Header): Effect.Effect<void, CacheError> =>
  application === applicationId || (application === 0 && tables === 0)
    ? Effect.void
    : new CacheError({ kind: "foreign", path, detail: "it is an SQLite file of another program" })

/** Reads the header of an open database. */
export const select = (sql: SqlClient): Effect.Effect<Header, SqlError> =>
  Effect.map(
    sql<Header>`
      SELECT (SELECT application_id FROM pragma_application_id) AS application,
        (SELECT user_version FROM pragma_user_version) AS version,
        (SELECT count(*) FROM sqlite_master) AS tables`,
    ([header]) => header ?? { application: 0, version: 0, tables: 0 }
  )

/** Reads the header through SQLite. */
export const read = (path: string, file: string): Effect.Effect<Header, CacheError> =>
  connect(path, file, { readonly: true, disableWAL: true }).pipe(
    Effect.flatMap((sql) => classify(path)(select(sql))),
    Effect.scoped
  )

/**
 * Reads the header and leaves nothing beside the file. SQLite would create -wal and -shm even for reading, and they
 * would stay. But if there is a -wal, a process may have the file open: then the file alone is not the whole database,
 * and opening and closing it without SQLite would drop SQLite's locks on it.
 */
export const readUntouched = (path: string, file: string): Effect.Effect<Header, CacheError> =>
  nodeFs.existsSync(`${file}-wal`)
    ? read(path, file)
    : Effect.flatMap(files.readStart(path, file, 105), (page) =>
      page.toString("latin1", 0, 16) === "SQLite format 3\0"
        ? Effect.succeed({
          application: page.readInt32BE(68),
          version: page.readInt32BE(60),
          tables: page.readUInt16BE(103)
        })
        : new CacheError({ kind: "corrupt", path, detail: "it is not a database" }))
