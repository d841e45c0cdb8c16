/**
 * A request for one of the pool's slots, and the slot that is leased for it.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { CacheError } from "./CacheError.js"
import type { DeploymentSpec } from "./Deployment.js"
import type { Wait } from "./internal/policy/model.js"
import type { PreparedSlot } from "./internal/pool/PrepareSlot.js"
import type { LeaseId, LeaseLost } from "./Lease.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface LeaseRequest {
  /** A name that at most one lease of the whole ledger uses at a time. The slot is granted together with it [none]. */
  readonly lock?: RequestedLock | undefined
  /** The test's file and name. Shown to processes that wait for the slot. */
  readonly label: string
  /** Requests with the same key are one request, and get one lease at most [a new key]. */
  readonly key?: string | undefined
  /** The spec that the deployment must have [the pool's]. */
  readonly spec?: DeploymentSpec | undefined
  /** Called with every step, from the place in the queue to the last verification. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RequestedLock {
  readonly name: string
  /** Reported when the lease waits for the lock: how to do without it. */
  readonly advice: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  /** Epoch milliseconds. */
  readonly at: number
  readonly activity: string
  /**
   * How long the step that begins now usually takes, if the ledger's recent events show it. While waiting in the queue, how long the whole
   * wait usually takes, from `wait.since`.
   */
  readonly usual?: Duration.Duration
  /** While waiting in the queue: the place, since when, and what the current holders are doing. */
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
  /**
   * Reports a step to `onProgress`, and records it for the processes that wait: as `activity`, or as `shown`. A ledger that cannot be
   * written does not fail it.
   */
  readonly report: (activity: string, shown?: string) => Effect.Effect<void>
  /**
   * Runs writes that the lease's lock protects. If one of them has no response when the lease ends, the next lease gets the lock only
   * after the write can no longer land.
   */
  readonly writeUnderLock: <A, E, R>(writes: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CacheError | LeaseLost, R>
}
