/**
 * The ledger: a pool's slots, tickets, locks and events, kept where every process of the pool can use them. The rules
 * are pure functions; a store runs one of them at a time over one pool's rows, so the rules are
 * the same for every store.
 *
 * @since 0.1.0
 */
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as Polling from "@airflow-resource/airflow/Polling"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { CacheError } from "./CacheError.js"
import * as Host from "./Host.js"
import * as Heartbeat from "./internal/ledger/Heartbeat.js"
import * as MemoryLedger from "./internal/ledger/memory.js"
import type { Store } from "./internal/ledger/Store.js"
import * as Hold from "./internal/policy/hold.js"
import type {
  AppliedRules,
  Change,
  Claimant,
  CloudDeployments,
  Ledger,
  NewTicket,
  Outcome,
  PoolRules,
  SlotPatch,
  TicketStatus
} from "./internal/policy/model.js"
import * as Queue from "./internal/policy/queue.js"
import { reconcile } from "./internal/policy/reconcile.js"
import type { Outlook } from "./internal/policy/upkeep.js"
import * as Upkeep from "./internal/policy/upkeep.js"
import { randomHex } from "./internal/randomHex.js"
import type { LeaseId } from "./Lease.js"
import { LeaseLost } from "./Lease.js"
import type { EventQuery, LockHolder, LockRow, Owner, RecordedEvent, Run, Slot } from "./Slot.js"

/**
 * A lock on a name, held until its scope closes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lock {
  /** Grows with every acquisition. */
  readonly epoch: number
  /** Never succeeds; fails when the lock is lost. */
  readonly lost: Effect.Effect<never, LeaseLost>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LockOptions {
  /** What holds the lock, such as the test's name: shown to waiters. */
  readonly label: string
  /** Unique. A holder whose release of the lock failed gets it again under the same id. */
  readonly holderId: string
  /** Called with the reason for waiting, each time it changes. */
  readonly onWait: (reason: string) => Effect.Effect<void>
  /** How long the lock stays held after its holder's last beat [60 seconds]. */
  readonly ttl?: Duration.DurationInput
}

/**
 * One pool's part of the ledger, and the ledger's time in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot extends Ledger {
  readonly now: number
}

/**
 * @since 0.1.0
 * @category tags
 */
