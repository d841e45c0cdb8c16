/** Random lives: many processes do anything at any time, anything can go wrong, and the invariants hold. */
import { assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import * as fc from "fast-check"
import { Rows } from "./crashMatrix.js"
import { Checker, finale } from "./invariants.js"
import type { Actor, ActorOptions, Failpoint, LeaseOfTest, Running, StoreKind } from "./World.js"
import { hours, minutes, otherSpec, seconds, sharedToken, spec, World } from "./World.js"

const runs = Number(process.env.AIRFLOW_RESOURCE_RUNS ?? 200)

/** The state of one run: a world, and what the commands need to remember. */
class Real {
  readonly world: World
  readonly checker: Checker
  readonly rows: Rows
  /** Whether its processes start reapers. */
  readonly reapers: boolean
  readonly leases: Array<LeaseOfTest> = []
  readonly background: Array<Running<unknown, unknown>> = []
  /** Which epochs each paused process held, and whether it was about to send a hibernation. */
  readonly pausedWith = new Map<
    Actor,
    { readonly held: ReadonlyArray<readonly [number, number]>; readonly sends: boolean }
  >()
  #labels = 0

  constructor(store: StoreKind, seed: number, rows: Rows) {
    this.world = new World({ store, seed, createTakes: seconds(30), pool: { acquireTimeout: "5 minutes" } })
    this.checker = new Checker(this.world)
    this.rows = rows
    this.reapers = seed % 2 === 0
    this.world.onCrash = (actor) => rows.onCrash(this.world, actor)
    this.start("one")
    this.start("one")
    this.start("two")
  }

  start(host: string, options: ActorOptions = {}): void {
    if (this.clients().length < 6) this.world.actor({ host, reaper: this.reapers, ...options })
  }

  /** The processes that are alive, apart from those that run reapers. */
  clients(): ReadonlyArray<Actor> {
    return this.alive().filter(({ reaper }) => reaper === undefined)
  }

  alive(): ReadonlyArray<Actor> {
    return this.world.actors.filter(({ state }) => state !== "crashed")
  }

  running(): ReadonlyArray<Actor> {
    return this.world.actors.filter(({ state }) => state === "running")
  }

  runningClients(): ReadonlyArray<Actor> {
    return this.clients().filter(({ state }) => state === "running")
  }

  runningReapers(): ReadonlyArray<Actor> {
    return this.running().filter(({ reaper }) => reaper !== undefined)
  }

  label(): string {
    return `lease ${++this.#labels}`
  }

  /** Records the processes that have been paused since the last call. */
  recordPaused(): void {
    for (const actor of this.world.actors) {
      if (actor.state !== "paused" || this.pausedWith.has(actor)) continue
      const held = this.world.inspect(actor.ledger).slots.flatMap(({ epoch, holder, number }) =>
        holder?.owner.pid === actor.owner.pid ? [[number, epoch] as const] : []
      )
      const sends = Array.from(actor.pending).some(({ call, phase }) => call === "hibernate" && phase === "before")
      this.pausedWith.set(actor, { held, sends })
    }
  }

  resume(actor: Actor): void {
    const before = this.pausedWith.get(actor)
    this.pausedWith.delete(actor)
    const { slots } = this.world.inspect(actor.ledger)
    const hasMovedOn = before?.held.some(([number, epoch]) =>
      slots.some((slot) => slot.number === number && slot.epoch > epoch && slot.holder !== null)
    )
    if (hasMovedOn === true) this.rows.hit(21, ...(before?.sends === true ? [22] : []))
    actor.resume()
  }
}

type Model = Record<string, never>

/** A command that applies to any state: its indices are taken modulo what exists at the moment. */
class Command implements fc.Command<Model, Real> {
  readonly #text: string
  readonly #run: (real: Real) => void

  constructor(text: string, run: (real: Real) => void) {
    this.#text = text
    this.#run = run
  }
  check(): boolean {
    return true
  }
  run(_: Model, real: Real): void {
    this.#run(real)
    real.world.time.settle()
    real.recordPaused()
    real.checker.check()
  }
  toString(): string {
    return this.#text
  }
}

const pick = <A>(from: ReadonlyArray<A>, index: number): A | undefined => from[index % Math.max(1, from.length)]
const index = fc.nat(20)
const command = <A>(name: string, arbitrary: fc.Arbitrary<A>, run: (real: Real, argument: A) => void) =>
  arbitrary.map((argument) => new Command(`${name}(${JSON.stringify(argument)})`, (real) => run(real, argument)))

const ledgerCalls = [
  "enqueue",
  "step",
  "update",
  "handOver",
  "free",
  "beat",
  "claim",
  "inspect",
  "giveBack",
  "withdraw"
]
const cloudCalls = ["createToken", "listTokens", "deleteToken", "create", "delete", "wake", "hibernate", "list", "get"]
const airflowCalls = ["airflow list variables", "airflow delete variables", "airflow pauseAll", "airflow write"]
const anyCall = fc.oneof(
  fc.constantFrom(...cloudCalls),
  fc.constantFrom(...ledgerCalls, ...airflowCalls)
)
const failpoint = fc.record({
  actor: index,
  at: fc.oneof({ weight: 3, arbitrary: anyCall }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 60 }) }),
  when: fc.constantFrom("before" as const, "after" as const)
})
interface ChosenFailpoint {
  readonly actor: number
  readonly at: string | number
  readonly when: Failpoint["when"]
}
const setFailpoint = (then: Failpoint["then"]) => (real: Real, { actor, at, when }: ChosenFailpoint) => {
  const victim = pick(real.running(), actor)
  victim?.failpoints.push({ at: typeof at === "number" ? victim.calls.length + at : at, when, then })
}

