/**
 * A request for a slot of the pool, and what it gets.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { DeploymentSpec } from "./Deployment.js"
import type { PreparedSlot } from "./internal/pool/PrepareSlot.js"
import type { LeaseId, LeaseLost } from "./Lease.js"
import type { Wait } from "./PoolPolicy.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface LeaseRequest {
  /** The test's file and name. Shown to processes that wait for the slot. */
  readonly label: string
  /** The same key is the same request, however often it is sent [a new key]. */
  readonly key?: string | undefined
  /** [the pool's spec] */
  readonly spec?: DeploymentSpec | undefined
  /** Called with every step, from the place in the queue to the last verification. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  /** Epoch milliseconds. */
  readonly at: number
  readonly activity: string
  /** In the queue: the place, since when, and what the current holders are doing. */
  readonly wait?: Wait
}

/**
 * A slot that may be used: awake, empty, and held by this lease alone until the scope closes.
 *
 * @since 0.1.0
 * @category models
 */
export interface LeasedSlot extends PreparedSlot {
  readonly leaseId: LeaseId
  readonly poolId: string
  readonly epoch: number
  /** Never succeeds; fails when the lease is lost. */
  readonly lost: Effect.Effect<never, LeaseLost>
  /** Checks with the ledger: fails if the lease is lost, even if this process has not noticed yet. */
  readonly confirm: Effect.Effect<void, LeaseLost>
}
