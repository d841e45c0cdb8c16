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
import type { LeasedSlot, LeaseRequest } from "../../LeasedSlot.js"
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

/** Leases a slot until the scope closes. Everything but the waits is uninterruptible. */
export const acquire = (pool: PoolContext, request: LeaseRequest, options: {
  readonly spec: DeploymentSpec
  readonly acquireTimeout: Duration.Duration
}): Effect.Effect<LeasedSlot, PoolError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const lease = yield* make(request, request.spec ?? options.spec)
      const annotations = { "lease.id": lease.id, "process.id": pool.cache.owner.pid }
      // registered before the ticket is recorded, and based on the ledger, because an interruption may come at any step
      yield* Effect.annotateLogs(Effect.addFinalizer((exit) => end(pool, lease, exit)), annotations)
      return yield* Effect.gen(function*() {
        yield* pool.cache.enqueue(pool.rules, {
          key: lease.key,
          leaseId: lease.id,
          needs: lease.spec,
          label: request.label
        })
        const attempts = Polling.untilSome(attempt(pool, lease), Polling.queue)
        const leased = yield* restore(Effect.timeoutOption(attempts, options.acquireTimeout))
        if (Option.isSome(leased)) return leased.value
        const during = yield* Ref.get(lease.activity)
        return yield* new AcquireTimeout({ label: request.label, waited: options.acquireTimeout, during })
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
  readonly onStep: (activity: string, step: { readonly waits: boolean }, wait?: Wait) => Effect.Effect<void>
  readonly activity: Ref.Ref<string>
  readonly prepared: Ref.Ref<Option.Option<PrepareSlot.PreparedSlot>>
  readonly usable: Ref.Ref<Outcome["usable"]>
  readonly heartbeat: Scope.CloseableScope
  readonly watch: Scope.CloseableScope
}

const make = ({ key, onProgress }: LeaseRequest, spec: DeploymentSpec): Effect.Effect<Lease> =>
  Effect.gen(function*() {
    const id = LeaseId.make(yield* randomHex(8))
    const activity = yield* Ref.make("starting")
    const requestedAt = yield* Clock.currentTimeMillis
    return {
      id,
      key: key ?? id,
      spec,
      activity,
      onStep: (step, { waits }, wait) =>
        Effect.gen(function*() {
          yield* Ref.set(activity, step)
          const at = yield* Clock.currentTimeMillis
          yield* (waits ? Effect.logInfo : Effect.logDebug)(oneLine(step)).pipe(
            Effect.annotateLogs("elapsed", Duration.format(Duration.millis(at - requestedAt)))
          )
          yield* onProgress?.({ at, activity: step, ...(wait === undefined ? {} : { wait }) }) ?? Effect.void
        }),
      prepared: yield* Ref.make(Option.none<PrepareSlot.PreparedSlot>()),
      usable: yield* Ref.make<Outcome["usable"]>("unknown"),
      heartbeat: yield* Scope.make(),
      watch: yield* Scope.make()
    }
  })

/** Waits for a slot and prepares it. `None`: it was given back, and the ticket waits again. */
const attempt = (pool: PoolContext, lease: Lease): Effect.Effect<Option.Option<LeasedSlot>, PoolError> =>
  Effect.gen(function*() {
    const granted = yield* awaitGrant(pool, lease)
    return yield* use(pool, lease, granted).pipe(
      Effect.annotateLogs({ slot: granted.number, epoch: granted.epoch })
    )
  })

const awaitGrant = ({ cache, rules }: PoolContext, { activity, key, onStep }: Lease) =>
  Polling.untilSome(
    Effect.gen(function*() {
      const status = yield* Effect.withTracerEnabled(cache.step(rules, key), false)
      if (status._tag === "Granted") return Option.some(status.slot)
      if (status._tag === "Ended") return yield* new TicketEnded({ key })
      const waiting = `place ${status.place} in the queue: ${status.reason}`
      if ((yield* Ref.get(activity)) !== waiting) yield* onStep(waiting, { waits: true }, status)
      return Option.none()
    }),
    Polling.queue
  ).pipe(Effect.withSpan("DeploymentPool.awaitGrant"))

const use = (
  pool: PoolContext,
  lease: Lease,
  granted: Slot
): Effect.Effect<Option.Option<LeasedSlot>, Exclude<PoolError, AcquireTimeout | TicketEnded>> =>
  Effect.gen(function*() {
    const slot = HeldSlot.make(pool, granted, lease.spec, lease.onStep)
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
    yield* Ref.set(lease.prepared, ready)
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
      confirm: confirm(slot)
    })
  })

/** Why a slot gets a new deployment: the old one could not be used at least twice in a row. */
const reasonToReplace = ({ quarantine }: Slot) =>
  quarantine !== null && quarantine.failures > 1
    ? Option.some(`which could not be used ${quarantine.failures} times in a row`)
    : Option.none()

/**
 * Notices what cannot be prevented: a click in Astro's pages, or a request of a process that was paused (counterexample 3).
 */
const watchOver = ({ epoch, number, pool: { watch } }: HeldSlot.HeldSlot, { id, name }: Deployment) =>
  Effect.gen(function*() {
    let missed = 0
    const reason = Polling.untilSome(
      Effect.map(watch.within("15 seconds"), (listing) => {
        const deployment = listing.get(id)
        missed = deployment === undefined ? missed + 1 : 0
        if (missed > 1) return Option.some(`${name} was deleted from outside the pool`)
        if (deployment?.hibernationRequested === true) {
          return Option.some(`${name} was hibernated from outside the pool`)
        }
        return deployment?.status === "HIBERNATING" ? Option.some(`${name} is hibernating`) : Option.none()
      }).pipe(Effect.orElseSucceed(() => Option.none<string>()), Effect.delay("30 seconds")),
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
    if (yield* pool.cache.withdraw(pool.rules, lease.key)) return
    const row = (yield* pool.cache.inspect(pool.rules.poolId)).slots.find(({ holder }) => holder?.leaseId === lease.id)
    if (row !== undefined) yield* release(HeldSlot.make(pool, row, lease.spec, lease.onStep), row, lease)
  }).pipe(
    Effect.catchIf(
      (error) => error._tag === "CacheError" && error.kind === "replaced",
      () => Effect.flatMap(Ref.get(lease.prepared), Effect.transposeMapOption(PrepareSlot.abandon(pool.provider)))
    ),
    (released) => TimeLimit.fail(released, { limit: "2 minutes", onTimeout: () => new Cause.TimeoutException() }),
    Effect.catchAllCause((cause) =>
      Effect.logWarning("The release failed; the next holder of the slot will clean up.", cause)
    ),
    Effect.zipRight(Scope.close(lease.heartbeat, exit))
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
      Effect.onError(() => row.holder?.fenced === true ? Effect.ignore(slot.free(outcome)) : Effect.void)
    )
  }).pipe(Effect.annotateLogs({ slot: slot.number, epoch: slot.epoch }))
