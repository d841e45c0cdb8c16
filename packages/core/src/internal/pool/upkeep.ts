/** Upkeep, and `reap` and `drain`, which do the same chores on request. */
import * as Polling from "@airflow-resource/airflow/Polling"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { CacheError } from "../../CacheError.js"
import type { Deployment } from "../../Deployment.js"
import type { ProviderError } from "../../DeploymentProvider.js"
import * as Host from "../../Host.js"
import type { LeaseId } from "../../Lease.js"
import type { Run } from "../../Slot.js"
import type { Action, DrainOptions, Report, UpkeepOptions } from "../../Upkeep.js"
import { upkeepLock } from "../policy/model.js"
import type { Outlook } from "../policy/upkeep.js"
import * as Policy from "../policy/upkeep.js"
import * as Chores from "./chores.js"
import type { PoolContext } from "./HeldSlot.js"
import type * as PrepareSlot from "./PrepareSlot.js"

/**
 * One round over the whole pool: expires what is overdue, hibernates idle deployments, revokes tokens of ended leases, deletes older
 * generations.
 */
export const reap = (pool: Chores.Pool): Effect.Effect<Report, ProviderError | CacheError> =>
  Effect.flatMap(pool.context, (context) => Chores.round(pool, context, Policy.once))

/**
 * Hibernates the whole pool: waits for holders, up to `timeout`, and deletes what exceeds the pool's maximum. Then, whether or not the
 * holders have ended, it starts another round one longest request after its last action, because a request of a process that has died
 * may still land (counterexample 4).
 */
export const drain = (pool: Chores.Pool, options: DrainOptions): Effect.Effect<Report, ProviderError | CacheError> =>
  Effect.gen(function*() {
    const context = yield* pool.context
    const actions: Array<Action> = []
    const tidy = Effect.gen(function*() {
      const report = yield* Chores.round(pool, context, { ...Policy.once, shrink: true })
      const isNew = (one: Action) => one.detail === "" || actions.every(({ detail }) => detail !== one.detail)
      const fresh = report.actions.filter(isNew)
      actions.push(...fresh)
      yield* options.onReport?.({ ...report, actions: fresh }) ?? Effect.void
      return report
    })
    const wait = Duration.millis(context.rules.longestRequest)
    const again = Effect.zipRight(options.onPause?.(wait) ?? Effect.void, Effect.delay(tidy, wait))
    yield* Effect.timeoutOption(
      Effect.repeat(tidy, { until: (report) => isDone(report) && report.held.length === 0, schedule: Polling.poll }),
      options.timeout
    )
    // a deployment that cannot be hibernated ends the drain, and one that may still be changing does not
    const isOver = (report: Report) =>
      report.actions.every(({ did }) => did === "left alone") && (isDone(report) || report.actions.length > 0)
    yield* Effect.repeat(again, { until: isOver, times: 9 })
    return { actions, ...(yield* Chores.remaining(context, yield* pool.reconcile(context))) }
  })

/**
 * Registers a run until the scope closes, and hibernates all free deployments then. Meanwhile this machine's upkeep keeps deployments
 * awake for it: the reaper, or this process in a pool without reapers. Of all processes of a machine, one at a time is active.
 */
