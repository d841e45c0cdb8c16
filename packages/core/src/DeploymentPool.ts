/**
 * The pool: it queues leases, grants slots, prepares and releases them. Only a slot's holder touches it, under the slot's epoch.
 *
 * @since 0.1.0
 */
import { AirflowApi } from "@airflow-resource/airflow/AirflowApi"
import type { ResetOptions } from "@airflow-resource/airflow/AirflowReset"
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { DeploymentInUse, DeploymentNotFound, SlotFree, SlotNotFound } from "./AdministrationError.js"
import type { CacheError } from "./CacheError.js"
import type { Deployment, DeploymentSpec } from "./Deployment.js"
import type { Snapshot } from "./DeploymentCache.js"
import { DeploymentCache } from "./DeploymentCache.js"
import type { ProviderError } from "./DeploymentProvider.js"
import { DeploymentProvider } from "./DeploymentProvider.js"
import type { PoolRules } from "./internal/policy/model.js"
import { isTakenBack } from "./internal/policy/slots.js"
import * as Administration from "./internal/pool/administration.js"
import type * as Chores from "./internal/pool/chores.js"
import * as DeploymentWatch from "./internal/pool/DeploymentWatch.js"
import type { PoolContext, PrepareOptions } from "./internal/pool/HeldSlot.js"
import * as Lease from "./internal/pool/lease.js"
import * as Marker from "./internal/pool/Marker.js"
import * as PoolId from "./internal/pool/PoolId.js"
import * as Reaper from "./internal/pool/reaper.js"
import * as Upkeep from "./internal/pool/upkeep.js"
import * as UsualTimes from "./internal/pool/UsualTimes.js"
import type { LeasedSlot, LeaseRequest } from "./LeasedSlot.js"
import type { AcquireTimeout, PoolError, TicketEnded } from "./PoolError.js"
import type { EventQuery, RecordedEvent } from "./Slot.js"
import type { DrainOptions, Emptied, ReaperEnd, ReaperOptions, Released, Report, UpkeepOptions } from "./Upkeep.js"

/**
 * Defaults in brackets.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolOptions {
  /** The spec of every lease that does not state another. */
  readonly spec: DeploymentSpec
  /** First part of the deployments' names [`airflow-resource`]. */
  readonly prefix?: string | undefined
  /** How many deployments the pool may fill [4]. */
  readonly max?: number | undefined
  /** A holder that sends no heartbeat for this long has lost its slot [60 seconds]. */
  readonly ttl?: Duration.DurationInput | undefined
  /** How long a lease may last at most [60 minutes]. */
  readonly maxHold?: Duration.DurationInput | undefined
  /** How long getting a lease may take, queue and creation included [15 minutes]. */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /** How long a created or woken deployment may take to be HEALTHY [12 minutes]. */
  readonly healthyTimeout?: Duration.DurationInput | undefined
  /** How long the Airflow of a HEALTHY deployment may take to be ready [5 minutes]. */
  readonly readyTimeout?: Duration.DurationInput | undefined
  /** How many polls in a row must find Airflow ready [2]. */
  readonly readyPolls?: number | undefined
  /** The longest pause between two looks at deployments that are about to be HEALTHY; the first pauses are shorter [5 seconds]. */
  readonly longestPoll?: Duration.DurationInput | undefined
  /** How long a revoked token may still be accepted [5 seconds]. */
  readonly revocationWait?: Duration.DurationInput | undefined
  /** How long a cloud request may be in flight [35 seconds]. */
  readonly longestRequest?: Duration.DurationInput | undefined
  /** Also uses the workspace's other hibernating development deployments; they are never deleted [false]. */
  readonly adopt?: boolean | undefined
  /**
   * `on`: a lease that may not mint its own token fails. `auto`: it continues with `sharedToken`, unfenced, and says so. `off`: all leases
   * use `sharedToken`, and none is minted [auto].
   */
  readonly fence?: "auto" | "on" | "off" | undefined
  /** What may stay in a deployment from one lease to the next [nothing]. */
  readonly reset?: ResetOptions | undefined
  /** What leases without their own token use: a token that their Airflows accept (`ASTRO_API_TOKEN`, else `ASTRO_ACCESS_TOKEN`). */
  readonly sharedToken?: Redacted.Redacted | undefined
  /** The Airflow user that every lease creates [`airflow`, with the password `airflow`]. */
  readonly username?: string | undefined
  readonly password?: Redacted.Redacted | undefined
  /**
   * Starts another process that runs this pool's {@link DeploymentPool.reaper}. Called when no such process is active on this machine,
   * before a lease's first request and after its end [never].
   */
  readonly startReaper?: Effect.Effect<void> | undefined
}

/**
 * The defaults of {@link PoolOptions}.
 *
 * @since 0.1.0
 * @category config
 */
