/**
 * The pool: queue, grant, prepare, release. Whatever touches a slot is done by its holder, under its epoch.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { AirflowApi } from "./AirflowApi.js"
import type { ResetOptions } from "./AirflowReset.js"
import type { Make } from "./Deployment.js"
import type { CacheError } from "./DeploymentCache.js"
import { DeploymentCache } from "./DeploymentCache.js"
import type { Account, ProviderError } from "./DeploymentProvider.js"
import { DeploymentProvider } from "./DeploymentProvider.js"
import * as Heartbeat from "./Heartbeat.js"
import * as schedules from "./internal/schedules.js"
import type { LeaseLost } from "./Lease.js"
import { LeaseId } from "./Lease.js"
import * as PinnedClock from "./PinnedClock.js"
import * as PoolPolicy from "./PoolPolicy.js"
import * as PrepareSlot from "./PrepareSlot.js"
import type { Owner, PoolEvent, Slot } from "./Slot.js"

/**
 * Defaults in brackets.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolOptions {
  /** What a lease gets that asks for nothing else. */
  readonly make: Make
  readonly owner: Owner
  /** What tells that another process has ended (`Owner.isGone`) [only its deadline]. */
  readonly isGone?: ((owner: Owner) => boolean) | undefined
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
  readonly make?: Make | undefined
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
export type PoolError = Exclude<PrepareSlot.PrepareError, PrepareSlot.SlotContested> | AcquireTimeout | TicketEnded

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
    readonly slots: Effect.Effect<ReadonlyArray<Slot>, ProviderError | CacheError>
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
    const longestRequest = Duration.seconds(35)
    const prepareOptions: PrepareSlot.PrepareOptions = {
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
        lockDelay: Duration.toMillis(longestRequest),
        isGone: options.isGone
      })
    )

    /** A ledger that knows no slots yet asks the cloud for the pool's deployments. */
    const discover = (rules: PoolPolicy.PoolRules) =>
      Effect.gen(function*() {
        if ((yield* cache.slots(rules.poolId)).length > 0) return
        const found = (yield* provider.list).flatMap((deployment) => {
          const place = PoolPolicy.parseDeploymentName(prefix, rules.poolId, deployment.name)
          return place === undefined || !deployment.description.includes(PrepareSlot.marker(rules.poolId))
            ? []
            : [{ deployment, ...place }]
        })
        yield* cache.discover(rules, found.sort((a, b) => b.generation - a.generation))
      })

    const acquire = (request: LeaseRequest): Effect.Effect<LeasedSlot, PoolError, Scope.Scope> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const leaseId = LeaseId.make(yield* randomId)
          const key = request.key ?? leaseId
          const needs = request.make ?? options.make
          const during = yield* Ref.make("starting")
          const onStep = (activity: string) =>
            Effect.gen(function*() {
              yield* Ref.set(during, activity)
              yield* request.onProgress?.({ at: yield* Clock.currentTimeMillis, activity }) ?? Effect.void
            })
          const prepared = yield* Ref.make(Option.none<PrepareSlot.PreparedSlot>())
          const beats = yield* Scope.make()
          const pool = yield* restore(rules)
          yield* restore(discover(pool))

          const hold = (slot: Slot): PrepareSlot.HeldSlot => ({
            number: slot.number,
            epoch: slot.epoch,
            rules: pool,
            prefix,
            needs,
            cache,
            provider,
            airflowApi,
            options: prepareOptions,
            onStep
          })

          // registered before the ticket, and asking the ledger what there is: an interrupt may come at any step
          yield* Effect.addFinalizer((exit) =>
            Effect.gen(function*() {
              if (yield* cache.withdraw(pool, key)) return
              const slot = (yield* cache.slots(pool.poolId)).find((slot) => slot.holder?.leaseId === leaseId)
              if (slot !== undefined) yield* PrepareSlot.release(hold(slot), yield* Ref.get(prepared))
            }).pipe(
              Effect.interruptible,
              Effect.timeout("2 minutes"),
              Effect.catchAllCause((cause) =>
                Effect.logWarning("the release did not end well; the next holder of the slot repairs it", cause)
              ),
              Effect.zipRight(Scope.close(beats, exit)),
              pin
            )
          )

          const granted = schedules.untilSome(
            Effect.gen(function*() {
              const status = yield* cache.step(pool, key)
              if (status._tag === "Granted") return Option.some(status.slot)
              if (status._tag === "Ended") return yield* new TicketEnded({ key })
              const waiting = `place ${status.place} in the queue: ${status.reason}`
              if ((yield* Ref.get(during)) !== waiting) yield* onStep(waiting)
              return Option.none()
            }),
            schedules.queue
          )

          const attempt = Effect.gen(function*() {
            const slot = yield* granted
            const { lost } = yield* Scope.extend(Heartbeat.make(cache, pool, slot.number, slot.epoch), beats)
            const held = hold(slot)
            const ready = yield* Effect.raceFirst(PrepareSlot.prepare(held, slot), lost).pipe(
              Effect.asSome,
              Effect.catchTag("SlotContested", (contested) =>
                Effect.gen(function*() {
                  yield* onStep(contested.message)
                  const pause = yield* Random.nextIntBetween(10_000, 30_000)
                  yield* cache.giveBack(pool, slot.number, slot.epoch, (yield* Clock.currentTimeMillis) + pause)
                  return Option.none()
                }))
            )
            yield* Ref.set(prepared, ready)
            return Option.map(ready, (ready): LeasedSlot => ({
              ...ready,
              leaseId,
              poolId: pool.poolId,
              epoch: slot.epoch,
              lost
            }))
          })

          yield* cache.enqueue(pool, { key, leaseId, needs, owner: options.owner, label: request.label })
          return yield* restore(Effect.timeoutOption(schedules.untilSome(attempt, schedules.queue), acquireTimeout))
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
      slots: pin(Effect.flatMap(rules, ({ poolId }) => cache.slots(poolId))),
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
