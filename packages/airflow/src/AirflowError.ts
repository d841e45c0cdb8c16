/**
 * What can go wrong with an Airflow. One error for its API, told apart by `kind`; and one for each thing that a test waits for.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * An answer of Airflow, or of what stands in front of it, that is not the one that was asked for.
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
      "unsupported"
    ),
    /** What was attempted, in words: "trigger hello_world_dag". */
    operation: Schema.String,
    /** What happened, in Airflow's words where it gave any; never a secret. */
    detail: Schema.String,
    /** What to do next. */
    remedy: Schema.String,
    /** Method and address of the request, where one was sent. */
    request: Schema.optional(Schema.String),
    status: Schema.optional(Schema.Number),
    /** How often it was sent. */
    attempts: Schema.optional(Schema.Number)
  }
) {
  override get message(): string {
    const times = this.attempts !== undefined && this.attempts > 1 ? ` (${this.attempts} times)` : ""
    return `Could not ${this.operation}: ${this.detail}${times}. ${this.remedy}`
  }
  /** Worth another try, if the call may be repeated. */
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

/**
 * The file of a DAG cannot be imported, so that the DAG is not what it should be, or is not there at all.
 *
 * @since 0.1.0
 * @category errors
 */
export class DagImportFailed extends Schema.TaggedError<DagImportFailed>("@airflow-resource/airflow/DagImportFailed")(
  "DagImportFailed",
  { dagId: Schema.String, filename: Schema.String, stackTrace: Schema.String }
) {
  override get message(): string {
    return `Airflow cannot import ${this.filename}, where ${this.dagId} should be:\n${this.stackTrace.trimEnd()}\n` +
      `Correct the file and deliver it again.`
  }
  readonly retryable = false
}

/**
 * A DAG, or the wanted version of it, did not go live in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class DagNotLive extends Schema.TaggedError<DagNotLive>("@airflow-resource/airflow/DagNotLive")("DagNotLive", {
  dagId: Schema.String,
  waited: Schema.DurationFromSelf,
  /** What was seen instead. */
  seen: Schema.String
}) {
  override get message(): string {
    return `The DAG ${this.dagId} was not live after ${Duration.format(this.waited)}: ${this.seen}. ` +
      `Was its file delivered, and do the words "dag" and "airflow" stand in it? ` +
      `Airflow looks for new files every 5 minutes unless it is told otherwise; or allow more time (timeout).`
  }
  readonly retryable = true
}

/**
 * A task that did not succeed in a run that failed.
 *
 * @since 0.1.0
 * @category models
 */
export const FailedTask = Schema.Struct({
  taskId: Schema.String,
  mapIndex: Schema.Number,
  state: Schema.String,
  tryNumber: Schema.Number,
  /** The last lines of its last try's log; empty where it never ran. */
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
  /** Those that did not succeed; the failed ones first. */
  tasks: Schema.Array(FailedTask)
}) {
  override get message(): string {
    const name = (task: typeof FailedTask.Type) => `${task.taskId}${task.mapIndex < 0 ? "" : `[${task.mapIndex}]`}`
    const states = this.tasks.map((task) => `${name(task)} is ${task.state}`).join(", ")
    const tails = this.tasks.filter(({ logTail }) => logTail !== "").map((task) =>
      `\n--- the end of the log of ${name(task)}, try ${task.tryNumber}\n${task.logTail}`
    )
    return `The run ${this.runId} of ${this.dagId} failed (${states}). taskLog shows a task's whole log.${
      tails.join("")
    }`
  }
  readonly retryable = false
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
  /** What stands in the way, as far as can be seen: paused, parts that are unhealthy, full pools, tasks by state. */
  diagnosis: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `The run ${this.runId} of ${this.dagId} is still ${this.state} after ${Duration.format(this.waited)}: ` +
      `${this.diagnosis.join("; ")}`
  }
  readonly retryable = false
}

/**
 * A DAG run that was seen before is gone: somebody deleted it, or its DAG.
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
    return `The run ${this.runId} of ${this.dagId} was deleted while it was waited for. Who else uses this Airflow?`
  }
  readonly retryable = false
}

/**
 * Tasks are not in the states that were expected.
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
      /** The states that it has, one for each mapped instance; none where the run has no such task. */
      actual: Schema.Array(Schema.String)
    }))
  })
{
  override get message(): string {
    const lines = this.mismatches.map(({ actual, expected, taskId }) =>
      `${taskId} should be ${expected.join(" or ")} and is ${actual.join(", ") || "not there"}`
    )
    return `In the run ${this.runId} of ${this.dagId}: ${lines.join("; ")}.`
  }
  readonly retryable = false
}

/**
 * A task has no log, or did not show one in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class LogUnavailable extends Schema.TaggedError<LogUnavailable>("@airflow-resource/airflow/LogUnavailable")(
  "LogUnavailable",
  { dagId: Schema.String, runId: Schema.String, taskId: Schema.String, reason: Schema.String }
) {
  override get message(): string {
    return `There is no log of ${this.taskId} in the run ${this.runId} of ${this.dagId}: ${this.reason}.`
  }
  readonly retryable = false
}