export class DeploymentCache extends Context.Tag("@airflow-resource/core/DeploymentCache")<
  DeploymentCache,
  {
    /** Where the ledger is, for messages. */
    readonly path: string
    /** Identifies the ledger; generated when it is created. */
    readonly ledgerId: string
    /** The process that uses this service. */
    readonly owner: Owner
    /** Adds a ticket to the queue. */
    readonly enqueue: (
      rules: PoolRules,
      ticket: Omit<NewTicket, "owner">
    ) => Effect.Effect<void, CacheError>
    /**
     * Expires, grants, and returns the ticket's status. A waiter has to poll this: its ticket lapses after `ttl` without
     * a call.
     */
    readonly step: (rules: PoolRules, key: string) => Effect.Effect<TicketStatus, CacheError>
    /** Ends a waiting ticket. `false`: it was not waiting. */
    readonly withdraw: (rules: PoolRules, leaseId: LeaseId) => Effect.Effect<boolean, CacheError>
    /** Expires, for a caller without a ticket. */
    readonly sweep: (rules: PoolRules) => Effect.Effect<void, CacheError>
    /** Expires the slot's holder now, and returns the slot as it was. `None`: there is no such slot. */
    readonly expire: (rules: PoolRules, slot: number) => Effect.Effect<Option.Option<Slot>, CacheError>
    /** Makes upkeep the holder of a free slot, unless a ticket is waiting for it. */
    readonly claim: (
      rules: PoolRules,
      slot: number,
      claimant: Omit<Claimant, "owner">
    ) => Effect.Effect<Option.Option<Slot>, CacheError>
    /**
     * Keeps the slot by beating well before each deadline, until the scope closes. `lost` never succeeds; it fails when
     * the slot is lost.
     */
    readonly keepAlive: (
      rules: PoolRules,
      slot: number,
      epoch: number
    ) => Effect.Effect<{ readonly lost: Effect.Effect<never, LeaseLost> }, never, Scope.Scope>
    /** Extends the holder's deadline. `false`: the slot is lost. */
    readonly beat: (
      rules: PoolRules,
      slot: number,
      epoch: number
    ) => Effect.Effect<boolean, CacheError>
    /** Records facts about the slot, as its holder. */
    readonly update: (
      rules: PoolRules,
      slot: number,
      epoch: number,
      patch: SlotPatch
    ) => Effect.Effect<Slot, CacheError | LeaseLost>
    /** Records that a former holder of the slot has sent a request since it lost the slot. Needs no epoch. */
    readonly recordLate: (rules: PoolRules, slot: number) => Effect.Effect<void, CacheError>
    /**
     * In one transaction, frees the slot and grants it to the head of the queue, or frees it and leaves it to upkeep.
     * `false`: no ticket and no upkeep takes it, and the slot is still held.
     */
    readonly handOver: (
      rules: PoolRules,
      slot: number,
      epoch: number
    ) => Effect.Effect<boolean, CacheError>
    /** Frees the slot. `false`: it was no longer held under this epoch. */
    readonly free: (
      rules: PoolRules,
      slot: number,
      epoch: number,
      outcome: Outcome
    ) => Effect.Effect<boolean, CacheError>
    /**
     * Frees the slot unused and puts its ticket back into the queue; the slot is not granted again for `pause`
     * milliseconds. `false`: it was no longer held under this epoch.
     */
    readonly giveBack: (
      rules: PoolRules,
      slot: number,
      epoch: number,
      pause: number
    ) => Effect.Effect<boolean, CacheError>
    /** Registers a run until the scope closes. */
    readonly run: (
      rules: PoolRules,
      run: Omit<Run, "owner" | "deadline">
    ) => Effect.Effect<void, CacheError, Scope.Scope>
    /** The ledger, as this machine's upkeep sees it. */
    readonly outlook: (rules: PoolRules) => Effect.Effect<Outlook, CacheError>
    /** Whether a process of this machine is alive that has requested a lease, now or earlier. */
    readonly hasClients: (rules: PoolRules) => Effect.Effect<boolean, CacheError>
    /**
     * Gives up this machine's upkeep lock, if it is held under this epoch, nothing is left to do, and no slot was granted since `seen`
     * was read. `false`: it is still held, or was lost before.
     */
    readonly retire: (
      rules: PoolRules,
      lockEpoch: number,
      seen: ReadonlyArray<Slot>
    ) => Effect.Effect<boolean, CacheError>
    /** Corrects the ledger to match what the cloud has. */
    readonly reconcile: (
      rules: PoolRules,
      cloud: CloudDeployments
    ) => Effect.Effect<void, CacheError>
    /** Reads one pool's part of the ledger without changing it. */
    readonly inspect: (poolId: string) => Effect.Effect<Snapshot, CacheError>
    /** The pool's events, oldest first. */
    readonly events: (
      poolId: string,
      query?: EventQuery
    ) => Effect.Effect<ReadonlyArray<RecordedEvent>, CacheError>
    /** Waits for the lock, holds it until the scope closes, then releases it. */
    readonly lock: (name: string, options: LockOptions) => Effect.Effect<Lock, CacheError, Scope.Scope>
  }
>() {}

