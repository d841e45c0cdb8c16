/**
 * DAGs as data: what the emulated Airflow runs.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"

/**
 * A task. It starts once its upstream tasks have succeeded, takes `duration` (none by default; the emulator's speed
 * applies), prints `log` and ends as `outcome` says (`success` by default).
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
  /** The number of mapped instances; without it the task is not mapped. */
  readonly mapped?: number
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
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const helloWorld: DagSpec = {
  dagId: "hello_world_dag",
  tags: ["example"],
  tasks: [{ taskId: "hello", duration: "1 second", log: "Hello World from Airflow" }]
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
