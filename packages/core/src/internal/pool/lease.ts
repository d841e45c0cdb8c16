/** A lease of a slot, from its ticket to its release. */
import * as Polling from "@airflow-resource/airflow/Polling"
import * as TimeLimit from "@airflow-resource/airflow/TimeLimit"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { CacheError } from "../../CacheError.js"
import type { Deployment, DeploymentSpec } from "../../Deployment.js"
import type { ProviderError } from "../../DeploymentProvider.js"
import { LeaseId, LeaseLost } from "../../Lease.js"
import type { LeasedSlot, LeaseRequest, Progress, RequestedLock } from "../../LeasedSlot.js"
import type { PoolError } from "../../PoolError.js"
import { AcquireTimeout, TicketEnded } from "../../PoolError.js"
import type { Slot } from "../../Slot.js"
import * as Heartbeat from "../ledger/Heartbeat.js"
import { oneLine } from "../oneLine.js"
import type { Outcome, Wait } from "../policy/model.js"
import { randomHex } from "../randomHex.js"
import type { PoolContext } from "./HeldSlot.js"
import * as HeldSlot from "./HeldSlot.js"
import * as PrepareSlot from "./PrepareSlot.js"
import * as UsualTimes from "./UsualTimes.js"

/** Leases a slot until the scope closes. Everything but the waits is uninterruptible. */
export const acquire = (request: LeaseRequest, options: {
  readonly spec: DeploymentSpec
  readonly acquireTimeout: Duration.Duration
  readonly context: Effect.Effect<PoolContext, ProviderError>
  /** What has to be known of the cloud before a ticket may be granted. */
  readonly discover: (pool: PoolContext) => Effect.Effect<void, ProviderError | CacheError>
  readonly usualTimes: Effect.Effect<UsualTimes.UsualTimes>
}): Effect.Effect<LeasedSlot, PoolError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const lease = yield* make(request, request.spec ?? options.spec, options.usualTimes)
      const inTime = <A, E>(wait: Effect.Effect<A, E>) =>
        Effect.gen(function*() {
          const passed = (yield* Clock.currentTimeMillis) - lease.requestedAt
          const left = Duration.subtract(options.acquireTimeout, Duration.millis(passed))
          return yield* restore(Effect.timeoutOption(wait, left)).pipe(
            Effect.flatMap(Option.match({
              onNone: () =>
                Effect.flatMap(
                  Effect.all([Ref.get(lease.activity), Ref.get(lease.failure)]),
                  ([during, cause]) =>
                    new AcquireTimeout({ label: request.label, waited: options.acquireTimeout, during, cause })
                ),
              onSome: Effect.succeed
            }))
          )
        })
      // a wrong address should not take minutes to be told
      const mayPass = ({ kind, retryable }: ProviderError) => retryable && kind !== "unreachable"
      const pool = yield* inTime(HeldSlot.retried(options.context, lease.retries, mayPass))
      const annotations = { "lease.id": lease.id, "process.id": pool.cache.owner.pid }
      // registered before the ticket is recorded, and based on the ledger, because an interruption may come at any step
      yield* Effect.annotateLogs(Effect.addFinalizer((exit) => end(pool, lease, exit)), annotations)
      return yield* Effect.gen(function*() {
        yield* inTime(HeldSlot.retried(options.discover(pool), lease.retries))
        yield* pool.cache.enqueue(pool.rules, {
          key: lease.key,
          leaseId: lease.id,
          needs: lease.spec,
          lock: request.lock?.name ?? null,
          label: request.label
        })
        if (pool.hasReaper) yield* Effect.forkIn(keepReaper(pool), lease.heartbeat)
        return yield* inTime(Polling.untilSome(attempt(pool, lease), Polling.queue))
      }).pipe(
        Effect.annotateLogs(annotations),
        Effect.withSpan("DeploymentPool.acquire", {
          attributes: { "pool.id": pool.rules.poolId, "lease.id": lease.id, label: request.label }
        })
      )
    })
  )

// internal

