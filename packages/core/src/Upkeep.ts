/**
 * The same prepare and the same release as a lease's, by a holder that is no test: resets ahead of the next test, hibernates what is
 * idle, deletes what was left behind. It makes things faster, never right: without it the next holder does it all.
 *
 * @since 0.1.0
 */
import * as Polling from "@airflow-resource/airflow/Polling"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { CacheError } from "./CacheError.js"
import type { Deployment } from "./Deployment.js"
import { DeploymentPool } from "./DeploymentPool.js"
import type { ProviderError } from "./DeploymentProvider.js"
import * as Fence from "./Fence.js"
import type { HeldSlot } from "./HeldSlot.js"
import { write } from "./HeldSlot.js"
import { LeaseId } from "./Lease.js"
import * as Marker from "./Marker.js"
import * as PoolPolicy from "./PoolPolicy.js"
import type { PrepareError } from "./PrepareSlot.js"
import * as PrepareSlot from "./PrepareSlot.js"
import type { Slot } from "./Slot.js"
import * as UpkeepPolicy from "./UpkeepPolicy.js"

/**
 * Defaults in brackets.
 *
 * @since 0.1.0
 * @category models
 */
export interface UpkeepOptions {
  /** How long a deployment that nobody uses stays awake [0]. */
  readonly hibernateAfter?: Duration.DurationInput | undefined
  /** A deployment that was held so often is replaced by a new one [never]. */
  readonly recycleUses?: number | undefined
  /** A deployment that is so old is replaced by a new one [never]. */
  readonly recycleAge?: Duration.DurationInput | undefined
  /** How often it looks after the pool [10 seconds]. */
  readonly every?: Duration.DurationInput | undefined
}

/**
 * What one slot needed, and what came of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Action {
  readonly slot: number
  readonly deployment: string
  readonly did: UpkeepPolicy.Chore | "left alone"
  /** Why it was left alone; empty otherwise. */
  readonly detail: string
}

/**
 * What was done, and what is still there.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly actions: ReadonlyArray<Action>
  /** Slots in somebody's hands. */
  readonly held: ReadonlyArray<{ readonly slot: number; readonly label: string; readonly activity: string }>
  /** Names of the pool's deployments that are awake, or may be, in nobody's hands. */
  readonly awake: ReadonlyArray<string>
}

/**
 * Looks after the whole pool once: ends what is overdue, puts to sleep what nobody uses, deletes older deployments of its slots and
 * tokens of ended leases.
 *
 * @since 0.1.0
 * @category combinators
 */
export const reap: Effect.Effect<Report, ProviderError | CacheError, DeploymentPool> = Effect.suspend(() =>
  round(atOnce)
)

/**
 * Puts the whole pool to sleep: waits for those that hold a slot, up to `timeout`, deletes what is more than the pool may have, and looks
 * again one longest-request after its last action, for a request of a process that has died may still land
 * (counterexample 4).
 *
 * @since 0.1.0
 * @category combinators
 */
export const drain = (options: {
  readonly timeout: Duration.DurationInput
  /** Called after every look: what was done since the last one, and what is still there. */
  readonly onReport?: ((report: Report) => Effect.Effect<void>) | undefined
}): Effect.Effect<Report, ProviderError | CacheError, DeploymentPool> =>
  Effect.gen(function*() {
    const pool = yield* DeploymentPool
    const { lockDelay } = yield* pool.rules
    const actions: Array<Action> = []
    const look = Effect.gen(function*() {
      const { actions: done, ...rest } = yield* round({ ...atOnce, shrink: true })
      const isNews = (one: Action) => one.detail === "" || actions.every(({ detail }) => detail !== one.detail)
      const news = done.filter(isNews)
      actions.push(...news)
      yield* options.onReport?.({ actions: news, ...rest }) ?? Effect.void
      return done.length === 0 && rest.held.length === 0 && rest.awake.length === 0
    })
    yield* Effect.repeat(look, { until: (isQuiet) => isQuiet, schedule: Polling.poll }).pipe(
      Effect.zipRight(Effect.sleep(lockDelay)),
      Effect.zipRight(look),
      Effect.repeat({ until: (isQuiet) => isQuiet }),
      Effect.timeoutOption(options.timeout),
      pool.pinned
    )
    return { actions, ...(yield* survey(yield* pool.reconcile)) }
  })

