/** Short connections to SQLite files of Airflow. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"

/** Opens the file while `body` runs. */
export const use = <A, E>(
  file: string,
  body: (sql: SqlClient) => Effect.Effect<A, E>
): Effect.Effect<A, E | SqlError> =>
  SqliteClient.make({ filename: file, disableWAL: true }).pipe(
    Effect.flatMap((client) => body(client.withoutTransforms())),
    Effect.scoped,
    Effect.provide(Reactivity.layer)
  )
