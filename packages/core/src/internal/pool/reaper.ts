/** The reaper: a process of its own that cleans up after processes that have ended, and does the upkeep of runs. */
import * as Polling from "@airflow-resource/airflow/Polling"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { CacheError } from "../../CacheError.js"
import type { Lock } from "../../DeploymentCache.js"
import type { ProviderError } from "../../DeploymentProvider.js"
import type { Slot } from "../../Slot.js"
import type { ReaperEnd, ReaperOptions } from "../../Upkeep.js"
import * as Policy from "../policy/upkeep.js"
import * as Chores from "./chores.js"
import * as Fence from "./Fence.js"
import type { PoolContext } from "./HeldSlot.js"
import * as HeldSlot from "./HeldSlot.js"
import * as PrepareSlot from "./PrepareSlot.js"
import * as Upkeep from "./upkeep.js"

/**
 * Runs until nothing is left to do, until another process of this machine does the same, or until the pool has been idle for
 * {@link longestIdle}. Retries whatever fails.
 */
export const run = (pool: Chores.Pool, options: ReaperOptions): Effect.Effect<ReaperEnd> =>
  Effect.gen(function*() {
    const every = Duration.decode(options.every ?? Upkeep.defaultEvery)
    // the same in every attempt: its own lock, which it could not release, is no other process's
    const id = yield* Chores.randomId
    const clock = yield* Effect.clock
    // monotonic, and without the time that the machine was suspended
    const uptime = () => Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)
    let activeAt = uptime()
    let warned = ""
    const warnOnce = (message: string) =>
      Effect.suspend(() => {
        if (message === warned) return Effect.void
        warned = message
        return Effect.logWarning(`${message} The reaper tries again.`)
      })
    /** What the ledger has last shown. */
    let known: { readonly context: PoolContext; readonly slots: ReadonlyArray<Slot> } | undefined
    /** The ledger's time since when only the last look at the cloud is left to do. */
    let quietSince: number | undefined
    const giveUp = Effect.sync(() =>
      Option.liftPredicate<ReaperEnd>(
        "gave up",
        () => uptime() > activeAt + (quietSince === undefined ? longestIdle : longestQuiet)
      )
    )

    const step = (
      context: PoolContext,
      lock: Lock,
      memory: Upkeep.Memory
    ): Effect.Effect<Option.Option<ReaperEnd>, ProviderError | CacheError> =>
      Effect.gen(function*() {
        const { cache, rules } = context
        const { isIdle, isQuiet, now, report, slots } = yield* Upkeep.look(pool, context, memory)
        known = { context, slots }
        yield* Option.match(report, { onNone: () => Effect.void, onSome: options.onReport ?? (() => Effect.void) })
        if (!isIdle) activeAt = uptime()
        if (memory.refusal !== undefined) {
          yield* Effect.logError(`${memory.refusal} A reaper with other credentials may do it.`)
          return Option.some("refused")
        }
        // a process that lost its slot while it was paused may still send a request when it resumes (counterexample 21)
        const mayEnd = isQuiet && Option.isNone(report) && !(yield* cache.hasClients(rules))
        quietSince = mayEnd ? quietSince ?? now : undefined
        if (quietSince === undefined) return yield* giveUp
        if (now < quietSince + rules.longestRequest) return Option.none()
        const last = yield* Chores.round(pool, context, Policy.once)
        if (last.actions.length > 0) return Option.none()
        return (yield* cache.retire(rules, lock.epoch, slots)) ? Option.some("done") : Option.none()
      })
    const active = Effect.scoped(Effect.gen(function*() {
      const context = yield* pool.context
      const isReplaced = yield* Deferred.make<void>()
      const lock = yield* Effect.raceFirst(
        Effect.asSome(Upkeep.lock(context, id, Effect.asVoid(Deferred.succeed(isReplaced, undefined)))),
        Effect.as(Deferred.await(isReplaced), Option.none<Lock>())
      )
      if (Option.isNone(lock)) return "replaced" as const
      const memory = yield* Upkeep.newMemory
      return yield* Effect.raceFirst(
        Polling.untilSome(step(context, lock.value, memory), Schedule.spaced(every)),
        lock.value.lost
      )
    }))
    // a reaper that was paused may find its lock lost although no other process is active (counterexample 23)
    return yield* Polling.untilSome(
      Effect.catchAll(Effect.asSome(active), (error) =>
        error._tag === "CacheError" && error.kind === "replaced"
          ? Effect.logError(error.message).pipe(
            Effect.zipRight(known === undefined ? Effect.void : cleanUpWithoutLedger(known.context, known.slots)),
            Effect.as(Option.some<ReaperEnd>("gave up"))
          )
          : Effect.zipRight(warnOnce(error.message), giveUp)),
      Schedule.spaced(every)
    )
  })

// internal

/**
 * What a reaper does once its ledger is gone. Holders that are alive notice it, and hibernate their deployments themselves. If the
 * ledger's tokens are left on a deployment after that, its holder has ended, and holders in other ledgers still step back.
 */
const cleanUpWithoutLedger = (context: PoolContext, slots: ReadonlyArray<Slot>): Effect.Effect<void> =>
  Effect.forEach(
    slots,
    ({ adopted, deploymentId, name }) =>
      deploymentId === null ? Effect.void : Effect.gen(function*() {
        const { provider } = context
        const tokens = (yield* provider.listTokens(deploymentId)).filter(Fence.isOfLedger(context))
        if (tokens.length === 0) return
        const now = yield* Clock.currentTimeMillis
        yield* HeldSlot.retried(PrepareSlot.putAway(provider, deploymentId, { adopted }, now).call)
        yield* Effect.forEach(tokens, ({ id }) => HeldSlot.retried(provider.deleteToken(deploymentId, id)))
        yield* Effect.logWarning(`${name} was hibernated, and its tokens were deleted.`)
      }).pipe(Effect.catchAll(({ message }) => Effect.logError(`${name} may be awake: ${message}`))),
    { discard: true }
  ).pipe(
    Effect.delay(context.rules.ttl + context.rules.longestRequest)
  )

/** Milliseconds. A token that cannot be revoked has expired by then. */
const longestIdle = 24 * 3_600_000
/** If only the last look at the cloud is left to do, and the cloud cannot be reached. */
const longestQuiet = 3_600_000
