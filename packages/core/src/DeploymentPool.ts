/**
 * The pool: queue, grant, prepare, release. Whatever touches a slot is done by its holder, under its epoch.
 *
 * @since 0.1.0
 */
import { AirflowApi } from "@airflow-resource/airflow/AirflowApi"
import type { ResetOptions } from "@airflow-resource/airflow/AirflowReset"
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as Polling from "@airflow-resource/airflow/Polling"
import * as TimeLimit from "@airflow-resource/airflow/TimeLimit"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { CacheError } from "./CacheError.js"
import type { Deployment, DeploymentSpec } from "./Deployment.js"
import type { Snapshot } from "./DeploymentCache.js"
import { DeploymentCache } from "./DeploymentCache.js"
import type { Account, ProviderError } from "./DeploymentProvider.js"
import { DeploymentProvider } from "./DeploymentProvider.js"
import * as DeploymentWatch from "./DeploymentWatch.js"
import type * as Fence from "./Fence.js"
import * as Heartbeat from "./Heartbeat.js"
import type { HeldSlot, PrepareOptions } from "./HeldSlot.js"
import { write } from "./HeldSlot.js"
import { LeaseId, LeaseLost } from "./Lease.js"
import * as Marker from "./Marker.js"
import type * as PoolPolicy from "./PoolPolicy.js"
import * as PrepareSlot from "./PrepareSlot.js"
import type { PoolEvent, Slot } from "./Slot.js"

/**
 * Defaults in brackets.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolOptions {
  /** What a lease gets that asks for nothing else. */
  readonly spec: DeploymentSpec
  /** First part of the deployments' names [`airflow-resource`]. */
  readonly prefix?: string | undefined
  /** How many deployments the pool may fill [4]. */
  readonly max?: number | undefined
  /** A holder that is silent for so long has lost its slot [60 seconds]. */
  readonly ttl?: Duration.DurationInput | undefined
  /** How long a lease may last at most [60 minutes]. */
  readonly maxHold?: Duration.DurationInput | undefined
  /** From asking to having, queue and creation included [15 minutes]. */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /** From awake or created to HEALTHY [12 minutes]. */
  readonly healthyTimeout?: Duration.DurationInput | undefined
  /** From HEALTHY to an Airflow that answers [5 minutes]. */
  readonly readyTimeout?: Duration.DurationInput | undefined
  /** How often in a row Airflow must look ready [2]. */
  readonly readyPolls?: number | undefined
  /** How long a deleted token may still be accepted [5 seconds]. */
  readonly revocationWait?: Duration.DurationInput | undefined
  /** No cloud request is under way for longer than that [35 seconds]. */
  readonly longestRequest?: Duration.DurationInput | undefined
  /** Also takes the workspace's other hibernating development deployments; they are never deleted [false]. */
  readonly adopt?: boolean | undefined
  readonly fence?: "auto" | "on" | undefined
  /** What may stay in a deployment from one lease to the next [nothing]. */
  readonly reset?: ResetOptions | undefined
  /** A token that all leases share, used in place of their own (`ASTRO_API_TOKEN`). */
  readonly apiToken?: Redacted.Redacted | undefined
  /** Used, openly, where an own token is refused (`ASTRO_ACCESS_TOKEN`). */
  readonly accessToken?: Redacted.Redacted | undefined
  /** The Airflow user that every lease gets [`airflow`, `airflow`]. */
  readonly username?: string | undefined
  readonly password?: Redacted.Redacted | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LeaseRequest {
  /** For whom: the test's file and name. Shown to those who wait. */
  readonly label: string
  /** Asking again under the same key is the same request. Default: a key of its own. */
  readonly key?: string | undefined
  readonly spec?: DeploymentSpec | undefined
  /** Called with every step, from the place in the queue to the last check. */
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
  /** While it waits in the queue: its place, since when, and what those ahead are doing. */
  readonly wait?: PoolPolicy.Wait
}

/**
 * A slot that may be used: awake, empty, and nobody else's until the scope closes.
 *
 * @since 0.1.0
 * @category models
 */
export interface LeasedSlot extends PrepareSlot.PreparedSlot {
  readonly leaseId: LeaseId
  readonly poolId: string
  readonly epoch: number
  /** Never succeeds; fails when the lease is lost. */
  readonly lost: Effect.Effect<never, LeaseLost>
  /** Asks the ledger: fails where the lease was lost, also if nobody has heard of it yet. */
  readonly confirm: Effect.Effect<void, LeaseLost>
}

/**
 * The time allowed for getting a lease was over.
 *
 * @since 0.1.0
 * @category errors
 */