/**
 * The service over a store that was opened for `host`, on the current Clock. Every operation except a beat is a span,
 * with the ids of what it touches as attributes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (store: Store, host: Host.Host = Host.alone): Effect.Effect<typeof DeploymentCache.Service> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    const machine = Host.machineOf(host.owner)

    const traced = (operation: string, attributes: SpanAttributes) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
      Effect.withSpan(pin(self), `DeploymentCache.${operation}`, { attributes, captureStackTrace: false })

    /**
     * Runs one of the policy's functions in a transaction. With `ticketKey` the ledger includes that ticket even if it has ended.
     * `attributes` are those of the span.
     */
    const modify = <A>(
      operation: string,
      rules: PoolRules,
      attributes: SpanAttributes,
      f: (ledger: Ledger, rules: AppliedRules, now: number, nextSeq: number) => Change<A>,
      ticketKey: string | null = null
    ): Effect.Effect<A, CacheError> =>
      store.modify(
        rules.poolId,
        ticketKey,
        (ledger, now, nextSeq) => f(ledger, { ...rules, isGone: host.isGone, machine }, now, nextSeq)
      ).pipe(traced(operation, { "pool.id": rules.poolId, ...attributes }))

    const beat: typeof DeploymentCache.Service["beat"] = (rules, slot, epoch) =>
      pin(store.beat(rules.poolId, slot, epoch, rules.ttl))

    const keepAlive: typeof DeploymentCache.Service["keepAlive"] = (rules, slot, epoch) => {
      const held = { name: `slot ${slot}`, epoch, ttl: rules.ttl, beat: beat(rules, slot, epoch) }
      const fromEventLoop = pin(Heartbeat.make(held))
      return store.keepAlive === undefined ? fromEventLoop : store.keepAlive(rules.poolId, slot, held, fromEventLoop)
    }

    const update: typeof DeploymentCache.Service["update"] = (rules, slot, epoch, patch) =>
      Effect.filterOrFail(
        modify(
          "update",
          rules,
          { slot, epoch },
          (ledger, rules, now) => Hold.update(ledger, rules, now, slot, epoch, patch)
        ),
        (updated) => updated !== undefined,
        () =>
          new LeaseLost({
            held: `slot ${slot}`,
            epoch,
            reason: "its deadline has passed, or an administrator released it, and the slot may have another holder"
          })
      )

    return DeploymentCache.of({
      path: store.path,
      ledgerId: store.ledgerId,
      owner: host.owner,
      enqueue: (rules, ticket) =>
        modify(
          "enqueue",
          rules,
          { "ticket.key": ticket.key, "lease.id": ticket.leaseId },
          (ledger, rules, now, seq) => Queue.enqueue(ledger, rules, now, { ...ticket, owner: host.owner }, seq),
          ticket.key
        ),
      step: (rules, key) =>
        modify("step", rules, { "ticket.key": key }, (ledger, rules, now) => Queue.step(ledger, rules, now, key), key),
      withdraw: (rules, leaseId) =>
        modify("withdraw", rules, { "lease.id": leaseId }, (ledger, _, now) => Queue.withdraw(ledger, now, leaseId)),
      sweep: (rules) => modify("sweep", rules, {}, Queue.expire),
      expire: (rules, slot) =>
        modify("expire", rules, { slot }, (ledger, rules, now) => Queue.expireNow(ledger, rules, now, slot)).pipe(
          Effect.map(Option.fromNullable)
        ),
      claim: (rules, slot, claimant) =>
        modify(
          "claim",
          rules,
          { slot, "lease.id": claimant.leaseId },
          (ledger, rules, now) => Hold.claim(ledger, rules, now, slot, { ...claimant, owner: host.owner })
        ).pipe(Effect.map(Option.fromNullable)),
      keepAlive,
      beat,
      update,
      recordLate: (rules, slot) =>
        modify("recordLate", rules, { slot }, (ledger, rules, now) => Hold.recordLate(ledger, rules, now, slot)),
      run: (rules, run) =>
        register(store, pin, host.owner, rules, run).pipe(traced("run", { "pool.id": rules.poolId })),
      outlook: (rules) =>
        Effect.map(
          store.inspect(rules.poolId),
          (snapshot) => Upkeep.outlook(snapshot, { ...rules, isGone: host.isGone, machine }, snapshot.now)
        ).pipe(traced("outlook", { "pool.id": rules.poolId })),
      hasClients: ({ poolId }) =>
        Effect.map(store.owners(poolId), (owners) =>
          // without a boot id nothing is known about other processes
          owners.some((owner) => host.owner.bootId !== "" && Host.machineOf(owner) === machine && !host.isGone(owner)))
          .pipe(traced("hasClients", { "pool.id": poolId })),
      retire: (rules, lockEpoch, seen) =>
        modify("retire", rules, {}, (ledger, rules, now) => Upkeep.retire(ledger, rules, now, lockEpoch, seen)),
      handOver: (rules, slot, epoch) =>
        modify(
          "handOver",
          rules,
          { slot, epoch },
          (ledger, rules, now) => Hold.handOver(ledger, rules, now, slot, epoch)
        ),
      free: (rules, slot, epoch, outcome) =>
        modify(
          "free",
          rules,
          { slot, epoch },
          (ledger, rules, now) => Hold.free(ledger, rules, now, slot, epoch, outcome)
        ),
      giveBack: (rules, slot, epoch, pause) =>
        modify(
          "giveBack",
          rules,
          { slot, epoch },
          (ledger, rules, now) => Hold.giveBack(ledger, rules, now, slot, epoch, pause)
        ),
      reconcile: (rules, cloud) =>
        modify("reconcile", rules, {}, (ledger, rules, now) => reconcile(ledger, rules, now, cloud)),
      inspect: (poolId) => store.inspect(poolId).pipe(traced("inspect", { "pool.id": poolId })),
      events: (poolId, query = {}) =>
        store.events(poolId, query).pipe(traced("events", {
          "pool.id": poolId,
          ...(query.leaseId === undefined ? {} : { "lease.id": query.leaseId })
        })),
      lock: (name, options) => acquireLock(store, host, name, options).pipe(traced("lock", { "lock.name": name }))
    })
  })