export const defaults = {
  prefix: "airflow-resource",
  max: 4,
  ttl: "60 seconds",
  maxHold: "60 minutes",
  acquireTimeout: "15 minutes",
  healthyTimeout: "12 minutes",
  readyTimeout: "5 minutes",
  readyPolls: 2,
  longestPoll: "5 seconds",
  revocationWait: "5 seconds",
  longestRequest: "35 seconds",
  adopt: false,
  fence: "auto",
  username: "airflow"
} as const satisfies Partial<PoolOptions>

/**
 * The pool's part of the ledger, and its rules.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolSnapshot extends Snapshot {
  readonly rules: PoolRules
}

/**
 * @since 0.1.0
 * @category tags
 */
export class DeploymentPool extends Context.Tag("@airflow-resource/core/DeploymentPool")<
  DeploymentPool,
  {
    readonly options: PoolOptions
    readonly cache: typeof DeploymentCache.Service
    /** Leases a slot until the scope closes; closing it releases the slot, whatever happened. */
    readonly acquire: (request: LeaseRequest) => Effect.Effect<LeasedSlot, PoolError, Scope.Scope>
    /**
     * Runs an effect on the pool's clock, in a scope that closes with the caller's scope, with a failure of the effect, or with the pool,
     * whichever comes first. A layer that is provided inside a test closes before the test's scope does (decision 002).
     */
    readonly scoped: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | Scope.Scope>
    /** The pool as the ledger has it. */
    readonly inspect: Effect.Effect<PoolSnapshot, ProviderError | CacheError>
    /** Lists the workspace's deployments, corrects the ledger to match them, and returns them. */
    readonly reconcile: Effect.Effect<ReadonlyArray<Deployment>, ProviderError | CacheError>
    /** What happened in the pool, oldest first. The ledger keeps events for 30 days. */
    readonly events: (
      query?: EventQuery
    ) => Effect.Effect<ReadonlyArray<RecordedEvent>, ProviderError | CacheError>
    /**
     * Takes care of the whole pool once: expires what is overdue, hibernates idle deployments, deletes older deployments of its slots and
     * tokens of ended leases.
     */
    readonly reap: Effect.Effect<Report, ProviderError | CacheError>
    /**
     * Ends the hold of a slot, whatever holds it, and takes care of the slot as `reap` does. The former holder loses the slot as if its
     * deadline had passed.
     */
    readonly release: (
      slot: number
    ) => Effect.Effect<Released, ProviderError | CacheError | SlotNotFound | SlotFree>
    /** Empties a free deployment, given by its name or its id, and hibernates it, unless it is kept awake for a run. */
    readonly reset: (
      deployment: string
    ) => Effect.Effect<
      Emptied,
      Exclude<PoolError, AcquireTimeout | TicketEnded> | DeploymentNotFound | DeploymentInUse
    >
    /** Hibernates the whole pool: waits for holders, up to the timeout, and deletes deployments above the pool's maximum. */
    readonly drain: (options: DrainOptions) => Effect.Effect<Report, ProviderError | CacheError>
    /**
     * Keeps deployments awake between leases until the scope closes, then hibernates all free ones. The pool's reaper does the work, or
     * this process if the pool has no reapers. Of all processes of a machine, one at a time is active.
     */
    readonly upkeep: (options?: UpkeepOptions) => Effect.Effect<void, never, Scope.Scope>
    /**
     * The work of the reaper's process: cleans up after processes that have ended, and does the upkeep of runs. Ends when nothing is left
     * to do.
     */
    readonly reaper: (options?: ReaperOptions) => Effect.Effect<ReaperEnd>
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
    const scope = yield* Effect.scope
    const cache = yield* DeploymentCache
    const context = yield* contextOf(options)
    const withContext = <A, E, R>(f: (context: PoolContext) => Effect.Effect<A, E, R>) =>
      pin(Effect.flatMap(context, f))
    const acquireTimeout = Duration.decode(options.acquireTimeout ?? defaults.acquireTimeout)
    const discover = discoverOnce(options)
    const usualTimes = yield* UsualTimes.make(context)
    const pool: Chores.Pool = { context, spec: options.spec, reconcile: reconcile(options) }

    return DeploymentPool.of({
      options,
      cache,
      acquire: (request) =>
        pin(Lease.acquire(request, { spec: options.spec, acquireTimeout, context, discover, usualTimes })),
      scoped: (effect) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            const own = yield* Scope.fork(scope, ExecutionStrategy.sequential)
            yield* Effect.addFinalizer((exit) => pin(Scope.close(own, exit)))
            return yield* restore(effect).pipe(
              Effect.provideService(Scope.Scope, own),
              pin,
              Effect.onError((cause) => Scope.close(own, Exit.failCause(cause)))
            )
          })
        ),
      inspect: withContext(({ rules }) => Effect.map(cache.inspect(rules.poolId), (all) => ({ ...all, rules }))),
      reconcile: withContext(pool.reconcile),
      events: (query) => withContext(({ rules }) => cache.events(rules.poolId, query)),
      reap: pin(Upkeep.reap(pool)),
      release: (slot) => pin(Administration.release(pool, slot)),
      reset: (deployment) => pin(Administration.reset(pool, deployment)),
      drain: (options) => pin(Upkeep.drain(pool, options)),
      upkeep: (options = {}) => pin(Upkeep.run(pool, options)),
      reaper: (options = {}) => pin(Reaper.run(pool, options))
    })
  })