/** What the release needs to know, whatever step the lease has reached. */
interface Lease {
  readonly id: LeaseId
  readonly key: string
  readonly spec: DeploymentSpec
  readonly lock: RequestedLock | undefined
  /** Milliseconds. */
  readonly requestedAt: number
  readonly onStep: (activity: string, step: { readonly waits: boolean }, wait?: Wait) => Effect.Effect<void>
  readonly activity: Ref.Ref<string>
  /** What it retries, until its time is up. */
  readonly retries: HeldSlot.Retries
  /** The failure that it is retrying after. */
  readonly failure: Ref.Ref<ProviderError | undefined>
  readonly prepared: Ref.Ref<Option.Option<Prepared>>
  readonly usable: Ref.Ref<Outcome["usable"]>
  /** How many writes under its lock have no response yet. */
  readonly openWrites: Ref.Ref<number>
  readonly heartbeat: Scope.CloseableScope
  readonly watch: Scope.CloseableScope
}

type Prepared = PrepareSlot.PreparedSlot & Pick<Slot, "adopted">

const make = (
  { key, lock, onProgress }: LeaseRequest,
  spec: DeploymentSpec,
  usualTimes: Effect.Effect<UsualTimes.UsualTimes>
): Effect.Effect<Lease> =>
  Effect.gen(function*() {
    const id = LeaseId.make(yield* randomHex(8))
    const activity = yield* Ref.make("starting")
    const failure = yield* Ref.make<ProviderError | undefined>(undefined)
    const requestedAt = yield* Clock.currentTimeMillis
    const place = yield* Ref.make(UsualTimes.start)
    const tell = (step: string, isInfo: boolean, facts: Pick<Progress, "usual" | "wait"> = {}) =>
      Effect.gen(function*() {
        const at = yield* Clock.currentTimeMillis
        yield* (isInfo ? Effect.logInfo : Effect.logDebug)(oneLine(step)).pipe(
          Effect.annotateLogs("elapsed", Duration.format(Duration.millis(at - requestedAt)))
        )
        yield* onProgress?.({ at, activity: step, ...facts }) ?? Effect.void
      })
    const factsOf = (step: string, wait: Wait | undefined) =>
      Effect.gen(function*() {
        const now = wait === undefined
          ? yield* Ref.updateAndGet(place, (before) => UsualTimes.follow(before, step))
          : UsualTimes.queue
        const usual = onProgress === undefined ? undefined : (yield* usualTimes)(now)
        return { ...(usual === undefined ? {} : { usual }), ...(wait === undefined ? {} : { wait }) }
      })
    return {
      id,
      key: key ?? id,
      spec,
      lock,
      requestedAt,
      activity,
      onStep: (step, { waits }, wait) =>
        Ref.set(activity, step).pipe(
          Effect.zipRight(factsOf(step, wait)),
          Effect.flatMap((facts) => tell(step, waits, facts))
        ),
      failure,
      retries: {
        times: Infinity,
        longestPause: Duration.minutes(5),
        report: (now) =>
          Effect.flatMap(Ref.getAndSet(failure, now), (before) =>
            now === undefined || now.message === before?.message
              ? Effect.void
              : tell(`trying again after a failure: ${now.message}`, true))
      },
      prepared: yield* Ref.make<Option.Option<Prepared>>(Option.none()),
      usable: yield* Ref.make<Outcome["usable"]>("unknown"),
      openWrites: yield* Ref.make(0),
      heartbeat: yield* Scope.make(),
      watch: yield* Scope.make()
    }
  })

/** Waits for a slot and prepares it. `None`: it was given back, and the ticket waits again. */
const attempt = (pool: PoolContext, lease: Lease): Effect.Effect<Option.Option<LeasedSlot>, PoolError> =>
  Effect.gen(function*() {
    const granted = yield* awaitGrant(pool, lease)
    // before the first request: from now on there is something to clean up if this process ends (counterexample 20)
    yield* pool.ensureReaper
    return yield* use(pool, lease, granted).pipe(
      Effect.annotateLogs({ slot: granted.number, epoch: granted.epoch })
    )
  })

/** A reaper may be killed while a lease lasts. */
const keepReaper = ({ ensureReaper }: PoolContext) =>
  ensureReaper.pipe(
    Effect.catchAll((error) => Effect.logDebug(error.message)),
    Effect.delay("30 seconds"),
    Effect.forever,
    Effect.interruptible
  )

