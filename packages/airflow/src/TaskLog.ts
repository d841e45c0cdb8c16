/**
 * The log of a task: one model for Airflow 2 and 3.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

/**
 * A logged exception. In a chain of exceptions the cause comes first and the exception that was raised last comes last,
 * as in a traceback of Python.
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
 * A line of a log. Lines from different sources (the task's output, Airflow's own messages) may not be in order of
 * their times.
 *
 * @since 0.1.0
 * @category models
 */
export interface LogLine {
  readonly tryNumber: number
  readonly timestamp: Option.Option<DateTime.Utc>
  /** In upper case: `INFO`, `ERROR`, … */
  readonly level: Option.Option<string>
  /** Airflow 3: the name of the logger. Airflow 2: file and line. */
  readonly logger: Option.Option<string>
  readonly message: string
  /** The structured fields that were logged with the message. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly errors: ReadonlyArray<LoggedError>
}

/**
 * The log of a task instance, of one try or of all tries.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskLog {
  readonly taskId: string
  readonly mapIndex: number
  /** The try that the lines belong to, or the last one of several. */
  readonly tryNumber: number
  readonly lines: ReadonlyArray<LogLine>
  /** The files and URLs that Airflow read the log from. */
  readonly sources: ReadonlyArray<string>
  /** The lines as text, with exceptions in Python's format. */
  readonly text: string
  /** Whether the task had ended when the log was read. */
  readonly complete: boolean
}

/**
 * Formats a line as `[time] {logger} LEVEL - message`, followed by its fields and by its exceptions in Python's format.
 *
 * @example
 * ```ts
 * import type { Airflow } from "@airflow-resource/airflow/Airflow"
 * import * as TaskLog from "@airflow-resource/airflow/TaskLog"
 * import * as Console from "effect/Console"
 * import * as Stream from "effect/Stream"
 *
 * export const follow = (airflow: Airflow, runId: string) =>
 *   airflow.tailTaskLog("hello_world_dag", runId, "hello").pipe(
 *     Stream.runForEach((line) => Console.log(TaskLog.render(line)))
 *   )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const render = ({ errors, fields, level, logger, message, timestamp }: LogLine): string => {
  const prefix = [
    ...Option.toArray(Option.map(timestamp, (time) => `[${DateTime.formatIso(time)}]`)),
    ...Option.toArray(Option.map(logger, (name) => `{${name}}`)),
    ...Option.toArray(Option.map(level, (name) => `${name} -`))
  ]
  const suffix = Object.entries(fields).map(([name, value]) =>
    `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`
  )
  // Airflow 2 logs an exception line by line: the last line of its traceback carries the error and is already text
  const unprinted = errors.filter(({ type }) => message !== type && !message.startsWith(`${type}: `))
  return [[...prefix, message, ...suffix].join(" "), ...unprinted.map(renderError)].join("\n")
}

// internal

const renderError = ({ frames, type, value }: LoggedError) =>
  [
    "Traceback (most recent call last):",
    ...frames.map(({ file, line, name }) => `  File "${file}", line ${line}, in ${name}`),
    `${type}: ${value}`
  ].join("\n")
