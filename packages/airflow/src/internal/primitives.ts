/**
 * What an Airflow must do by itself, over HTTP or in memory. Everything else that a client offers is made of it.
 */
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { Airflow, DagRun, RunState } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"
import type { LogLine } from "../TaskLog.js"

export interface Primitives extends
  Pick<
    Airflow,
    | "baseUrl"
    | "apiUrl"
    | "version"
    | "health"
    | "authenticated"
    | "dags"
    | "dag"
    | "requestReparse"
    | "dagSource"
    | "importErrors"
    | "setPaused"
    | "pauseAll"
    | "queuedEvents"
    | "deleteQueuedEvents"
    | "deleteDag"
    | "runs"
    | "run"
    | "setRunState"
    | "clearRun"
    | "deleteRun"
    | "taskInstances"
    | "xcom"
    | "xcomKeys"
    | "variables"
    | "connections"
    | "pools"
    | "users"
    | "request"
  >
{
  /** The DAG as it would run now; fails with `notFound` where it cannot be triggered. */
  readonly liveDag: Airflow["dag"]
  /** Sends one trigger, once. `conflict` where there is such a run. */
  readonly startRun: (dagId: string, run: NewRun) => Effect.Effect<DagRun, AirflowApiError>
  /**
   * Follows a run in one long answer and tells each state, to the last. Ends early where the answer does; `unsupported` where the
   * server has no such answer.
   */
  readonly followRun: (
    dagId: string,
    runId: string,
    onState: (state: RunState) => Effect.Effect<void>
  ) => Effect.Effect<void, AirflowApiError>
  /** All that is there of a try's log. `lines` is empty where there is only a word about that. */
  readonly readLog: (
    dagId: string,
    runId: string,
    taskId: string,
    mapIndex: number,
    tryNumber: number
  ) => Effect.Effect<
    { readonly lines: ReadonlyArray<LogLine>; readonly sources: ReadonlyArray<string> },
    AirflowApiError
  >
}

export interface NewRun {
  readonly runId: string
  readonly conf: Readonly<Record<string, unknown>>
  readonly logicalDate: Option.Option<DateTime.Utc>
  readonly note: Option.Option<string>
}
