/**
 * The errors of the client: one for requests, whose `kind` says what went wrong, and one for each condition that a test
 * can wait for or expect.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * A request failed: Airflow, or a proxy in front of it, refused it or did not respond as expected.
 *
 * @since 0.1.0
 * @category errors
 */
export class AirflowApiError extends Schema.TaggedError<AirflowApiError>("@airflow-resource/airflow/AirflowApiError")(
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
      "tooLarge",
      "unsupported"
    ),
    /** What was attempted: "trigger hello_world_dag". */
    operation: Schema.String,
    /** What happened, in Airflow's words if it gave an explanation. Never contains a secret. */
    detail: Schema.String,
    /** What to do next. */
    remedy: Schema.String,
    /** Method and URL of the request, if one was sent. */
    request: Schema.optional(Schema.String),
    /** The HTTP status of the response, if there was one. */
    status: Schema.optional(Schema.Number),
    /** How often the request was sent. */
    attempts: Schema.optional(Schema.Number)
  }
) {
  override get message(): string {
    const attempts = this.attempts !== undefined && this.attempts > 1 ? ` (after ${this.attempts} attempts)` : ""
    return `Could not ${this.operation}: ${this.detail}${attempts}. ${this.remedy}`
  }
  /** Whether a retry may succeed. Says nothing about whether it is safe to send the request twice. */
  get retryable(): boolean {
    return ["unreachable", "timeout", "gateway", "rateLimited", "server"].includes(this.kind)
  }
}

/**
 * Airflow did not become ready in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class AirflowNotReady extends Schema.TaggedError<AirflowNotReady>("@airflow-resource/airflow/AirflowNotReady")(
  "AirflowNotReady",
  {
    baseUrl: Schema.String,
    waited: Schema.DurationFromSelf,
    /** What the last polls found, without duplicates, oldest first. */
    problems: Schema.Array(Schema.String),
    /** Whether Airflow is running, but rejected the credentials in the last polls. */
    isRejected: Schema.optionalWith(Schema.Boolean, { default: () => false })
  }
) {
  override get message(): string {
    return `Airflow at ${this.baseUrl} was not ready after ${Duration.format(this.waited)}: ` +
      `${this.problems.join(" | ")}. ${
        this.isRejected
          ? "It rejects the credentials: check the token or the password, whether it has expired, and its rights."
          : "Check that it is running and read its scheduler's logs, or raise the timeout."
      }`
  }
  readonly retryable = true
}

/**
 * The file of a DAG cannot be imported, so the DAG is outdated or does not exist.
 *
 * @since 0.1.0
 * @category errors
 */
export class DagImportFailed extends Schema.TaggedError<DagImportFailed>("@airflow-resource/airflow/DagImportFailed")(
  "DagImportFailed",
  { dagId: Schema.String, filename: Schema.String, stackTrace: Schema.String }
) {
  override get message(): string {
    return `Airflow cannot import ${this.filename}, which should define ${this.dagId}:\n` +
      `${this.stackTrace.trimEnd()}\nCorrect the file and deliver it again.`
  }
  readonly retryable = false
}

/**
 * A DAG, or the expected version of it, was not live in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class DagNotLive extends Schema.TaggedError<DagNotLive>("@airflow-resource/airflow/DagNotLive")("DagNotLive", {
  dagId: Schema.String,
  waited: Schema.DurationFromSelf,
  /** What the last poll found instead. */
  problem: Schema.String
}) {
  override get message(): string {
    return `The DAG ${this.dagId} was not live after ${Duration.format(this.waited)}: ${this.problem}. ` +
      `Check that its file was delivered and contains the words "dag" and "airflow": Airflow ignores other files. ` +
      `By default it scans for new files every 5 minutes, so a longer timeout may help.`
  }
  readonly retryable = true
}

/**
 * A task instance of a failed run that did not succeed.
 *
 * @since 0.1.0
 * @category models
 */
export const FailedTask = Schema.Struct({
  taskId: Schema.String,
  mapIndex: Schema.Number,
  state: Schema.String,
  tryNumber: Schema.Number,
  /** The last lines of the log of its last try. Only for the first three failed task instances, otherwise empty. */
  logTail: Schema.String
})

/**
 * A DAG run ended `failed`.
 *
 * @since 0.1.0
 * @category errors
 */
