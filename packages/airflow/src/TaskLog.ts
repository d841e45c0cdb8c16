/**
 * The log of a task, as one model for Airflow 2 and 3.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

/**
 * An exception as it was logged, the cause first where there are several.
 *
 * @since 0.1.0
 * @category models
 */
export interface LoggedError {
  readonly type: string
  readonly value: string
  readonly frames: ReadonlyArray<{ readonly file: string; readonly line: number; readonly name: string }>
}

/**
 * A line of a log. Lines of different origins (what the task prints, what Airflow says of it) may come in another order than
 * their times.
 *
 * @since 0.1.0
 * @category models
 */
export interface LogLine {
  readonly tryNumber: number
  readonly timestamp: Option.Option<DateTime.Utc>
  /** In capitals: `INFO`, `ERROR`, … */
  readonly level: Option.Option<string>
  /** Airflow 3: the logger's name. Airflow 2: file and line. */
  readonly logger: Option.Option<string>
  readonly message: string
  /** What else was logged with the message, by name. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly errors: ReadonlyArray<LoggedError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TaskLog {
  readonly taskId: string
  readonly mapIndex: number
  /** The last try that `lines` is of. */
  readonly tryNumber: number
  readonly lines: ReadonlyArray<LogLine>
  /** Files and addresses that Airflow read it from. */
  readonly sources: ReadonlyArray<string>
  /** `lines` as text, with exceptions as Python prints them. */
  readonly text: string
  /** The task had ended when it was read. */
  readonly complete: boolean
}

/**
 * A line as text: `[time] {logger} LEVEL - message`, what was logged with it, and its exceptions as Python prints them.
 *
 * @example
 * ```ts
 * import type { Airflow } from "@airflow-resource/airflow/Airflow"
 * import * as TaskLog from "@airflow-resource/airflow/TaskLog"
 * import * as Console from "effect/Console"
 * import * as Stream from "effect/Stream"
 *
 * export const follow = (airflow: Airflow, runId: string) =>
 *   Stream.runForEach(airflow.tailTaskLog("hello_world_dag", runId, "hello"), (line) => Console.log(TaskLog.render(line)))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const render = ({ errors, fields, level, logger, message, timestamp }: LogLine): string => {
  const head = [
    ...Option.toArray(Option.map(timestamp, (at) => `[${DateTime.formatIso(at)}]`)),
    ...Option.toArray(Option.map(logger, (name) => `{${name}}`)),
    ...Option.toArray(Option.map(level, (name) => `${name} -`))
  ]
  const extra = Object.entries(fields).map(([name, value]) =>
    `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`
  )
  // Airflow 2 logs an exception line by line, and its last line carries it
  const unsaid = errors.filter(({ type }) => message !== type && !message.startsWith(`${type}: `))
  return [[...head, message, ...extra].join(" "), ...unsaid.map(renderError)].join("\n")
}

// internal

const renderError = ({ frames, type, value }: LoggedError) =>
  [
    "Traceback (most recent call last):",
    ...frames.map(({ file, line, name }) => `  File "${file}", line ${line}, in ${name}`),
    `${type}: ${value}`
  ].join("\n")
