/** Upkeep, and `reap` and `drain`, which do the same chores on request. Each chore is done by a holder, under its own epoch. */
import * as Polling from "@airflow-resource/airflow/Polling"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { CacheError } from "../../CacheError.js"
import type { Deployment, DeploymentSpec } from "../../Deployment.js"
import type { ProviderError } from "../../DeploymentProvider.js"
import { LeaseId } from "../../Lease.js"
import type { Slot } from "../../Slot.js"
import type { Action, DrainOptions, Report, UpkeepOptions } from "../../Upkeep.js"
import type { Outcome } from "../policy/model.js"
import { upkeepLock } from "../policy/model.js"
import type { Chore, UpkeepRules } from "../policy/upkeep.js"
import { chore } from "../policy/upkeep.js"
import { randomHex } from "../randomHex.js"
import * as Fence from "./Fence.js"
import type { PoolContext } from "./HeldSlot.js"
import * as HeldSlot from "./HeldSlot.js"
import * as Marker from "./Marker.js"
import * as PrepareSlot from "./PrepareSlot.js"

/** The pool that upkeep takes care of. */
export interface Pool {
  readonly context: Effect.Effect<PoolContext, ProviderError>
  /** The spec of a slot that has none. */
  readonly spec: DeploymentSpec
  /** Lists the workspace's deployments and corrects the ledger. */
  readonly reconcile: (context: PoolContext) => Effect.Effect<ReadonlyArray<Deployment>, ProviderError | CacheError>
}

/** One round over the whole pool: expires what is overdue, hibernates idle deployments, deletes older generations and stale tokens. */
export const reap = (pool: Pool): Effect.Effect<Report, ProviderError | CacheError> =>
  Effect.flatMap(pool.context, (context) => round(pool, context, once))

/**
 * Hibernates the whole pool: waits for holders, up to `timeout`, deletes what exceeds the pool's maximum, and starts another round one
 * longest request after its last action, because a request of a process that has died may still land (counterexample 4).
 */
export const drain = (pool: Pool, options: DrainOptions): Effect.Effect<Report, ProviderError | CacheError> =>
  Effect.gen(function*() {
    const context = yield* pool.context
    const actions: Array<Action> = []
    const quiet = Effect.gen(function*() {
      const { actions: done, ...rest } = yield* round(pool, context, { ...once, shrink: true })
      const isNew = (one: Action) => one.detail === "" || actions.every(({ detail }) => detail !== one.detail)
      const fresh = done.filter(isNew)
      actions.push(...fresh)
      yield* options.onReport?.({ actions: fresh, ...rest }) ?? Effect.void
      return done.length === 0 && rest.held.length === 0 && rest.awake.length === 0
    })
    yield* Effect.repeat(quiet, { until: (isQuiet) => isQuiet, schedule: Polling.poll }).pipe(
      Effect.zipRight(Effect.sleep(context.rules.lockDelay)),
      Effect.zipRight(quiet),
      Effect.repeat({ until: (isQuiet) => isQuiet }),
      Effect.timeoutOption(options.timeout)
    )
    return { actions, ...(yield* remaining(context, yield* pool.reconcile(context))) }
  })

/**
 * Runs rounds until the scope closes, and then a last one that hibernates all free deployments. Of all processes, one at a time is active.
 */
export const run = (pool: Pool, options: UpkeepOptions): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const every = Duration.decode(options.every ?? "10 seconds")
    const upkeepRules: UpkeepRules = {
      hibernateAfter: Duration.toMillis(options.hibernateAfter ?? 0),
      resetAhead: true,
      shrink: false,
      recycle: {
        uses: options.recycleUses,
        age: options.recycleAge === undefined ? undefined : Duration.toMillis(options.recycleAge)
      }
    }
    const active = Effect.gen(function*() {
      const context = yield* pool.context
      // runs after the lock is given back: a release that saw this upkeep active has freed its slot by then
      yield* Effect.addFinalizer(() => lastRound(pool, context))
      const { lost } = yield* context.cache.lock(upkeepLock(context.rules.poolId), {
        label: `upkeep of process ${context.cache.owner.pid}`,
        holderId: yield* randomId,
        onWait: () => Effect.void
      })
      return yield* Effect.raceFirst(
        Effect.repeat(round(pool, context, upkeepRules), Schedule.spaced(every)),
        lost
      )
    })
    // inactive between retries: a lease must not leave its deployment to an upkeep that cannot hibernate it
    yield* Effect.scoped(active).pipe(
      Effect.tapError((error) => Effect.logWarning(`Upkeep is inactive: ${error.message}`)),
      Effect.retry({ schedule: Schedule.spaced(every), while: ({ retryable }) => retryable }),
      Effect.catchAll(() => Effect.logWarning("Upkeep stopped after a non-retryable error.")),
      Effect.interruptible,
      Effect.forkScoped
    )
  })

