/**
 * The durable ledger: slots, tickets, locks, events. A store runs one of {@link PoolPolicy}'s functions at a time over one
 * pool's rows; what the functions decide is the same whatever the store.
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
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { CacheError } from "./CacheError.js"
import * as Heartbeat from "./Heartbeat.js"
import * as Host from "./Host.js"
import type { LeaseId } from "./Lease.js"
import { LeaseLost } from "./Lease.js"
import type { Reading } from "./LedgerTime.js"
import * as LedgerTime from "./LedgerTime.js"
import * as PoolPolicy from "./PoolPolicy.js"
import type { LockHolder, Owner, PoolEvent, Slot, Ticket } from "./Slot.js"

/**
 * A scoped lock on a name.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lock {
  /** Grows at every acquisition. */
  readonly epoch: number
  /** Never succeeds; fails when the lock was lost. */
  readonly lost: Effect.Effect<never, LeaseLost>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LockOptions {
  /** For whom: shown to those who wait. */
  readonly label: string
  readonly holderId: string
  /** Called with the reason each time that it changes. */
  readonly onWait: (reason: string) => Effect.Effect<void>
  /** How long the lock outlives a holder that does not beat. Default: 60 seconds. */
  readonly ttl?: Duration.DurationInput
}

/**
 * @since 0.1.0
 * @category tags
 */
export class DeploymentCache extends Context.Tag("@airflow-resource/core/DeploymentCache")<
  DeploymentCache,
  {
    /** Where the ledger is, for people. */
    readonly path: string
    /** Tells ledgers apart: made once, with the ledger. */
    readonly ledgerId: string
    /** The process in whose name this service asks and holds. */
    readonly owner: Owner
    readonly enqueue: (
      rules: PoolPolicy.PoolRules,
      ticket: Omit<PoolPolicy.NewTicket, "owner">
    ) => Effect.Effect<void, CacheError>
    /** Expires, grants, and answers for the ticket: {@link PoolPolicy.step}. A waiter that does not call this lapses. */
    readonly step: (rules: PoolPolicy.PoolRules, key: string) => Effect.Effect<PoolPolicy.TicketStatus, CacheError>
    readonly withdraw: (rules: PoolPolicy.PoolRules, key: string) => Effect.Effect<boolean, CacheError>
    /** Expires and grants, by somebody who waits for nothing. */
    readonly sweep: (rules: PoolPolicy.PoolRules) => Effect.Effect<void, CacheError>
    /** Makes upkeep the holder of a slot that nobody waits for. */
    readonly claim: (
      rules: PoolPolicy.PoolRules,
      slot: number,
      claimant: Omit<PoolPolicy.Claimant, "owner">
    ) => Effect.Effect<Option.Option<Slot>, CacheError>
    /** Beats well within the deadline until the scope closes. The effect inside never succeeds; it fails when the slot is lost. */
    readonly keepAlive: (
      rules: PoolPolicy.PoolRules,
      slot: number,
      epoch: number
    ) => Effect.Effect<Heartbeat.Heartbeat, never, Scope.Scope>
    /** Pushes the holder's deadline. `false`: the slot is lost. */
    readonly beat: (
      rules: PoolPolicy.PoolRules,
      slot: number,
      epoch: number
    ) => Effect.Effect<boolean, CacheError>
    /** Writes facts about the slot, as its holder. */
    readonly update: (
      rules: PoolPolicy.PoolRules,
      slot: number,
      epoch: number,
      patch: PoolPolicy.SlotPatch
    ) => Effect.Effect<Slot, CacheError | LeaseLost>
    /**
     * Frees the slot and grants it to the queue's head, or leaves it to upkeep, in one transaction; `false`: nobody is there who
     * takes it, it is still held.
     */
    readonly handOver: (
      rules: PoolPolicy.PoolRules,
      slot: number,
      epoch: number
    ) => Effect.Effect<boolean, CacheError>
    /** `false`: it was not held under this epoch any more. */
    readonly free: (
      rules: PoolPolicy.PoolRules,
      slot: number,
      epoch: number,
      outcome: PoolPolicy.Outcome
    ) => Effect.Effect<boolean, CacheError>
    /** Nobody gets the slot for `pause` milliseconds. */
    readonly giveBack: (
      rules: PoolPolicy.PoolRules,
      slot: number,
      epoch: number,
      pause: number
    ) => Effect.Effect<boolean, CacheError>
    readonly reconcile: (rules: PoolPolicy.PoolRules, seen: PoolPolicy.Observation) => Effect.Effect<void, CacheError>
    readonly inspect: (poolId: string) => Effect.Effect<Snapshot, CacheError>
    /** Oldest first; of one lease, or of all. */
    readonly events: (
      poolId: string,
      leaseId?: LeaseId
    ) => Effect.Effect<ReadonlyArray<PoolEvent>, CacheError>
    /** Waits for the lock, holds it while the scope is open, and gives it back when the scope closes. */
    readonly lock: (name: string, options: LockOptions) => Effect.Effect<Lock, CacheError, Scope.Scope>
  }
