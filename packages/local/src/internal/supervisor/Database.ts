/** Airflow's database: where it is, its snapshot, and how it begins and ends. */
import type { ProcessError, ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import type * as Parts from "./Parts.js"
import type { SnapshotError } from "./tables.js"

export interface Database extends Snapshots {
  /** The settings that name it, if it is not the file in Airflow's home. */
  readonly settings: Readonly<Record<string, string>>
  /** Before a start: a new database, or the snapshot of the old one. Airflow must not be running. */
  readonly prepare: (
    airflow: Parts.Options
  ) => Effect.Effect<void, SnapshotError | SqlError | Parts.AirflowFailed | ProcessError, ProcessRunner>
  /** Takes the snapshot. It keeps its users: a lease may have created some already, and they must not come back with it. */
  readonly take: Effect.Effect<void, SnapshotError>
  /** Connects while `body` runs. */
  readonly use: <A, E>(body: (sql: SqlClient) => Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError>
}

/** What a reset needs. */
export interface Snapshots {
  /** Leaves Airflow nothing to do: pauses all DAGs, and ends all runs. A restore takes it back. */
  readonly quiet: Effect.Effect<void, SnapshotError>
  /** When the scheduler has last been heard of, in the database's words. */
  readonly heartbeat: Effect.Effect<string, SnapshotError>
  /** Puts the rows of the snapshot back while Airflow runs. Airflow must have nothing to do meanwhile: see `QuietRestore`. */
  readonly restore: Effect.Effect<void, SnapshotError>
  /** The tables that have rows which the snapshot has not, or the other way round, except what a test cannot see. */
  readonly differences: Effect.Effect<ReadonlyArray<string>, SnapshotError>
}
