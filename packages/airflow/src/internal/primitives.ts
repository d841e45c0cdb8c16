/**
 * What an Airflow implements, over HTTP or in memory. Everything else that a client offers is built from it.
 */
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { Airflow, DagRun, RunState } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"
import type { LogLine } from "../TaskLog.js"

/** The pool of every task that names no other. Without it no task runs. */
export const defaultPool = "default_pool"

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
    | "hiddenLeftovers"
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
  /** The DAG as it would run now. Fails with `notFound` if it cannot be triggered. */
  readonly liveDag: Airflow["dag"]
  /** Sends one trigger, without retries. Fails with `conflict` if a run with this id exists. */
  readonly startRun: (dagId: string, run: NewRun) => Effect.Effect<DagRun, AirflowApiError>
  /**
   * Follows a run in one long response and passes on each state until the run has ended. Completes early if the
   * response does. Fails with `unsupported` if the server cannot do this.
   */
  readonly followRun: (
    dagId: string,
    runId: string,
    onState: (state: RunState) => Effect.Effect<void>
  ) => Effect.Effect<void, AirflowApiError>
  /**
   * The log of one try, as far as it exists, or only its `end`. `lines` is empty if the server only reports that there is
   * none.
   */
  readonly readLog: (
    dagId: string,
    runId: string,
    taskId: string,
    mapIndex: number,
    tryNumber: number,
    part: "all" | "end"
  ) => Effect.Effect<ReadLog, AirflowApiError>
}

export interface NewRun {
  readonly runId: string
  readonly conf: Readonly<Record<string, unknown>>
  readonly logicalDate: Option.Option<DateTime.Utc>
  readonly note: Option.Option<string>
}

/** The lines of a log, and the files and URLs that Airflow read them from. */
export interface ReadLog {
  readonly lines: ReadonlyArray<LogLine>
  readonly sources: ReadonlyArray<string>
}
