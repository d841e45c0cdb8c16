/**
 * What marks a deployment as the pool's own: its name, which also says which slot it fills, and a note in its description.
 *
 * @since 0.1.0
 */
import type { Deployment } from "./Deployment.js"
import type { Slot } from "./Slot.js"

/**
 * What marks a deployment as the pool's, besides the prefix in its name.
 *
 * @since 0.1.0
 * @category combinators
 */
export const marker = (poolId: string): string => `${mark}${poolId}]`

/**
 * Whether a description carries the marker of any pool.
 *
 * @since 0.1.0
 * @category combinators
 */
export const isMarked = (description: string): boolean => description.includes(mark)

/**
 * The name that a slot's deployment will have, known before it is created.
 *
 * @since 0.1.0
 * @category combinators
 */
export const deploymentName = (prefix: string, poolId: string, slot: number, generation: number): string =>
  `${prefix}-${poolId.slice(0, 8)}-s${slot}-g${generation}`

/**
 * Reads slot and generation out of a name made by {@link deploymentName}; `undefined` for every other name.
 *
 * @since 0.1.0
 * @category combinators
 */
export const parseDeploymentName = (
  prefix: string,
  poolId: string,
  name: string
): { readonly slot: number; readonly generation: number } | undefined => {
  const start = `${prefix}-${poolId.slice(0, 8)}-s`
  const match = name.startsWith(start) ? /^(\d+)-g(\d+)$/.exec(name.slice(start.length)) : null
  return match === null ? undefined : { slot: Number(match[1]), generation: Number(match[2]) }
}

/**
 * The pool's deployments that filled a slot before the one that does.
 *
 * @since 0.1.0
 * @category combinators
 */
export const olderOf = (
  { generation, number }: Pick<Slot, "generation" | "number">,
  prefix: string,
  poolId: string,
  all: ReadonlyArray<Deployment>
): ReadonlyArray<Deployment> =>
  all.filter(({ description, name }) => {
    const place = parseDeploymentName(prefix, poolId, name)
    return description.includes(marker(poolId)) && place?.slot === number && place.generation < generation
  })

// internal

const mark = "[airflow-resource pool "
