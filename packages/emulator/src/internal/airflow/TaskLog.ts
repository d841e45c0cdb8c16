/** What a task has written into its log by now, as facts; each dialect prints them in its own way. */
import type { TaskError, TaskSpec } from "../../Dags.js"
import type { Attempt, RunFacts, TaskRun } from "./Runs.js"

export type Entry =
  | { readonly _tag: "Started"; readonly at: number; readonly attempt: number; readonly of: number }
  | { readonly _tag: "Printed"; readonly at: number; readonly line: string }
  | { readonly _tag: "Returned"; readonly at: number; readonly value: unknown }
  | { readonly _tag: "Raised"; readonly at: number; readonly error: TaskError }
  | {
    readonly _tag: "Ended"
    readonly at: number
    readonly state: "success" | "failed" | "up_for_retry" | "killed"
  }

/** Where it lies below the folder of logs; deleting a run does not delete it, so that a reused id appends to it. */
export const fileOf = (run: RunFacts, task: TaskRun, attempt: number): string => {
  const index = task.mapIndex < 0 ? "" : `/map_index=${task.mapIndex}`
  return `dag_id=${run.dagId}/run_id=${run.runId}/task_id=${task.task.taskId}${index}/attempt=${attempt}.log`
}

/** What this attempt has written. */
export const entries = (task: TaskRun, attempt: Attempt, now: number): ReadonlyArray<Entry> => {
  const { endedAt: end, length, startedAt: start } = attempt
  const log = instanceOf(task.task, task.mapIndex).log
  const lines = typeof log === "string" ? log.split("\n") : log
  const printed = lines
    // spread over the time it takes
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

const ending = (
  { mapIndex, task }: TaskRun,
  state: "success" | "failed" | "up_for_retry" | "killed",
  at: number
): ReadonlyArray<Entry> => {
  const ended: Entry = { _tag: "Ended", at, state }
  if (state === "killed") return [ended]
  if (state !== "success") {
    return [{ _tag: "Raised", at, error: task.error ?? { type: "ValueError", value: `${task.taskId} failed` } }, ended]
  }
  const xcom = instanceOf(task, mapIndex).xcom
  const isReturned = xcom !== undefined && "return_value" in xcom
  return isReturned ? [{ _tag: "Returned", at, value: xcom.return_value }, ended] : [ended]
}

/** What one of a mapped task's instances does; it is the task's where nothing else is said. */
export const instanceOf = (task: TaskSpec, mapIndex: number): Pick<TaskSpec, "log" | "xcom"> => {
  const own = typeof task.mapped === "object" ? task.mapped[mapIndex] : undefined
  const xcom = own?.xcom ?? task.xcom
  return { log: own?.log ?? task.log, ...(xcom === undefined ? {} : { xcom }) }
}
