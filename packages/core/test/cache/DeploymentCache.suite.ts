import { Deployment, type DeploymentCache, Host, Lease, type PoolPolicy, type Slot } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Option, type Scope, TestClock } from "effect"
import { upkeepLock } from "../../src/internal/policy/model.js"

export type Cache = typeof DeploymentCache.DeploymentCache.Service
/** Opens the ledger for one process. All processes of a test share one ledger. */
export type Open = (host?: Host.Host) => Effect.Effect<Cache, unknown, Scope.Scope>

export const owner = { host: "h", bootId: "b", pid: 1, startedAt: "1" }
export const needs = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
export const rules: PoolPolicy.PoolRules = {
  poolId: "p1",
  max: 2,
  ttl: 60_000,
  maxHold: 3_600_000,
  longestRequest: 35_000
}

/** A process that knows the processes in `gone` to have ended. */
export const process = (
  pid: number,
  options: { readonly gone?: ReadonlyArray<number>; readonly bootId?: string; readonly uptime?: () => number } = {}
): Host.Host => ({
  owner: { ...owner, pid, bootId: options.bootId ?? owner.bootId },
  isGone: (other) => options.gone?.includes(other.pid) ?? false,
  uptime: options.uptime ?? (() => null)
})

type Spec = PoolPolicy.NewTicket["needs"]
interface Request {
  readonly spec?: Spec
  readonly lock?: string
  readonly rules?: PoolPolicy.PoolRules
}

const lease = (key: string) => Lease.LeaseId.make(`lease-${key}`)

/** Enqueues the ticket if it is new, and returns its status. */
export const poll = (cache: Cache, key: string, request: Request = {}) =>
  Effect.zipRight(
    cache.enqueue(request.rules ?? rules, {
      key,
      leaseId: lease(key),
      needs: request.spec ?? needs,
      lock: request.lock ?? null,
      label: `test ${key}`
    }),
    cache.step(request.rules ?? rules, key)
  )

export const granted = (cache: Cache, key: string, request?: Request) =>
  Effect.map(poll(cache, key, request), (status) => {
    assert(status._tag === "Granted", `${key} is ${status._tag}`)
    return status.slot
  })

export const waits = (cache: Cache, key: string, request?: Request) =>
  Effect.map(poll(cache, key, request), (status) => {
    assert(status._tag === "Waiting", `${key} is ${status._tag}`)
    return status
  })

const dirty: PoolPolicy.Outcome = { clean: false, usable: true }