const awaitGrant = ({ cache, rules }: PoolContext, { activity, id, key, lock, onStep }: Lease) =>
  Effect.suspend(() => {
    let hasWaitedForLock = false
    return Polling.untilSome(
      Effect.gen(function*() {
        const status = yield* Effect.withTracerEnabled(cache.step(rules, key), false)
        if (status._tag === "Granted" && status.slot.holder?.leaseId === id) return Option.some(status.slot)
        // or another request with the key has the slot
        if (status._tag !== "Waiting") return yield* new TicketEnded({ key })
        if (lock !== undefined && status.lock !== null && !hasWaitedForLock) {
          hasWaitedForLock = true
          yield* onStep(lock.advice, { waits: true }, status)
        }
        const waiting = `place ${status.place} in the queue: ${status.reason}`
        if ((yield* Ref.get(activity)) !== waiting) yield* onStep(waiting, { waits: true }, status)
        return Option.none()
      }),
      Polling.queue
    )
  }).pipe(Effect.withSpan("DeploymentPool.awaitGrant"))

const use = (
  pool: PoolContext,
  lease: Lease,
  granted: Slot
): Effect.Effect<Option.Option<LeasedSlot>, Exclude<PoolError, AcquireTimeout | TicketEnded>> =>
  Effect.gen(function*() {
    const slot = HeldSlot.make(pool, granted, lease.spec, lease)
    yield* Effect.annotateCurrentSpan({ slot: slot.number, epoch: slot.epoch })
    const lost = yield* Deferred.make<never, LeaseLost>()
    const beating = yield* Scope.extend(slot.keepAlive, lease.heartbeat)
    yield* Effect.forkIn(Effect.intoDeferred(beating.lost, lost), lease.heartbeat)
    const ready = yield* PrepareSlot.prepare(slot, granted, reasonToReplace(granted)).pipe(
      Effect.raceFirst(Deferred.await(lost)),
      Effect.tapError((error) => Ref.set(lease.usable, PrepareSlot.outcomeOf(error))),
      Effect.asSome,
      Effect.catchTag("SlotContested", (contested) =>
        Effect.gen(function*() {
          yield* lease.onStep(contested.message, { waits: true })
          yield* slot.giveBack(yield* Random.nextIntBetween(10_000, 30_000))
          return Option.none()
        }))
    )
    if (Option.isNone(ready)) return Option.none()
    yield* Ref.set(lease.prepared, Option.some({ ...ready.value, adopted: granted.adopted }))
    yield* Ref.set(lease.usable, true)
    yield* slot.write({ activity: "in use" })
    const { deployment } = ready.value
    yield* Effect.annotateCurrentSpan({ "deployment.id": deployment.id, "deployment.name": deployment.name })
    yield* Effect.forkIn(Effect.intoDeferred(watchOver(slot, deployment), lost), lease.watch)
    return Option.some({
      ...ready.value,
      leaseId: lease.id,
      poolId: pool.rules.poolId,
      epoch: slot.epoch,
      lost: Deferred.await(lost),
      confirm: confirm(slot),
      report: (activity, shown = activity) =>
        Effect.catchAll(slot.write({ activity: shown }), ({ message }) => Effect.logDebug(message)).pipe(
          Effect.zipRight(lease.onStep(activity, { waits: true })),
          Effect.annotateLogs({ slot: slot.number })
        ),
      writeUnderLock: writeUnderLock(slot, lease.openWrites)
    })
  })

/** A write that fails stays open: it has no response, and may still land (counterexample 26). */
const writeUnderLock = (slot: HeldSlot.HeldSlot, open: Ref.Ref<number>) => <A, E, R>(write: Effect.Effect<A, E, R>) =>
  Ref.update(open, (count) => count + 1).pipe(
    Effect.zipRight(slot.write({ isWriting: true })),
    Effect.zipRight(write),
    Effect.zipLeft(Effect.flatMap(
      Ref.updateAndGet(open, (count) => count - 1),
      (count) => count === 0 ? slot.write({ isWriting: false }) : Effect.void
    ))
  )

/** Why a slot gets a new deployment: the old one could not be used at least twice in a row. */
const reasonToReplace = ({ quarantine }: Slot) =>
  quarantine !== null && quarantine.failures > 1
    ? Option.some(`which could not be used ${quarantine.failures} times in a row`)
    : Option.none()

/**
 * Notices what cannot be prevented: a click in Astro's pages, or a request of a process that was paused (counterexample 3).
 */
