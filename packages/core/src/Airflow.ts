/**
 * A client bound to one Airflow: one interface for what a test does all day, and what can go wrong.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category models
 */
export type Credentials =
  | { readonly _tag: "Bearer"; readonly token: Redacted.Redacted }
  | { readonly _tag: "Basic"; readonly username: string; readonly password: Redacted.Redacted }

/**
 * Where an Airflow is. `baseUrl` has a scheme and no `/api/vN`; it may have a path.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  readonly baseUrl: string
  readonly credentials: Credentials
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Dag {
  readonly dagId: string
  readonly isPaused: boolean
  /** `false` once its file is gone or has stopped to define it. */
  readonly isActive: boolean
  readonly tags: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export type RunState = "queued" | "running" | "success" | "failed"

/**
 * @since 0.1.0
 * @category models
 */
export interface DagRun {
  readonly dagId: string
  readonly runId: string
  readonly state: RunState
  readonly startedAt: Option.Option<DateTime.Utc>
  readonly endedAt: Option.Option<DateTime.Utc>
}

/**
 * `state` is an open string: Airflow adds states. `mapIndex` is -1 for a task that is not mapped.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskInstance {
  readonly taskId: string
  readonly mapIndex: number
  readonly state: string
  readonly tryNumber: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Health {
  readonly metadatabase: string
  readonly scheduler: { readonly status: string; readonly heartbeat: Option.Option<DateTime.Utc> }
  readonly triggerer: Option.Option<string>
  readonly dagProcessor: Option.Option<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ImportError {
  readonly filename: string
  readonly stackTrace: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Pool {
  readonly name: string
  readonly slots: number
}

/**
 * The one error of an Airflow's API, classified in one place.
 *
 * @since 0.1.0
 * @category errors
 */
export class AirflowApiError extends Schema.TaggedError<AirflowApiError>("@airflow-resource/core/AirflowApiError")(
  "AirflowApiError",
  {
    kind: Schema.Literal(
      "unreachable",
      "timeout",
      "gateway",
      "redirected",
      "rateLimited",
      "unauthorized",
      "forbidden",
      "notFound",
      "conflict",
      "badRequest",
      "server",
      "undecodable",
      "unsupported"
    ),
    /** What was attempted, in words: "trigger hello_world_dag". */
    operation: Schema.String,
    /** What happened, in Airflow's words where it gave any; never a secret. */
    detail: Schema.String,
    /** What to do next. */
    remedy: Schema.String,
    status: Schema.optional(Schema.Number)
  }
) {
  override get message(): string {
    return `Could not ${this.operation}: ${this.detail}. ${this.remedy}`
  }
  /** Worth another try, if the call may be repeated. */
  get retryable(): boolean {
    return ["unreachable", "timeout", "gateway", "rateLimited", "server"].includes(this.kind)
  }
}

/**
 * A DAG run ended `failed`.
 *
 * @since 0.1.0
 * @category errors
 */
export class RunFailed extends Schema.TaggedError<RunFailed>("@airflow-resource/core/RunFailed")("RunFailed", {
  dagId: Schema.String,
  runId: Schema.String,
  tasks: Schema.Array(Schema.Struct({ taskId: Schema.String, state: Schema.String }))
}) {
  override get message(): string {
    const tasks = this.tasks.map((task) => `${task.taskId} is ${task.state}`).join(", ")
    return `The run ${this.runId} of ${this.dagId} failed (${tasks}). Read the task's log with getTaskInstanceLogs.`
  }
  readonly retryable = false
}

/**
 * A DAG run did not end in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class RunStuck extends Schema.TaggedError<RunStuck>("@airflow-resource/core/RunStuck")("RunStuck", {
  dagId: Schema.String,
  runId: Schema.String,
  state: Schema.String,
  /** What stands in the way, as far as can be seen: paused, unhealthy scheduler, tasks by state. */
  diagnosis: Schema.String
}) {
  override get message(): string {
    return `The run ${this.runId} of ${this.dagId} is still ${this.state}: ${this.diagnosis}`
  }
  readonly retryable = false
}

