/** Pools. Without the default pool no task starts. */
import type { Airflow } from "./Airflow.js"
import type { Pool } from "./Metadata.js"
import * as RunTable from "./RunTable.js"

const defaultPool = "default_pool"

export const save = ({ deployment, now }: Airflow, name: string, pool: Pool): void => {
  const { poolGaps, pools } = deployment.metadata
  pools.set(name, pool)
  const gap = poolGaps.at(-1)
  if (name === defaultPool && gap?.to === Infinity) gap.to = now
}

export const deletePool = ({ deployment, now }: Airflow, name: string): void => {
  const { poolGaps, pools } = deployment.metadata
  if (pools.delete(name) && name === defaultPool) poolGaps.push({ from: now, to: Infinity })
}

/** As both API versions return it. */
export const toJson = (airflow: Airflow, name: string, pool: Pool) => {
  const running = RunTable.countRunning(airflow, name)
  return {
    name,
    slots: pool.slots,
    description: pool.description,
    include_deferred: pool.includeDeferred,
    occupied_slots: running,
    running_slots: running,
    queued_slots: 0,
    scheduled_slots: 0,
    open_slots: pool.slots - running,
    deferred_slots: 0
  }
}
