/**
 * A slot in its holder's hands: what it writes down about it, and the cloud requests that it makes, under its epoch.
 *
 * @since 0.1.0
 */
import type { AirflowApi } from "@airflow-resource/airflow/AirflowApi"
import type * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { CacheError } from "./CacheError.js"
import type { DeploymentSpec } from "./Deployment.js"
import type { DeploymentCache } from "./DeploymentCache.js"
import type { DeploymentProvider, ProviderError } from "./DeploymentProvider.js"
import type { DeploymentWatch } from "./DeploymentWatch.js"
import type { LeaseLost } from "./Lease.js"
import type * as PoolPolicy from "./PoolPolicy.js"
import type { Slot } from "./Slot.js"

/**
 * How long each wait may be, and how tokens are handled.
 *
 * @since 0.1.0
 * @category models
 */
export interface PrepareOptions {
  readonly healthyTimeout: Duration.Duration
  readonly readyTimeout: Duration.Duration
  /** How often in a row Airflow must look ready. */
  readonly readyPolls: number
  /** A deleted token may be accepted for so long. */
  readonly revocationWait: Duration.Duration
  /** No cloud request is in flight for longer. */
  readonly longestRequest: Duration.Duration
  readonly reset: AirflowReset.ResetOptions
  /** `on`: a lease without an own token fails. `auto`: it goes on, and says so. */
  readonly fence: "auto" | "on"
  /** Used in place of an own token (`ASTRO_API_TOKEN`), unless the fence is on. */
  readonly apiToken: Option.Option<Redacted.Redacted>
  /** Used where an own token is refused. */
  readonly accessToken: Option.Option<Redacted.Redacted>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface HeldSlot {
  readonly number: number
  readonly epoch: number
  readonly rules: PoolPolicy.PoolRules
  readonly prefix: string
  readonly needs: DeploymentSpec
  readonly cache: typeof DeploymentCache.Service
  readonly provider: typeof DeploymentProvider.Service
  readonly watch: DeploymentWatch
  readonly airflowApi: typeof AirflowApi.Service
  readonly options: PrepareOptions
  /** Says what the holder is about to do. */
  readonly onStep: (activity: string) => Effect.Effect<void>
}

/**
 * Writes facts about the slot into the ledger.
 *
 * @since 0.1.0
 * @category combinators
 */
export const write = (slot: HeldSlot, patch: PoolPolicy.SlotPatch): Effect.Effect<Slot, CacheError | LeaseLost> =>
  slot.cache.update(slot.rules, slot.number, slot.epoch, patch)

/**
 * Writes down and says what the holder is about to do.
 *
 * @since 0.1.0
 * @category combinators
 */
export const step = (
  slot: HeldSlot,
  activity: string,
  patch: PoolPolicy.SlotPatch = {}
): Effect.Effect<Slot, CacheError | LeaseLost> =>
  Effect.zipLeft(write(slot, { ...patch, activity }), slot.onStep(activity))

/**
 * A cloud request that changes something: the ledger says beforehand until when it may land, whatever becomes of its sender
 * (counterexample 2). Only an answer takes that back.
 *
 * @since 0.1.0
 * @category combinators
 */
export const request = <A>(
  slot: HeldSlot,
  activity: string,
  call: Effect.Effect<A, ProviderError>,
  facts: (answer: A) => PoolPolicy.SlotPatch
): Effect.Effect<A, ProviderError | CacheError | LeaseLost> =>
  Effect.uninterruptible(Effect.gen(function*() {
    // one before it that was not answered may still land: the answer to this one does not take that back
    const { busyUntil } = yield* write(slot, {})
    yield* step(slot, activity, { busyFor: Duration.toMillis(slot.options.longestRequest), power: "unknown" })
    return yield* call.pipe(
      Effect.tap((answer) => write(slot, { ...facts(answer), busyUntil })),
      Effect.tapError((error) =>
        error._tag === "ProviderError" && !error.ambiguous ? write(slot, { busyUntil }) : Effect.void
      )
    )
  }))