// internal

const once: UpkeepRules = { hibernateAfter: 0, resetAhead: false, shrink: false, recycle: {} }

const randomId = Effect.map(randomHex(6), (hex) => LeaseId.make(`upkeep-${hex}`))

/** Does every chore of the pool, a few slots at a time. */
const round = (
  pool: Pool,
  context: PoolContext,
  upkeepRules: UpkeepRules
): Effect.Effect<Report, ProviderError | CacheError> =>
  Effect.gen(function*() {
    const { cache, prefix, rules } = context
    // without spans: it is a poll
    const { all, now, slots } = yield* Effect.withTracerEnabled(
      Effect.gen(function*() {
        const all = yield* pool.reconcile(context)
        yield* cache.sweep(rules)
        return { all, ...(yield* cache.inspect(rules.poolId)) }
      }),
      false
    )
    const chores = slots.flatMap((slot) => {
      const own = chore(slot, slots, rules, now, upkeepRules)
      const hasOlder = slot.holder === null && Marker.olderGenerations({ prefix, ...rules }, slot, all).length > 0
      return own !== undefined ? [{ slot, chore: own }] : hasOlder ? [{ slot, chore: "delete older" as const }] : []
    })
    const actions = yield* Effect.forEach(
      chores,
      ({ chore, slot }) => tend(pool, context, slot, chore, upkeepRules, all),
      { concurrency: 4 }
    )
    const rest = yield* Effect.withTracerEnabled(remaining(context, all), false)
    return { actions: actions.flatMap(Option.toArray), ...rest }
  })

/** Which slots are held, and which deployments may be awake without a holder. */
const remaining = (
  { cache, rules: { poolId } }: PoolContext,
  all: ReadonlyArray<Deployment>
): Effect.Effect<Omit<Report, "actions">, CacheError> =>
  Effect.map(cache.inspect(poolId), ({ slots }) => {
    const unknown = all.filter((deployment) =>
      Marker.hasMarker(poolId, deployment) && !deployment.hibernationRequested &&
      !slots.some(({ name }) => name === deployment.name)
    )
    return {
      held: slots.flatMap(({ holder, number }) =>
        holder === null ? [] : [{ slot: number, label: holder.label, activity: holder.activity }]
      ),
      awake: [
        ...slots.filter(({ holder, power }) => holder === null && power !== "asleep"),
        ...unknown
      ].flatMap(({ name }) => name ?? [])
    }
  })

/** A last {@link reap}, unless another process's upkeep is active by now. */
const lastRound = (pool: Pool, { cache, rules }: PoolContext) =>
  Effect.gen(function*() {
    const { now, upkeep } = yield* cache.inspect(rules.poolId)
    if (upkeep === null || upkeep.deadline <= now) yield* reap(pool)
  }).pipe(
    Effect.interruptible,
    Effect.timeout("1 minute"),
    Effect.catchAll(({ message }) =>
      Effect.logWarning(`Upkeep could not finish; the next holders will do the rest: ${message}`)
    )
  )

