import type { PoolPolicy } from "@airflow-resource/core"
import { DeploymentCache, Lease } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, type Layer, TestClock } from "effect"

export const owner = { host: "h", bootId: "b", pid: 1, startedAt: "1" }
export const needs = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
export const rules: PoolPolicy.PoolRules = { poolId: "p1", max: 2, ttl: 60_000, maxHold: 3_600_000, lockDelay: 35_000 }

const ticket = (key: string, make: PoolPolicy.NewTicket["needs"] = needs): PoolPolicy.NewTicket => ({
  key,
  leaseId: Lease.LeaseId.make(`lease-${key}`),
  needs: make,
  owner,
  label: `test ${key}`
})

const ask = (key: string, make?: PoolPolicy.NewTicket["needs"]) =>
  Effect.gen(function*() {
    const cache = yield* DeploymentCache.DeploymentCache
    yield* cache.enqueue(rules, ticket(key, make))
    return yield* cache.step(rules, key)
  })

const granted = (key: string, make?: PoolPolicy.NewTicket["needs"]) =>
  Effect.map(ask(key, make), (status) => {
    assert(status._tag === "Granted", `${key} is ${status._tag}`)
    return status.slot
  })

/** Every ledger keeps these promises. Runs under TestClock: the layer is built anew for every test. */
export const suite = (name: string, layer: Layer.Layer<DeploymentCache.DeploymentCache, unknown>) =>
  describe(name, () => {
    const test = (
      title: string,
      body: (cache: typeof DeploymentCache.DeploymentCache.Service) => Effect.Effect<
        void,
        unknown,
        DeploymentCache.DeploymentCache
      >
    ) =>
      // minutes of virtual time are hundreds of transactions of a file
      it.effect(title, () => Effect.flatMap(DeploymentCache.DeploymentCache, body).pipe(Effect.provide(layer)), 30_000)

    test("grants different slots, up to max, and says why the next one waits", () =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        const b = yield* granted("b")
        assert.notStrictEqual(a.number, b.number)
        const c = yield* ask("c")
        assert(c._tag === "Waiting")
        assert.strictEqual(c.place, 1)
        assert.include(c.reason, "test a")
      }))

    test("answers the same key with the same slot, and never again once it has ended", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        assert.deepStrictEqual(yield* granted("a"), a)
        yield* cache.free(rules, a.number, a.epoch, { clean: false })
        assert.deepStrictEqual(yield* ask("a"), { _tag: "Ended" })
      }))

    test("serves the queue in its order", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        yield* granted("b")
        yield* ask("c")
        yield* ask("d")
        yield* cache.free(rules, a.number, a.epoch, { clean: false })
        assert.strictEqual((yield* ask("d"))._tag, "Waiting")
        assert.strictEqual((yield* granted("c")).number, a.number)
      }))

    test("grows the epoch with every grant, and refuses an older one", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        yield* cache.free(rules, a.number, a.epoch, { clean: false })
        const b = yield* granted("b")
        assert.strictEqual(b.number, a.number)
        assert.strictEqual(b.epoch, a.epoch + 1)
        assert.isFalse(yield* cache.beat(rules, a.number, a.epoch))
        assert.isFalse(yield* cache.free(rules, a.number, a.epoch, { clean: false }))
        const late = yield* Effect.flip(cache.update(rules, a.number, a.epoch, { power: "awake" }))
        assert.strictEqual(late._tag, "LeaseLost")
        assert.isTrue(yield* cache.beat(rules, b.number, b.epoch))
      }))

    test("keeps a slot for a holder that beats, and takes it from one that does not", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        const b = yield* granted("b")
        yield* TestClock.adjust("40 seconds")
        assert.isTrue(yield* cache.beat(rules, a.number, a.epoch))
        yield* TestClock.adjust("40 seconds")
        assert.isFalse(yield* cache.beat(rules, b.number, b.epoch), "its deadline has passed, though nobody expired it")
        const c = yield* granted("c")
        assert.strictEqual(c.number, b.number)
        assert.isTrue(yield* cache.beat(rules, a.number, a.epoch))
      }))

    test("ends a hold at max hold, however well it beats", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        yield* Effect.forEach(Array.from({ length: 119 }), () =>
          Effect.zipRight(TestClock.adjust("30 seconds"), cache.beat(rules, a.number, a.epoch)))
        yield* TestClock.adjust("30 seconds")
        assert.isFalse(yield* cache.beat(rules, a.number, a.epoch))
      }))

    test("lets a waiter lapse that has stopped to ask", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        yield* granted("b")
        yield* ask("c")
        yield* TestClock.adjust("50 seconds")
        yield* cache.beat(rules, a.number, a.epoch)
        yield* ask("d")
        yield* TestClock.adjust("55 seconds")
        yield* granted("d")
        assert.deepStrictEqual(yield* ask("c"), { _tag: "Ended" })
      }))

    test("grants no slot while a cloud request may be in flight (2)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        yield* granted("b")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", make: needs, busyUntil: 35_000 })
        yield* cache.free(rules, a.number, a.epoch, { clean: false })
        const c = yield* ask("c")
        assert(c._tag === "Waiting")
        assert.include(c.reason, "35 s")
        yield* TestClock.adjust("35 seconds")
        assert.strictEqual((yield* granted("c")).number, a.number)
      }))

    test("keeps an unfenced slot back after an end that was not a release (13)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        const b = yield* granted("b")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", make: needs, fenced: false })
        yield* TestClock.adjust("59 seconds")
        yield* cache.beat(rules, b.number, b.epoch)
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual((yield* ask("c"))._tag, "Waiting")
        yield* TestClock.adjust("35 seconds")
        assert.strictEqual((yield* granted("c")).number, a.number)
      }))

    test("takes what an ended process held, and its place in the queue, without waiting for a deadline", (cache) =>
      Effect.gen(function*() {
        const gone = { ...owner, pid: 2 }
        const knowing: PoolPolicy.PoolRules = { ...rules, max: 1, isGone: ({ pid }) => pid === gone.pid }
        const askAs = (key: string, pid: number) =>
          Effect.gen(function*() {
            yield* cache.enqueue(knowing, { ...ticket(key), owner: { ...owner, pid } })
            return yield* cache.step({ ...knowing, isGone: undefined }, key)
          })
        const a = yield* askAs("a", gone.pid)
        assert(a._tag === "Granted")
        assert.strictEqual((yield* askAs("b", gone.pid))._tag, "Waiting")
        assert.strictEqual((yield* askAs("c", 3))._tag, "Waiting")
        const c = yield* cache.step(knowing, "c")
        assert(c._tag === "Granted")
        assert.deepInclude(c.slot, { number: a.slot.number, epoch: a.slot.epoch + 1 })
        assert.isFalse(yield* cache.beat(knowing, a.slot.number, a.slot.epoch))
        const events = yield* cache.events(rules.poolId, Lease.LeaseId.make("lease-a"))
        assert.deepInclude(events.at(-1), { kind: "expired", detail: "its process has ended" })
      }))

    test("leaves an ended process its unfenced slot until the deadline, whose last write may be on its way (13)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", make: needs, fenced: false })
        yield* cache.step({ ...rules, isGone: () => true }, "a")
        assert.strictEqual((yield* cache.slots(rules.poolId))[0]?.holder?.leaseId, "lease-a")
        assert.isTrue(yield* cache.beat(rules, a.number, a.epoch))
      }))

    test("prefers awake and clean, awake, asleep, new, and only then another make", (cache) =>
      Effect.gen(function*() {
        const wide = { ...rules, max: 4 }
        const take = (key: string, make = needs) =>
          Effect.gen(function*() {
            yield* cache.enqueue(wide, ticket(key, make))
            const status = yield* cache.step(wide, key)
            assert(status._tag === "Granted")
            return status.slot
          })
        const [asleep, awake, clean] = [yield* take("1"), yield* take("2"), yield* take("3")]
        yield* cache.update(wide, asleep.number, asleep.epoch, { name: "d1", make: needs, power: "asleep" })
        yield* cache.update(wide, awake.number, awake.epoch, { name: "d2", make: needs, power: "awake" })
        yield* cache.update(wide, clean.number, clean.epoch, { name: "d3", make: needs, power: "awake" })
        yield* cache.free(wide, asleep.number, asleep.epoch, { clean: false })
        yield* cache.free(wide, awake.number, awake.epoch, { clean: false })
        yield* cache.free(wide, clean.number, clean.epoch, { clean: true })
        const order = yield* Effect.forEach(["4", "5", "6", "7"], (key) => take(key))
        assert.deepStrictEqual(order.map((slot) => slot.number), [clean.number, awake.number, asleep.number, 4])
        const first = order[0]
        assert(first !== undefined)
        yield* cache.free(wide, first.number, first.epoch, { clean: false })
        const replaced = yield* take("8", { ...needs, runtimeVersion: "12.7.1" } as never)
        assert.strictEqual(replaced.number, first.number)
      }))

    test("fills a new slot before it takes another make's", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", make: needs, power: "asleep" })
        yield* cache.free(rules, a.number, a.epoch, { clean: false })
        const other = yield* granted("b", { ...needs, region: "eu" })
        assert.notStrictEqual(other.number, a.number)
      }))

    test("hands over to the queue's head only, in one step (1)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        const b = yield* granted("b")
        yield* cache.update(rules, a.number, a.epoch, { name: "d1", make: needs, power: "awake" })
        yield* cache.update(rules, b.number, b.epoch, { name: "d2", make: needs, power: "awake" })
        yield* ask("c")
        assert.isTrue(yield* cache.handOver(rules, a.number, a.epoch))
        assert.isFalse(yield* cache.handOver(rules, b.number, b.epoch), "one waiter excuses one release, not two")
        assert.strictEqual((yield* granted("c")).number, a.number)
        assert.isTrue(yield* cache.beat(rules, b.number, b.epoch), "what was not handed over is still held")
      }))

    test("puts a returned slot's ticket back at its old place (9)", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        yield* granted("b")
        yield* ask("c")
        yield* cache.giveBack(rules, a.number, a.epoch, 20_000)
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual((yield* granted("a")).number, a.number)
      }))

    test("keeps pools apart", (cache) =>
      Effect.gen(function*() {
        yield* granted("a")
        const other = { ...rules, poolId: "p2" }
        yield* cache.enqueue(other, ticket("a"))
        const status = yield* cache.step(other, "a")
        assert(status._tag === "Granted")
        assert.strictEqual(status.slot.epoch, 1)
        assert.strictEqual((yield* cache.slots("p2")).length, 1)
      }))

    test("tells the story of a lease", (cache) =>
      Effect.gen(function*() {
        const a = yield* granted("a")
        yield* cache.update(rules, a.number, a.epoch, { activity: "creating" })
        yield* cache.free(rules, a.number, a.epoch, { clean: false })
        yield* granted("b")
        const events = yield* cache.events(rules.poolId, Lease.LeaseId.make("lease-a"))
        assert.deepStrictEqual(events.map((event) => event.kind), ["queued", "granted", "step", "freed"])
      }))

    test("a lock is held by one, and the next is told by whom", (cache) =>
      Effect.gen(function*() {
        const told: Array<string> = []
        const options = (label: string) => ({
          label,
          leaseId: label,
          onWait: (reason: string) => Effect.sync(() => void told.push(reason))
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
        assert.lengthOf(told, 1)
        assert.include(told[0], "one")
        yield* TestClock.adjust("2 minutes")
        yield* Fiber.join(first)
        yield* Fiber.join(second)
        assert.deepStrictEqual(order, ["one 1", "two 2"])
      }))

    test("a lock whose holder was silent is given on, and the holder is told", (cache) =>
      Effect.scoped(Effect.gen(function*() {
        const quiet = { label: "one", leaseId: "one", onWait: () => Effect.void, ttl: "0 millis" } as const
        const one = yield* cache.lock("repo", quiet)
        const two = yield* cache.lock("repo", { ...quiet, leaseId: "two", ttl: "60 seconds" })
        assert.strictEqual(two.epoch, one.epoch + 1)
        yield* TestClock.adjust("1 seconds")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(one.lost)))
      })))
  })
