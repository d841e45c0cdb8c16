/**
 * The models of Airflow, and the interface of a client for one Airflow. The interface is the same for Airflow 2 and 3.
 * Default values of options are in brackets.
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
 * How the client authenticates.
 *
 * - `Bearer`: a token that Airflow accepts as it is, such as an Astro API token or a JWT
 * - `Basic`: sends username and password with every request; Airflow 2 only
 * - `Password`: exchanges username and password for a token, which is renewed before it expires and when Airflow
 *   rejects it. Airflow 2 issues no tokens, so the client uses `Basic` there
 * - `Custom`: runs an effect before every request and sends the headers that it returns
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
 * The address of an Airflow and the credentials for it. `baseUrl` includes the scheme and may include a path, but not
 * `/api/vN`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  readonly baseUrl: string
  readonly credentials: Credentials
}

/**
 * The version of an Airflow.
 *
 * @since 0.1.0
 * @category models
 */
export interface AirflowVersion {
  /** As the server reports it: "3.1.8". */
  readonly full: string
  readonly major: 2 | 3
  readonly minor: number
  readonly patch: number
}

/**
 * A DAG as Airflow has parsed it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Dag {
  readonly dagId: string
  readonly displayName: string
  readonly isPaused: boolean
  /** `false` if its file was deleted, no longer defines it or, on Airflow 3, cannot be imported. */
  readonly isActive: boolean
  readonly hasImportErrors: boolean
  readonly fileLocation: string
  /** Identifies the file in requests for a reparse and, on Airflow 2, for the source. */
  readonly fileToken: string
  readonly bundleName: Option.Option<string>
  readonly lastParsedAt: Option.Option<DateTime.Utc>
  readonly tags: ReadonlyArray<string>
  /** Airflow's description of when the DAG runs. */
  readonly timetable: string
  /** Whether it has one run for each partition of data. Always `false` before Airflow 3.2. */
  readonly isPartitioned: boolean
}

/**
 * Something that a test has left in an Airflow 3 and that no list of the client shows: a backfill that has not ended,
 * a DAG that the client's user has marked as a favorite, the state of an asset, or a partition whose run waits for
 * more asset events. `name` completes `kind`.
 *
 * @since 0.1.0
 * @category models
 */
export interface HiddenLeftover {
  readonly kind: "backfill of" | "favorite" | "state of asset" | "waiting partition of"
  readonly name: string
  /** Fails with `unsupported` if Airflow's API cannot do it: partitions. */
  readonly delete: Effect.Effect<void, AirflowApiError>
}

/**
 * The state of a DAG run.
 *
 * @since 0.1.0
 * @category models
 */
export type RunState = "queued" | "running" | "success" | "failed"

/**
 * A DAG run. On Airflow 3 it may have no `logicalDate`. `runType` is any string, because new versions of Airflow add
 * types.
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
 * An instance of a task in a DAG run. `state` is any string, because new versions of Airflow add states; it is `none`
 * before the task is scheduled. `mapIndex` is -1 if the task is not mapped. `tryNumber` is 0 if the task has never run.
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
 * The health of one component of Airflow.
 *
 * @since 0.1.0
 * @category models
 */
export interface ComponentHealth {
  readonly status: string
  readonly heartbeat: Option.Option<DateTime.Utc>
}

/**
 * The health of an Airflow. A component that has never run is absent. Airflow 3 always has a DAG processor; Airflow 2
 * reports one only if it runs as a separate process.
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
 * Why a file cannot be imported. `filename` is absolute up to Airflow 3.0, and relative to its bundle since 3.1.
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
 * A variable. `value` is text: encode and decode JSON yourself. Airflow 3 may return JSON with different whitespace,
 * and returns `***` as the value if the key sounds like a secret.
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
 * A connection, as Airflow returns it: without its password.
 *
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
  /** Airflow returns `***` for values whose names sound like secrets. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined
}

/**
 * A pool of slots, which limits how many of its tasks run at once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pool {
  readonly name: string
  readonly slots: number
  readonly description?: string | undefined
  /** Whether deferred tasks occupy slots [false]. */
  readonly includeDeferred?: boolean | undefined
}

/**
 * A pool and how full it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolInUse extends Pool {
  readonly occupiedSlots: number
  readonly openSlots: number
}

/**
 * The variables, connections or pools of an Airflow.
 *
 * @since 0.1.0
 * @category models
 */
