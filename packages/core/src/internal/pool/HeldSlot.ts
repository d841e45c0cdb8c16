/**
 * A holder's handle: everything that it may do with its slot, under its epoch. Nothing else touches a slot.
 */
import type { AirflowApi } from "@airflow-resource/airflow/AirflowApi"
import type * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
import * as Polling from "@airflow-resource/airflow/Polling"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { CacheError } from "../../CacheError.js"
import type { DeploymentSpec } from "../../Deployment.js"
import type { DeploymentCache } from "../../DeploymentCache.js"
import type { DeploymentProvider, ProviderError } from "../../DeploymentProvider.js"
import type { LeaseLost } from "../../Lease.js"
import type { Slot } from "../../Slot.js"
import type { Heartbeat } from "../ledger/Heartbeat.js"
import type { Outcome, PoolRules, SlotPatch } from "../policy/model.js"
import type { DeploymentWatch } from "./DeploymentWatch.js"

/** How long each wait may take, and how tokens are handled. */
export interface PrepareOptions {
  readonly healthyTimeout: Duration.Duration
  readonly readyTimeout: Duration.Duration
  /** How many polls in a row must find Airflow ready. */
  readonly readyPolls: number
  /** How long a revoked token may still be accepted. */
  readonly revocationWait: Duration.Duration
  /** How long a cloud request may be in flight. */
  readonly longestRequest: Duration.Duration
  readonly reset: AirflowReset.ResetOptions
  /** `on`: a lease without its own token fails. `auto`: it continues, unfenced, and says so. */
  readonly fence: "auto" | "on"
  /** Used in place of the lease's own token (`ASTRO_API_TOKEN`), unless the fence is on. */
  readonly apiToken: Option.Option<Redacted.Redacted>
  /** Used where the lease may not mint a token. */
  readonly accessToken: Option.Option<Redacted.Redacted>
}

/** What all holders of a pool work with. */
export interface PoolContext {
  readonly rules: PoolRules
  /** First part of the deployments' names. */
  readonly prefix: string
  readonly cache: typeof DeploymentCache.Service
  readonly provider: typeof DeploymentProvider.Service
  readonly watch: DeploymentWatch
  readonly airflowApi: typeof AirflowApi.Service
  readonly options: PrepareOptions
}

/** Called with each step of a holder. `waits`: the step may take long enough to tell the user. */
export type OnStep = (activity: string, step: { readonly waits: boolean }) => Effect.Effect<void>

/** The slot as it is after a write. Fails once the slot is lost. */
type Written = Effect.Effect<Slot, CacheError | LeaseLost>

export interface HeldSlot {
  readonly pool: PoolContext
  readonly number: number
  readonly epoch: number
  /** What the slot is to be filled with. */
  readonly spec: DeploymentSpec
  /** The slot as the ledger has it. */
  readonly current: Written
  /** Records facts. */
  readonly write: (patch: SlotPatch) => Written
  /** Records and reports what the holder is about to do. */
  readonly step: (activity: string, patch?: SlotPatch) => Written
  /** A {@link step} that may take long. */
  readonly wait: (activity: string, patch?: SlotPatch) => Written
  /**
   * Sends a cloud request that changes something, and records what the response says. Beforehand it records until when the request
   * may land, even if this process dies (counterexample 2); only a response takes that back.
   */
  readonly request: <A>(
    activity: string,
    call: Effect.Effect<A, ProviderError>,
    facts?: (response: A) => SlotPatch
  ) => Effect.Effect<A, ProviderError | CacheError | LeaseLost>
  /** Extends the deadline once. `false`: the slot is lost. */
  readonly beat: Effect.Effect<boolean, CacheError>
  /** Beats until the scope closes. */
  readonly keepAlive: Effect.Effect<Heartbeat, never, Scope.Scope>
  /** Frees the slot for the next ticket, or for upkeep. `false`: neither takes it, and it is still held. */
  readonly handOver: Effect.Effect<boolean, CacheError>
  /** `false`: the slot was lost before. */
  readonly free: (outcome: Outcome) => Effect.Effect<boolean, CacheError>
  /** Gives the slot back unused; no ticket gets it for `pause` milliseconds. */
  readonly giveBack: (pause: number) => Effect.Effect<boolean, CacheError>
}

/** Retries a cloud request after a retryable failure, and logs each failed attempt. */
export const retried = <A, E extends ProviderError | CacheError | LeaseLost>(
  request: Effect.Effect<A, E>,
  times: number
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    let attempt = 0
    return request.pipe(
      Effect.tapError(({ message }) =>
        Effect.suspend(() => Effect.annotateLogs(Effect.logDebug(message), "attempt", ++attempt))
      ),
      Effect.retry({ schedule: Polling.backoff, times, while: isRetryable })
    )
  })

export const isRetryable = (error: CacheError | LeaseLost | ProviderError) =>
  error._tag === "ProviderError" && error.retryable

export const make = (
  pool: PoolContext,
  { epoch, number }: Pick<Slot, "epoch" | "number">,
  spec: DeploymentSpec,
  onStep: OnStep = () => Effect.void
): HeldSlot => {
  const { cache, options, rules } = pool
  const write = (patch: SlotPatch) => cache.update(rules, number, epoch, patch)
  const report = (waits: boolean) => (activity: string, patch: SlotPatch = {}) =>
    Effect.zipLeft(write({ ...patch, activity }), onStep(activity, { waits }))
  const current = write({})
  const wait = report(true)
  return {
    pool,
    number,
    epoch,
    spec,
    current,
    write,
    step: report(false),
    wait,
    request: (activity, call, facts = () => ({})) =>
      Effect.uninterruptible(Effect.gen(function*() {
        // an earlier request without a response may still land: the response to this one does not take that back
        const { busyUntil } = yield* current
        yield* wait(activity, { busyFor: Duration.toMillis(options.longestRequest), power: "unknown" })
        return yield* call.pipe(
          Effect.tap((response) => write({ ...facts(response), busyUntil })),
          Effect.tapError((error) =>
            error._tag === "ProviderError" && !error.ambiguous ? write({ busyUntil }) : Effect.void
          )
        )
      })),
    beat: cache.beat(rules, number, epoch),
    keepAlive: cache.keepAlive(rules, number, epoch),
    handOver: cache.handOver(rules, number, epoch),
    free: (outcome) => cache.free(rules, number, epoch, outcome),
    giveBack: (pause) => cache.giveBack(rules, number, epoch, pause)
  }
}