/**
 * Looks after the pool until the scope closes, and puts to sleep what is free then. Of several processes one does it at a time.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = (options: UpkeepOptions = {}): Effect.Effect<void, never, DeploymentPool | Scope.Scope> =>
  Effect.gen(function*() {
    const pool = yield* DeploymentPool
    const every = Duration.decode(options.every ?? "10 seconds")
    const wanted: UpkeepPolicy.UpkeepRules = {
      hibernateAfter: Duration.toMillis(options.hibernateAfter ?? 0),
      resetAhead: true,
      shrink: false,
      recycle: {
        uses: options.recycleUses,
        age: options.recycleAge === undefined ? undefined : Duration.toMillis(options.recycleAge)
      }
    }
    const onDuty = Effect.gen(function*() {
      const { poolId } = yield* pool.rules
      // after the lock is given back: whoever saw this upkeep alive has freed its slot by then
      yield* Effect.addFinalizer(() => farewell)
      const { lost } = yield* pool.cache.lock(PoolPolicy.upkeepLock(poolId), {
        label: `upkeep of process ${pool.cache.owner.pid}`,
        holderId: yield* randomId,
        onWait: () => Effect.void
      })
      return yield* Effect.raceFirst(Effect.repeat(round(wanted), Schedule.spaced(every)), lost)
    })
    // off duty meanwhile: leases must not leave their deployments to an upkeep that cannot put them to sleep
    yield* Effect.scoped(onDuty).pipe(
      Effect.tapError((error) => Effect.logWarning(`upkeep is off duty: ${error.message}`)),
      Effect.retry({ schedule: Schedule.spaced(every), while: ({ retryable }) => retryable }),
      Effect.catchAll(() => Effect.logWarning("upkeep has ended: that does not get better by itself")),
      pool.pinned,
      Effect.interruptible,
      Effect.forkScoped
    )
  })

/**
 * Upkeep for as long as the layer lives.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: UpkeepOptions = {}): Layer.Layer<never, never, DeploymentPool> =>
  Layer.scopedDiscard(run(options))

// internal

const atOnce: UpkeepPolicy.UpkeepRules = { hibernateAfter: 0, resetAhead: false, shrink: false, recycle: {} }

const randomId = Effect.map(
  Random.nextIntBetween(0, 2 ** 48 - 1),
  (id) => LeaseId.make(`upkeep-${id.toString(16).padStart(12, "0")}`)
)

/** Every chore under an epoch of its own, a few slots at a time. */
const round = (wanted: UpkeepPolicy.UpkeepRules): Effect.Effect<Report, ProviderError | CacheError, DeploymentPool> =>
  Effect.gen(function*() {
    const pool = yield* DeploymentPool
    const rules = yield* pool.rules
    const all = yield* pool.reconcile
    yield* pool.cache.sweep(rules)
    const { now, slots } = yield* pool.inspect
    const chores = slots.flatMap((slot) => {
      const chore = UpkeepPolicy.chore(slot, slots, rules, now, wanted)
      const hasOlder = slot.holder === null && Marker.olderOf(slot, pool.prefix, rules.poolId, all).length > 0
      return chore !== undefined ? [{ slot, chore }] : hasOlder ? [{ slot, chore: "remove older" as const }] : []
    })
    const actions = yield* Effect.forEach(chores, ({ chore, slot }) => tend(rules, slot, chore, wanted, all), {
      concurrency: 4
    })
    return { actions: actions.flatMap(Option.toArray), ...(yield* survey(all)) }
  }).pipe((self) => Effect.flatMap(DeploymentPool, ({ pinned }) => pinned(self)))

const survey = (
  all: ReadonlyArray<Deployment>
): Effect.Effect<Omit<Report, "actions">, ProviderError | CacheError, DeploymentPool> =>
  Effect.gen(function*() {
    const pool = yield* DeploymentPool
    const { poolId } = yield* pool.rules
    const { slots } = yield* pool.inspect
    const strangers = all.filter(({ description, hibernationRequested, name }) =>
      description.includes(Marker.marker(poolId)) && !hibernationRequested &&
      !slots.some((slot) => slot.name === name)
    )
    return {
      held: slots.flatMap(({ holder, number }) =>
        holder === null ? [] : [{ slot: number, label: holder.label, activity: holder.activity }]
      ),
      awake: [
        ...slots.filter(({ holder, power }) => holder === null && power !== "asleep"),
        ...strangers
      ].flatMap(({ name }) => name ?? [])
    }
  })

/** Unless somebody else is on duty by now. */
const farewell = Effect.gen(function*() {
  const pool = yield* DeploymentPool
  const { now, upkeep } = yield* pool.inspect
  if (upkeep === null || upkeep.deadline <= now) yield* reap
}).pipe(
  Effect.interruptible,
  Effect.timeout("1 minute"),
  Effect.catchAll(({ message }) => Effect.logWarning(`upkeep leaves the rest to whoever comes next: ${message}`))
)

