/** XComs: the ones that tasks have pushed, overlaid with the ones that were written through the API. */
import type { Airflow } from "./Airflow.js"
import type { XCom } from "./Metadata.js"
import type { TaskInstance } from "./RunTable.js"
import { outputOf } from "./TaskLog.js"

/** Sorted by key. Clearing the task has deleted what was there before. */
export const list = (airflow: Airflow, { run, task }: TaskInstance): ReadonlyArray<XCom> => {
  const taskId = task.spec.taskId
  const base = { dagId: run.dagId, runId: run.runId, taskId, mapIndex: task.mapIndex, isDeleted: false }
  const from = run.executions.filter(({ tasks }) => tasks === null || tasks.includes(taskId)).at(-1)?.from ?? 0
  const isPushed = task.state === "success" && task.attempts.length > 0
  const pushed = isPushed ? Object.entries(outputOf(task.spec, task.mapIndex).xcom ?? {}) : []
  const byKey = new Map(
    pushed.map(([key, value]): [string, XCom] => [key, { ...base, key, value, at: task.endedAt ?? airflow.now }])
  )
  for (const written of airflow.deployment.metadata.xcoms) {
    const isSame = written.dagId === run.dagId && written.runId === run.runId && written.taskId === taskId &&
      written.mapIndex === task.mapIndex
    if (isSame && written.at >= from) byKey.set(written.key, written)
  }
  return [...byKey.values()].filter(({ isDeleted }) => !isDeleted).sort((a, b) => a.key < b.key ? -1 : 1)
}

export const get = (airflow: Airflow, instance: TaskInstance, key: string): XCom | undefined =>
  list(airflow, instance).find((xcom) => xcom.key === key)

/** Writes a value; without one, deletes the key. */
export const write = (
  airflow: Airflow,
  { run, task }: TaskInstance,
  key: string,
  value?: { readonly json: unknown }
): void => {
  airflow.deployment.metadata.xcoms.push({
    dagId: run.dagId,
    runId: run.runId,
    taskId: task.spec.taskId,
    mapIndex: task.mapIndex,
    key,
    at: airflow.now,
    value: value?.json,
    isDeleted: value === undefined
  })
}