export class AcquireTimeout extends Schema.TaggedError<AcquireTimeout>("@airflow-resource/core/AcquireTimeout")(
  "AcquireTimeout",
  { label: Schema.String, waited: Schema.DurationFromSelf, during: Schema.String }
) {
  override get message(): string {
    return `No deployment for ${this.label} within ${
      Duration.format(this.waited)
    }; the last step was: ${this.during}. ` +
      `Allow more time (AIRFLOW_RESOURCE_ACQUIRE_TIMEOUT) or more deployments (AIRFLOW_RESOURCE_MAX).`
  }
  readonly retryable = true
}

/**
 * The ticket ended before it was granted: its waiter was silent for too long, or its key was used before.
 *
 * @since 0.1.0
 * @category errors
 */
export class TicketEnded extends Schema.TaggedError<TicketEnded>("@airflow-resource/core/TicketEnded")("TicketEnded", {
  key: Schema.String
}) {
  override get message(): string {
    return `The ticket ${this.key} has ended: it lapsed while its process was paused, or the key was used before. Ask under a new key.`
  }
  readonly retryable = true
}

/**
 * @since 0.1.0
 * @category errors
 */
export type PoolError = Exclude<PrepareSlot.PrepareError, Fence.SlotContested> | AcquireTimeout | TicketEnded

/**
 * @since 0.1.0
 * @category tags
 */
export class DeploymentPool extends Context.Tag("@airflow-resource/core/DeploymentPool")<
  DeploymentPool,
  {
    readonly options: PoolOptions
    /** The pool's own: closing it releases every lease, while the ledger and the provider are still there. */
    readonly scope: Scope.Scope
    readonly cache: typeof DeploymentCache.Service
    /** Leases a slot until the scope closes; closing it releases, whatever happened. */
    readonly acquire: (request: LeaseRequest) => Effect.Effect<LeasedSlot, PoolError, Scope.Scope>
    /** The pool as the ledger has it. */
    readonly inspect: Effect.Effect<Snapshot, ProviderError | CacheError>
    /** Asks the cloud once and corrects the ledger by it; answers every deployment of the workspace. */
    readonly reconcile: Effect.Effect<ReadonlyArray<Deployment>, ProviderError | CacheError>
    readonly rules: Effect.Effect<PoolPolicy.PoolRules, ProviderError>
    /** First part of the deployments' names. */
    readonly prefix: string
    /** A slot that is held, by whomever, in its holder's hands. */
    readonly hold: (
      slot: Slot,
      rules: PoolPolicy.PoolRules,
      needs: DeploymentSpec,
      onStep: (activity: string) => Effect.Effect<void>
    ) => HeldSlot
    /** What happened, oldest first: to one lease, or to the whole pool. */
    readonly events: (leaseId?: LeaseId) => Effect.Effect<ReadonlyArray<PoolEvent>, ProviderError | CacheError>
    /** Runs an effect on the clock of the pool, whatever clock the caller has. */
    readonly pinned: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  }
>() {}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: PoolOptions
): Effect.Effect<
  typeof DeploymentPool.Service,
  never,
  DeploymentCache | DeploymentProvider | AirflowApi | Scope.Scope
> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    const cache = yield* DeploymentCache
    const provider = yield* DeploymentProvider
    const airflowApi = yield* AirflowApi
    const prefix = options.prefix ?? "airflow-resource"
    const maxHold = Duration.decode(options.maxHold ?? "60 minutes")
    const acquireTimeout = Duration.decode(options.acquireTimeout ?? "15 minutes")
    const longestRequest = Duration.decode(options.longestRequest ?? "35 seconds")
    const watch = yield* DeploymentWatch.make(provider.list)
    const prepareOptions: PrepareOptions = {
      healthyTimeout: Duration.decode(options.healthyTimeout ?? "12 minutes"),
      readyTimeout: Duration.decode(options.readyTimeout ?? "5 minutes"),
      readyPolls: options.readyPolls ?? 2,
      revocationWait: Duration.decode(options.revocationWait ?? "5 seconds"),
      longestRequest,
      reset: options.reset ?? {},
      fence: options.fence ?? "auto",
      apiToken: Option.fromNullable(options.apiToken),
      accessToken: Option.fromNullable(options.accessToken)
    }
    const rules = Effect.map(
      Effect.flatMap(provider.ready, (account) => poolIdOf(account, prefix)),
      (poolId): PoolPolicy.PoolRules => ({
        poolId,
        max: options.max ?? 4,
        ttl: Duration.toMillis(options.ttl ?? "60 seconds"),
        maxHold: Duration.toMillis(maxHold),
        lockDelay: Duration.toMillis(longestRequest)
      })
    )

    const isAdoptable = ({ description, isDevelopment, status }: Deployment) =>
      options.adopt === true && isDevelopment && status === "HIBERNATING" && !Marker.isMarked(description)
    const observe = (rules: PoolPolicy.PoolRules) =>
      Effect.gen(function*() {
        const all = yield* provider.list
        const own = all.flatMap((deployment) => {
          const place = Marker.parseDeploymentName(prefix, rules.poolId, deployment.name)
          return place === undefined || !deployment.description.includes(Marker.marker(rules.poolId))
            ? []
            : [{ deployment, ...place }]
        })
        yield* cache.reconcile(rules, { own, adoptable: all.filter(isAdoptable) })
        return all
      })
    /** A ledger that knows no slots yet asks the cloud for the pool's deployments; each process does that once to adopt others. */
    let hasAdopted = options.adopt !== true
    const discover = (rules: PoolPolicy.PoolRules) =>
      Effect.gen(function*() {
        if (hasAdopted && (yield* cache.inspect(rules.poolId)).slots.length > 0) return
        yield* observe(rules)
        hasAdopted = true
      })

    const hold: typeof DeploymentPool.Service["hold"] = (slot, rules, needs, onStep) => ({
      number: slot.number,
      epoch: slot.epoch,
      rules,
      prefix,
      needs,
      cache,
      provider,
      watch,
      airflowApi,
      options: prepareOptions,
      onStep
    })

    /** What nobody can prevent is noticed: a click in Astro's pages, or a request of a process that was paused (counterexample 3). */
    const watchOver = (slot: Slot, { id, name }: Deployment) =>
      Effect.gen(function*() {
        let missed = 0
        const reason = Polling.untilSome(
          Effect.map(watch.within("15 seconds"), (seen) => {
            const deployment = seen.get(id)
            missed = deployment === undefined ? missed + 1 : 0
            if (missed > 1) return Option.some(`${name} was deleted by somebody else`)
            if (deployment?.hibernationRequested === true) return Option.some(`${name} was hibernated by somebody else`)
            return deployment?.status === "HIBERNATING" ? Option.some(`${name} is asleep`) : Option.none()
          }).pipe(Effect.orElseSucceed(() => Option.none<string>()), Effect.delay("30 seconds")),
          Schedule.forever
        )
        return yield* new LeaseLost({ held: `slot ${slot.number}`, epoch: slot.epoch, reason: yield* reason })
      })

    const confirm = ({ epoch, number }: Slot) =>
      Effect.gen(function*() {
        const loss = yield* Effect.match(Effect.flatMap(rules, (pool) => cache.beat(pool, number, epoch)), {
          onSuccess: (isHeld) => isHeld ? undefined : "silent" as const,
          // a ledger that cannot be reached is no loss
          onFailure: ({ kind }) => kind === "replaced" ? kind : undefined
        })
        if (loss !== undefined) return yield* Heartbeat.lossOf({ name: `slot ${number}`, epoch }, loss)
      })

    const acquire = (request: LeaseRequest): Effect.Effect<LeasedSlot, PoolError, Scope.Scope> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const leaseId = LeaseId.make(yield* randomId)
          const key = request.key ?? leaseId
          const needs = request.spec ?? options.spec
          const during = yield* Ref.make("starting")
          const onStep = (activity: string, wait?: PoolPolicy.Wait) =>
            Effect.gen(function*() {
              yield* Ref.set(during, activity)
              const at = yield* Clock.currentTimeMillis
              yield* request.onProgress?.({ at, activity, ...(wait === undefined ? {} : { wait }) }) ?? Effect.void
            })
          const prepared = yield* Ref.make(Option.none<PrepareSlot.PreparedSlot>())
          const usable = yield* Ref.make<PoolPolicy.Outcome["usable"]>("unknown")
          const beats = yield* Scope.make()
          const watching = yield* Scope.make()
          const pool = yield* restore(rules)
          yield* restore(discover(pool))

          // registered before the ticket, and asking the ledger what there is: an interrupt may come at any step
          yield* Effect.addFinalizer((exit) =>
            Effect.gen(function*() {
              yield* Scope.close(watching, exit)
              if (yield* cache.withdraw(pool, key)) return
              const slot = (yield* cache.inspect(pool.poolId)).slots.find((slot) => slot.holder?.leaseId === leaseId)
              if (slot === undefined) return
              const outcome = { usable: yield* Ref.get(usable), clean: false }
              yield* PrepareSlot.release(hold(slot, pool, needs, onStep), yield* Ref.get(prepared), outcome).pipe(
                // the next holder need not wait for the deadline, unless something unfenced may still be on its way
                Effect.onError(() =>
                  slot.holder?.fenced === true
                    ? Effect.ignore(cache.free(pool, slot.number, slot.epoch, outcome))
                    : Effect.void
                )
              )
            }).pipe(
              Effect.catchIf(
                (error) => error._tag === "CacheError" && error.kind === "replaced",
                () =>
                  Effect.flatMap(
                    Ref.get(prepared),
                    Option.match({ onNone: () => Effect.void, onSome: PrepareSlot.abandon(provider) })
                  )
              ),
              (released) =>
                TimeLimit.fail(released, { limit: "2 minutes", onTimeout: () => new Cause.TimeoutException() }),
              Effect.catchAllCause((cause) =>
                Effect.logWarning("the release did not end well; the next holder of the slot repairs it", cause)
              ),
              Effect.zipRight(Scope.close(beats, exit)),
              pin
            )
          )

          const granted = Polling.untilSome(
            Effect.gen(function*() {
              const status = yield* cache.step(pool, key)
              if (status._tag === "Granted") return Option.some(status.slot)
              if (status._tag === "Ended") return yield* new TicketEnded({ key })
              const waiting = `place ${status.place} in the queue: ${status.reason}`
              if ((yield* Ref.get(during)) !== waiting) yield* onStep(waiting, status)
              return Option.none()
            }),
            Polling.queue
          )

          const attempt = Effect.gen(function*() {
            const slot = yield* granted
            const lost = yield* Deferred.make<never, LeaseLost>()
            const beating = yield* Scope.extend(cache.keepAlive(pool, slot.number, slot.epoch), beats)
            yield* Effect.forkIn(Effect.intoDeferred(beating.lost, lost), beats)
            const ready = yield* PrepareSlot.prepare(hold(slot, pool, needs, onStep), slot, worthless(slot)).pipe(
              Effect.raceFirst(Deferred.await(lost)),
              Effect.tapError((error) =>
                ["DeploymentNotHealthy", "AirflowNotReady", "SlotNotClean"].includes(error._tag)
                  ? Ref.set(usable, { failure: error.message })
                  : Effect.void
              ),
              Effect.asSome,
              Effect.catchTag("SlotContested", (contested) =>
                Effect.gen(function*() {
                  yield* onStep(contested.message)
                  const pause = yield* Random.nextIntBetween(10_000, 30_000)
                  yield* cache.giveBack(pool, slot.number, slot.epoch, pause)
                  return Option.none()
                }))
            )
            if (Option.isNone(ready)) return Option.none()
            yield* Ref.set(prepared, ready)
            yield* Ref.set(usable, true)
            yield* write(hold(slot, pool, needs, onStep), { activity: "in use" })
            yield* Effect.forkIn(
              Effect.intoDeferred(watchOver(slot, ready.value.deployment), lost),
              watching
            )
            return Option.some<LeasedSlot>({
              ...ready.value,
              leaseId,
              poolId: pool.poolId,
              epoch: slot.epoch,
              lost: Deferred.await(lost),
              confirm: pin(confirm(slot))
            })
          })

          yield* cache.enqueue(pool, { key, leaseId, needs, label: request.label })
          return yield* restore(Effect.timeoutOption(Polling.untilSome(attempt, Polling.queue), acquireTimeout))
            .pipe(
              Effect.flatMap(Option.match({
                onNone: () =>
                  Effect.flatMap(
                    Ref.get(during),
                    (during) => new AcquireTimeout({ label: request.label, waited: acquireTimeout, during })
                  ),
                onSome: Effect.succeed
              }))
            )
        })
      )

    return DeploymentPool.of({
      options,
      scope: yield* Effect.scope,
      cache,
      acquire: (request) => pin(acquire(request)),
      inspect: pin(Effect.flatMap(rules, ({ poolId }) => cache.inspect(poolId))),
      reconcile: pin(Effect.flatMap(rules, observe)),
      rules,
      prefix,
      hold,
      events: (leaseId) => pin(Effect.flatMap(rules, ({ poolId }) => cache.events(poolId, leaseId))),
      pinned: pin
    })
  })

/**
 * A pool over a ledger, a provider and a way to talk to Airflow.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: PoolOptions
): Layer.Layer<DeploymentPool, never, DeploymentCache | DeploymentProvider | AirflowApi> =>
  Layer.scoped(DeploymentPool, make(options))

// internal

/** What could not be used twice is not worth a third try. */
const worthless = ({ quarantine }: Slot) =>
  quarantine !== null && quarantine.failures > 1
    ? Option.some(`which could not be used ${quarantine.failures} times in a row`)
    : Option.none()

const hex = (bytes: Iterable<number>) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

const randomId = Effect.map(
  Effect.replicateEffect(Random.nextIntBetween(0, 256), 8),
  (bytes) => hex(bytes)
)

/** Derived, not random: another machine, or a new ledger, finds the same pool. */
const poolIdOf = ({ host, organizationId, workspaceId }: Account, prefix: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() =>
      crypto.subtle.digest("SHA-256", new TextEncoder().encode([host, organizationId, workspaceId, prefix].join("\n")))
    ),
    (digest) => hex(new Uint8Array(digest)).slice(0, 12)
  )
