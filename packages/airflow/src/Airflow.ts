/**
 * A client bound to one Airflow: one interface for Airflow 2 and 3, for what a test does all day.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import type {
  AirflowApiError,
  AirflowNotReady,
  DagImportFailed,
  DagNotLive,
  LogUnavailable,
  RunFailed,
  RunStuck,
  RunVanished,
  TaskStateMismatch
} from "./AirflowError.js"
import type { LogLine, TaskLog } from "./TaskLog.js"

/**
 * How to say who asks.
 *
 * - `Bearer`: a token of Astro, or any other that Airflow takes as it is
 * - `Basic`: name and password with every request; Airflow 2 only
 * - `Password`: Airflow 3 gives a token for name and password, which is renewed before it expires and when it is refused. An
 *   Airflow that gives none is Airflow 2, and gets them as `Basic`
 * - `Custom`: headers that are asked for before every request
 *
 * @since 0.1.0
 * @category models
 */
export type Credentials =
  | { readonly _tag: "Bearer"; readonly token: Redacted.Redacted }
  | { readonly _tag: "Basic"; readonly username: string; readonly password: Redacted.Redacted }
  | { readonly _tag: "Password"; readonly username: string; readonly password: Redacted.Redacted }
  | {
    readonly _tag: "Custom"
    readonly headers: Effect.Effect<Readonly<Record<string, Redacted.Redacted>>, AirflowApiError>
  }

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
export interface AirflowVersion {
  /** As the server says it: "3.1.8". */
  readonly full: string
  readonly major: 2 | 3
  readonly minor: number
  readonly patch: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Dag {
  readonly dagId: string
  readonly displayName: string
  readonly isPaused: boolean
  /** `false` once its file is gone, has stopped to define it or, on Airflow 3, cannot be imported. */
  readonly isActive: boolean
  readonly hasImportErrors: boolean
  readonly fileLocation: string
  /** For `requestReparse`, and the source on Airflow 2. */
  readonly fileToken: string
  readonly bundleName: Option.Option<string>
  readonly lastParsedAt: Option.Option<DateTime.Utc>
  readonly tags: ReadonlyArray<string>
  /** When it runs, in Airflow's words. */
  readonly timetable: string
}

/**
 * @since 0.1.0
 * @category models
 */
export type RunState = "queued" | "running" | "success" | "failed"

/**
 * `logicalDate` may be absent on Airflow 3; `runType` is an open string: Airflow adds types.
 *
 * @since 0.1.0
 * @category models
 */
export interface DagRun {
  readonly dagId: string
  readonly runId: string
  readonly state: RunState
  readonly runType: string
  readonly logicalDate: Option.Option<DateTime.Utc>
  readonly startedAt: Option.Option<DateTime.Utc>
  readonly endedAt: Option.Option<DateTime.Utc>
  readonly conf: Readonly<Record<string, unknown>>
  readonly note: Option.Option<string>
}

/**
 * `state` is an open string, `none` before it is scheduled. `mapIndex` is -1 for a task that is not mapped; `tryNumber` is 0
 * for one that never ran.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskInstance {
  readonly dagId: string
  readonly runId: string
  readonly taskId: string
  readonly mapIndex: number
  readonly state: string
  readonly tryNumber: number
  readonly maxTries: number
  readonly pool: string
  readonly queuedAt: Option.Option<DateTime.Utc>
  readonly startedAt: Option.Option<DateTime.Utc>
  readonly endedAt: Option.Option<DateTime.Utc>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ComponentHealth {
  readonly status: string
  readonly heartbeat: Option.Option<DateTime.Utc>
}

/**
 * What is absent never ran. Airflow 2 has a DAG processor only where that is run by itself; Airflow 3 always has one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Health {
  readonly metadatabase: string
  readonly scheduler: ComponentHealth
  readonly triggerer: Option.Option<ComponentHealth>
  readonly dagProcessor: Option.Option<ComponentHealth>
}

/**
 * `filename` is absolute up to Airflow 3.0, and relative to its bundle from 3.1 on.
 *
 * @since 0.1.0
 * @category models
 */
export interface ImportError {
  readonly filename: string
  readonly bundleName: Option.Option<string>
  readonly timestamp: Option.Option<DateTime.Utc>
  readonly stackTrace: string
}

/**
 * Text: encode JSON yourself, and expect it back with other spaces from Airflow 3, which also shows the values of keys that sound
 * secret as `***`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Variable {
  readonly key: string
  readonly value: string
  readonly description?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Connection {
  readonly id: string
  readonly type: string
  readonly description?: string | undefined
  readonly host?: string | undefined
  readonly login?: string | undefined
  readonly port?: number | undefined
  readonly schema?: string | undefined
  /** What sounds secret in it is read as `***`. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Pool {
  readonly name: string
  readonly slots: number
  readonly description?: string | undefined
  /** Whether deferred tasks take slots [false]. */
  readonly includeDeferred?: boolean | undefined
}