export interface Collection<A, New = A> {
  /** All of them, from all pages. Airflow does not list those from environment variables or a secrets backend. */
  readonly list: Effect.Effect<ReadonlyArray<A>, AirflowApiError>
  /** Gets one by its name. Fails with `notFound` if it does not exist. */
  readonly get: (name: string) => Effect.Effect<A, AirflowApiError>
  /** Creates an item, or replaces the one that has its name. */
  readonly put: (item: New) => Effect.Effect<void, AirflowApiError>
  /** Deletes one. Succeeds if it does not exist. */
  readonly delete: (name: string) => Effect.Effect<void, AirflowApiError>
  /** Deletes several, in as few requests as the server allows. */
  readonly deleteAll: (names: ReadonlyArray<string>) => Effect.Effect<void, AirflowApiError>
}

/**
 * A user of an Airflow that manages its users itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface User {
  readonly username: string
  readonly email: string
  readonly roles: ReadonlyArray<string>
}

/**
 * A user to be created.
 *
 * @since 0.1.0
 * @category models
 */
export interface NewUser {
  readonly username: string
  readonly password: Redacted.Redacted
  /** [`["Admin"]`] */
  readonly roles?: ReadonlyArray<string> | undefined
}

/**
 * Options for waiting until an Airflow is ready.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadyOptions {
  /** [5 minutes] */
  readonly timeout?: Duration.DurationInput | undefined
  /** When the Airflow was started. An older heartbeat of the scheduler does not count [any heartbeat counts]. */
  readonly since?: DateTime.Utc | undefined
  /** How many polls in a row must find Airflow ready [2]. */
  readonly stablePolls?: number | undefined
  /** Whether to wait for a triggerer. Deferrable tasks never finish without one [false]. */
  readonly needsTriggerer?: boolean | undefined
  /**
   * Whether to accept an unhealthy DAG processor. Up to 2.11.0, Airflow keeps reporting one that once ran as a separate
   * process [false].
   */
  readonly ignoreDagProcessor?: boolean | undefined
}

/**
 * Options for starting a run.
 *
 * @since 0.1.0
 * @category models
 */
export interface TriggerOptions {
  /** An id never used before in this Airflow, because log files outlive their runs [a new, unique id]. */
  readonly runId?: string | undefined
  readonly conf?: Readonly<Record<string, unknown>> | undefined
  /**
   * No two runs of a DAG can have the same logical date [Airflow 2: the server's time; Airflow 3: none, so templates
   * that use `ds` or `logical_date` fail].
   */
  readonly logicalDate?: DateTime.Utc | "now" | undefined
  readonly note?: string | undefined
  /** Whether to unpause the DAG first. A paused DAG accepts triggers but runs nothing [true]. */
  readonly unpause?: boolean | undefined
}

/**
 * Options for waiting until a DAG run ends.
 *
 * @since 0.1.0
 * @category models
 */
export interface AwaitRunOptions {
  /** [5 minutes] */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * `stream` keeps one request open if the server supports it (3.1 and later), and falls back to polling if that
   * request ends early [`poll`].
   */
  readonly via?: "poll" | "stream" | undefined
  /** Called with the current state, and again whenever it changes. */
  readonly onState?: ((state: RunState) => Effect.Effect<void>) | undefined
}

/**
 * Options for waiting until a DAG is live.
 *
 * @since 0.1.0
 * @category models
 */