export class RunFailed extends Schema.TaggedError<RunFailed>("@airflow-resource/airflow/RunFailed")("RunFailed", {
  dagId: Schema.String,
  runId: Schema.String,
  /** The task instances that did not succeed, failed ones first. */
  tasks: Schema.Array(FailedTask)
}) {
  override get message(): string {
    const name = (task: typeof FailedTask.Type) => `${task.taskId}${task.mapIndex < 0 ? "" : `[${task.mapIndex}]`}`
    const states = this.tasks.map((task) => `${name(task)} is ${task.state}`).join(", ")
    const tails = this.tasks.filter(({ logTail }) => logTail !== "").map((task) =>
      `\n--- last lines of the log of ${name(task)}, try ${task.tryNumber}\n${task.logTail}`
    )
    if (this.retryable) {
      return `The run ${this.runId} of ${this.dagId} failed although none of its tasks failed` +
        `${states === "" ? "" : ` (${states})`}. Airflow, a timeout of the DAG or another request ended it: read the ` +
        `scheduler's logs, and run the DAG again.`
    }
    return `The run ${this.runId} of ${this.dagId} failed (${states}). Read a full log with taskLog.${tails.join("")}`
  }
  /** Whether no task failed, so that the cause is not in the DAG. */
  get retryable(): boolean {
    return !this.tasks.some(({ state }) => state === "failed" || state === "upstream_failed")
  }
}

/**
 * A DAG run did not end in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class RunStuck extends Schema.TaggedError<RunStuck>("@airflow-resource/airflow/RunStuck")("RunStuck", {
  dagId: Schema.String,
  runId: Schema.String,
  state: Schema.String,
  waited: Schema.DurationFromSelf,
  /** What may block the run: a paused DAG, unhealthy components, full pools, import errors, the states of its tasks. */
  diagnosis: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `The run ${this.runId} of ${this.dagId} is still ${this.state} after ${Duration.format(this.waited)}: ` +
      `${this.diagnosis.join("; ")}. Correct what blocks it, or raise the timeout.`
  }
  readonly retryable = false
}

/**
 * A DAG run was deleted while the client waited for it, alone or together with its DAG.
 *
 * @since 0.1.0
 * @category errors
 */
export class RunVanished
  extends Schema.TaggedError<RunVanished>("@airflow-resource/airflow/RunVanished")("RunVanished", {
    dagId: Schema.String,
    runId: Schema.String
  })
{
  override get message(): string {
    return `The run ${this.runId} of ${this.dagId} was deleted before it ended. ` +
      `Check whether something else deletes runs in this Airflow.`
  }
  readonly retryable = false
}

/**
 * Tasks are not in the expected states.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskStateMismatch
  extends Schema.TaggedError<TaskStateMismatch>("@airflow-resource/airflow/TaskStateMismatch")("TaskStateMismatch", {
    dagId: Schema.String,
    runId: Schema.String,
    mismatches: Schema.Array(Schema.Struct({
      taskId: Schema.String,
      expected: Schema.Array(Schema.String),
      /** The state of each of its instances. Empty if the run has no such task. */
      actual: Schema.Array(Schema.String)
    }))
  })
{
  override get message(): string {
    const lines = this.mismatches.map(({ actual, expected, taskId }) =>
      `${taskId} should be ${expected.join(" or ")} but ${
        actual.length === 0 ? "does not exist" : `is ${actual.join(", ")}`
      }`
    )
    return `Tasks of the run ${this.runId} of ${this.dagId} are in unexpected states: ${lines.join("; ")}. ` +
      `Read the logs of these tasks with taskLog.`
  }
  readonly retryable = false
}

/**
 * A task has no log, or none appeared in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class LogUnavailable extends Schema.TaggedError<LogUnavailable>("@airflow-resource/airflow/LogUnavailable")(
  "LogUnavailable",
  { dagId: Schema.String, runId: Schema.String, taskId: Schema.String, reason: Schema.String }
) {
  override get message(): string {
    return `There is no log of ${this.taskId} in the run ${this.runId} of ${this.dagId}: ${this.reason}. ` +
      `Check the task with taskInstances. If it ran, wait longer, or check where Airflow stores its logs.`
  }
  readonly retryable = false
}
