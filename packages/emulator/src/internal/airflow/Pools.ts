/** Pools. Without the default one no task starts. */
import * as RunTable from "./RunTable.js"
import type { Site } from "./Site.js"

const defaultPool = "default_pool"

export interface Pool {
  readonly slots: number
  readonly description: string | null
  readonly includeDeferred: boolean
}

export const save = ({ deployment, now }: Site, name: string, pool: Pool): void => {
  const { poolGaps, pools } = deployment.airflow
  pools.set(name, pool)
  const gap = poolGaps.at(-1)
  if (name === defaultPool && gap?.to === Infinity) gap.to = now
}

export const remove = ({ deployment, now }: Site, name: string): void => {
  const { poolGaps, pools } = deployment.airflow
  if (pools.delete(name) && name === defaultPool) poolGaps.push({ from: now, to: Infinity })
}

/** What both dialects show. */
export const shape = (site: Site, name: string, pool: Pool) => {
  const running = RunTable.running(site, name)
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
