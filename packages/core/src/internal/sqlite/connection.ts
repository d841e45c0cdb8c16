/** Connections to an SQLite file. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CacheError } from "../../CacheError.js"
import { classify, toCacheError } from "./transactions.js"

/** Opens a connection to `file` until the scope closes. `path` is the file's name in error messages. */
export const connect = (
  path: string,
  file: string,
  config: { readonly readonly?: boolean; readonly disableWAL?: boolean } = {}
): Effect.Effect<SqlClient, CacheError, Scope.Scope> =>
  SqliteClient.make({ filename: file, ...config }).pipe(
    Effect.map((client) => client.withoutTransforms()),
    Effect.provide(Reactivity.layer),
    // the driver throws if the file is not a database
    Effect.catchAllDefect((defect) => Effect.fail(toCacheError(path, defect))),
    classify(path)
  )