const lease = command(
  "lease",
  fc.record({ actor: index, isOther: fc.nat(5), sameKey: fc.nat(9), isLocked: fc.nat(4) }),
  (real, { actor, isLocked, isOther, sameKey }) => {
    const { ledger } = pick(real.runningClients(), actor) ?? { ledger: 0 }
    if (real.world.inspect(ledger).slots.some(({ holder }) => holder?.activity === "hibernating")) real.rows.hit(17)
    const label = real.label()
    const before = real.leases.at(-1)
    const one = pick(real.runningClients(), actor)?.lease(label, {
      key: sameKey === 0 && before !== undefined ? before.key : label,
      spec: isOther === 0 ? otherSpec : spec,
      ...(isLocked === 0 ? { lock: { name: "repository", advice: "" } } : {})
    })
    if (one !== undefined) real.leases.push(one)
  }
)
const usable = (real: Real) => real.leases.filter(({ actor, slot }) => slot !== undefined && actor.state !== "crashed")

const commands = [
  { weight: 8, arbitrary: lease },
  {
    weight: 5,
    // also by a lease that is lost
    arbitrary: command("write", index, (real, index) => void pick(usable(real), index)?.write())
  },
  {
    weight: 2,
    arbitrary: command(
      "publish",
      index,
      (real, index) =>
        void pick(usable(real).filter(({ isInUse, lock }) => isInUse && lock !== undefined), index)?.publish()
    )
  },
  {
    weight: 4,
    arbitrary: command(
      "end",
      index,
      (real, index) => void pick(usable(real).filter(({ isInUse }) => isInUse), index)?.end()
    )
  },
  {
    weight: 1,
    arbitrary: command(
      "interrupt",
      index,
      (real, index) => pick(real.leases.filter(({ running }) => running.exit === undefined), index)?.interrupt()
    )
  },
  { weight: 4, arbitrary: command("crash at", failpoint, setFailpoint("crash")) },
  { weight: 2, arbitrary: command("pause at", failpoint, setFailpoint("pause")) },
  {
    weight: 1,
    // until its slot is lost, and later it goes on
    arbitrary: command(
      "pause before a change",
      fc.record({ actor: index, at: fc.constantFrom("hibernate", "wake", "createToken", "publish") }),
      (real, { actor, at }) => setFailpoint("pause")(real, { actor, at, when: "before" })
    )
  },
  { weight: 1, arbitrary: command("crash", index, (real, index) => pick(real.alive(), index)?.crash()) },
  { weight: 1, arbitrary: command("pause", index, (real, index) => pick(real.running(), index)?.pause()) },
  {
    weight: 2,
    arbitrary: command("resume", index, (real, index) => {
      const actor = pick(real.alive().filter(({ state }) => state === "paused"), index)
      if (actor !== undefined) real.resume(actor)
    })
  },
  { weight: 4, arbitrary: command("start", fc.constantFrom("one", "two"), (real, host) => real.start(host)) },
  {
    weight: 1,
    arbitrary: command("reaper", fc.constantFrom("one", "two"), (real, host) => {
      if (real.runningReapers().length < 3) real.world.reaper({ host })
    })
  },
  {
    weight: 1,
    arbitrary: command("crash a reaper", index, (real, index) => pick(real.runningReapers(), index)?.crash())
  },
  {
    weight: 1,
    arbitrary: command("pause a reaper", index, (real, index) => pick(real.runningReapers(), index)?.pause())
  },
  {
    weight: 12,
    arbitrary: command(
      "advance",
      fc.oneof(
        { weight: 5, arbitrary: fc.integer({ min: 1, max: seconds(5) }) },
        { weight: 5, arbitrary: fc.integer({ min: seconds(5), max: seconds(60) }) },
        { weight: 2, arbitrary: fc.constantFrom(seconds(61), seconds(100), minutes(4)) },
        { weight: 1, arbitrary: fc.constant(minutes(11)) }
      ),
      (real, millis) => real.world.advance(millis)
    )
  },
  {
    weight: 1,
    arbitrary: command("wall clock", fc.constantFrom(-hours(1), hours(1)), (real, by) => {
      real.world.machine.skew += by
      real.rows.hit(28)
    })
  },
  {
    weight: 3,
    arbitrary: command(
      "fate",
      fc.record({
        call: fc.constantFrom(...cloudCalls, ...airflowCalls, "publish"),
        becomes: fc.oneof(
          fc.constantFrom("response lost" as const, "lost" as const, "refused" as const),
          fc.record({ landsIn: fc.integer({ min: 1, max: seconds(34) }) })
        )
      }),
      (real, { becomes, call }) =>
        void real.world.cloud.fates.push({ matches: (request) => request.call === call, becomes })
    )
  },
  {
    weight: 1,
    arbitrary: command("deletions of tokens fail", fc.integer({ min: 1, max: 9 }), ({ world }, count) => {
      for (let time = 0; time < count; time++) {
        world.cloud.fates.push({ matches: ({ call }) => call === "deleteToken", becomes: "refused" })
      }
    })
  },
  {
    weight: 1,
    arbitrary: command(
      "click",
      fc.record({ deployment: index, what: fc.constantFrom("hibernate", "wake", "delete") }),
      (real, { deployment, what }) => {
        const id = pick(Array.from(real.world.cloud.facts.keys()), deployment)
        if (id === undefined) return
        real.rows.hit(what === "delete" ? 29 : 30)
        if (what === "delete") real.world.cloud.delete(id)
        else real.world.cloud.setAsleep(id, what === "hibernate")
      }
    )
  },
  {
    weight: 1,
    arbitrary: command(
      "ledger fails",
      fc.record({
        kind: fc.constantFrom("busy" as const, "io" as const, "full" as const),
        millis: fc.constantFrom(seconds(10), seconds(70))
      }),
      ({ rows, world }, { kind, millis }) => {
        const ledger = world.ledgers.at(-1)!
        ledger.failure = kind
        world.advance(millis)
        ledger.failure = undefined
        rows.hit(kind === "busy" ? 24 : 25)
      }
    )
  },
  {
    weight: 2,
    arbitrary: command("upkeep", index, (real, index) => {
      const upkeep = pick(real.runningClients(), index)
      // each waiting upkeep polls twice a second, which would make the run slow
      if (upkeep === undefined || real.background.filter(({ exit }) => exit === undefined).length > 1) return
      real.background.push(upkeep.upkeep({ hibernateAfter: "30 seconds" }))
    })
  },
  {
    weight: 1,
    arbitrary: command("end upkeep", index, (real, index) => pick(real.background, index)?.interrupt())
  },
  { weight: 1, arbitrary: command("reap", index, (real, index) => pick(real.runningClients(), index)?.startReap()) },
  { weight: 1, arbitrary: command("drain", index, (real, index) => pick(real.runningClients(), index)?.startDrain()) },
  {
    weight: 1,
    arbitrary: command("reboot", fc.constant(0), (real) => {
      real.world.reboot()
      real.rows.hit(27)
      real.start("one")
    })
  }
]

