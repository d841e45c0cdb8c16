/**
 * A holder's handle: everything that it may do with its slot, under its epoch. Nothing else touches a slot.
 */
import type { AirflowApi } from "@airflow-resource/airflow/AirflowApi"
import type * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
import * as Polling from "@airflow-resource/airflow/Polling"
import * as RetryAfter from "@airflow-resource/airflow/RetryAfter"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { CacheError } from "../../CacheError.js"
import type { DeploymentId, DeploymentSpec } from "../../Deployment.js"
import type { DeploymentCache } from "../../DeploymentCache.js"
import type { DeploymentProvider, DeploymentToken, ProviderError } from "../../DeploymentProvider.js"
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
  readonly reset: AirflowReset.ResetOptions
  /** `on`: a lease without its own token fails. `auto`: it continues, unfenced, and says so. `off`: none is minted. */
  readonly fence: "auto" | "on" | "off"
  /** Used by leases without their own token. */
  readonly sharedToken: Option.Option<Redacted.Redacted>
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
  readonly hasReaper: boolean
  /** Makes sure that a reaper is active on this machine, if the pool has reapers. */
  readonly ensureReaper: Effect.Effect<void, CacheError>
  readonly options: PrepareOptions
}

/** Called with each step of a holder. `waits`: the step may take long enough to tell the user. */
export type OnStep = (activity: string, step: { readonly waits: boolean }) => Effect.Effect<void>

/** What a holder does about failures that may pass. */
export interface Retries {
  /** How often a call is sent again. */
  readonly times: number
  /** A server that asks for a longer pause is not asked again. */
  readonly longestPause: Duration.Duration
  /** Called with each such failure, and with `undefined` once the call has succeeded. */
  readonly report: (failure: ProviderError | undefined) => Effect.Effect<void>
}

/** Upkeep, which comes again, and releases, whose time is short. */
const few: Retries = { times: 3, longestPause: Duration.minutes(1), report: () => Effect.void }

/** A new token, with its value, and the version of the slot's mark that covers it. */
export interface MintedToken extends DeploymentToken {
  readonly value: Redacted.Redacted
  readonly version: number
}

/** The slot as it is after a write. Fails once the slot is lost. */
type Written = Effect.Effect<Slot, CacheError | LeaseLost>

export interface HeldSlot {
  /** Its provider retries reads and the deletion of tokens. A request that changes a deployment is retried by the code that sends it. */
  readonly pool: PoolContext
  readonly retries: Retries
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
   * Sends a cloud request that changes something, and records what the response says. Beforehand it records that the request may land,
   * even if this process dies (counterexample 2); only a response takes that back.
   */
  readonly request: <A>(
    activity: string,
    call: Effect.Effect<A, ProviderError>,
    facts?: (response: A) => SlotPatch
  ) => Effect.Effect<A, ProviderError | CacheError | LeaseLost>
  /**
   * Mints a token for a deployment of the slot, after it has recorded that such a token may exist (counterexample 14). Fails if the slot
   * is lost by then: the next holder may have revoked tokens before this one was minted (counterexample 6).
   */
  readonly mint: (
    id: DeploymentId,
    name: string
  ) => Effect.Effect<MintedToken, ProviderError | CacheError | LeaseLost>
  /** Deletes a token that is not going to be used. If that fails, the slot's mark says that it may exist. */
  readonly discard: (id: DeploymentId, tokenId: string) => Effect.Effect<void>
  /** The ledger's time, in milliseconds. */
  readonly now: Effect.Effect<number, CacheError>
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

/** Sends a call again after a failure that may pass, no sooner than the server asks for, and logs each failed attempt. */
export const retried = <A, E extends Failure>(
  call: Effect.Effect<A, E>,
  { longestPause, report, times }: Retries = few,
  isTransient: (error: ProviderError) => boolean = ({ retryable }) => retryable
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    let attempt = 0
    const mayPass = (error: Failure): error is ProviderError =>
      isProviderError(error) && isTransient(error) &&
      Duration.lessThanOrEqualTo(error.retryAfter ?? Duration.zero, longestPause)
    return call.pipe(
      Effect.tapError((error) =>
        Effect.annotateLogs(Effect.logDebug(error.message), "attempt", ++attempt).pipe(
          Effect.zipRight(mayPass(error) && attempt <= times ? report(error) : Effect.void)
        )
      ),
      Effect.retry({ schedule: pauses, times, while: mayPass }),
      Effect.zipLeft(report(undefined))
    )
  })

