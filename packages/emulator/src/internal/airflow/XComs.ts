/** What tasks have pushed, and what was written through the API over it. */
import type { XCom } from "./Metadata.js"
import type { Instance } from "./RunTable.js"
import type { Site } from "./Site.js"
import { instanceOf } from "./TaskLog.js"

/** By key. What was there before the task was cleared is gone. */
export const list = (site: Site, { run, task }: Instance): ReadonlyArray<XCom> => {
  const taskId = task.task.taskId
  const base = { dagId: run.dagId, runId: run.runId, taskId, mapIndex: task.mapIndex, isDeleted: false }
  const from = run.lives.filter(({ tasks }) => tasks === null || tasks.includes(taskId)).at(-1)?.from ?? 0
  const isPushed = task.state === "success" && task.attempts.length > 0
  const pushed = isPushed ? Object.entries(instanceOf(task.task, task.mapIndex).xcom ?? {}) : []
  const found = new Map(
    pushed.map(([key, value]): [string, XCom] => [key, { ...base, key, value, at: task.endedAt ?? site.now }])
  )
  for (const written of site.deployment.airflow.xcoms) {
    const isSame = written.dagId === run.dagId && written.runId === run.runId && written.taskId === taskId &&
      written.mapIndex === task.mapIndex
    if (isSame && written.at >= from) found.set(written.key, written)
  }
  return [...found.values()].filter(({ isDeleted }) => !isDeleted).sort((a, b) => a.key < b.key ? -1 : 1)
}

export const find = (site: Site, instance: Instance, key: string): XCom | undefined =>
  list(site, instance).find((xcom) => xcom.key === key)

/** Writes it; without a value it is deleted. */
export const write = (site: Site, { run, task }: Instance, key: string, value?: { readonly json: unknown }): void => {
  site.deployment.airflow.xcoms.push({
    dagId: run.dagId,
    runId: run.runId,
    taskId: task.task.taskId,
    mapIndex: task.mapIndex,
    key,
    at: site.now,
    value: value?.json,
    isDeleted: value === undefined
  })
}