/** Does one chore as the slot's holder. `None`: the slot is no longer free. */
const tend = (
  pool: Pool,
  context: PoolContext,
  { name, number }: Slot,
  chore: Chore,
  upkeepRules: UpkeepRules,
  all: ReadonlyArray<Deployment>
): Effect.Effect<Option.Option<Action>, CacheError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const claimant = { leaseId: yield* randomId, label: `upkeep: ${chore}` }
      const claimed = yield* context.cache.claim(context.rules, number, claimant)
      if (Option.isNone(claimed)) return Option.none()
      const granted = claimed.value
      const slot = HeldSlot.make(context, granted, granted.spec ?? pool.spec)
      const leftAlone = (detail: string): Action => ({
        slot: number,
        deployment: name ?? "",
        did: "left alone",
        detail
      })
      const free = (usable: Outcome["usable"]) => Effect.ignore(slot.free({ clean: false, usable }))
      const tended = Effect.gen(function*() {
        const { lost } = yield* slot.keepAlive
        yield* Effect.raceFirst(work(slot, granted, chore, upkeepRules, all), lost)
        return { ...leftAlone(""), did: chore }
      }).pipe(
        Effect.catchTag("SlotContested", ({ message }) =>
          Effect.gen(function*() {
            yield* slot.giveBack(yield* Random.nextIntBetween(10_000, 30_000))
            return leftAlone(message)
          })),
        Effect.catchAll((error) =>
          Effect.gen(function*() {
            const usable = PrepareSlot.outcomeOf(error)
            // a deployment that cannot be emptied need not stay awake
            if (usable !== "unknown") {
              yield* Effect.ignore(PrepareSlot.release(slot, Option.none(), { clean: false, usable }))
            }
            yield* free(usable)
            return leftAlone(error.message)
          })
        ),
        Effect.scoped
      )
      return yield* restore(tended).pipe(
        // it stopped between two requests: the next holder has to check power and tokens again
        Effect.onInterrupt(() => Effect.zipRight(Effect.ignore(slot.write({ power: "unknown" })), free("unknown"))),
        Effect.asSome,
        Effect.annotateLogs({ "lease.id": claimant.leaseId, slot: number, epoch: granted.epoch })
      )
    })
  ).pipe(Effect.withSpan("Upkeep.tend", { attributes: { slot: number, chore, "deployment.name": name ?? "" } }))

const work = (
  slot: HeldSlot.HeldSlot,
  granted: Slot,
  chore: Chore,
  upkeepRules: UpkeepRules,
  all: ReadonlyArray<Deployment>
): Effect.Effect<void, PrepareSlot.PrepareError> =>
  Effect.gen(function*() {
    switch (chore) {
      case "delete older":
        yield* PrepareSlot.deleteOlder(slot, granted.generation, all)
        return yield* slot.free({ clean: false, usable: "unknown" })
      case "delete":
        yield* PrepareSlot.empty(slot, granted)
        return yield* slot.free({ clean: false, usable: "unknown" })
      case "recycle": {
        const prepared = yield* PrepareSlot.prepare(slot, granted, Option.some("which is due to be replaced"))
        return yield* PrepareSlot.release(slot, Option.some(prepared), asGood)
      }
      case "reset": {
        const { deployment, tokenId } = yield* PrepareSlot.prepare(slot, granted)
        // now, because the next holder would have to wait until the revocation takes effect
        yield* Fence.revoke(slot, deployment.id, tokenId)
        return yield* slot.free(asGood)
      }
      case "hibernate": {
        const known = Option.getOrUndefined(yield* PrepareSlot.find(slot, granted))
        if (upkeepRules.resetAhead && granted.quarantine === null && known?.isAwake === true) {
          return yield* PrepareSlot.release(slot, Option.some(yield* PrepareSlot.prepare(slot, granted)), asGood)
        }
        if (known?.hibernationRequested === true) {
          yield* slot.write({ deploymentId: known.id, power: "asleep" })
          yield* Fence.revoke(slot, known.id, Option.none())
        } else {
          // another ledger may be using an awake deployment: a holder has to mint its token before it checks for that (counterexample 9)
          if (known !== undefined) yield* Fence.mint(slot, known)
          yield* PrepareSlot.hibernate(slot, Option.none())
        }
        return yield* slot.free({ clean: false, usable: "unknown" })
      }
    }
  }).pipe(Effect.asVoid)

const asGood: Outcome = { clean: true, usable: true }
