/**
 * A world inside one process: a cloud, ledgers, and actors. An actor stands for a process: it has its own pool over a
 * ledger that others may share. Each of its calls to the ledger, the provider or Airflow passes its gate, where the
 * actor can be paused or crash.
 */
import { type Airflow, AirflowApi } from "@airflow-resource/airflow"
import {
  CacheError,
  DeploymentCache,
  DeploymentPool,
  DeploymentProvider,
  type Host,
  type Lease,
  type LeasedSlot,
  type PoolError,
  type PoolPolicy,
  type Slot,
  type Upkeep
} from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { FileSystem, Path } from "@effect/platform"
import { Cause, type Clock, Context, Deferred, Effect, Exit, type Fiber, Layer, Logger, Scope } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as MemoryLedger from "../../src/internal/ledger/memory.js"
import type { Store } from "../../src/internal/ledger/Store.js"
import type { CloudEvent, CloudOptions, Gate } from "./Cloud.js"
import { Cloud, sharedToken } from "./Cloud.js"
import { never, VirtualTime } from "./VirtualTime.js"

export const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
export const otherSpec = { ...spec, runtimeVersion: "12.7.1" }
export const seconds = (count: number) => count * 1000
export const minutes = (count: number) => count * 60_000
export const hours = (count: number) => count * 3_600_000

export type StoreKind = "memory" | "SQLite"

export interface WorldOptions extends Partial<CloudOptions> {
  readonly store: StoreKind
  readonly seed?: number
  readonly pool?: Partial<DeploymentPool.PoolOptions>
}

/** A ledger, and whether its path still leads to it. */
interface Ledger {
  readonly id: string
  readonly open: (host: Host.Host) => Effect.Effect<Cache, CacheError.CacheError, Scope.Scope>
  readonly delete: () => void
  isDeleted: boolean
  /** How each use of it fails at the moment, if it does. A full disk can be read. */
  failure: "busy" | "io" | "full" | undefined
}

type Cache = typeof DeploymentCache.DeploymentCache.Service

/** A ledger in a file belongs to one machine. Containers on that machine cannot see each other's processes. */
interface Machine {
  boot: number
  bootedAt: number
  /** How many milliseconds its wall clock is ahead. */
  skew: number
}

/** A test begins or ends its use of a leased deployment. */
export interface UseEvent {
  readonly _tag: "Began" | "Ended"
  readonly at: number
  readonly ledger: string
  readonly slot: number
  readonly epoch: number
  readonly deployment: string
  readonly isFenced: boolean
  /** The variables that were in the Airflow when the use began. */
  readonly found: ReadonlyArray<string>
}

/** A write that a lock protects arrives. */
export interface PublishEvent {
  readonly _tag: "Published"
  readonly at: number
  readonly lock: string
  readonly by: string
  /** It was sent by the holder of the lock. No machine boots while a request is on its way. */
  readonly isProtected: boolean
  /** The lease that has the lock when it arrives. */
  readonly holder: string | undefined
}

export class World {
  readonly time: VirtualTime
  readonly cloud: Cloud
  readonly actors: Array<Actor> = []
  readonly ledgers: Array<Ledger> = []
  /** What happened, in order. Nothing inside the world reads it. */
  readonly log: Array<CloudEvent | UseEvent | PublishEvent> = []
  /** The lock that each lease has requested. */
  readonly locks = new Map<string, string>()
  readonly options: WorldOptions
  /** Called when a process dies, before anything else changes. */
  onCrash: (actor: Actor) => void = () => undefined
  readonly machine: Machine
  readonly #folder: string | undefined
  #pids = 0

  constructor(options: WorldOptions) {
    this.options = options
    this.time = new VirtualTime(options.seed ?? 1)
    this.machine = { boot: 1, bootedAt: this.time.now - seconds(1000), skew: 0 }
    this.cloud = new Cloud(this.time, {
      createTakes: seconds(60),
      wakeTakes: seconds(20),
      hibernateTakes: seconds(10),
      revocationLag: seconds(4),
      latency: 100,
      ahead: 0,
      ...options
    }, (event) => this.log.push(event))
    // in memory where possible: a run has thousands of transactions
    const shared = fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir()
    this.#folder = options.store === "SQLite" ? fs.mkdtempSync(`${shared}/world-`) : undefined
    this.newLedger()
  }