/** What every store promises. Runs under TestClock; `world` creates an empty ledger for each test. */
export const suite = (name: string, world: Effect.Effect<Open, unknown, Scope.Scope>) =>
  describe(name, () => {
    const test = (
      title: string,
      body: (cache: Cache, open: Open) => Effect.Effect<void, unknown, Scope.Scope>
    ) => it.scoped(title, () => Effect.flatMap(world, (open) => Effect.flatMap(open(), (cache) => body(cache, open))))

    test("grants different slots, up to max, and says why the next one waits", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, power: "awake" })
        const b = yield* granted(cache, "b")
        assert.notStrictEqual(a.number, b.number)
        const c = yield* poll(cache, "c")
        assert(c._tag === "Waiting")
        assert.strictEqual(c.place, 1)
        assert.include(c.reason, "test a")
      }))

    test("returns the same slot for the same key, and never grants the key again once it has ended", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        assert.deepStrictEqual(yield* granted(cache, "a"), a)
        yield* cache.free(rules, a.number, a.epoch, dirty)
        assert.deepStrictEqual(yield* poll(cache, "a"), { _tag: "Ended" })
      }))

    test("grants in the order of the queue", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* granted(cache, "b")
        yield* poll(cache, "c")
        yield* poll(cache, "d")
        yield* cache.free(rules, a.number, a.epoch, dirty)
        assert.strictEqual((yield* poll(cache, "d"))._tag, "Waiting")
        assert.strictEqual((yield* granted(cache, "c")).number, a.number)
      }))

    test("increases the epoch with every grant, and refuses an older one", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* cache.free(rules, a.number, a.epoch, dirty)
        const b = yield* granted(cache, "b")
        assert.strictEqual(b.number, a.number)
        assert.strictEqual(b.epoch, a.epoch + 1)
        assert.isFalse(yield* cache.beat(rules, a.number, a.epoch))
        assert.isFalse(yield* cache.free(rules, a.number, a.epoch, dirty))
        const late = yield* Effect.flip(cache.update(rules, a.number, a.epoch, { power: "awake" }))
        assert.strictEqual(late._tag, "LeaseLost")
        assert.isTrue(yield* cache.beat(rules, b.number, b.epoch))
      }))

    test("keeps a slot for a holder that beats, and expires one that does not", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        const b = yield* granted(cache, "b")
        yield* TestClock.adjust("40 seconds")
        assert.isTrue(yield* cache.beat(rules, a.number, a.epoch))
        yield* TestClock.adjust("40 seconds")
        assert.isFalse(
          yield* cache.beat(rules, b.number, b.epoch),
          "its deadline has passed, even if no process has expired it"
        )
        const c = yield* granted(cache, "c")
        assert.strictEqual(c.number, b.number)
        assert.isTrue(yield* cache.beat(rules, a.number, a.epoch))
      }))

    test("expires a holder at max hold, even if it beats", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* Effect.forEach(
          Array.from({ length: 119 }),
          () => Effect.zipRight(TestClock.adjust("30 seconds"), cache.beat(rules, a.number, a.epoch))
        )
        yield* TestClock.adjust("30 seconds")
        assert.isFalse(yield* cache.beat(rules, a.number, a.epoch))
      }))

    test("lets the ticket of a waiter that has stopped polling lapse", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* granted(cache, "b")
        yield* poll(cache, "c")
        yield* TestClock.adjust("50 seconds")
        yield* cache.beat(rules, a.number, a.epoch)
        yield* poll(cache, "d")
        yield* TestClock.adjust("55 seconds")
        yield* granted(cache, "d")
        assert.deepStrictEqual(yield* poll(cache, "c"), { _tag: "Ended" })
      }))

    test("grants no slot while a cloud request may be in flight (2)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* granted(cache, "b")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, request: "sent" })
        yield* cache.free(rules, a.number, a.epoch, dirty)
        const c = yield* poll(cache, "c")
        assert(c._tag === "Waiting")
        assert.include(c.reason, "slot 1 may still be changing until 00:00:35 UTC")
        yield* TestClock.adjust("35 seconds")
        assert.strictEqual((yield* granted(cache, "c")).number, a.number)
      }))

    test("holds an unfenced slot back after an end that was not a release (13)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        const b = yield* granted(cache, "b")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, fenced: false })
        yield* TestClock.adjust("59 seconds")
        yield* cache.beat(rules, b.number, b.epoch)
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual((yield* poll(cache, "c"))._tag, "Waiting")
        yield* TestClock.adjust("35 seconds")
        assert.strictEqual((yield* granted(cache, "c")).number, a.number)
      }))

    test("expires what an ended process held, and its place in the queue, without waiting for a deadline", (_, open) =>
      Effect.gen(function*() {
        const one = { rules: { ...rules, max: 1 } }
        const [gone, other] = [yield* open(process(2)), yield* open(process(3))]
        const a = yield* granted(gone, "a", one)
        yield* waits(gone, "b", one)
        yield* waits(other, "c", one)
        const c = yield* granted(yield* open(process(4, { gone: [2] })), "c", one)
        assert.deepInclude(c, { number: a.number, epoch: a.epoch + 1 })
        assert.strictEqual(c.holder?.owner.pid, 3)
        assert.isFalse(yield* gone.beat(one.rules, a.number, a.epoch))
        assert.strictEqual((yield* poll(gone, "b", one))._tag, "Ended")
        const events = yield* other.events(rules.poolId, { leaseId: lease("a") })
        assert.deepInclude(events.at(-1), { kind: "expired", detail: "its process has ended" })
      }))

    test(
      "leaves an ended process its unfenced slot until the deadline, because its last write may still land (13)",
      (_, open) =>
        Effect.gen(function*() {
          const gone = yield* open(process(2))
          const a = yield* granted(gone, "a")
          yield* gone.update(rules, a.number, a.epoch, { name: "d1", spec: needs, fenced: false })
          const other = yield* open(process(3, { gone: [2] }))
          yield* other.sweep(rules)
          assert.strictEqual((yield* other.inspect(rules.poolId)).slots[0]?.holder?.leaseId, "lease-a")
          assert.isTrue(yield* gone.beat(rules, a.number, a.epoch))
        })
    )

    test("counts from the end of a hold how long its open request may land (17)", (_, open) =>
      Effect.gen(function*() {
        const one = { rules: { ...rules, max: 1 } }
        const gone = yield* open(process(2))
        yield* TestClock.adjust("1 seconds")
        const a = yield* granted(gone, "a", one)
        yield* gone.update(one.rules, a.number, a.epoch, { name: "d1", spec: needs, request: "sent" })
        yield* TestClock.adjust("49 seconds")
        assert.isTrue(yield* gone.beat(one.rules, a.number, a.epoch))
        yield* TestClock.adjust("1 seconds")
        const other = yield* open(process(3, { gone: [2] }))
        yield* waits(other, "b", one)
        yield* TestClock.adjust("34 seconds")
        yield* waits(other, "b", one)
        yield* TestClock.adjust("1 seconds")
        yield* granted(other, "b", one)
      }))

    test("ends a hold now, whatever it is, and says so", (cache) =>
      Effect.gen(function*() {
        const one = { rules: { ...rules, max: 1 } }
        assert.isTrue(Option.isNone(yield* cache.expire(one.rules, 1)))
        const a = yield* granted(cache, "a", one)
        yield* cache.update(one.rules, a.number, a.epoch, { name: "d1", spec: needs, power: "awake" })
        yield* waits(cache, "b", one)
        const ended = Option.getOrThrow(yield* cache.expire(one.rules, a.number))
        assert.strictEqual(ended.holder?.leaseId, "lease-a")
        assert.isFalse(yield* cache.beat(one.rules, a.number, a.epoch))
        assert.strictEqual((yield* Effect.flip(cache.update(one.rules, a.number, a.epoch, {})))._tag, "LeaseLost")
        assert.isFalse(yield* cache.free(one.rules, a.number, a.epoch, dirty))
        const [slot] = (yield* cache.inspect(rules.poolId)).slots
        assert.deepInclude(slot, { holder: null, power: "unknown", clean: false, busyUntil: null, epoch: a.epoch })
        assert.isNull(Option.getOrThrow(yield* cache.expire(one.rules, a.number)).holder)
        const expired = (yield* cache.events(rules.poolId)).filter(({ kind }) =>
          kind === "expired"
        )
        assert.deepStrictEqual(expired.map(({ detail }) => detail), ["released by an administrator"])
        assert.strictEqual((yield* granted(cache, "b", one)).epoch, a.epoch + 1)
        assert.strictEqual((yield* poll(cache, "a", one))._tag, "Ended")
      }))

    for (
      const [what, patch, lock] of [
        ["of an unfenced hold", { fenced: false }],
        ["that has an open request", { request: "sent" }],
        ["whose lock protects an open write", { isWriting: true }, "lock"]
      ] as const
    ) {
      test(`grants a slot ${what} only one longest request after its deadline, once it was ended (27)`, (cache) =>
        Effect.gen(function*() {
          const one = { rules: { ...rules, max: 1 }, ...(lock === undefined ? {} : { lock }) }
          const a = yield* granted(cache, "a", one)
          yield* cache.update(one.rules, a.number, a.epoch, { name: "d1", spec: needs, ...patch })
          yield* TestClock.adjust("30 seconds")
          assert.isTrue(yield* cache.beat(one.rules, a.number, a.epoch))
          yield* TestClock.adjust("10 seconds")
          yield* cache.expire(one.rules, a.number)
          for (let passed = 0; passed < 80; passed += 20) {
            yield* waits(cache, "b", one)
            yield* TestClock.adjust("20 seconds")
          }
          yield* TestClock.adjust("4 seconds")
          yield* waits(cache, "b", one)
          yield* TestClock.adjust("1 seconds")
          yield* granted(cache, "b", one)
        }))
    }

    test("clears the mark of tokens only in the version that was read (16)", (cache) =>
      Effect.gen(function*() {
        const tokens = Effect.map(cache.inspect(rules.poolId), ({ slots }) => slots[0]?.tokens)
        const a = yield* granted(cache, "a")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, mints: true })
        assert.deepStrictEqual(yield* tokens, { mayExist: true, version: 1 })
        yield* cache.recordLate(rules, a.number)
        yield* cache.update(rules, a.number, a.epoch, { noTokens: 1 })
        assert.deepStrictEqual(yield* tokens, { mayExist: true, version: 2 })
        yield* cache.update(rules, a.number, a.epoch, { noTokens: 2 })
        assert.deepStrictEqual(yield* tokens, { mayExist: false, version: 2 })
      }))

    test("holds a slot back, its power unknown, once a former holder has sent a request (21)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, power: "asleep" })
        yield* cache.free(rules, a.number, a.epoch, dirty)
        yield* cache.recordLate(rules, a.number)
        const { now, slots: [slot] } = yield* cache.inspect(rules.poolId)
        assert.deepInclude(slot, { power: "unknown", busyUntil: now + rules.longestRequest })
        assert.isTrue(slot?.tokens.mayExist)
      }))

    describe("a lock", () => {
      const locked = { lock: "repository" }
      const wide = { ...rules, max: 4 }
      const request = { ...locked, rules: wide }

      test("is granted with the slot, in the order of the queue, and skips nothing else (25)", (cache) =>
        Effect.gen(function*() {
          const a = yield* granted(cache, "a", request)
          const b = yield* waits(cache, "b", request)
          assert.strictEqual(b.lock, "repository")
          assert.strictEqual(b.reason, "repository is in use by test a; leases that use it take turns")
          yield* waits(cache, "c", request)
          yield* granted(cache, "without", { rules: wide })
          yield* granted(cache, "another", { rules: wide, lock: "other" })
          assert.deepInclude(yield* waits(cache, "b", request), { place: 1 })
          yield* cache.free(wide, a.number, a.epoch, dirty)
          yield* waits(cache, "c", request)
          const next = yield* granted(cache, "b", request)
          assert.deepStrictEqual(next.holder?.lock, { name: "repository", isWriting: false })
          yield* cache.free(wide, next.number, next.epoch, dirty)
          yield* granted(cache, "c", request)
        }))

      test("is handed over with a slot of another lease (25)", (cache) =>
        Effect.gen(function*() {
          const two = { rules, ...locked }
          const a = yield* granted(cache, "a", two)
          const b = yield* granted(cache, "b", { rules })
          yield* waits(cache, "c", two)
          yield* waits(cache, "d", { rules })
          yield* cache.update(rules, b.number, b.epoch, { name: "d2", spec: needs, power: "awake" })
          assert.isTrue(yield* cache.handOver(rules, b.number, b.epoch))
          yield* waits(cache, "c", two)
          yield* granted(cache, "d", { rules })
          yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, power: "awake" })
          assert.isTrue(yield* cache.handOver(rules, a.number, a.epoch), "its own lock is free by then")
          yield* granted(cache, "c", two)
        }))

      test("has one holder in the whole ledger, which loses it with its slot (25)", (cache) =>
        Effect.gen(function*() {
          const other = { ...locked, rules: { ...rules, poolId: "p2" } }
          const a = yield* granted(cache, "a", other)
          assert.include((yield* waits(cache, "b", request)).reason, "test a")
          yield* cache.free(other.rules, a.number, a.epoch, dirty)
          yield* granted(cache, "b", request)
          yield* waits(cache, "c", other)
          yield* TestClock.adjust("60 seconds")
          yield* waits(cache, "c", other)
          yield* TestClock.adjust("35 seconds")
          yield* granted(cache, "c", other)
        }))

      test("is held back after a hold whose protected write has no response (26)", (cache) =>
        Effect.gen(function*() {
          const a = yield* granted(cache, "a", request)
          yield* cache.update(wide, a.number, a.epoch, { isWriting: true })
          yield* cache.free(wide, a.number, a.epoch, dirty)
          assert.strictEqual((yield* waits(cache, "b", request)).lock, "repository")
          yield* waits(cache, "of another pool", { ...locked, rules: { ...rules, poolId: "p2" } })
          yield* granted(cache, "without", { rules: wide })
          yield* TestClock.adjust("34 seconds")
          yield* waits(cache, "b", request)
          yield* TestClock.adjust("1 seconds")
          const b = yield* granted(cache, "b", request)
          yield* cache.update(wide, b.number, b.epoch, { isWriting: true })
          yield* cache.update(wide, b.number, b.epoch, { isWriting: false })
          yield* cache.free(wide, b.number, b.epoch, dirty)
          yield* granted(cache, "c", request)
        }))

      test("of an ended process is granted at once, unless its last write may land (26)", (_, open) =>
        Effect.gen(function*() {
          const [gone, other] = [yield* open(process(2)), yield* open(process(3, { gone: [2] }))]
          yield* granted(gone, "a", request)
          const b = yield* granted(other, "b", request)
          yield* other.free(wide, b.number, b.epoch, dirty)
          const c = yield* granted(gone, "c", request)
          yield* gone.update(wide, c.number, c.epoch, { isWriting: true })
          yield* waits(other, "d", request)
          yield* TestClock.adjust("35 seconds")
          yield* granted(other, "d", request)
        }))
    })

    describe("the upkeep lock", () => {
      const take = (cache: Cache, holderId = "u") =>
        cache.lock(upkeepLock(rules.poolId, Host.machineOf(cache.owner)), {
          label: holderId,
          holderId,
          onWait: () =>
            Effect.void
        })
      const seen = (cache: Cache) =>
        Effect.map(cache.inspect(rules.poolId), ({ slots }) =>
          slots)

      test("is given up only if nothing is left to do, and nothing was granted meanwhile (19)", (cache) =>
        Effect.gen(function*() {
          const { epoch } = yield* take(cache)
          const retires = (slots: ReadonlyArray<Slot.Slot>) => cache.retire(rules, epoch, slots)
          assert.isFalse(yield* cache.retire(rules, epoch + 1, yield* seen(cache)), "another holder's")
          const a = yield* granted(cache, "a", { rules: { ...rules, max: 1 } })
          assert.isFalse(yield* retires(yield* seen(cache)), "a slot is held")
          yield* waits(cache, "b", { rules: { ...rules, max: 1 } })
          yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, power: "asleep", request: "sent" })
          yield* cache.free(rules, a.number, a.epoch, dirty)
          assert.isFalse(yield* retires(yield* seen(cache)), "a ticket waits")
          yield* cache.withdraw(rules, lease("b"))
          assert.isFalse(yield* retires(yield* seen(cache)), "a request may land")
          yield* TestClock.adjust("35 seconds")
          const before = yield* seen(cache)
          const c = yield* granted(cache, "c")
          yield* cache.free(rules, c.number, c.epoch, dirty)
          assert.isFalse(yield* retires(before), "the slot was granted since")
          const d = yield* granted(cache, "d")
          yield* cache.update(rules, d.number, d.epoch, { power: "awake", mints: true })
          yield* cache.free(rules, d.number, d.epoch, dirty)
          assert.isFalse(yield* retires(yield* seen(cache)), "a deployment is awake")
          const e = yield* granted(cache, "e")
          yield* cache.update(rules, e.number, e.epoch, { power: "asleep" })
          yield* cache.free(rules, e.number, e.epoch, dirty)
          assert.isFalse(yield* retires(yield* seen(cache)), "a token may exist")
          const f = yield* granted(cache, "f")
          yield* cache.update(rules, f.number, f.epoch, { noTokens: f.tokens.version })
          yield* cache.free(rules, f.number, f.epoch, dirty)
          yield* Effect.scoped(Effect.gen(function*() {
            yield* cache.run(rules, { id: "r", hibernateAfter: 1_000, recycleUses: null, recycleAge: null, reset: {} })
            assert.isFalse(yield* retires(yield* seen(cache)), "a run is alive")
          }))
          assert.isTrue(yield* retires(yield* seen(cache)))
          assert.isNull((yield* cache.inspect(rules.poolId)).upkeep.holder)
        }))

      test("of an ended process is not held (22)", (_, open) =>
        Effect.gen(function*() {
          const [gone, other] = [yield* open(process(2)), yield* open(process(3, { gone: [2] }))]
          const first = yield* take(gone)
          assert.isDefined((yield* gone.outlook(rules)).upkeep)
          assert.isUndefined((yield* other.outlook(rules)).upkeep)
          assert.strictEqual((yield* take(other, "v")).epoch, first.epoch + 1)
        }))

      test("is taken again by the same holder, but not by another one (23)", (cache) =>
        Effect.gen(function*() {
          const first = yield* take(cache)
          const other = yield* Effect.fork(take(cache, "v"))
          yield* TestClock.adjust("1 seconds")
          assert.strictEqual((yield* take(cache)).epoch, first.epoch + 1)
          assert.isTrue(Option.isNone(yield* Fiber.poll(other)))
        }))

      test("is one for each machine, and upkeep sees the holds of all machines (24)", (_, open) =>
        Effect.gen(function*() {
          const [one, two] = [yield* open(process(2)), yield* open(process(3, { bootId: "another machine" }))]
          const { epoch } = yield* take(one)
          assert.isUndefined((yield* two.outlook(rules)).upkeep)
          yield* take(two, "v")
          yield* granted(two, "a")
          assert.deepInclude(yield* one.outlook(rules), { isIdle: false, isQuiet: false })
          assert.isFalse(yield* one.retire(rules, epoch, yield* seen(one)))
        }))

      test("outlives the processes of its machine that have had a ticket, ended ones too (21)", (_, open) =>
        Effect.gen(function*() {
          const [client, elsewhere] = [yield* open(process(2)), yield* open(process(3, { bootId: "another machine" }))]
          const reaper = yield* open(process(4))
          yield* granted(elsewhere, "elsewhere")
          assert.isFalse(yield* reaper.hasClients(rules))
          const a = yield* granted(client, "a")
          yield* client.free(rules, a.number, a.epoch, dirty)
          assert.isTrue(yield* reaper.hasClients(rules))
          const later = yield* open(process(5, { gone: [2] }))
          assert.isFalse(yield* later.hasClients(rules))
        }))
    })

    test("prefers a slot that is awake and clean, then awake, asleep, new, and last one with another spec", (cache) =>
      Effect.gen(function*() {
        const wide = { ...rules, max: 4 }
        const take = (key: string, spec: Spec = needs) =>
          granted(cache, key, { spec, rules: wide })
        const [asleep, awake, clean] = [yield* take("1"), yield* take("2"), yield* take("3")]
        yield* cache.update(wide, asleep.number, asleep.epoch, { name: "d1", spec: needs, power: "asleep" })
        yield* cache.update(wide, awake.number, awake.epoch, { name: "d2", spec: needs, power: "awake" })
        yield* cache.update(wide, clean.number, clean.epoch, { name: "d3", spec: needs, power: "awake" })
        yield* cache.free(wide, asleep.number, asleep.epoch, dirty)
        yield* cache.free(wide, awake.number, awake.epoch, dirty)
        yield* cache.free(wide, clean.number, clean.epoch, { clean: true, usable: true })
        const order = yield* Effect.forEach(["4", "5", "6", "7"], (key) =>
          take(key))
        assert.deepStrictEqual(
          order.map((slot) =>
            slot.number
          ),
          [clean.number, awake.number, asleep.number, 4]
        )
        const first = order[0]
        assert(first !== undefined)
        yield* cache.free(wide, first.number, first.epoch, dirty)
        const replaced = yield* take("8", { ...needs, runtimeVersion: "12.7.1" })
        assert.strictEqual(replaced.number, first.number)
      }))

    test("fills a new slot before it grants one with another spec", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, power: "asleep" })
        yield* cache.free(rules, a.number, a.epoch, dirty)
        const other = yield* granted(cache, "b", { spec: { ...needs, region: "eu" } })
        assert.notStrictEqual(other.number, a.number)
      }))

    test("hands over to the head of the queue only, in one step (1)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        const b = yield* granted(cache, "b")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, power: "awake" })
        yield* cache.update(rules, b.number, b.epoch, { name: "d2", spec: needs, power: "awake" })
        yield* poll(cache, "c")
        assert.isTrue(yield* cache.handOver(rules, a.number, a.epoch))
        assert.isFalse(yield* cache.handOver(rules, b.number, b.epoch), "one waiter excuses one release, not two")
        assert.strictEqual((yield* granted(cache, "c")).number, a.number)
        assert.isTrue(yield* cache.beat(rules, b.number, b.epoch), "a slot that was not handed over is still held")
      }))

    test("hands over to the ticket that would be granted the slot, even if it replaces the deployment", (cache) =>
      Effect.gen(function*() {
        const one = { rules: { ...rules, max: 1 } }
        const a = yield* granted(cache, "a", one)
        yield* cache.update(one.rules, a.number, a.epoch, { name: "d1", spec: needs, power: "awake" })
        yield* waits(cache, "b", { ...one, spec: { ...needs, region: "eu" } })
        yield* waits(cache, "c", one)
        assert.isTrue(yield* cache.handOver(one.rules, a.number, a.epoch))
        yield* granted(cache, "b", one)
        yield* waits(cache, "c", one)
      }))

    test("puts the ticket of a slot that is given back at its old place in the queue (9)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* granted(cache, "b")
        yield* poll(cache, "c")
        yield* cache.giveBack(rules, a.number, a.epoch, 20_000)
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual((yield* granted(cache, "a")).number, a.number)
      }))

    test("keeps pools apart", (cache) =>
      Effect.gen(function*() {
        const other = { rules: { ...rules, poolId: "p2", max: 1 } }
        yield* granted(cache, "a")
        assert.strictEqual((yield* granted(cache, "a", other)).epoch, 1)
        yield* granted(cache, "b")
        const c = yield* waits(cache, "c", other)
        assert.strictEqual(c.place, 1)
        assert.include(c.reason, "all 1 deployments are leased")
        const snapshots = yield* Effect.forEach(["p1", "p2", "p3"], (pool) =>
          cache.inspect(pool))
        assert.deepStrictEqual(snapshots.map(({ slots, tickets }) => [slots.length, tickets.length]), [[2, 2], [1, 2], [
          0,
          0
        ]])
        assert.lengthOf(yield* cache.events("p2"), 3)
      }))

    test("records the events of a lease", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* cache.update(rules, a.number, a.epoch, { activity: "creating" })
        yield* cache.free(rules, a.number, a.epoch, dirty)
        yield* granted(cache, "b")
        const events = yield* cache.events(rules.poolId, { leaseId: Lease.LeaseId.make("lease-a") })
        assert.deepStrictEqual(
          events.map((event) =>
            event.kind
          ),
          ["queued", "granted", "step", "freed"]
        )
        assert.strictEqual(events[0]?.detail, "test a", "the ticket itself is forgotten")
      }))

    test("returns the last events, and those after an event", (cache) =>
      Effect.gen(function*() {
        const other = { ...rules, poolId: "p2" }
        yield* granted(cache, "a")
        yield* granted(cache, "x", { rules: other })
        const b = yield* granted(cache, "b")
        yield* cache.update(rules, b.number, b.epoch, { activity: "creating" })
        const all = yield* cache.events(rules.poolId)
        assert.deepStrictEqual(all.map(({ kind }) => kind), ["queued", "granted", "queued", "granted", "step"])
        assert.isTrue(all.every(({ seq }, index) => index === 0 || seq > all[index - 1]!.seq))
        assert.deepStrictEqual(yield* cache.events(rules.poolId, { last: 2 }), all.slice(-2))
        assert.deepStrictEqual(yield* cache.events(rules.poolId, { last: 9 }), all)
        assert.deepStrictEqual(yield* cache.events(rules.poolId, { after: all[1]!.seq }), all.slice(2))
        assert.deepStrictEqual(yield* cache.events(rules.poolId, { after: all[1]!.seq, last: 1 }), all.slice(-1))
        assert.deepStrictEqual(yield* cache.events(rules.poolId, { after: all[4]!.seq }), [])
        assert.deepStrictEqual(yield* cache.events(rules.poolId, { leaseId: lease("b"), last: 2 }), all.slice(-2))
      }))

    test("says why a ticket waits: for holders, for a request in flight, for a quarantine", (cache) =>
      Effect.gen(function*() {
        const one = { rules: { ...rules, max: 1, longestRequest: 10_000 } }
        const reason = (key: string, request: Request = one) =>
          Effect.map(waits(cache, key, request), (wait) => wait.reason)
        const a = yield* granted(cache, "a", one)
        yield* cache.update(one.rules, a.number, a.epoch, { activity: "creating" })
        assert.strictEqual(yield* reason("b"), "all 1 deployments are leased: slot 1 to test a (creating)")
        const waiting = yield* waits(cache, "c", one)
        assert.deepInclude(waiting, { place: 2, since: 0 })
        assert.deepStrictEqual(waiting.holders, [{ slot: 1, label: "test a", activity: "creating", since: 0 }])
        yield* cache.update(one.rules, a.number, a.epoch, { name: "d1", spec: needs, request: "sent" })
        yield* cache.free(one.rules, a.number, a.epoch, { clean: false, usable: { failure: "Airflow never answered" } })
        assert.include(yield* reason("b"), "slot 1 may still be changing until 00:00:10 UTC")
        yield* TestClock.adjust("10 seconds")
        assert.include(yield* reason("b"), "slot 1 is in quarantine until 00:00:30 UTC: Airflow never answered")
        yield* TestClock.adjust("20 seconds")
        yield* granted(cache, "b", one)
      }))

    test("never fills more than max slots, and grants a filled one after max was lowered (11)", (cache) =>
      Effect.gen(function*() {
        const [a, b] = [yield* granted(cache, "a"), yield* granted(cache, "b")]
        yield* cache.update(rules, b.number, b.epoch, { name: "d2", spec: needs })
        yield* cache.free(rules, a.number, a.epoch, dirty)
        yield* cache.free(rules, b.number, b.epoch, dirty)
        const one = { rules: { ...rules, max: 1 } }
        assert.strictEqual((yield* granted(cache, "c", one)).number, b.number)
        yield* waits(cache, "d", one)
        assert.lengthOf((yield* cache.inspect(rules.poolId)).slots, 2)
      }))

    test("fills no slot while max slots are filled, held or not", (cache) =>
      Effect.gen(function*() {
        const one = { rules: { ...rules, max: 1 } }
        const a = yield* granted(cache, "a", one)
        yield* cache.update(one.rules, a.number, a.epoch, { name: "d1", spec: needs, request: "sent" })
        yield* cache.free(one.rules, a.number, a.epoch, dirty)
        yield* waits(cache, "b", one)
        assert.lengthOf((yield* cache.inspect(rules.poolId)).slots, 1)
      }))

    describe("quarantine", () => {
      const failed = (failure: string): PoolPolicy.Outcome => ({ clean: false, usable: { failure } })
      const one = { rules: { ...rules, max: 1, ttl: 10 * rules.ttl } }
      const use = (cache: Cache, key: string, outcome: PoolPolicy.Outcome) =>
        Effect.gen(function*() {
          const slot = yield* granted(cache, key, one)
          yield* cache.update(one.rules, slot.number, slot.epoch, { name: "d1", spec: needs })
          yield* cache.free(one.rules, slot.number, slot.epoch, outcome)
        })

      test("holds a slot back for longer after each failure in a row, and forgets the failures once the slot was usable", (cache) =>
        Effect.gen(function*() {
          yield* use(cache, "1", failed("one"))
          yield* waits(cache, "2", one)
          yield* TestClock.adjust("29 seconds")
          yield* waits(cache, "2", one)
          yield* TestClock.adjust("1 seconds")
          yield* use(cache, "2", failed("two"))
          yield* TestClock.adjust("59 seconds")
          yield* waits(cache, "3", one)
          yield* TestClock.adjust("1 seconds")
          yield* use(cache, "3", dirty)
          yield* use(cache, "4", failed("three"))
          yield* TestClock.adjust("30 seconds")
          yield* use(cache, "5", dirty)
          const kinds = (yield* cache.events(rules.poolId)).filter(({ kind }) => kind === "quarantined")
          assert.deepStrictEqual(kinds.map(({ detail }) => detail), ["one", "two", "three"])
        }))

      test("stays if the next holder ends before it is known whether the slot is usable", (cache) =>
        Effect.gen(function*() {
          yield* use(cache, "1", failed("one"))
          yield* TestClock.adjust("30 seconds")
          yield* use(cache, "2", { clean: false, usable: "unknown" })
          yield* use(cache, "3", failed("two"))
          const [slot] = (yield* cache.inspect(rules.poolId)).slots
          assert.deepInclude(slot?.quarantine, { failures: 2, reason: "two" })
        }))

      test("does not keep upkeep out, which repairs the slot", (cache) =>
        Effect.gen(function*() {
          yield* use(cache, "1", failed("one"))
          assert.isTrue(Option.isSome(yield* cache.claim(one.rules, 1, { leaseId: lease("u"), label: "upkeep" })))
        }))
    })

    describe("upkeep", () => {
      const claim = (cache: Cache, slot: number) => cache.claim(rules, slot, { leaseId: lease("u"), label: "upkeep" })

      test("claims a free slot under a new epoch, and holds it like any other holder", (cache, open) =>
        Effect.gen(function*() {
          const upkeep = yield* open(process(2))
          const a = yield* granted(cache, "a")
          assert.isTrue(Option.isNone(yield* claim(upkeep, a.number)), "it is held")
          assert.isTrue(Option.isNone(yield* claim(upkeep, 7)), "there is no such slot")
          yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, request: "sent" })
          yield* cache.free(rules, a.number, a.epoch, dirty)
          assert.isTrue(Option.isNone(yield* claim(upkeep, a.number)), "a request may be in flight (2)")
          yield* TestClock.adjust("35 seconds")
          const held = Option.getOrThrow(yield* claim(upkeep, a.number))
          assert.strictEqual(held.epoch, a.epoch + 1)
          assert.deepInclude(held.holder, { kind: "upkeep", ticket: null, owner: upkeep.owner })
          assert.isTrue(Option.isNone(yield* claim(cache, a.number)))
          assert.isTrue(yield* upkeep.beat(rules, held.number, held.epoch))
          assert.include((yield* waits(cache, "b")).reason, "to upkeep")
          yield* TestClock.adjust("60 seconds")
          assert.isFalse(yield* upkeep.beat(rules, held.number, held.epoch))
        }))

      test("does not get a slot that a waiting ticket can use", (cache) =>
        Effect.gen(function*() {
          const a = yield* granted(cache, "a")
          yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, request: "sent" })
          yield* granted(cache, "b")
          yield* waits(cache, "c")
          yield* cache.free(rules, a.number, a.epoch, dirty)
          yield* TestClock.adjust("35 seconds")
          assert.isTrue(Option.isNone(yield* claim(cache, a.number)))
          assert.isNull((yield* cache.inspect(rules.poolId)).slots[0]?.holder, "its own process takes it")
          assert.strictEqual((yield* granted(cache, "c")).number, a.number)
        }))

      test("gets a slot that only a ticket whose lock is taken is waiting for", (cache) =>
        Effect.gen(function*() {
          const locked = { lock: "repository", rules: { ...rules, max: 3 } }
          yield* granted(cache, "a", locked)
          const b = yield* granted(cache, "b", { rules: locked.rules })
          yield* cache.update(rules, b.number, b.epoch, { name: "d1", spec: needs })
          yield* cache.free(rules, b.number, b.epoch, dirty)
          yield* waits(cache, "c", locked)
          assert.isTrue(Option.isSome(yield* claim(cache, b.number)))
        }))

      test("hands its slot over to the last matching waiter, while earlier ones get new slots", (cache) =>
        Effect.gen(function*() {
          const a = yield* granted(cache, "a")
          yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, power: "awake" })
          yield* cache.free(rules, a.number, a.epoch, dirty)
          const held = Option.getOrThrow(yield* claim(cache, a.number))
          yield* waits(cache, "b")
          yield* granted(cache, "other spec", { spec: { ...needs, region: "eu" }, rules: { ...rules, max: 3 } })
          yield* waits(cache, "c", { rules: { ...rules, max: 3 } })
          assert.strictEqual(
            (yield* granted(cache, "b", { rules: { ...rules, max: 3 } })).number,
            3,
            "the first of the two waiters"
          )
          assert.isTrue(yield* cache.handOver({ ...rules, max: 3 }, held.number, held.epoch))
          assert.strictEqual((yield* granted(cache, "c")).number, a.number)
        }))

      test("gives back a slot that another ledger leases, without a ticket to requeue", (cache) =>
        Effect.gen(function*() {
          const a = yield* granted(cache, "a")
          yield* cache.free(rules, a.number, a.epoch, dirty)
          const held = Option.getOrThrow(yield* claim(cache, a.number))
          assert.isTrue(yield* cache.giveBack(rules, held.number, held.epoch, 20_000))
          assert.isFalse(yield* cache.giveBack(rules, held.number, held.epoch, 20_000))
          const { slots, tickets } = yield* cache.inspect(rules.poolId)
          assert.deepInclude(slots[0], { holder: null, busyUntil: 20_000, clean: false })
          assert.deepStrictEqual(tickets, [])
        }))
    })

    describe("reconcile", () => {
      const deployment = (
        id: string,
        facts: { readonly name?: string; readonly asleep?: boolean; readonly spec?: Spec } = {}
      ) =>
        new Deployment.Deployment({
          id: Deployment.DeploymentId.make(id),
          name: facts.name ?? id,
          description: "",
          status: facts.asleep === true ? "HIBERNATING" : "HEALTHY",
          hibernationRequested: facts.asleep === true,
          spec: facts.spec ?? needs,
          isDevelopment: true,
          airflowUrl: "",
          uiUrl: ""
        })
      const own = (id: string, slot: number, generation: number, asleep = false) => ({
        deployment: deployment(id, { asleep }),
        slot,
        generation
      })
      const slots = (cache: Cache) =>
        Effect.map(cache.inspect(rules.poolId), (snapshot) =>
          snapshot.slots)
      const facts = ({ adopted, deploymentId, generation, number, power }: Slot.Slot) =>
        [number, deploymentId as string | null, generation, power, adopted !== null] as const

      test("takes in the pool's own deployments of unknown slots, the newest of each slot", (cache) =>
        Effect.gen(function*() {
          yield* TestClock.adjust("1 hours")
          yield* cache.reconcile(rules, {
            all: [],
            own: [own("old", 2, 1), own("new", 2, 3, true), own("one", 1, 1)],
            adoptable: []
          })
          const found = yield* slots(cache)
          assert.deepStrictEqual(found.map(facts), [[1, "one", 1, "awake", false], [2, "new", 3, "unknown", false]])
          const { now } = yield* cache.inspect(rules.poolId)
          assert.deepStrictEqual(
            found.map(({ revokedAt }) => revokedAt),
            [now, now],
            "a token may just have been deleted (8)"
          )
          const events = yield* cache.events(rules.poolId)
          assert.deepStrictEqual(events.map(({ detail, kind }) => [kind, detail]), [["discovered", "new"], [
            "discovered",
            "one"
          ]])
          yield* cache.reconcile(rules, {
            all: [],
            own: [own("old", 2, 1), own("new", 2, 3, true), own("one", 1, 1)],
            adoptable: []
          })
          assert.lengthOf(yield* cache.events(rules.poolId), 2)
        }))

      test("takes nothing into a slot that is held, filled or of a later generation", (cache) =>
        Effect.gen(function*() {
          const a = yield* granted(cache, "a")
          const b = yield* granted(cache, "b")
          yield* cache.update(rules, b.number, b.epoch, { generation: 2, name: null })
          yield* cache.free(rules, b.number, b.epoch, dirty)
          const observation = { all: [], own: [own("x", a.number, 1), own("y", b.number, 1)], adoptable: [] }
          yield* cache.reconcile(rules, observation)
          assert.deepStrictEqual((yield* slots(cache)).map(({ deploymentId }) => deploymentId), [null, null])
        }))

      test("corrects a deployment's power if it has no holder and no request is in flight", (cache) =>
        Effect.gen(function*() {
          const wide = { rules: { ...rules, max: 3 } }
          const [a, b, c] = [
            yield* granted(cache, "a", wide),
            yield* granted(cache, "b", wide),
            yield* granted(cache, "c", wide)
          ]
          yield* Effect.forEach([a, b, c], ({ epoch, number }) =>
            cache.update(rules, number, epoch, {
              name: `d${number}`,
              deploymentId: Deployment.DeploymentId.make(`d${number}`),
              spec: needs,
              power: "awake",
              ...(number === b.number ? { request: "sent" } : {})
            }))
          yield* cache.free(rules, a.number, a.epoch, dirty)
          yield* cache.free(rules, b.number, b.epoch, dirty)
          const all = [own("d1", 1, 1, true), own("d2", 2, 1, true), own("d3", 3, 1, true)]
          const observation = { all: all.map(({ deployment }) => deployment), own: all, adoptable: [] }
          yield* cache.reconcile(rules, observation)
          assert.deepStrictEqual((yield* slots(cache)).map(({ power }) => power), ["unknown", "awake", "awake"])
        }))

      test("adopts up to max, nothing twice, and grants what it adopted to no ticket with another spec", (cache) =>
        Effect.gen(function*() {
          const adoptable = [deployment("x", { asleep: true }), deployment("y"), deployment("z")]
          const observation = { all: [own("one", 1, 1).deployment, ...adoptable], own: [own("one", 1, 1)], adoptable }
          yield* cache.reconcile({ ...rules, max: 3 }, observation)
          yield* cache.reconcile({ ...rules, max: 3 }, observation)
          assert.deepStrictEqual((yield* slots(cache)).map(facts), [
            [1, "one", 1, "awake", false],
            [2, "x", 1, "unknown", true],
            [3, "y", 1, "awake", true]
          ])
          const other = { spec: { ...needs, region: "eu" }, rules: { ...rules, max: 3 } }
          assert.strictEqual((yield* granted(cache, "a", other)).number, 1)
          assert.include((yield* waits(cache, "b", other)).reason, "slot 2 is adopted, and has another spec")
          assert.strictEqual((yield* granted(cache, "c", { rules: other.rules })).number, 3, "the one that is awake")
        }))
    })

    describe("time", () => {
      const hour = 3_600_000
      /** A host whose uptime follows the test's clock, while its wall clock is ahead by `jump`. */
      const machine = Effect.map(Effect.clock, (clock) => {
        const boot = { id: "b1", at: clock.unsafeCurrentTimeMillis() - 500_000 }
        const uptime = () => clock.unsafeCurrentTimeMillis() - boot.at
        const wall = { jump: 1_000 * hour }
        const now = () => clock.unsafeCurrentTimeMillis() + wall.jump
        const jumping: Clock.Clock = Object.assign(Object.create(clock), { unsafeCurrentTimeMillis: now })
        return { boot, wall, uptime, jumping }
      })
      const start = (open: Open) =>
        Effect.gen(function*() {
          const host = yield* machine
          const at = (pid: number) =>
            Effect.withClock(open(process(pid, { bootId: host.boot.id, uptime: host.uptime })), host.jumping)
          return { ...host, at, cache: yield* at(2) }
        })

      for (const jump of [hour, -hour]) {
        test(`advances evenly when the wall clock jumps by ${jump / hour} hours`, (_, open) =>
          Effect.gen(function*() {
            const { at, cache, wall } = yield* start(open)
            const beating = yield* granted(cache, "a")
            const silent = yield* granted(cache, "b")
            yield* waits(cache, "c")
            yield* waits(cache, "silent")
            const before = (yield* cache.inspect(rules.poolId)).now
            wall.jump += jump
            const other = yield* at(3)
            yield* TestClock.adjust("30 seconds")
            assert.strictEqual((yield* other.inspect(rules.poolId)).now, before + 30_000)
            yield* waits(other, "c")
            assert.isTrue(yield* other.beat(rules, beating.number, beating.epoch))
            yield* TestClock.adjust("31 seconds")
            assert.strictEqual((yield* granted(other, "c")).number, silent.number, "a dead holder is expired")
            assert.isTrue(yield* cache.beat(rules, beating.number, beating.epoch), "a live holder is not")
            assert.strictEqual((yield* poll(cache, "silent"))._tag, "Ended", "a dead waiter lapses")
          }))
      }

      test("does not go back when the host reboots, whatever its wall clock shows then", (_, open) =>
        Effect.gen(function*() {
          const { at, boot, cache, wall } = yield* start(open)
          const a = yield* granted(cache, "a")
          yield* TestClock.adjust("50 seconds")
          yield* cache.beat(rules, a.number, a.epoch)
          const { now } = yield* cache.inspect(rules.poolId)
          boot.id = "b2"
          boot.at = yield* Clock.currentTimeMillis
          wall.jump -= hour
          const other = yield* at(4)
          assert.strictEqual((yield* other.inspect(rules.poolId)).now, now)
          yield* waits(other, "b", { rules: { ...rules, max: 1 } })
          yield* TestClock.adjust("59 seconds")
          yield* waits(other, "b", { rules: { ...rules, max: 1 } })
          yield* TestClock.adjust("1 seconds")
          yield* granted(other, "b", { rules: { ...rules, max: 1 } })
          assert.strictEqual((yield* other.inspect(rules.poolId)).now, now + 60_000)
        }))

      test("is the wall clock's again after a reboot if that is later", (_, open) =>
        Effect.gen(function*() {
          const { at, boot, cache, wall } = yield* start(open)
          yield* granted(cache, "a")
          const { now } = yield* cache.inspect(rules.poolId)
          boot.id = "b2"
          boot.at = yield* Clock.currentTimeMillis
          wall.jump += hour
          assert.strictEqual((yield* (yield* at(4)).inspect(rules.poolId)).now, now + hour)
        }))
    })

    test("shows the holder of the upkeep lock", (cache) =>
      Effect.gen(function*() {
        const upkeep = Effect.map(cache.inspect(rules.poolId), (snapshot) =>
          snapshot.upkeep.holder?.label ?? null)
        assert.isNull(yield* upkeep)
        yield* Effect.scoped(Effect.gen(function*() {
          yield* cache.lock(upkeepLock(rules.poolId, Host.machineOf(cache.owner)), {
            label: "one",
            holderId: "u",
            onWait: () =>
              Effect.void
          })
          assert.strictEqual(yield* upkeep, "one")
        }))
        assert.isNull(yield* upkeep)
      }))

    test("keeps a slot alive until the scope closes, and reports its loss at max hold", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        const { lost } = yield* cache.keepAlive(rules, a.number, a.epoch)
        const loss = yield* Effect.fork(Effect.flip(lost))
        yield* TestClock.adjust("59 minutes")
        assert.isTrue(yield* cache.beat(rules, a.number, a.epoch))
        assert.isNull(yield* Fiber.poll(loss).pipe(Effect.map(Option.getOrNull)))
        yield* TestClock.adjust("1 minutes")
        assert.strictEqual((yield* Fiber.join(loss)).held, "slot 1")
      }))

    test("leaves a slot without a waiter to upkeep, while upkeep is active for a run (1)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted(cache, "a")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", spec: needs, power: "awake" })
        assert.isFalse(yield* cache.handOver(rules, a.number, a.epoch))
        yield* Effect.scoped(Effect.gen(function*() {
          yield* cache.lock(upkeepLock(rules.poolId, Host.machineOf(cache.owner)), {
            label: "upkeep",
            holderId: "u",
            onWait: () =>
              Effect.void
          })
          assert.isFalse(yield* cache.handOver(rules, a.number, a.epoch), "no run wants deployments to stay awake")
          yield* cache.run(rules, { id: "r", hibernateAfter: 1_000, recycleUses: null, recycleAge: null, reset: {} })
          assert.isTrue(yield* cache.handOver(rules, a.number, a.epoch))
        }))
        const b = yield* granted(cache, "b")
        assert.strictEqual(b.number, a.number)
        assert.isFalse(yield* cache.handOver(rules, b.number, b.epoch))
      }))

    test("of several runs, the last one decides, with the longest time that any keeps deployments awake", (cache) =>
      Effect.gen(function*() {
        const run = (id: string, hibernateAfter: number) =>
          cache.run(rules, { id, hibernateAfter, recycleUses: null, recycleAge: null, reset: {} })
        const current = Effect.map(cache.outlook(rules), ({ run }) => [run?.id, run?.hibernateAfter])
        yield* run("short", 1_000)
        yield* Effect.scoped(Effect.gen(function*() {
          yield* run("long", 60_000)
          assert.deepStrictEqual(yield* current, ["long", 60_000])
          yield* run("last", 0)
          assert.deepStrictEqual(yield* current, ["last", 60_000])
        }))
        assert.deepStrictEqual(yield* current, ["short", 1_000])
      }))

    test("a lock has one holder, and a waiter is told which", (cache) =>
      Effect.gen(function*() {
        const reasons: Array<string> = []
        const options = (label: string) => ({
          label,
          holderId: label,
          onWait: (reason: string) => Effect.sync(() => void reasons.push(reason))
        })
        const order: Array<string> = []
        const first = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
          const { epoch } = yield* cache.lock("repo", options("one"))
          order.push(`one ${epoch}`)
          yield* Effect.sleep("5 minutes")
        })))
        yield* TestClock.adjust("1 seconds")
        const second = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
          const { epoch } = yield* cache.lock("repo", options("two"))
          order.push(`two ${epoch}`)
        })))
        yield* TestClock.adjust("4 minutes")
        assert.deepStrictEqual(order, ["one 1"])
        assert.lengthOf(reasons, 1)
        assert.include(reasons[0], "one")
        yield* TestClock.adjust("2 minutes")
        yield* Fiber.join(first)
        yield* Fiber.join(second)
        assert.deepStrictEqual(order, ["one 1", "two 2"])
      }))

    test("a lock whose holder missed its deadline gets a new holder, and the old one is told", (cache) =>
      Effect.scoped(Effect.gen(function*() {
        const quiet = { label: "one", holderId: "one", onWait: () => Effect.void, ttl: "0 millis" } as const
        const one = yield* cache.lock("repo", quiet)
        const two = yield* cache.lock("repo", { ...quiet, holderId: "two", ttl: "60 seconds" })
        assert.strictEqual(two.epoch, one.epoch + 1)
        yield* TestClock.adjust("1 seconds")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(one.lost)))
      })))
  })