>() {}

/**
 * One pool's part of the ledger, and the ledger's time, in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot extends PoolPolicy.Ledger {
  readonly now: number
}

/**
 * A row of the locks, by name. Locks belong to no pool: a repository is one, whoever deploys from it.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockRow {
  readonly epoch: number
  readonly holder: LockHolder | null
}

/**
 * What a store has to offer. Every function runs alone: no other process sees or makes a change between its read and its write.
 * It tells the time by a reading ({@link LedgerTime}) taken while it runs: one that was taken before it had to wait is too early.
 *
 * @since 0.1.0
 * @category models
 */
export interface Store {
  readonly path: string
  readonly ledgerId: string
  /** Reads the pool's slots, its live tickets, the ticket of that key, and the next ticket number; writes what `f` answers. */
  readonly modify: <A>(
    poolId: string,
    key: string | null,
    read: () => Reading,
    f: (ledger: PoolPolicy.Ledger, now: number, nextSeq: number) => PoolPolicy.Change<A>
  ) => Effect.Effect<A, CacheError>
  /** Pushes a holder's deadline to `ttl` from now. One conditional statement, so that it can also be sent from where this module is not. */
  readonly beat: (
    poolId: string,
    slot: number,
    epoch: number,
    read: () => Reading,
    ttl: number
  ) => Effect.Effect<boolean, CacheError>
  readonly modifyLock: <A>(
    name: string,
    read: () => Reading,
    f: (row: LockRow, now: number) => readonly [A, LockRow]
  ) => Effect.Effect<A, CacheError>
  readonly inspect: (poolId: string, read: () => Reading) => Effect.Effect<Snapshot, CacheError>
  readonly events: (poolId: string, leaseId: LeaseId | undefined) => Effect.Effect<ReadonlyArray<PoolEvent>, CacheError>
  /** Beats from where it goes on while this process's event loop is blocked; `otherwise`, should that place be lost, from here. */
  readonly keepAlive?: (
    poolId: string,
    slot: number,
    held: Heartbeat.Held,
    otherwise: Effect.Effect<Heartbeat.Heartbeat, never, Scope.Scope>
  ) => Effect.Effect<Heartbeat.Heartbeat, never, Scope.Scope>
}