/** `None`: somebody else has it by now. */
const tend = (
  rules: PoolPolicy.PoolRules,
  { name, number }: Slot,
  chore: UpkeepPolicy.Chore,
  wanted: UpkeepPolicy.UpkeepRules,
  all: ReadonlyArray<Deployment>
): Effect.Effect<Option.Option<Action>, CacheError, DeploymentPool> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { cache, hold, options } = yield* DeploymentPool
      const claimed = yield* cache.claim(rules, number, { leaseId: yield* randomId, label: `upkeep: ${chore}` })
      if (Option.isNone(claimed)) return Option.none()
      const slot = claimed.value
      const held = hold(slot, rules, slot.spec ?? options.spec, () => Effect.void)
      const leftAlone = (detail: string): Action => ({
        slot: number,
        deployment: name ?? "",
        did: "left alone",
        detail
      })
      const free = (usable: PoolPolicy.Outcome["usable"]) =>
        Effect.ignore(cache.free(rules, number, slot.epoch, { clean: false, usable }))
      const tended = Effect.gen(function*() {
        const { lost } = yield* cache.keepAlive(rules, number, slot.epoch)
        yield* Effect.raceFirst(work(held, slot, chore, wanted, all), lost)
        return { ...leftAlone(""), did: chore }
      }).pipe(
        Effect.catchTag("SlotContested", ({ message }) =>
          Effect.gen(function*() {
            yield* cache.giveBack(rules, number, slot.epoch, yield* Random.nextIntBetween(10_000, 30_000))
            return leftAlone(message)
          })),
        Effect.catchAll(({ _tag, message }) =>
          Effect.gen(function*() {
            const isIts = ["SlotNotClean", "DeploymentNotHealthy", "AirflowNotReady", "AirflowApiError"].includes(_tag)
            const usable = isIts ? { failure: message } : "unknown"
            // what cannot be emptied need not stay awake
            if (isIts) yield* Effect.ignore(PrepareSlot.release(held, Option.none(), { clean: false, usable }))
            yield* free(usable)
            return leftAlone(message)
          })
        ),
        Effect.scoped
      )
      return yield* restore(tended).pipe(
        // between two requests: its power has to be looked at again, and its tokens
        Effect.onInterrupt(() => Effect.zipRight(Effect.ignore(write(held, { power: "unknown" })), free("unknown"))),
        Effect.asSome
      )
    })
  )

const work = (
  held: HeldSlot,
  slot: Slot,
  chore: UpkeepPolicy.Chore,
  wanted: UpkeepPolicy.UpkeepRules,
  all: ReadonlyArray<Deployment>
): Effect.Effect<void, PrepareError> =>
  Effect.gen(function*() {
    switch (chore) {
      case "remove older":
        yield* PrepareSlot.removeOlder(held, slot.generation, all)
        return yield* free(held, { clean: false, usable: "unknown" })
      case "delete":
        yield* PrepareSlot.empty(held, slot)
        return yield* free(held, { clean: false, usable: "unknown" })
      case "recycle": {
        const why = Option.some("which is due to be replaced")
        return yield* PrepareSlot.release(held, Option.some(yield* PrepareSlot.prepare(held, slot, why)), asGood)
      }
      case "reset": {
        const { deployment, tokenId } = yield* PrepareSlot.prepare(held, slot)
        // now rather than by the next holder, who would have to wait for it to take effect
        yield* Fence.revoke(held, deployment.id, tokenId)
        return yield* free(held, asGood)
      }
      case "hibernate": {
        const known = Option.getOrUndefined(yield* PrepareSlot.find(held, slot))
        if (wanted.resetAhead && slot.quarantine === null && known?.isAwake === true) {
          return yield* PrepareSlot.release(held, Option.some(yield* PrepareSlot.prepare(held, slot)), asGood)
        }
        if (known?.hibernationRequested === true) {
          yield* write(held, { deploymentId: known.id, power: "asleep" })
          yield* Fence.revoke(held, known.id, Option.none())
        } else {
          // others may be at work on what is awake: only who has made a token can see theirs (counterexample 9)
          if (known !== undefined) yield* Fence.mint(held, known)
          yield* PrepareSlot.sleep(held, Option.none())
        }
        return yield* free(held, { clean: false, usable: "unknown" })
      }
    }
  })

const asGood: PoolPolicy.Outcome = { clean: true, usable: true }

const free = (held: HeldSlot, outcome: PoolPolicy.Outcome) =>
  Effect.asVoid(held.cache.free(held.rules, held.number, held.epoch, outcome))
