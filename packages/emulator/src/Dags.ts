/**
 * DAGs as data: what the emulated Airflow runs.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"

/**
 * An exception: its class, and what it says.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskError {
  readonly type: string
  readonly value: string
}

/**
 * What one instance of a mapped task does in its own way.
 *
 * @since 0.1.0
 * @category models
 */
export interface MappedInstance {
  readonly log?: string | ReadonlyArray<string>
  readonly xcom?: Readonly<Record<string, unknown>>
}

/**
 * A task. It starts once its upstream tasks have succeeded, takes `duration` (none by default; the emulator's speed
 * applies), prints the lines of `log` spread over that time and ends as `outcome` says (`success` by default).
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskSpec {
  readonly taskId: string
  readonly duration?: Duration.DurationInput
  readonly outcome?: "success" | "failed"
  readonly log: string | ReadonlyArray<string>
  readonly upstream?: ReadonlyArray<string>
  /** The number of mapped instances, or what each of them does; without it the task is not mapped. */
  readonly mapped?: number | ReadonlyArray<MappedInstance>
  /** How often it is tried: it fails until the last time, which ends as `outcome` says. 1 by default. */
  readonly tries?: number
  /** Between two tries, in which it is `up_for_retry`; a second by default. */
  readonly retryDelay?: Duration.DurationInput
  /** What it raises when it fails; a `ValueError` by default. */
  readonly error?: TaskError
  /** What it pushes when it succeeds, by key; what it returns is `return_value`. */
  readonly xcom?: Readonly<Record<string, unknown>>
}

/**
 * A value that a run of the DAG has to be given in its `conf`, unless there is a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Param {
  readonly type: "integer" | "string" | "boolean"
  readonly default?: unknown
  /** Of a number. */
  readonly minimum?: number
}

/**
 * A DAG. It has no schedule, and is paused at first unless told otherwise, as on a real server.
 *
 * @since 0.1.0
 * @category models
 */
export interface DagSpec {
  readonly dagId: string
  readonly tags?: ReadonlyArray<string>
  readonly paused?: boolean
  readonly tasks: ReadonlyArray<TaskSpec>
  /** Relative to the folder of the DAGs; named after the DAG by default. Several DAGs may come from one file. */
  readonly file?: string
  readonly params?: Readonly<Record<string, Param>>
  /** The stack trace with which the import of its file ends. A DAG that was known before stays as it was. */
  readonly importError?: string
}

/**
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
 * The tasks in an order in which every one comes after its upstream tasks, or what is wrong with the DAG.
 *
 * @since 0.1.0
 * @category combinators
 */
export const inOrder = (dag: DagSpec): ReadonlyArray<TaskSpec> | string => {
  const ids = dag.tasks.map((task) => task.taskId)
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  if (twice !== undefined) return `the DAG ${dag.dagId} has two tasks named ${twice}`
  const untried = dag.tasks.find(({ tries = 1 }) => !Number.isInteger(tries) || tries < 1)
  if (untried !== undefined) return `the task ${untried.taskId} of the DAG ${dag.dagId} is not tried once`
  const unknown = dag.tasks.flatMap((task) => task.upstream ?? []).find((id) => !ids.includes(id))
  if (unknown !== undefined) return `the DAG ${dag.dagId} names an upstream task ${unknown}, which it does not have`
  const done: Array<TaskSpec> = []
  while (done.length < dag.tasks.length) {
    const next = dag.tasks.filter((task) =>
      !done.includes(task) && (task.upstream ?? []).every((id) => done.some((other) => other.taskId === id))
    )
    if (next.length === 0) return `the tasks of the DAG ${dag.dagId} wait for each other in a circle`
    done.push(...next)
  }
  return done
}