  /** Ends the world: closes its ledgers, deletes their files, and makes everything in it collectable. */
  close(): void {
    for (const actor of this.actors) actor.closeFiles()
    this.time.close()
    if (this.#folder !== undefined) fs.rmSync(this.#folder, { recursive: true })
  }

  /** Adds an empty ledger at a new path. Actors use the newest one by default. */
  newLedger(): number {
    const id = `ledger-${this.ledgers.length}`
    this.ledgers.push(this.#folder === undefined ? memoryLedger(id) : sqliteLedger(id, this.#folder))
    return this.ledgers.length - 1
  }

  /** Deletes the newest ledger while it is open. New actors get an empty one. */
  deleteLedger(): void {
    const last = this.ledgers.at(-1)
    if (last !== undefined) {
      last.isDeleted = true
      last.delete()
    }
    this.newLedger()
  }

  actor(options: ActorOptions = {}): Actor {
    const actor = new Actor(this, ++this.#pids, options)
    this.actors.push(actor)
    return actor
  }

  /** Starts a process that runs a reaper. */
  reaper(options: ActorOptions = {}): Actor {
    return this.actor(options).startReaper()
  }

  reboot(): void {
    for (const actor of this.actors) actor.crash()
    this.machine.boot += 1
    this.machine.bootedAt = this.time.now
  }

  advance(millis: number): void {
    this.time.until(() => false, millis)
  }

  /** Lets time pass until the condition holds, and fails the test if it does not within `limit`. */
  until(what: string, condition: () => boolean, limit = minutes(20)): void {
    if (!this.time.until(condition, limit)) throw new Error(`${what}: not within ${limit / 1000} s\n${this.describe()}`)
  }

  /** Reads the ledger without changing it. */
  inspect(ledger = this.ledgers.length - 1, prefix?: string): DeploymentCache.Snapshot {
    const actor = this.#readerOf(ledger, prefix)
    if (actor === undefined) {
      return { slots: [], tickets: [], upkeep: { epoch: 0, holder: null }, runs: [], lockUses: [], now: this.time.now }
    }
    return actor.ungated((cache) => cache.inspect(actor.poolId))
  }

  events(ledger = this.ledgers.length - 1, prefix?: string): ReadonlyArray<Slot.PoolEvent> {
    const actor = this.#readerOf(ledger, prefix)
    return actor === undefined ? [] : actor.ungated((cache) => cache.events(actor.poolId))
  }

  /** The prefixes of all pools that ever had a process. */
  prefixes(): ReadonlyArray<string> {
    return Array.from(new Set(this.actors.map(({ prefix }) => prefix)))
  }

  /** The holders of a ledger that have not missed their deadlines, in all pools. */
  holders(ledger: number): ReadonlyArray<Slot.Holder> {
    return this.prefixes().flatMap((prefix) => {
      const { now, slots } = this.inspect(ledger, prefix)
      return slots.flatMap(({ holder }) =>
        holder !== null && now < Math.min(holder.deadline, holder.maxUntil) ? [holder] : []
      )
    })
  }

  #readerOf(ledger: number, prefix = mainPrefix): Actor | undefined {
    return this.ledgers[ledger]?.isDeleted === true
      ? undefined
      : this.actors.find((actor) => actor.ledger === ledger && actor.prefix === prefix)
  }

  describe(): string {
    const at = (time: number | null) => time === null ? "-" : ((time - 1_000_000_000_000) / 1000).toFixed(1)
    return [
      `now ${at(this.time.now)}`,
      ...this.actors.map((actor) => `${actor.name} ${actor.state}; last ${actor.calls.slice(-3).join(", ")}`),
      ...Array.from(
        this.cloud.facts.values(),
        (fact) =>
          `${fact.id} ${fact.name} ${this.cloud.statusOf(fact)} requested ${
            fact.power?.asleep === true ? "asleep" : "awake"
          }` +
          ` tokens ${
            fact.tokens.filter((token) => token.deletedAt === undefined).map((token) => token.name).join(" + ")
          }` +
          ` dirt ${Array.from(fact.variables.keys()).join(" ")}`
      ),
      ...this.ledgers.flatMap((_, ledger) => [
        ...this.events(ledger).slice(-40).map((event) =>
          `${ledger} ${at(event.at)} ${event.kind} s${event.slot} e${event.epoch} ${event.leaseId} ${event.detail}`
        ),
        ...this.inspect(ledger).slots.map((slot) =>
          `slot ${slot.number} e${slot.epoch} g${slot.generation} ${slot.name} ${slot.power} busy ${
            at(slot.busyUntil)
          } ${slot.isRequesting ? "requesting " : ""}${slot.tokens.mayExist ? "tokens " : ""}` +
          `quarantine ${slot.quarantine?.reason ?? "-"} holder ${slot.holder?.label ?? "-"} ${
            slot.holder?.activity ?? ""
          }`
        )
      ])
    ].join("\n")
  }
}

export interface ActorOptions {
  /** The container ["one"]. */
  readonly host?: string
  /** Which ledger [the newest]. */
  readonly ledger?: number
  readonly pool?: Partial<DeploymentPool.PoolOptions>
  /** Whether it starts a reaper if none is active on its host [no]. */
  readonly reaper?: boolean
}

/** What happens to an actor at one of its calls. */
export interface Failpoint {
  /** The number of the call, counted from 1, or its name. */
  readonly at: number | string
  readonly when: "before" | "after"
  readonly then: "crash" | "pause"
}

/** A process. */
export class Actor {
  readonly name: string
  readonly host: string
  readonly ledger: number
  readonly pool: typeof DeploymentPool.DeploymentPool.Service
  readonly rules: PoolPolicy.PoolRules
  readonly poolId: string
  readonly prefix: string
  /** All calls that it has made, in order. */
  readonly calls: Array<string> = []
  /** The calls that have not ended. */
  readonly pending = new Set<{ readonly call: string; phase: "before" | "sent" | "answered" }>()
  /** A process that has ended by itself is no different from one that crashed. */
  state: "running" | "paused" | "crashed" = "running"
  failpoints: Array<Failpoint> = []
  /** The reaper that it runs, if it runs one. */
  reaper: Running<Upkeep.ReaperEnd, never> | undefined
  readonly owner: Slot.Owner
  readonly world: World
  readonly #clock: Clock.Clock
  readonly #cache: Cache
  readonly #files: Scope.CloseableScope
  readonly #scope: Scope.CloseableScope
  /**
   * What a paused process does when it resumes: first the calls at its gate, then the timers that have run out
   * meanwhile.
   */
  #held: { readonly calls: Array<() => void>; readonly timers: Array<() => void> } = { calls: [], timers: [] }

  constructor(world: World, pid: number, options: ActorOptions) {
    this.world = world
    this.host = options.host ?? "one"
    this.name = `process ${pid}`
    this.ledger = options.ledger ?? world.ledgers.length - 1
    this.prefix = options.pool?.prefix ?? mainPrefix
    const { machine } = world
    this.owner = { host: this.host, bootId: `boot-${machine.boot} ${this.host}`, pid, startedAt: "1" }
    this.#clock = world.time.clock((resume) => this.#pass("timers", resume), () => machine.skew)
    const host: Host.Host = {
      owner: this.owner,
      isGone: (other) =>
        other.host === this.owner.host && other.bootId === this.owner.bootId &&
        world.actors.some((actor) => actor.owner.pid === other.pid && actor.state === "crashed"),
      uptime: () => world.time.now - machine.bootedAt
    }
    const build = <A, E>(effect: Effect.Effect<A, E>) => valueOf(world.time.run(effect, this.#clock, 0))
    this.#files = build(Scope.make())
    this.#scope = build(Scope.make())
    this.#cache = build(Scope.extend(world.ledgers[this.ledger]!.open(host), this.#files))
    const services = Context.empty().pipe(
      Context.add(
        DeploymentCache.DeploymentCache,
        gatedCache(this.#cache, this.#gate, world, world.ledgers[this.ledger]!)
      ),
      Context.add(DeploymentProvider.DeploymentProvider, world.cloud.provider(this.name, this.#gate)),
      Context.add(AirflowApi.AirflowApi, world.cloud.airflowApi(this.name, this.#gate)),
      Context.add(Scope.Scope, this.#scope)
    )
    this.pool = build(Effect.provide(
      DeploymentPool.make({
        spec,
        max: 2,
        readyPolls: 1,
        maxHold: "10 minutes",
        ...world.options.pool,
        ...options.pool,
        ...(options.reaper === true ? { startReaper: this.#startsReaper(options) } : {})
      }),
      services
    ))
    const own = world.ledgers[this.ledger]!
    const { failure } = own
    own.failure = undefined
    this.rules = build(this.pool.inspect).rules
    own.failure = failure
    this.poolId = this.rules.poolId
    this.calls.length = 0
  }

  /** Uses the ledger past the gate, so that it works in any state of the process. */
  ungated<A, E>(f: (cache: Cache) => Effect.Effect<A, E>): A {
    return valueOf(this.world.time.run(f(this.#cache), this.#clock, 0))
  }

  /** `kill -9`: the process does nothing any more. */
  crash(): void {
    if (this.state === "crashed") return
    this.state = "crashed"
    this.world.onCrash(this)
    this.#held = { calls: [], timers: [] }
  }

  /** SIGSTOP, or a laptop whose lid is closed. */
  pause(): void {
    if (this.state === "running") this.state = "paused"
  }

  resume(): void {
    if (this.state !== "paused") return
    this.state = "running"
    const { calls, timers } = this.#held
    this.#held = { calls: [], timers: [] }
    for (const go of [...calls, ...timers]) go()
    this.world.time.settle()
  }

  closeFiles(): void {
    this.state = "crashed"
    Effect.runSync(Scope.close(this.#files, Exit.void))
  }

  start<A, E>(effect: Effect.Effect<A, E, DeploymentPool.DeploymentPool>): Running<A, E> {
    const quiet = Effect.provideService(effect, DeploymentPool.DeploymentPool, this.pool).pipe(
      Effect.provide(Logger.remove(Logger.defaultLogger))
    )
    return new Running(this.world.time.fork(quiet, this.#clock))
  }

  /** Runs an effect to its end. */
  run<A, E>(effect: Effect.Effect<A, E, DeploymentPool.DeploymentPool>, limit = minutes(40)): A {
    const running = this.start(effect)
    this.world.until(`${this.name} has finished its work`, () => running.exit !== undefined, limit)
    return valueOf(running.exit)
  }

  lease(label: string, request: Partial<LeasedSlot.LeaseRequest> = {}): LeaseOfTest {
    return new LeaseOfTest(this, { label, ...request })
  }

  drain(timeout = minutes(60)): Upkeep.Report {
    return this.run(this.pool.drain({ timeout }), timeout + minutes(10))
  }

  startDrain(): Running<unknown, unknown> {
    return this.start(this.pool.drain({ timeout: "5 minutes" }))
  }

  reap(): Upkeep.Report {
    return this.run(this.pool.reap)
  }

  startReap(): Running<unknown, unknown> {
    return this.start(this.pool.reap)
  }

  upkeep(options: Upkeep.UpkeepOptions = {}): Running<never, never> {
    return this.start(Effect.scoped(Effect.zipRight(this.pool.upkeep(options), never)))
  }

  startReaper(): this {
    this.reaper = this.start(this.pool.reaper())
    // the process ends with it
    this.reaper.fiber.addObserver(() => void (this.state = "crashed"))
    return this
  }

  /** Sends a write that a lock protects. */
  publish(lock: string, by: string): Effect.Effect<void, unknown> {
    const { cloud, log, machine, time } = this.world
    const holder = () => this.world.holders(this.ledger).find((holder) => holder.lock?.name === lock)?.leaseId
    return this.#gate(
      "publish",
      Effect.suspend(() => {
        const [isHeld, { boot }] = [holder() === by, machine]
        const arrive = () => {
          const isProtected = isHeld && machine.boot === boot
          log.push({ _tag: "Published", at: time.now, lock, by, isProtected, holder: holder() })
          return Effect.void
        }
        return cloud.send(this.name, "publish", lock, arrive, (kind) => Effect.fail(kind))
      })
    )
  }

  #startsReaper({ reaper: _, ...options }: ActorOptions): Effect.Effect<void> {
    const { machine, time } = this.world
    return this.#gate(
      "startReaper",
      Effect.sync(() => {
        const { boot } = machine
        // a process takes a moment to start
        time.at(time.now + 300, () => {
          // a deleted file is created again
          const { ledgers } = this.world
          const ledger = ledgers[this.ledger]?.isDeleted === true ? ledgers.length - 1 : this.ledger
          if (machine.boot === boot) this.world.reaper({ ...options, ledger })
        })
      })
    )
  }

  readonly #gate: Gate = (call, send) =>
    Effect.suspend(() => {
      if (this.state === "crashed") return never
      const number = this.calls.push(call)
      const at: SetValue<Actor["pending"]> = { call, phase: "before" }
      this.pending.add(at)
      const enter = (phase: typeof at.phase) =>
        Effect.sync(() => {
          at.phase = phase
          if (phase === "answered") this.#trip("after", number, call)
        })
      this.#trip("before", number, call)
      return this.#passable.pipe(
        Effect.zipRight(enter("sent")),
        Effect.zipRight(send),
        Effect.exit,
        Effect.zipLeft(enter("answered")),
        Effect.zipLeft(this.#passable),
        Effect.flatten,
        Effect.ensuring(Effect.sync(() => this.pending.delete(at)))
      )
    })

  readonly #passable: Effect.Effect<void> = Effect.suspend(() =>
    this.state === "running"
      ? Effect.void
      : Effect.async<void>((resume) => this.#pass("calls", () => resume(Effect.void)))
  )

  #pass(what: "calls" | "timers", go: () => void): void {
    if (this.state === "running") go()
    else if (this.state === "paused") this.#held[what].push(() => this.#pass(what, go))
  }

  #trip(when: Failpoint["when"], number: number, call: string): void {
    const index = this.failpoints.findIndex((point) =>
      point.when === when && (point.at === number || point.at === call)
    )
    if (index < 0) return
    const [point] = this.failpoints.splice(index, 1)
    if (point?.then === "crash") this.crash()
    else this.pause()
  }
}

/** Something that an actor does. */
export class Running<A, E> {
  exit: Exit.Exit<A, E> | undefined
  readonly fiber: Fiber.RuntimeFiber<A, E>

  constructor(fiber: Fiber.RuntimeFiber<A, E>) {
    this.fiber = fiber
    fiber.addObserver((exit) => void (this.exit = exit))
  }

  interrupt(): void {
    this.fiber.unsafeInterruptAsFork(this.fiber.id())
  }
}

/** A test: waits for a slot, uses it until {@link end}, and releases it. */
export class LeaseOfTest {
  readonly lock: string | undefined
  slot: LeasedSlot.LeasedSlot | undefined
  lost: Lease.LeaseLost | undefined
  readonly key: string | undefined
  readonly actor: Actor
  readonly running: Running<void, PoolError.PoolError | Lease.LeaseLost>
  readonly #ended = Deferred.unsafeMake<void>(fiberId)
  #writes = 0
  #number: number | undefined

  constructor(actor: Actor, request: LeasedSlot.LeaseRequest) {
    this.actor = actor
    this.key = request.key
    this.lock = request.lock?.name
    this.running = actor.start(Effect.scoped(Effect.gen(this, function*() {
      this.slot = yield* actor.pool.acquire(request)
      this.#log("Began")
      yield* Effect.raceFirst(Deferred.await(this.#ended), this.slot.lost).pipe(
        Effect.tapError((lost) => Effect.sync(() => void (this.lost = lost))),
        Effect.ensuring(Effect.sync(() => this.#log("Ended")))
      )
    })))
  }

  get isInUse(): boolean {
    return this.slot !== undefined && this.running.exit === undefined
  }

  get isFenced(): boolean {
    return this.slot?.unfenced._tag === "None"
  }

  get error(): string | undefined {
    const { exit } = this.running
    return exit === undefined || Exit.isSuccess(exit) || exit.cause._tag !== "Fail" ? undefined : exit.cause.error._tag
  }

  /** Waits until the test may use its slot. */
  ready(limit?: number): this {
    this.actor.world.until(`${this.actor.name} has its lease`, () => {
      if (this.running.exit !== undefined) {
        throw new Error(`no lease: ${describeExit(this.running.exit)}\n${this.actor.world.describe()}`)
      }
      return this.slot !== undefined
    }, limit)
    return this
  }

  /** Writes a variable into its Airflow. */
  write(): Running<void, unknown> {
    const airflow: Airflow.Airflow | undefined = this.slot?.airflow
    if (airflow === undefined) throw new Error("write: this test has no lease yet")
    const key = `${this.actor.name} e${this.slot?.epoch} ${++this.#writes}`
    return this.actor.start(airflow.variables.put({ key, value: "" }))
  }

  /** Writes something that the lease's lock protects. */
  publish(): Running<void, unknown> {
    if (this.slot === undefined || this.lock === undefined) throw new Error("publish: this test has no lock yet")
    return this.actor.start(this.slot.writeUnderLock(this.actor.publish(this.lock, this.slot.leaseId)))
  }

  /** Ends the test; its release begins. */
  end(): this {
    this.actor.start(Deferred.succeed(this.#ended, undefined))
    return this
  }

  /** Ends the test and waits until its release is over. */
  released(limit?: number): this {
    this.end()
    this.actor.world.until(`${this.actor.name} has released`, () => this.running.exit !== undefined, limit)
    return this
  }

  interrupt(): void {
    this.running.interrupt()
    this.actor.world.time.settle()
  }

  #log(_tag: UseEvent["_tag"]): void {
    const { world } = this.actor
    const slot = this.slot
    if (slot === undefined) return
    const { ledger, prefix } = this.actor
    const { id } = slot.deployment
    this.#number ??= world.inspect(ledger, prefix).slots.find(({ deploymentId }) => deploymentId === id)?.number
    world.log.push({
      _tag,
      at: world.time.now,
      ledger: this.actor.pool.cache.ledgerId,
      slot: this.#number ?? 0,
      epoch: slot.epoch,
      deployment: slot.deployment.id,
      isFenced: this.isFenced,
      // without a fence, a late write is not prevented
      found: Array.from(_tag === "Began" ? world.cloud.facts.get(slot.deployment.id)?.variables ?? [] : [])
        .flatMap(([key, writer]) => writer === sharedToken ? [] : [key])
    })
  }
}

export { sharedToken }

type SetValue<S> = S extends Set<infer A> ? A : never

// internal

const mainPrefix = "airflow-resource"

const fiberId = Effect.runSync(Effect.fiberId)

export const describeExit = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "it has ended without a failure"

const valueOf = <A, E>(exit: Exit.Exit<A, E> | undefined): A => {
  if (exit === undefined) throw new Error("it has not ended within the limit")
  if (Exit.isFailure(exit)) throw new Error(describeExit(exit))
  return exit.value
}

const failureOf = ({ failure, id, isDeleted }: Ledger, writes: boolean) => {
  const kind = isDeleted ? "replaced" : failure !== "full" ? failure : writes ? "io" : undefined
  return kind && new CacheError.CacheError({ kind, path: id, detail: "simulated failure" })
}

const memoryLedger = (id: string): Ledger => {
  const open = MemoryLedger.make(id)
  const orFail = <A>(call: Effect.Effect<A, CacheError.CacheError>) =>
    Effect.suspend(() => failureOf(ledger, true) ?? call)
  const fallible = (store: Store): Store => ({
    ...store,
    path: id,
    modify: (...args) => orFail(store.modify(...args)),
    beat: (...args) => orFail(store.beat(...args)),
    modifyLock: (...args) => orFail(store.modifyLock(...args))
  })
  const ledger: Ledger = {
    id,
    isDeleted: false,
    failure: undefined,
    open: (host) => Effect.flatMap(open(host), (store) => DeploymentCache.make(fallible(store), host)),
    delete: () => undefined
  }
  return ledger
}

const sqliteLedger = (id: string, folder: string): Ledger => {
  const path = `${folder}/${id}.db`
  fs.writeFileSync(path, "")
  return {
    id,
    open: (host) =>
      Effect.map(
        Layer.build(
          SqliteDeploymentCache.layer({ path, host }).pipe(Layer.provide([synchronousFiles, Path.layer]))
        ),
        Context.get(DeploymentCache.DeploymentCache)
      ),
    isDeleted: false,
    failure: undefined,
    delete: () => fs.rmSync(path)
  }
}

/** The part of the file system that opening a ledger needs, made synchronous. */
const synchronousFiles = Layer.succeed(
  FileSystem.FileSystem,
  FileSystem.makeNoop({
    exists: () => Effect.succeed(true),
    makeDirectory: () => Effect.void,
    access: () => Effect.void,
    makeTempDirectory: () => Effect.succeed(""),
    remove: () => Effect.void,
    open: () => Effect.succeed({} as FileSystem.File),
    realPath: (path) => Effect.succeed(path)
  })
)

/** The same cache behind a gate. */
const gatedCache = (cache: Cache, gate: Gate, world: World, ledger: Ledger): Cache => {
  const call = (writes: boolean) => <A, E, R>(name: string, send: Effect.Effect<A, E, R>) =>
    gate(
      name,
      Effect.suspend((): Effect.Effect<A, E | CacheError.CacheError, R> => failureOf(ledger, writes) ?? send)
    )
  const [read, write] = [call(false), call(true)]
  return DeploymentCache.DeploymentCache.of({
    path: cache.path,
    ledgerId: cache.ledgerId,
    owner: cache.owner,
    enqueue: (rules, ticket) => {
      if (ticket.lock !== null) world.locks.set(ticket.leaseId, ticket.lock)
      return write("enqueue", cache.enqueue(rules, ticket))
    },
    step: (...args) => write("step", cache.step(...args)),
    withdraw: (...args) => write("withdraw", cache.withdraw(...args)),
    sweep: (...args) => write("sweep", cache.sweep(...args)),
    expire: (...args) => write("expire", cache.expire(...args)),
    claim: (...args) => write("claim", cache.claim(...args)),
    // its heartbeats stop with the clock of the process
    keepAlive: cache.keepAlive,
    beat: (...args) => write("beat", cache.beat(...args)),
    update: (...args) => write("update", cache.update(...args)),
    handOver: (...args) => write("handOver", cache.handOver(...args)),
    free: (...args) => write("free", cache.free(...args)),
    giveBack: (...args) => write("giveBack", cache.giveBack(...args)),
    recordLate: (...args) => write("recordLate", cache.recordLate(...args)),
    outlook: (...args) => read("outlook", cache.outlook(...args)),
    hasClients: (...args) => read("hasClients", cache.hasClients(...args)),
    retire: (...args) => write("retire", cache.retire(...args)),
    reconcile: (...args) => write("reconcile", cache.reconcile(...args)),
    inspect: (...args) => read("inspect", cache.inspect(...args)),
    events: (...args) => read("events", cache.events(...args)),
    run: (...args) => write("run", cache.run(...args)),
    lock: (...args) => write("lock", cache.lock(...args))
  })
}