const watchOver = ({ epoch, number, pool: { provider, watch } }: HeldSlot.HeldSlot, { id, name }: Deployment) =>
  Effect.gen(function*() {
    const reason = Polling.untilSome(
      watch.within("15 seconds").pipe(
        // a list may leave out a deployment that exists
        Effect.flatMap((listing) => Effect.fromNullable(listing.get(id))),
        Effect.catchTag("NoSuchElementException", () => provider.get(id)),
        Effect.map(({ hibernationRequested, status }) =>
          hibernationRequested
            ? Option.some(`${name} was hibernated from outside the pool`)
            : status === "HIBERNATING"
            ? Option.some(`${name} is hibernating`)
            : Option.none()
        ),
        Effect.catchAll(({ kind }) =>
          Effect.succeed(
            kind === "notFound" ? Option.some(`${name} was deleted from outside the pool`) : Option.none<string>()
          )
        ),
        Effect.delay("30 seconds")
      ),
      Schedule.forever
    )
    return yield* new LeaseLost({ held: `slot ${number}`, epoch, reason: yield* reason })
  })

const confirm = ({ beat, epoch, number }: HeldSlot.HeldSlot) =>
  Effect.gen(function*() {
    const loss = yield* Effect.match(beat, {
      onSuccess: (isHeld) => isHeld ? undefined : "silent" as const,
      // a ledger that cannot be reached does not prove that the lease is lost
      onFailure: ({ kind }) => kind === "replaced" ? kind : undefined
    })
    if (loss !== undefined) return yield* Heartbeat.lossOf({ name: `slot ${number}`, epoch }, loss)
  })

/** Withdraws the ticket, or releases the slot, whichever the ledger shows. */
const end = (pool: PoolContext, lease: Lease, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* Scope.close(lease.watch, exit)
    if (yield* pool.cache.withdraw(pool.rules, lease.id)) return
    const row = (yield* pool.cache.inspect(pool.rules.poolId)).slots.find(({ holder }) => holder?.leaseId === lease.id)
    if (row !== undefined) yield* release(HeldSlot.make(pool, row, lease.spec, { onStep: lease.onStep }), row, lease)
  }).pipe(
    Effect.catchIf(
      // a ledger that is only busy has the hold, and the next holder cleans up after it
      (error): error is CacheError => error._tag === "CacheError" && !error.retryable,
      (error) =>
        Effect.zipRight(
          Effect.logWarning(`The release cannot be recorded. ${error.message}`),
          Effect.flatMap(
            Ref.get(lease.prepared),
            Effect.transposeMapOption((prepared) =>
              Effect.whenEffect(PrepareSlot.abandon(pool.provider)(prepared), hasToken(pool, prepared))
            )
          )
        )
    ),
    (released) => TimeLimit.fail(released, { limit: "2 minutes", onTimeout: () => new Cause.TimeoutException() }),
    Effect.catchAllCause((cause) =>
      Effect.logWarning("The release failed; the reaper or the next holder of the slot will clean up.", cause)
    ),
    // if it frees a slot with work left, a reaper has to do it (counterexample 20)
    Effect.zipRight(Effect.catchAll(pool.ensureReaper, (error) => Effect.logWarning(error.message))),
    Effect.zipRight(Scope.close(lease.heartbeat, exit))
  )

/** The next holder revokes the token before it uses the deployment. */
const hasToken = ({ provider }: PoolContext, { deployment, own }: PrepareSlot.PreparedSlot) =>
  Effect.map(
    provider.listTokens(deployment.id),
    (tokens) => tokens.some(({ id }) => Option.exists(own, (token) => token.id === id))
  )

const release = (
  slot: HeldSlot.HeldSlot,
  row: Slot,
  lease: Lease
): Effect.Effect<void, ProviderError | CacheError | LeaseLost> =>
  Effect.gen(function*() {
    const outcome = { usable: yield* Ref.get(lease.usable), clean: false }
    yield* PrepareSlot.release(slot, yield* Ref.get(lease.prepared), outcome).pipe(
      // so that the next holder need not wait for the deadline; not without a fence, because a request may still be on its way
      Effect.onError((cause) =>
        row.holder?.fenced === true
          ? Effect.ignore(slot.free({ ...outcome, unfinished: unfinished(cause) }))
          : Effect.void
      )
    )
  }).pipe(Effect.annotateLogs({ slot: slot.number, epoch: slot.epoch }))

const unfinished = (cause: Cause.Cause<ProviderError | CacheError | LeaseLost>): string =>
  oneLine(Option.match(Cause.failureOption(cause), {
    onNone: () =>
      Cause.isInterruptedOnly(cause) ? "the release took longer than 2 minutes" : "the release failed unexpectedly",
    onSome: ({ message }) => message
  }))
