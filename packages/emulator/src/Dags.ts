/**
 * DAGs as data: what the emulated Airflow runs.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"

/**
 * A Python exception: the name of its class, and its text.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskError {
  readonly type: string
  readonly value: string
}

/**
 * How one instance of a mapped task differs from the task.
 *
 * @since 0.1.0
 * @category models
 */
export interface MappedInstance {
  readonly log?: string | ReadonlyArray<string>
  readonly xcom?: Readonly<Record<string, unknown>>
}

/**
 * A task. It starts once its upstream tasks have succeeded, prints the lines of `log` spread over its `duration`, and
 * ends with its `outcome`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskSpec {
  readonly taskId: string
  /** Divided by the emulator's speed; 0 by default. */
  readonly duration?: Duration.DurationInput
  /** `success` by default. */
  readonly outcome?: "success" | "failed"
  readonly log: string | ReadonlyArray<string>
  readonly upstream?: ReadonlyArray<string>
  /** The number of mapped instances, or a description of each. The task is not mapped without it. */
  readonly mapped?: number | ReadonlyArray<MappedInstance>
  /** The number of tries: every try but the last fails, and the last ends with `outcome`. 1 by default. */
  readonly tries?: number
  /** How long the task is `up_for_retry` between two tries; 1 second by default. */
  readonly retryDelay?: Duration.DurationInput
  /** The exception that a failed try raises; a `ValueError` by default. */
  readonly error?: TaskError
  /** The values that the task pushes when it succeeds, by key. The key of its return value is `return_value`. */
  readonly xcom?: Readonly<Record<string, unknown>>
}

/**
 * A parameter of the DAG. A run needs a value for it in its `conf` unless there is a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Param {
  readonly type: "integer" | "string" | "boolean"
  readonly default?: unknown
  /** For numbers only. */
  readonly minimum?: number
}

/**
 * A DAG. It has no schedule.
 *
 * @since 0.1.0
 * @category models
 */
export interface DagSpec {
  readonly dagId: string
  readonly tags?: ReadonlyArray<string>
  /** Whether it is paused at first; `true` by default, as on a real server. */
  readonly paused?: boolean
  readonly tasks: ReadonlyArray<TaskSpec>
  /** Relative to the DAG folder; named after the DAG by default. Several DAGs may share a file. */
  readonly file?: string
  readonly params?: Readonly<Record<string, Param>>
  /** The stack trace of the failed import of its file. A DAG that Airflow knew before keeps its earlier version. */
  readonly importError?: string
}

/**
 * `hello_world_dag`, with one task that prints and returns a greeting.
 *
 * @since 0.1.0
 * @category constructors
 */
export const helloWorld: DagSpec = {
  dagId: "hello_world_dag",
  tags: ["example"],
  tasks: [{
    taskId: "hello",
    duration: "1 second",
    log: "Hello World from Airflow",
    xcom: { return_value: "Hello World from Airflow" }
  }]
}

/**
 * Returns the tasks with each one after its upstream tasks, or a description of what is wrong with the DAG.
 *
 * @since 0.1.0
 * @category combinators
 */
export const inOrder = (dag: DagSpec): ReadonlyArray<TaskSpec> | string => {
  const ids = dag.tasks.map((task) => task.taskId)
  const duplicate = ids.find((id, index) => ids.indexOf(id) !== index)
  if (duplicate !== undefined) return `the DAG ${dag.dagId} has two tasks named ${duplicate}`
  const untried = dag.tasks.find(({ tries = 1 }) => !Number.isInteger(tries) || tries < 1)
  if (untried !== undefined) {
    return `the task ${untried.taskId} of the DAG ${dag.dagId} has ${untried.tries} tries instead of 1 or more`
  }
  const unknown = dag.tasks.flatMap((task) => task.upstream ?? []).find((id) => !ids.includes(id))
  if (unknown !== undefined) {
    return `the DAG ${dag.dagId} names the upstream task ${unknown}, which does not exist in it`
  }
  const ordered: Array<TaskSpec> = []
  while (ordered.length < dag.tasks.length) {
    const next = dag.tasks.filter((task) =>
      !ordered.includes(task) && (task.upstream ?? []).every((id) => ordered.some((other) => other.taskId === id))
    )
    if (next.length === 0) return `the tasks of the DAG ${dag.dagId} depend on each other in a cycle`
    ordered.push(...next)
  }
  return ordered
}