/**
 * A client bound to one Airflow. The last six methods are those of the pytest fixture's `Airflow_Local`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Airflow {
  readonly baseUrl: string
  /** Ends in `/api/v1` or `/api/v2`, as the server is. */
  readonly apiUrl: string
  readonly version: Effect.Effect<string, AirflowApiError>
  readonly health: Effect.Effect<Health, AirflowApiError>
  readonly importErrors: Effect.Effect<ReadonlyArray<ImportError>, AirflowApiError>
  /** Every DAG, inactive ones too, of all pages. */
  readonly dags: Effect.Effect<ReadonlyArray<Dag>, AirflowApiError>
  /** Fails with `notFound`. */
  readonly dag: (dagId: string) => Effect.Effect<Dag, AirflowApiError>
  readonly setPaused: (dagId: string, isPaused: boolean) => Effect.Effect<void, AirflowApiError>
  /** Pauses every DAG, in one call. */
  readonly pauseAll: Effect.Effect<void, AirflowApiError>
  /** Starts a run under an own id that is unique for ever, so that a repeated call gives one run. Does not unpause. */
  readonly trigger: (
    dagId: string,
    options?: { readonly runId?: string; readonly conf?: Record<string, unknown> }
  ) => Effect.Effect<DagRun, AirflowApiError>
  /** Runs of one DAG, or of all. */
  readonly runs: (dagId?: string) => Effect.Effect<ReadonlyArray<DagRun>, AirflowApiError>
  readonly run: (dagId: string, runId: string) => Effect.Effect<DagRun, AirflowApiError>
  /** Polls until the run is `success` or `failed`; a failed run is a value. Default timeout: 5 minutes. */
  readonly awaitRun: (
    dagId: string,
    runId: string,
    options?: { readonly timeout?: Duration.DurationInput }
  ) => Effect.Effect<DagRun, AirflowApiError | RunStuck>
  readonly setRunState: (dagId: string, runId: string, state: RunState) => Effect.Effect<void, AirflowApiError>
  /** Succeeds when it is gone already. */
  readonly deleteRun: (dagId: string, runId: string) => Effect.Effect<void, AirflowApiError>
  readonly taskInstances: (dagId: string, runId: string) => Effect.Effect<ReadonlyArray<TaskInstance>, AirflowApiError>
  /** The log of a task's last try as text. Waits a bounded time for logs that arrive late. */
  readonly taskLog: (
    dagId: string,
    runId: string,
    taskId: string,
    options?: { readonly mapIndex?: number }
  ) => Effect.Effect<string, AirflowApiError>
  readonly variables: Effect.Effect<ReadonlyArray<string>, AirflowApiError>
  readonly setVariable: (key: string, value: string) => Effect.Effect<void, AirflowApiError>
  /** Succeeds when it is gone already; so do the two below. */
  readonly deleteVariable: (key: string) => Effect.Effect<void, AirflowApiError>
  readonly connections: Effect.Effect<ReadonlyArray<string>, AirflowApiError>
  readonly createConnection: (
    connection: {
      readonly id: string
      readonly type: string
      readonly host?: string
      readonly password?: Redacted.Redacted
    }
  ) => Effect.Effect<void, AirflowApiError>
  readonly deleteConnection: (id: string) => Effect.Effect<void, AirflowApiError>
  readonly pools: Effect.Effect<ReadonlyArray<Pool>, AirflowApiError>
  readonly createPool: (pool: Pool) => Effect.Effect<void, AirflowApiError>
  readonly deletePool: (name: string) => Effect.Effect<void, AirflowApiError>
  readonly setPoolSlots: (name: string, slots: number) => Effect.Effect<void, AirflowApiError>
  /** `unsupported` where Airflow does not manage users itself. */
  readonly createUser: (
    user: { readonly username: string; readonly password: Redacted.Redacted }
  ) => Effect.Effect<"created" | "exists" | "unsupported", AirflowApiError>

  readonly waitForAirflowToBeReady: (
    options?: { readonly timeout?: Duration.DurationInput }
  ) => Effect.Effect<void, AirflowNotReady>
  readonly verifyAirflowDagExists: (dagId: string) => Effect.Effect<boolean, AirflowApiError>
  /** Answers the id of the new run. */
  readonly unpauseAndTriggerAirflowDag: (
    dagId: string,
    options?: { readonly conf?: Record<string, unknown> }
  ) => Effect.Effect<string, AirflowApiError>
  /** Waits for this run to succeed. Unlike the original, a failed run is a failure. */
  readonly verifyDagIdRan: (
    dagId: string,
    runId: string,
    options?: { readonly timeout?: Duration.DurationInput }
  ) => Effect.Effect<DagRun, AirflowApiError | RunFailed | RunStuck>
  readonly getTaskInstanceLogs: (dagId: string, runId: string, taskId: string) => Effect.Effect<string, AirflowApiError>
  readonly checkDagTaskInstances: (
    dagId: string,
    runId: string
  ) => Effect.Effect<ReadonlyArray<TaskInstance>, AirflowApiError>
}

/**
 * Airflow did not become ready in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class AirflowNotReady extends Schema.TaggedError<AirflowNotReady>("@airflow-resource/core/AirflowNotReady")(
  "AirflowNotReady",
  {
    baseUrl: Schema.String,
    waited: Schema.DurationFromSelf,
    /** The last distinct answers, oldest first. */
    answers: Schema.Array(Schema.String)
  }
) {
  override get message(): string {
    return `Airflow at ${this.baseUrl} was not ready in time. It last answered: ${this.answers.join(" | ")}. ` +
      `Look at the deployment's scheduler logs, or allow more time (readyTimeout).`
  }
  readonly retryable = true
}
