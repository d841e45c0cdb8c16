/** What a task has logged so far, as facts. Each API version prints them in its own format. */
import type { TaskError, TaskSpec } from "../../Dags.js"
import type { Attempt, RunFacts, TaskRun } from "./Runs.js"

export type Entry =
  | { readonly _tag: "Started"; readonly at: number; readonly attempt: number; readonly of: number }
  | { readonly _tag: "Printed"; readonly at: number; readonly line: string }
  | { readonly _tag: "Returned"; readonly at: number; readonly value: unknown }
  | { readonly _tag: "Raised"; readonly at: number; readonly error: TaskError }
  | { readonly _tag: "Ended"; readonly at: number; readonly state: EndState }

type EndState = "success" | "failed" | "up_for_retry" | "killed"

/**
 * The path of the log file, relative to the log folder. Deleting a run does not delete its files, so that a later run
 * with the same id appends to them.
 */
export const fileOf = (run: RunFacts, task: TaskRun, attempt: number): string => {
  const index = task.mapIndex < 0 ? "" : `/map_index=${task.mapIndex}`
  return `dag_id=${run.dagId}/run_id=${run.runId}/task_id=${task.spec.taskId}${index}/attempt=${attempt}.log`
}

/** What this attempt has logged so far. */
export const entries = (task: TaskRun, attempt: Attempt, now: number): ReadonlyArray<Entry> => {
  const { endedAt: end, length, startedAt: start } = attempt
  const { log } = outputOf(task.spec, task.mapIndex)
  const lines = typeof log === "string" ? log.split("\n") : log
  const printed = lines
    // spread over the duration of the task
    .map((line, index): Entry => ({ _tag: "Printed", at: start + (length * index) / lines.length, line }))
    .filter(({ at }) => at <= Math.min(now, end))
  const isRetried = attempt.number <= task.maxTries
  const state = attempt.isKilled
    ? "killed"
    : attempt.state === "success"
    ? "success"
    : isRetried
    ? "up_for_retry"
    : "failed"
  return [
    { _tag: "Started", at: start, attempt: attempt.number, of: task.maxTries + 1 },
    ...printed,
    ...now < end ? [] : ending(task, state, end)
  ]
}

const ending = ({ mapIndex, spec }: TaskRun, state: EndState, at: number): ReadonlyArray<Entry> => {
  const ended: Entry = { _tag: "Ended", at, state }
  if (state === "killed") return [ended]
  if (state !== "success") {
    return [{ _tag: "Raised", at, error: spec.error ?? { type: "ValueError", value: `${spec.taskId} failed` } }, ended]
  }
  const { xcom } = outputOf(spec, mapIndex)
  const isReturned = xcom !== undefined && "return_value" in xcom
  return isReturned ? [{ _tag: "Returned", at, value: xcom.return_value }, ended] : [ended]
}

/** What one instance of a task logs and pushes. A mapped instance that does not say so does the same as its task. */
export const outputOf = (spec: TaskSpec, mapIndex: number): Pick<TaskSpec, "log" | "xcom"> => {
  const own = typeof spec.mapped === "object" ? spec.mapped[mapIndex] : undefined
  const xcom = own?.xcom ?? spec.xcom
  return { log: own?.log ?? spec.log, ...(xcom === undefined ? {} : { xcom }) }
}