/**
 * A pool as it is, with what is in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolInUse extends Pool {
  readonly occupiedSlots: number
  readonly openSlots: number
}

/**
 * Named things of one kind.
 *
 * @since 0.1.0
 * @category models
 */
export interface Collection<A, New = A> {
  /** All of them, of all pages. Airflow does not list what comes from its environment or a secrets backend. */
  readonly list: Effect.Effect<ReadonlyArray<A>, AirflowApiError>
  /** Fails with `notFound`. */
  readonly get: (name: string) => Effect.Effect<A, AirflowApiError>
  /** Creates it, or makes the one that is there like it. */
  readonly put: (item: New) => Effect.Effect<void, AirflowApiError>
  /** Succeeds when it is gone already. */
  readonly delete: (name: string) => Effect.Effect<void, AirflowApiError>
  /** The same for many, in as few calls as the server allows. */
  readonly deleteAll: (names: ReadonlyArray<string>) => Effect.Effect<void, AirflowApiError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface User {
  readonly username: string
  readonly email: string
  readonly roles: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface NewUser {
  readonly username: string
  readonly password: Redacted.Redacted
  /** [Admin] */
  readonly roles?: ReadonlyArray<string> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ReadyOptions {
  /** [5 minutes] */
  readonly timeout?: Duration.DurationInput | undefined
  /** When waking or creating was asked for: a heartbeat from before it proves nothing. */
  readonly since?: DateTime.Utc | undefined
  /** How often in a row it must look ready [2]. */
  readonly stablePolls?: number | undefined
  /** Whether there are deferrable tasks, which wait for ever without a triggerer [false]. */
  readonly needsTriggerer?: boolean | undefined
  /** Up to Airflow 2.11.0 a DAG processor that was run by itself once is called unhealthy for ever after [false]. */
  readonly ignoreDagProcessor?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TriggerOptions {
  /** Default: a new one. Must never have been used in this Airflow: log files outlive their runs. */
  readonly runId?: string | undefined
  readonly conf?: Readonly<Record<string, unknown>> | undefined
  /**
   * Default: none on Airflow 3, where templates with `ds` or `logical_date` then fail, and the server's time on Airflow 2. No two
   * runs of a DAG may have the same.
   */
  readonly logicalDate?: DateTime.Utc | "now" | undefined
  readonly note?: string | undefined
  /** A paused DAG takes triggers and runs nothing, so it is unpaused first [true]. */
  readonly unpause?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AwaitRunOptions {
  /** [5 minutes] */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * `stream` holds one request open where the server offers that (3.1 and later), and polls as soon as that ends early [poll].
   */
  readonly via?: "poll" | "stream" | undefined
  /** Called with the first state that is seen, and with every other one. */
  readonly onState?: ((state: RunState) => Effect.Effect<void>) | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AwaitDagOptions {
  /**
   * A tag that only the wanted version has. Tags are the proof that every Airflow can give: a new source or a new time of parsing
   * may be seen before the DAG itself is.
   */
  readonly tag?: string | undefined
  /** The end of the file's path, to know its import error while the DAG is unknown [the DAG's file, or `<dagId>.py`]. */
  readonly file?: string | undefined
  /** When the file was delivered: an import error from before is of an older version. */
  readonly since?: DateTime.Utc | undefined
  /** [5 minutes] */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TaskLogOptions {
  /** [-1: the task is not mapped] */
  readonly mapIndex?: number | undefined
  /** ["last"] */
  readonly tryNumber?: number | "last" | "all" | undefined
  /** How long to wait for a log that is not there yet: some are copied after the task has ended [15 seconds]. */
  readonly awaitContent?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TailOptions {
  /** [-1: the task is not mapped] */
  readonly mapIndex?: number | undefined
  /** [15 minutes] */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface XComOptions {
  /** ["return_value"] */
  readonly key?: string | undefined
  /** [-1: the task is not mapped] */
  readonly mapIndex?: number | undefined
}

/**
 * A run that ended well, and its tasks.
 *
 * @since 0.1.0
 * @category models
 */
export interface CompletedRun extends DagRun {
  readonly tasks: ReadonlyArray<TaskInstance>
}

/**
 * A client bound to one Airflow. Whether it speaks `/api/v1` or `/api/v2` was decided by what the server answered when it was
 * connected to. The last six methods are those of the pytest fixture's `Airflow_Local`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Airflow {
  readonly baseUrl: string
  /** Ends in `/api/v1` or `/api/v2`, as the server is. */
  readonly apiUrl: string
  readonly version: AirflowVersion
  readonly health: Effect.Effect<Health, AirflowApiError>
  /** One call with our credentials that reads and changes nothing. */
  readonly authenticated: Effect.Effect<void, AirflowApiError>

  /** Every DAG, inactive ones too, of all pages. */
  readonly dags: Effect.Effect<ReadonlyArray<Dag>, AirflowApiError>
  /** Fails with `notFound`. */
  readonly dag: (dagId: string) => Effect.Effect<Dag, AirflowApiError>
  /**
   * Waits until a DAG can be triggered and, with a `tag`, is the wanted version. Fails as soon as its file is known not to import.
   */
  readonly awaitDag: (
    dagId: string,
    options?: AwaitDagOptions
  ) => Effect.Effect<Dag, AirflowApiError | DagImportFailed | DagNotLive>
  /** Answers `false` where the server cannot do that, which is before 2.10. */
  readonly requestReparse: (dagId: string) => Effect.Effect<boolean, AirflowApiError>
  readonly dagSource: (dagId: string) => Effect.Effect<string, AirflowApiError>
  readonly importErrors: Effect.Effect<ReadonlyArray<ImportError>, AirflowApiError>
  readonly setPaused: (dagId: string, isPaused: boolean) => Effect.Effect<void, AirflowApiError>
  /** Pauses every DAG, in one call for a hundred. */
  readonly pauseAll: Effect.Effect<void, AirflowApiError>
  /** How many events of datasets or assets wait for others before they start a DAG. */
  readonly queuedEvents: (dagId: string) => Effect.Effect<number, AirflowApiError>
  readonly deleteQueuedEvents: (dagId: string) => Effect.Effect<void, AirflowApiError>
  /**
   * Removes a DAG with its runs. Succeeds when it is gone already; `conflict` while a task runs. Only for DAGs whose file is gone:
   * others come back, and on Airflow 3.1 to 3.3 the deletion can kill the DAG processor.
   */
  readonly deleteDag: (dagId: string) => Effect.Effect<void, AirflowApiError>

  /** Starts a run under an own id that is unique for ever, so that a call that is repeated, or not answered, gives one run. */
  readonly trigger: (
    dagId: string,
    options?: TriggerOptions
  ) => Effect.Effect<DagRun, AirflowApiError | DagImportFailed>
  /** Runs of one DAG, which fails with `notFound` where there is none, or of all. */
  readonly runs: (dagId?: string) => Effect.Effect<ReadonlyArray<DagRun>, AirflowApiError>
  readonly run: (dagId: string, runId: string) => Effect.Effect<DagRun, AirflowApiError>
  /** Waits until the run is `success` or `failed`; a failed run is a value. */
  readonly awaitRun: (
    dagId: string,
    runId: string,
    options?: AwaitRunOptions
  ) => Effect.Effect<DagRun, AirflowApiError | RunStuck | RunVanished>
  /** Triggers, waits, and fails with the tails of the failed tasks' logs where the run failed. */
  readonly runDag: (
    dagId: string,
    options?: TriggerOptions & AwaitRunOptions
  ) => Effect.Effect<CompletedRun, AirflowApiError | DagImportFailed | RunFailed | RunStuck | RunVanished>
  readonly setRunState: (
    dagId: string,
    runId: string,
    state: Exclude<RunState, "running">
  ) => Effect.Effect<void, AirflowApiError>
  /** Runs the tasks of an ended run again. */
  readonly clearRun: (dagId: string, runId: string) => Effect.Effect<void, AirflowApiError>
  /** Ends it first where it must have ended. Succeeds when it is gone already. */
  readonly deleteRun: (dagId: string, runId: string) => Effect.Effect<void, AirflowApiError>

  /** Every task of a run, each instance of a mapped one by itself. */
  readonly taskInstances: (dagId: string, runId: string) => Effect.Effect<ReadonlyArray<TaskInstance>, AirflowApiError>
  /** Compares tasks, all instances of mapped ones, with the states that each should have. */
  readonly assertTasks: (
    dagId: string,
    runId: string,
    expected: Readonly<Record<string, string | ReadonlyArray<string>>>
  ) => Effect.Effect<void, AirflowApiError | TaskStateMismatch>
  readonly taskLog: (
    dagId: string,
    runId: string,
    taskId: string,
    options?: TaskLogOptions
  ) => Effect.Effect<TaskLog, AirflowApiError | LogUnavailable>
  /** The lines of a task's log as they come, each once, of this try and the next ones, until the task has ended. */
  readonly tailTaskLog: (
    dagId: string,
    runId: string,
    taskId: string,
    options?: TailOptions
  ) => Stream.Stream<LogLine, AirflowApiError | LogUnavailable>
  /** What a task pushed, as JSON. Fails with `notFound`. */
  readonly xcom: (
    dagId: string,
    runId: string,
    taskId: string,
    options?: XComOptions
  ) => Effect.Effect<unknown, AirflowApiError>
  /** The keys of all that a task pushed. */
  readonly xcomKeys: (
    dagId: string,
    runId: string,
    taskId: string
  ) => Effect.Effect<ReadonlyArray<string>, AirflowApiError>

  readonly variables: Collection<Variable>
  readonly connections: Collection<Connection, Connection & { readonly password?: Redacted.Redacted | undefined }>
  /** `default_pool` is never removed: without it no task runs. */
  readonly pools: Collection<PoolInUse, Pool>
  readonly users: {
    /** `unsupported` where Airflow does not manage users itself. */
    readonly create: (user: NewUser) => Effect.Effect<"created" | "exists" | "unsupported", AirflowApiError>
    /** Fails with `notFound`, or `unsupported`. */
    readonly get: (username: string) => Effect.Effect<User, AirflowApiError>
    /** Succeeds when it is gone already. Fails with `unsupported`. */
    readonly delete: (username: string) => Effect.Effect<void, AirflowApiError>
  }

  /** Any other call: `path` comes after `/api/vN`, its segments encoded. Answers JSON, or text where it is none. */
  readonly request: (
    method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE",
    path: string,
    body?: unknown
  ) => Effect.Effect<unknown, AirflowApiError>

  /** A lease is ready when you get it. */
  readonly waitForAirflowToBeReady: (options?: ReadyOptions) => Effect.Effect<void, AirflowNotReady>
  readonly verifyAirflowDagExists: (dagId: string) => Effect.Effect<boolean, AirflowApiError>
  /** Answers the id of the new run. */
  readonly unpauseAndTriggerAirflowDag: (
    dagId: string,
    options?: Omit<TriggerOptions, "unpause">
  ) => Effect.Effect<string, AirflowApiError | DagImportFailed>
  /** Waits for this run to succeed. Unlike the original, a failed run is a failure. */
  readonly verifyDagIdRan: (
    dagId: string,
    runId: string,
    options?: AwaitRunOptions
  ) => Effect.Effect<CompletedRun, AirflowApiError | RunFailed | RunStuck | RunVanished>
  /** The log of a task's last try as text. */
  readonly getTaskInstanceLogs: (
    dagId: string,
    runId: string,
    taskId: string
  ) => Effect.Effect<string, AirflowApiError | LogUnavailable>
  readonly checkDagTaskInstances: (
    dagId: string,
    runId: string
  ) => Effect.Effect<ReadonlyArray<TaskInstance>, AirflowApiError>
}