export interface AwaitDagOptions {
  /**
   * A tag that only the expected version of the DAG has. In every version of Airflow the tags change together with the
   * DAG; its source and its time of parsing may change earlier.
   */
  readonly tag?: string | undefined
  /** The end of the path of the DAG's file. Finds its import error before Airflow knows the DAG [`<dagId>.py`]. */
  readonly file?: string | undefined
  /** When the file was delivered. Older import errors belong to an earlier version and are ignored. */
  readonly since?: DateTime.Utc | undefined
  /** [5 minutes] */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * Which log of a task to read.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskLogOptions {
  /** [-1: the task is not mapped] */
  readonly mapIndex?: number | undefined
  /** [`last`] */
  readonly tryNumber?: number | "last" | "all" | undefined
  /** How long to wait for a log to appear: some Airflows copy it after the task has ended [15 seconds]. */
  readonly awaitContent?: Duration.DurationInput | undefined
  /** How long everything may take: a server may need minutes to send a long log [5 minutes]. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * Which log of a task to follow, and for how long.
 *
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
 * Which XCom of a task to read.
 *
 * @since 0.1.0
 * @category models
 */
export interface XComOptions {
  /** [`return_value`] */
  readonly key?: string | undefined
  /** [-1: the task is not mapped] */
  readonly mapIndex?: number | undefined
}

/**
 * A successful DAG run and its task instances.
 *
 * @since 0.1.0
 * @category models
 */
export interface CompletedRun extends DagRun {
  readonly tasks: ReadonlyArray<TaskInstance>
}

/**
 * A client for one Airflow. It uses `/api/v1` or `/api/v2`, depending on the version that the server reported when the
 * client connected. The last six methods keep the names of the pytest fixture's class `Airflow_Local`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Airflow {
  readonly baseUrl: string
  /** The base URL with `/api/v1` (Airflow 2) or `/api/v2` (Airflow 3). */
  readonly apiUrl: string
  readonly version: AirflowVersion
  readonly health: Effect.Effect<Health, AirflowApiError>
  /** Checks the credentials with one request that changes nothing. */
  readonly authenticated: Effect.Effect<void, AirflowApiError>

  /** All DAGs from all pages, including inactive ones. */
  readonly dags: Effect.Effect<ReadonlyArray<Dag>, AirflowApiError>
  /** Gets a DAG. Fails with `notFound` if it does not exist. */
  readonly dag: (dagId: string) => Effect.Effect<Dag, AirflowApiError>
  /**
   * Waits until a DAG can be triggered and, with a `tag`, is the expected version. Fails as soon as Airflow reports
   * that its file cannot be imported.
   */
  readonly awaitDag: (
    dagId: string,
    options?: AwaitDagOptions
  ) => Effect.Effect<Dag, AirflowApiError | DagImportFailed | DagNotLive>
  /** Requests that Airflow parse the DAG's file again. Returns `false` before Airflow 2.10, which cannot do that. */
  readonly requestReparse: (dagId: string) => Effect.Effect<boolean, AirflowApiError>
  /** The source of the DAG's file. */
  readonly dagSource: (dagId: string) => Effect.Effect<string, AirflowApiError>
  /** The files that cannot be imported. */
  readonly importErrors: Effect.Effect<ReadonlyArray<ImportError>, AirflowApiError>
  /** Pauses or unpauses a DAG. */
  readonly setPaused: (dagId: string, isPaused: boolean) => Effect.Effect<void, AirflowApiError>
  /** Pauses all DAGs, a hundred with each request. */
  readonly pauseAll: Effect.Effect<void, AirflowApiError>
  /** The number of dataset or asset events that are queued until the DAG has all the events it needs to start. */
  readonly queuedEvents: (dagId: string) => Effect.Effect<number, AirflowApiError>
  /** Deletes the queued events of a DAG. Succeeds if there are none. */
  readonly deleteQueuedEvents: (dagId: string) => Effect.Effect<void, AirflowApiError>
  /** What a test has left besides what the other members list. Empty on Airflow 2. */
  readonly hiddenLeftovers: (
    dags: ReadonlyArray<Dag>
  ) => Effect.Effect<ReadonlyArray<HiddenLeftover>, AirflowApiError>
  /**
   * Deletes a DAG and its runs. Succeeds if it does not exist; fails with `conflict` while one of its tasks is running.
   * Only for DAGs whose file has been deleted: others reappear, and in Airflow 3.1 to 3.3 the deletion can kill the DAG
   * processor.
   */
  readonly deleteDag: (dagId: string) => Effect.Effect<void, AirflowApiError>

  /**
   * Starts a run under an id that is never reused, so that a request that is retried, or whose response is lost, starts
   * exactly one run. Fails with `conflict` if the DAG has a run with this id or logical date, and with `DagImportFailed`
   * if its file cannot be imported.
   */
  readonly trigger: (
    dagId: string,
    options?: TriggerOptions
  ) => Effect.Effect<DagRun, AirflowApiError | DagImportFailed>
  /** The runs of one DAG, or of all DAGs. Fails with `notFound` if the DAG does not exist. */
  readonly runs: (dagId?: string) => Effect.Effect<ReadonlyArray<DagRun>, AirflowApiError>
  /** Gets a run. Fails with `notFound` if it does not exist. */
  readonly run: (dagId: string, runId: string) => Effect.Effect<DagRun, AirflowApiError>
  /** Waits until a run has ended and returns it, whether it is `success` or `failed`. */
  readonly awaitRun: (
    dagId: string,
    runId: string,
    options?: AwaitRunOptions
  ) => Effect.Effect<DagRun, AirflowApiError | RunStuck | RunVanished>
  /**
   * Triggers a DAG and waits for the run to succeed. If it fails, the error includes the last lines of the failed
   * tasks' logs.
   */
  readonly runDag: (
    dagId: string,
    options?: TriggerOptions & AwaitRunOptions
  ) => Effect.Effect<CompletedRun, AirflowApiError | DagImportFailed | RunFailed | RunStuck | RunVanished>
  /** Sets the state of a run. `success` and `failed` also end its running tasks. */
  readonly setRunState: (
    dagId: string,
    runId: string,
    state: Exclude<RunState, "running">
  ) => Effect.Effect<void, AirflowApiError>
  /** Makes Airflow run all tasks of an ended run again. */
  readonly clearRun: (dagId: string, runId: string) => Effect.Effect<void, AirflowApiError>
  /**
   * Deletes a run. A run that has to end before it can be deleted is set to `failed` first. Succeeds if it does not
   * exist.
   */
  readonly deleteRun: (dagId: string, runId: string) => Effect.Effect<void, AirflowApiError>

  /** The task instances of a run: one for each task, or one for each index of a mapped task. */
  readonly taskInstances: (dagId: string, runId: string) => Effect.Effect<ReadonlyArray<TaskInstance>, AirflowApiError>
  /**
   * Fails unless each task has the expected state, or one of the expected states. All instances of a mapped task must
   * match.
   */
  readonly assertTasks: (
    dagId: string,
    runId: string,
    expected: Readonly<Record<string, string | ReadonlyArray<string>>>
  ) => Effect.Effect<void, AirflowApiError | TaskStateMismatch>
  /** Reads the log of a task, and waits for it if there is none yet. */
  readonly taskLog: (
    dagId: string,
    runId: string,
    taskId: string,
    options?: TaskLogOptions
  ) => Effect.Effect<TaskLog, AirflowApiError | LogUnavailable>
  /** Follows the log of a task through all its tries until it has ended. Each line is emitted once. */
  readonly tailTaskLog: (
    dagId: string,
    runId: string,
    taskId: string,
    options?: TailOptions
  ) => Stream.Stream<LogLine, AirflowApiError | LogUnavailable>
  /**
   * Gets the value that a task pushed as an XCom, decoded from JSON. Integers beyond `Number.MAX_SAFE_INTEGER` are
   * bigints. Fails with `notFound` if there is none.
   */
  readonly xcom: (
    dagId: string,
    runId: string,
    taskId: string,
    options?: XComOptions
  ) => Effect.Effect<unknown, AirflowApiError>
  /** The keys of all XComs that a task pushed. */
  readonly xcomKeys: (
    dagId: string,
    runId: string,
    taskId: string
  ) => Effect.Effect<ReadonlyArray<string>, AirflowApiError>

  readonly variables: Collection<Variable>
  readonly connections: Collection<Connection, Connection & { readonly password?: Redacted.Redacted | undefined }>
  /** `default_pool` is never deleted, because without it no task runs. */
  readonly pools: Collection<PoolInUse, Pool>
  readonly users: {
    /**
     * Returns `unsupported` if this Airflow does not manage its users itself. Fails with `conflict` if another user has the
     * e-mail address `<username>@example.com`.
     */
    readonly create: (user: NewUser) => Effect.Effect<"created" | "exists" | "unsupported", AirflowApiError>
    /**
     * Gets a user. Fails with `notFound` if it does not exist, and with `unsupported` if this Airflow does not manage its
     * users itself.
     */
    readonly get: (username: string) => Effect.Effect<User, AirflowApiError>
    /**
     * Deletes a user. Succeeds if it does not exist. Fails with `unsupported` if this Airflow does not manage its users
     * itself.
     */
    readonly delete: (username: string) => Effect.Effect<void, AirflowApiError>
  }

  /**
   * Sends any other request. `path` follows `/api/vN`, with its segments encoded. Returns the response as JSON, with
   * bigints for integers beyond `Number.MAX_SAFE_INTEGER`, or as text if it is not JSON.
   */
  readonly request: (
    method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE",
    path: string,
    body?: unknown
  ) => Effect.Effect<unknown, AirflowApiError>

  /** Waits until Airflow is ready: see `AirflowReadiness.awaitReady`. */
  readonly waitForAirflowToBeReady: (options?: ReadyOptions) => Effect.Effect<void, AirflowNotReady>
  /** Whether the DAG exists and is active. */
  readonly verifyAirflowDagExists: (dagId: string) => Effect.Effect<boolean, AirflowApiError>
  /** Unpauses and triggers a DAG, and returns the id of the new run. */
  readonly unpauseAndTriggerAirflowDag: (
    dagId: string,
    options?: Omit<TriggerOptions, "unpause">
  ) => Effect.Effect<string, AirflowApiError | DagImportFailed>
  /** Waits for a run to succeed. Unlike the fixture's method, it fails if the run fails. */
  readonly verifyDagIdRan: (
    dagId: string,
    runId: string,
    options?: AwaitRunOptions
  ) => Effect.Effect<CompletedRun, AirflowApiError | RunFailed | RunStuck | RunVanished>
  /** The log of a task's last try, as text. */
  readonly getTaskInstanceLogs: (
    dagId: string,
    runId: string,
    taskId: string
  ) => Effect.Effect<string, AirflowApiError | LogUnavailable>
  /** The task instances of a run: the same as `taskInstances`. */
  readonly checkDagTaskInstances: (
    dagId: string,
    runId: string
  ) => Effect.Effect<ReadonlyArray<TaskInstance>, AirflowApiError>
}