/** What only one ledger protects from: another ledger's lease cannot see a holder without a token of its own. */
const withOneLedger = [
  ...commands,
  {
    weight: 1,
    arbitrary: command(
      "start without a fence",
      fc.constantFrom("one", "two"),
      (real, host) => real.start(host, { pool: { fence: "off", sharedToken: Redacted.make(sharedToken) } })
    )
  },
  {
    weight: 1,
    arbitrary: command("lease of a second pool", fc.constantFrom("one", "two"), (real, host) => {
      // each lease that waits polls twice a second, which would make the run slow
      if (
        real.leases.some(({ actor, running }) =>
          actor.prefix !== real.world.actors[0]?.prefix && running.exit === undefined
        )
      ) return
      const pool = { prefix: "second", max: 1 }
      real.start(host, { pool })
      const actor = real.runningClients().filter(({ prefix }) => prefix === pool.prefix).at(-1)
      const lock = { name: "repository", advice: "" }
      if (actor !== undefined) real.leases.push(actor.lease(real.label(), { lock }))
    })
  }
]

/** Used in fewer runs: the checker knows less about a cloud that two ledgers share. */
const withLedgers = [
  ...commands,
  {
    weight: 2,
    arbitrary: command("second ledger", fc.constantFrom("one", "two"), (real, host) => {
      if (real.world.ledgers.length === 1) real.world.newLedger()
      real.start(host, { ledger: real.world.ledgers.length - 1 })
    })
  },
  {
    weight: 1,
    arbitrary: command("delete the ledger", fc.constant(0), (real) => {
      if (real.world.ledgers.length > 2) return
      real.world.deleteLedger()
      real.rows.hit(26)
      real.start("one")
    })
  }
]