type Failure = {
  readonly _tag: string
  readonly message: string
  readonly retryAfter?: Duration.Duration | undefined
}

const isProviderError = (error: Failure): error is ProviderError => error._tag === "ProviderError"

const pauses = RetryAfter.respected(Polling.backoff)

export const make = (
  pool: PoolContext,
  { epoch, number }: Pick<Slot, "epoch" | "number">,
  spec: DeploymentSpec,
  { onStep = () => Effect.void, retries = few }: { readonly onStep?: OnStep; readonly retries?: Retries } = {}
): HeldSlot => {
  const { cache, provider, rules } = pool
  const persistent: PoolContext["provider"] = {
    ...provider,
    list: retried(provider.list, retries),
    get: (id) => retried(provider.get(id), retries),
    listTokens: (id) => retried(provider.listTokens(id), retries),
    deleteToken: (id, tokenId) => retried(provider.deleteToken(id, tokenId), retries)
  }
  const write = (patch: SlotPatch) => cache.update(rules, number, epoch, patch)
  const report = (waits: boolean) => (activity: string, patch: SlotPatch = {}) =>
    Effect.zipLeft(write({ ...patch, activity }), onStep(activity, { waits }))
  const current = write({})
  const wait = report(true)
  const step = report(false)
  const discard: HeldSlot["discard"] = (id, tokenId) =>
    Effect.catchAll(
      provider.deleteToken(id, tokenId),
      (error) => Effect.logWarning(`The token ${tokenId} could not be deleted yet.`, error)
    )
  /** Records how a request ended. If the slot was lost meanwhile, records that it was sent (counterexample 16). */
  const writeEnd = (patch: SlotPatch) =>
    Effect.tapErrorTag(write(patch), "LeaseLost", () => cache.recordLate(rules, number))
  /** Sends a request, once `announce` has recorded that it may land. */
  const send = <A>(
    announce: Written,
    call: Effect.Effect<A, ProviderError>,
    record: (response: A) => Effect.Effect<unknown, CacheError | LeaseLost>
  ) =>
    Effect.uninterruptible(Effect.flatMap(announce, (slot) =>
      call.pipe(
        Effect.tapError(({ ambiguous }) =>
          ambiguous ? writeEnd({ request: "unanswered" }) : write({ request: "responded" })
        ),
        Effect.tap(record),
        Effect.map((response) => [response, slot] as const)
      )))
  return {
    pool: { ...pool, provider: persistent },
    retries,
    number,
    epoch,
    spec,
    current,
    write,
    step,
    wait,
    request: (activity, call, facts = () => ({})) =>
      send(
        wait(activity, { request: "sent", power: "unknown" }),
        call,
        (response) => writeEnd({ ...facts(response), request: "responded" })
      ).pipe(Effect.map(([response]) => response)),
    mint: (id, name) =>
      send(
        step("minting a token", { request: "sent", mints: true }),
        provider.createToken(id, name),
        (token) => Effect.onError(writeEnd({ request: "responded" }), () => discard(id, token.id))
      ).pipe(Effect.map(([token, { tokens: { version } }]) => ({ ...token, version }))),
    discard,
    now: Effect.map(cache.inspect(rules.poolId), ({ now }) => now),
    beat: cache.beat(rules, number, epoch),
    keepAlive: cache.keepAlive(rules, number, epoch),
    handOver: cache.handOver(rules, number, epoch),
    free: (outcome) => cache.free(rules, number, epoch, outcome),
    giveBack: (pause) => cache.giveBack(rules, number, epoch, pause)
  }
}
