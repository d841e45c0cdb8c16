/** How a pool recognizes its own deployments: by the name, which also says which slot it fills, and by a marker in the description. */
import type { Deployment } from "../../Deployment.js"
import type { Slot } from "../../Slot.js"

/** What identifies a pool in the names and descriptions of its deployments. */
export interface PoolName {
  readonly prefix: string
  readonly poolId: string
}

export const marker = (poolId: string): string => `${start}${poolId}]`

/** Whether a deployment has the marker of this pool. */
export const hasMarker = (poolId: string, { description }: Pick<Deployment, "description">): boolean =>
  description.includes(marker(poolId))

/** Whether a deployment has the marker of any pool. */
export const hasAnyMarker = ({ description }: Pick<Deployment, "description">): boolean => description.includes(start)

/** The name that a slot's deployment will have, known before it is created. */
export const deploymentName = (
  pool: PoolName,
  { generation, number }: Pick<Slot, "generation" | "number">
): string => `${nameStart(pool)}${number}-g${generation}`

/** Slot and generation in a name made by {@link deploymentName}; `undefined` for every other name. */
export const parseDeploymentName = (
  pool: PoolName,
  name: string
): { readonly slot: number; readonly generation: number } | undefined => {
  const start = nameStart(pool)
  const match = name.startsWith(start) ? /^(\d+)-g(\d+)$/.exec(name.slice(start.length)) : null
  return match === null ? undefined : { slot: Number(match[1]), generation: Number(match[2]) }
}

/** The pool's deployments that filled a slot in an earlier generation. */
export const olderGenerations = (
  pool: PoolName,
  { generation, number }: Pick<Slot, "generation" | "number">,
  all: ReadonlyArray<Deployment>
): ReadonlyArray<Deployment> =>
  all.filter((deployment) => {
    const place = parseDeploymentName(pool, deployment.name)
    return hasMarker(pool.poolId, deployment) && place?.slot === number && place.generation < generation
  })

// internal

const start = "[airflow-resource pool "

const nameStart = ({ poolId, prefix }: PoolName) => `${prefix}-${poolId.slice(0, 8)}-s`