export const run = (pool: Chores.Pool, options: UpkeepOptions): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const every = Duration.decode(options.every ?? defaultEvery)
    const id = yield* Chores.randomId
    const registered: Omit<Run, "owner" | "deadline" | "reset"> = {
      id,
      hibernateAfter: Duration.toMillis(options.hibernateAfter ?? 0),
      recycleUses: options.recycleUses ?? null,
      recycleAge: options.recycleAge === undefined ? null : Duration.toMillis(options.recycleAge)
    }
    const active = Effect.gen(function*() {
      const context = yield* pool.context
      // runs last: a release that left its deployment to this run has freed its slot by then
      yield* Effect.addFinalizer(() => lastRound(pool, context))
      const { defaultPoolSlots, keep } = context.options.reset
      yield* context.cache.run(context.rules, { ...registered, reset: { defaultPoolSlots, keep } })
      yield* context.ensureReaper
      // it may have been killed
      if (context.hasReaper) return yield* Effect.repeat(context.ensureReaper, Schedule.spaced("30 seconds"))
      const { lost } = yield* lock(context, id, Effect.void)
      const memory = yield* newMemory
      return yield* Effect.raceFirst(Effect.repeat(look(pool, context, memory), Schedule.spaced(every)), lost)
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

/** What upkeep remembers from one look to the next. */
export interface Memory {
  /** When it last listed the deployments, in the ledger's time, and what it found. */
  listed: { readonly at: number; readonly all: ReadonlyArray<Deployment> } | undefined
  /** The chores that are under way, by slot: each in a fiber of its own, so that a slow one delays no other. */
  readonly chores: FiberMap.FiberMap<number>
  /** Those of them that are done ahead for a run. */
  readonly ahead: FiberMap.FiberMap<number>
  /** What was done since the last report. */
  done: ReadonlyArray<Action>
  /** Why the provider does not let this process do a chore. */
  refusal: string | undefined
}

export const newMemory: Effect.Effect<Memory, never, Scope.Scope> = Effect.map(
  Effect.all([FiberMap.make<number>(), FiberMap.make<number>()]),
  ([chores, ahead]) => ({ listed: undefined, chores, ahead, done: [], refusal: undefined })
)

/**
 * Reads the ledger, and starts what is to be done, without waiting for it. While the pool is in use it also lists the deployments every
 * {@link longestUnseen}, because a click in Astro's pages may have woken one. Returns a report if there is something new.
 */
export const look = (
  pool: Chores.Pool,
  context: PoolContext,
  memory: Memory
): Effect.Effect<Outlook & { readonly report: Option.Option<Report> }, ProviderError | CacheError> =>
  Effect.gen(function*() {
    const { cache, rules } = context
    const outlook = yield* Effect.withTracerEnabled(
      Effect.zipRight(cache.sweep(rules), cache.outlook(rules)),
      false
    )
    const { isIdle, now, run, slots } = outlook
    if (run === undefined) yield* FiberMap.clear(memory.ahead)
    const upkeepRules = run === undefined ? Policy.once : Policy.rulesOf(run)
    const isDue = memory.listed === undefined || (!isIdle && now >= memory.listed.at + longestUnseen) ||
      slots.some((slot) => Policy.chore(slot, slots, rules, now, upkeepRules) !== undefined)
    if (isDue) {
      const { all, chores } = yield* Chores.survey(pool, context, upkeepRules)
      memory.listed = { at: now, all }
      const onError = (error: PrepareSlot.PrepareError) => {
        if (error._tag === "ProviderError" && isRefusal(error)) memory.refusal = error.message
      }
      for (const { chore, slot } of chores) {
        const tended = Chores.tend(pool, withReset(context, run), slot, chore, upkeepRules, all, onError).pipe(
          Effect.tap((action) => Effect.sync(() => memory.done = [...memory.done, ...Option.toArray(action)])),
          Effect.catchAll((error) => Effect.logWarning(error.message))
        )
        const fibers = chore === "reset" || chore === "recycle" ? memory.ahead : memory.chores
        yield* FiberMap.run(fibers, slot.number, tended, { onlyIfMissing: true })
      }
    }
    if (!isDue && memory.done.length === 0) return { ...outlook, report: Option.none() }
    const actions = memory.done
    memory.done = []
    return {
      ...outlook,
      report: Option.some({ actions, ...(yield* Chores.remaining(context, memory.listed?.all ?? [])) })
    }
  })

/** The lock that makes upkeep active on this machine, until the scope closes. `onWait`: another process holds it. */
export const lock = ({ cache, rules }: PoolContext, holderId: LeaseId, onWait: Effect.Effect<void>) =>
  cache.lock(upkeepLock(rules.poolId, Host.machineOf(cache.owner)), {
    label: `upkeep of process ${cache.owner.pid}`,
    holderId,
    onWait: () => onWait
  })

export const defaultEvery = "10 seconds"

/** The pool, with what the run wants to keep: this process may have been started by another run. */
export const withReset = (context: PoolContext, run: Run | undefined): PoolContext =>
  run === undefined
    ? context
    : { ...context, options: { ...context.options, reset: { ...context.options.reset, ...run.reset } } }

// internal

const longestUnseen = 60_000

const isRefusal = ({ kind }: ProviderError) => kind === "forbidden" || kind === "unauthorized"

const isDone = ({ awake, tokens }: Report) => awake.length === 0 && tokens.length === 0

/** Hibernates all free deployments, also those that the reaper is dealing with, unless they are kept awake for another run. */
const lastRound = (pool: Chores.Pool, { cache, rules }: PoolContext) =>
  Effect.gen(function*() {
    const { run, upkeep } = yield* cache.outlook(rules)
    if (run !== undefined && upkeep !== undefined) return
    yield* Effect.repeat(reap(pool), {
      until: (report) => isDone(report) && report.held.every(({ kind }) => kind !== "upkeep"),
      schedule: Polling.poll
    })
  }).pipe(
    Effect.interruptible,
    Effect.timeout("1 minute"),
    Effect.catchAll(({ message }) =>
      Effect.logWarning(`Upkeep could not finish; the reaper or the next lease will do the rest: ${message}`)
    )
  )