/**
 * A ledger in memory, which lives as long as its layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<DeploymentCache> = Layer.effect(
  DeploymentCache,
  Effect.gen(function*() {
    const open = MemoryLedger.make(`memory-${yield* randomHex(4)}`)
    return yield* make(yield* open(Host.alone))
  })
)

// internal

type SpanAttributes = Readonly<Record<string, unknown>>

/** Beats from the event loop: a run that loses its place for a while costs time, never correctness. */
const register = (
  store: Store,
  pin: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
  owner: Owner,
  { poolId, ttl }: PoolRules,
  run: Omit<Run, "owner" | "deadline">
): Effect.Effect<void, CacheError, Scope.Scope> => {
  const put = store.modify(poolId, null, (ledger, now) => {
    const beating: Run = { ...run, owner, deadline: now + ttl }
    const isKnown = ledger.runs.some(({ id }) => id === run.id)
    return {
      value: true,
      ledger: {
        ...ledger,
        runs: isKnown
          ? ledger.runs.map((one) => one.id === run.id ? beating : one)
          : [...ledger.runs.filter(({ deadline }) => deadline > now), beating]
      },
      events: []
    }
  })
  const remove = store.modify(poolId, null, (ledger) => ({
    value: undefined,
    ledger: { ...ledger, runs: ledger.runs.filter(({ id }) => id !== run.id) },
    events: []
  }))
  return Effect.zipRight(
    Effect.acquireRelease(
      put,
      () => Effect.catchAll(remove, (error) => Effect.logWarning("The run could not be deregistered.", error))
    ),
    Heartbeat.make({ name: `the run ${run.id}`, epoch: 0, ttl, beat: put })
  ).pipe(Effect.asVoid, pin)
}

const acquireLock = (
  store: Store,
  { isGone, owner }: Host.Host,
  name: string,
  options: LockOptions
): Effect.Effect<Lock, CacheError, Scope.Scope> =>
  Effect.gen(function*() {
    const ttl = Duration.toMillis(options.ttl ?? "60 seconds")
    // counterexample 22
    const isHeld = (row: LockRow, now: number): row is LockRow & { readonly holder: LockHolder } =>
      row.holder !== null && row.holder.deadline > now && !isGone(row.holder.owner)
    const { holderId } = options

    const claim = store.modifyLock<{ readonly epoch: number } | { readonly heldBy: string }>(name, (row, now) => {
      if (isHeld(row, now) && row.holder.holderId !== holderId) return [{ heldBy: row.holder.label }, row]
      const epoch = row.epoch + 1
      return [{ epoch }, { epoch, holder: { holderId, label: options.label, owner, deadline: now + ttl } }]
    })
    const release = store.modifyLock<void>(
      name,
      (row) => [undefined, row.holder?.holderId === holderId ? { ...row, holder: null } : row]
    )
    let knownHolder = ""
    const wait = Polling.untilSome(
      Effect.gen(function*() {
        const claimed = yield* claim
        if ("epoch" in claimed) return Option.some(claimed.epoch)
        if (claimed.heldBy !== knownHolder) {
          knownHolder = claimed.heldBy
          yield* options.onWait(`${name} is in use by ${knownHolder}; leases that use it take turns`)
        }
        return Option.none()
      }),
      Polling.queue
    )

    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        // registered before the claim, because an interruption may follow the claim; releasing an unclaimed lock changes nothing
        yield* Effect.addFinalizer(() =>
          Effect.catchAllCause(
            release,
            (cause) =>
              Effect.logWarning(`The lock on ${name} could not be released; it expires within ${ttl} ms.`, cause)
          )
        )
        const epoch = yield* restore(wait)
        const beat = store.modifyLock<boolean>(name, (row, now) =>
          row.epoch === epoch && isHeld(row, now)
            ? [true, { ...row, holder: { ...row.holder, deadline: now + ttl } }]
            : [false, row])
        const { lost } = yield* Heartbeat.make({ name: `the lock on ${name}`, epoch, ttl, beat })
        return { epoch, lost }
      })
    )
  })