const lives = (weighted: typeof commands) =>
  fc.commands(weighted.flatMap(({ arbitrary, weight }) => Array.from({ length: weight }, () => arbitrary)), {
    maxCommands: 200,
    size: "max"
  })

describe("whatever happens", () => {
  const rows = new Rows()
  const cases: ReadonlyArray<readonly [StoreKind, string, typeof commands, number]> = [
    ["memory", "one ledger", withOneLedger, 0.75],
    ["memory", "two ledgers", withLedgers, 0.2],
    ["SQLite", "one ledger", withOneLedger, 0.03],
    ["SQLite", "two ledgers", withLedgers, 0.02]
  ]
  for (const [store, ledgers, weighted, share] of cases) {
    it(`over ${store}, ${ledgers}`, () =>
      fc.assert(
        fc.asyncProperty(fc.nat(), lives(weighted), async (seed, commands) => {
          // a run is synchronous, and the worker has to respond to vitest now and then
          await new Promise((resume) => setImmediate(resume))
          const real = new Real(store, seed, rows)
          try {
            fc.modelRun(() => ({ model: {}, real }), commands)
            finale(real.world, real.checker, { reapers: real.reapers && real.world.ledgers.length === 1 })
          } finally {
            real.world.close()
          }
        }),
        { numRuns: Math.ceil(runs * share), seed: Number(process.env.AIRFLOW_RESOURCE_SEED ?? 1) }
      ), 3_600_000)
  }

  // holds for the default seed; 200 other lives may miss a rare row
  if (process.env.AIRFLOW_RESOURCE_SEED === undefined) {
    it("every row of the crash matrix has happened", () => {
      // row 22 is rare; counterexample 3 is the same case, deterministic
      assert.deepStrictEqual(rows.missing().filter((row) => !row.startsWith("22 ")), [])
    })
  }
})