/**
 * A pool over a ledger, a provider and the clients of its Airflows.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: PoolOptions
): Layer.Layer<DeploymentPool, never, DeploymentCache | DeploymentProvider | AirflowApi> =>
  Layer.scoped(DeploymentPool, make(options))

/**
 * Upkeep of the pool for as long as the layer lives.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerUpkeep = (options: UpkeepOptions = {}): Layer.Layer<never, never, DeploymentPool> =>
  Layer.scopedDiscard(Effect.flatMap(DeploymentPool, ({ upkeep }) => upkeep(options)))

// internal

/** What all holders work with. An effect, because the pool's id follows from the account, which the provider has to check first. */
const contextOf = (
  options: PoolOptions
): Effect.Effect<
  Effect.Effect<PoolContext, ProviderError>,
  never,
  DeploymentCache | DeploymentProvider | AirflowApi | Scope.Scope
> =>
  Effect.gen(function*() {
    const cache = yield* DeploymentCache
    const provider = yield* DeploymentProvider
    const airflowApi = yield* AirflowApi
    const watch = yield* DeploymentWatch.make(provider.list, options.longestPoll ?? defaults.longestPoll)
    const prefix = options.prefix ?? defaults.prefix
    const prepareOptions: PrepareOptions = {
      healthyTimeout: Duration.decode(options.healthyTimeout ?? defaults.healthyTimeout),
      readyTimeout: Duration.decode(options.readyTimeout ?? defaults.readyTimeout),
      readyPolls: options.readyPolls ?? defaults.readyPolls,
      revocationWait: Duration.decode(options.revocationWait ?? defaults.revocationWait),
      reset: options.reset ?? {},
      fence: options.fence ?? defaults.fence,
      sharedToken: Option.fromNullable(options.sharedToken)
    }
    return Effect.map(
      Effect.flatMap(provider.ready, (account) => PoolId.of(account, prefix)),
      (poolId): PoolContext => {
        const rules: PoolRules = {
          poolId,
          max: options.max ?? defaults.max,
          ttl: Duration.toMillis(options.ttl ?? defaults.ttl),
          maxHold: Duration.toMillis(options.maxHold ?? defaults.maxHold),
          longestRequest: Duration.toMillis(options.longestRequest ?? defaults.longestRequest)
        }
        const { startReaper } = options
        return {
          rules,
          prefix,
          cache,
          provider,
          watch,
          airflowApi,
          hasReaper: startReaper !== undefined,
          ensureReaper: startReaper === undefined
            ? Effect.void
            : Effect.flatMap(cache.outlook(rules), ({ upkeep }) => upkeep === undefined ? startReaper : Effect.void),
          options: prepareOptions
        }
      }
    )
  })

const reconcile = (options: PoolOptions) => ({ cache, prefix, provider, rules }: PoolContext) =>
  Effect.gen(function*() {
    const isAdoptable = (deployment: Deployment) =>
      (options.adopt ?? defaults.adopt) && deployment.isDevelopment && deployment.status === "HIBERNATING" &&
      // one that hibernates by its schedule would wake by it
      deployment.hibernationRequested && !Marker.hasAnyMarker(deployment)
    const all = yield* provider.list
    const own = all.flatMap((deployment) => {
      const place = Marker.parseDeploymentName({ prefix, ...rules }, deployment.name)
      return place === undefined || !Marker.hasMarker(rules.poolId, deployment) ? [] : [{ deployment, ...place }]
    })
    yield* cache.reconcile(rules, { all, own, adoptable: all.filter(isAdoptable) })
    return all
  })

/**
 * Before a lease, reconciles a ledger that has no slots, or one whose adopted deployments may be their users' again. With `adopt`, the
 * first lease of each process reconciles in any case.
 */
const discoverOnce = (options: PoolOptions) => {
  let hasAdopted = !(options.adopt ?? defaults.adopt)
  return (context: PoolContext) =>
    Effect.gen(function*() {
      const { now, slots } = yield* context.cache.inspect(context.rules.poolId)
      if (hasAdopted && slots.length > 0 && slots.every((slot) => !isTakenBack(slot, now))) return
      yield* reconcile(options)(context)
      hasAdopted = true
    })
}