/**
 * A ledger over a store, on the clock that is at hand, in the name of this process.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (store: Store, host: Host.Host = Host.alone): Effect.Effect<typeof DeploymentCache.Service> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    const read = yield* LedgerTime.reader(host)
    const modify = <A>(
      rules: PoolPolicy.PoolRules,
      key: string | null,
      f: (
        ledger: PoolPolicy.Ledger,
        rules: PoolPolicy.AppliedRules,
        now: number,
        nextSeq: number
      ) => PoolPolicy.Change<A>
    ) =>
      pin(store.modify(
        rules.poolId,
        key,
        read,
        (ledger, now, nextSeq) => f(ledger, { ...rules, isGone: host.isGone }, now, nextSeq)
      ))
    const beat = (rules: PoolPolicy.PoolRules, slot: number, epoch: number) =>
      pin(store.beat(rules.poolId, slot, epoch, read, rules.ttl))

    const keepAlive: typeof DeploymentCache.Service["keepAlive"] = (rules, slot, epoch) => {
      const held = { name: `slot ${slot}`, epoch, ttl: rules.ttl, beat: beat(rules, slot, epoch) }
      const here = pin(Heartbeat.make(held))
      return store.keepAlive === undefined ? here : store.keepAlive(rules.poolId, slot, held, here)
    }

    const update: typeof DeploymentCache.Service["update"] = (rules, number, epoch, patch) =>
      Effect.filterOrFail(
        modify(rules, null, (ledger, _, now) => PoolPolicy.update(ledger, now, number, epoch, patch)),
        (slot) => slot !== undefined,
        () => new LeaseLost({ held: `slot ${number}`, epoch, reason: "its deadline had passed, and others may use it" })
      )

    return DeploymentCache.of({
      path: store.path,
      ledgerId: store.ledgerId,
      owner: host.owner,
      enqueue: (rules, ticket) =>
        modify(
          rules,
          ticket.key,
          (ledger, rules, now, seq) => PoolPolicy.enqueue(ledger, rules, now, { ...ticket, owner: host.owner }, seq)
        ),
      step: (rules, key) => modify(rules, key, (ledger, rules, now) => PoolPolicy.step(ledger, rules, now, key)),
      withdraw: (rules, key) => modify(rules, key, (ledger, _, now) => PoolPolicy.withdraw(ledger, now, key)),
      sweep: (rules) => modify(rules, null, PoolPolicy.sweep),
      claim: (rules, slot, claimant) =>
        Effect.map(
          modify(rules, null, (ledger, rules, now) =>
            PoolPolicy.claim(ledger, rules, now, slot, { ...claimant, owner: host.owner })),
          Option.fromNullable
        ),
      keepAlive,
      beat,
      update,
      handOver: (rules, slot, epoch) =>
        modify(rules, null, (ledger, rules, now) => PoolPolicy.handOver(ledger, rules, now, slot, epoch)),
      free: (rules, slot, epoch, outcome) =>
        modify(rules, null, (ledger, _, now) => PoolPolicy.free(ledger, now, slot, epoch, outcome)),
      giveBack: (rules, slot, epoch, pause) =>
        modify(rules, null, (ledger, rules, now) => PoolPolicy.giveBack(ledger, rules, now, slot, epoch, pause)),
      reconcile: (rules, seen) =>
        modify(rules, null, (ledger, rules, now) => PoolPolicy.reconcile(ledger, rules, now, seen)),
      inspect: (poolId) => pin(store.inspect(poolId, read)),
      events: (poolId, leaseId) => pin(store.events(poolId, leaseId)),
      lock: (name, options) => pin(lock(store, host.owner, read, name, options))
    })
  })

/**
 * A store in memory: processes that share a ledger are several {@link make} over one store, each with its own host.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeMemoryStore = (ledgerId: string): Store => {
  let anchor: LedgerTime.Anchor | undefined
  let last = 0
  const time = (reading: Reading) => {
    const resolved = LedgerTime.resolve(anchor, reading, last)
    anchor = resolved.anchor
    last = Math.max(last, resolved.now)
    return resolved.now
  }
  const pools = new Map<
    string,
    { slots: ReadonlyArray<Slot>; tickets: ReadonlyArray<Ticket>; events: Array<PoolEvent> }
  >()
  const locks = new Map<string, LockRow>()
  const pool = (id: string) => {
    const known = pools.get(id) ?? { slots: [], tickets: [], events: [] }
    pools.set(id, known)
    return known
  }
  return {
    path: "in memory",
    ledgerId,
    modify: (poolId, key, read, f) =>
      Effect.sync(() => {
        const rows = pool(poolId)
        const [live, ended] = [
          rows.tickets.filter((ticket) => ticket.state !== "ended" || ticket.key === key),
          rows.tickets.filter((ticket) => ticket.state === "ended" && ticket.key !== key)
        ]
        const upkeep = locks.get(PoolPolicy.upkeepLock(poolId))?.holder ?? null
        const change = f({ slots: rows.slots, tickets: live, upkeep }, time(read()), rows.tickets.length + 1)
        rows.slots = [...change.ledger.slots].sort((a, b) => a.number - b.number)
        rows.tickets = [...ended, ...change.ledger.tickets]
        rows.events.push(...change.events)
        return change.value
      }),
    beat: (poolId, number, epoch, read, ttl) =>
      Effect.sync(() => {
        const rows = pool(poolId)
        const now = time(read())
        const slot = rows.slots.find((slot) => slot.number === number)
        if (!PoolPolicy.holds(slot, epoch, now)) return false
        rows.slots = rows.slots.map((known) =>
          known === slot ? { ...slot, holder: { ...slot.holder, deadline: now + ttl } } : known
        )
        return true
      }),
    modifyLock: (name, read, f) =>
      Effect.sync(() => {
        const [value, row] = f(locks.get(name) ?? { epoch: 0, holder: null }, time(read()))
        locks.set(name, row)
        return value
      }),
    inspect: (poolId, read) =>
      Effect.sync(() => {
        const { slots, tickets } = pool(poolId)
        const upkeep = locks.get(PoolPolicy.upkeepLock(poolId))?.holder ?? null
        return { slots, tickets: tickets.filter(({ state }) => state !== "ended"), upkeep, now: time(read()) }
      }),
    events: (poolId, leaseId) =>
      Effect.sync(() => pool(poolId).events.filter((event) => leaseId === undefined || event.leaseId === leaseId))
  }
}

/**
 * A ledger that lives as long as its layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<DeploymentCache> = Layer.effect(
  DeploymentCache,
  Effect.flatMap(Random.nextIntBetween(0, 2 ** 31), (id) => make(makeMemoryStore(`memory-${id}`)))
)

// internal

const lock = (
  store: Store,
  owner: Owner,
  read: () => Reading,
  name: string,
  options: LockOptions
): Effect.Effect<Lock, CacheError, Scope.Scope> =>
  Effect.gen(function*() {
    const ttl = Duration.toMillis(options.ttl ?? "60 seconds")
    const nonce = `${options.holderId}/${yield* Random.nextIntBetween(0, 2 ** 31)}`
    const claim = store.modifyLock<{ readonly epoch: number } | { readonly heldBy: string }>(
      name,
      read,
      (row, now) =>
        row.holder !== null && row.holder.deadline > now
          ? [{ heldBy: row.holder.label }, row]
          : [{ epoch: row.epoch + 1 }, {
            epoch: row.epoch + 1,
            holder: { holderId: nonce, label: options.label, owner, deadline: now + ttl }
          }]
    )
    const giveUp = store.modifyLock<void>(
      name,
      read,
      (row) => [undefined, row.holder?.holderId === nonce ? { ...row, holder: null } : row]
    )
    let reason = ""
    const wait = Polling.untilSome(
      Effect.gen(function*() {
        const answer = yield* claim
        if ("epoch" in answer) return Option.some(answer.epoch)
        if (answer.heldBy !== reason) {
          reason = answer.heldBy
          yield* options.onWait(`${name} is in use by ${answer.heldBy}; leases that use it take turns`)
        }
        return Option.none()
      }),
      Polling.queue
    )

    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        // registered before the claim: giving up what was never claimed changes nothing
        yield* Effect.addFinalizer(() =>
          Effect.catchAllCause(giveUp, (cause) => Effect.logWarning(`the lock on ${name} lapses by itself`, cause))
        )
        const epoch = yield* restore(wait)
        const beat = store.modifyLock<boolean>(name, read, (row, now) =>
          row.epoch === epoch && row.holder !== null && row.holder.deadline > now
            ? [true, { ...row, holder: { ...row.holder, deadline: now + ttl } }]
            : [false, row])
        const { lost } = yield* Heartbeat.make({ name: `the lock on ${name}`, epoch, ttl, beat })
        return { epoch, lost }
      })
    )
  })
