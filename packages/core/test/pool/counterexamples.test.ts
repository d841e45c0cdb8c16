/** The counterexamples of the model-checked protocol, by their numbers: what goes wrong without the rule. `mutants.json` has the rules. */
import { assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import { Checker, finale } from "./invariants.js"
import type { WorldOptions } from "./World.js"
import { minutes, otherSpec, seconds, sharedToken, spec, World } from "./World.js"

describe.each(["memory", "SQLite"] as const)("over %s", (store) => {
  const test = (title: string, options: Omit<WorldOptions, "store">, body: (world: World, checker: Checker) => void) =>
    it(title, () => {
      const world = new World({ store, ...options })
      const checker = new Checker(world)
      try {
        body(world, checker)
        checker.check()
        finale(world, checker, options.pool?.max ?? 2)
      } finally {
        world.close()
      }
    })
  /** One slot, filled, its deployment asleep. */
  const one = { pool: { max: 1 } } as const
  const filled = (world: World, host = "one") => {
    const first = world.actor({ host })
    first.lease("first").ready().released()
    world.advance(seconds(30))
    assert.lengthOf(world.cloud.awake(), 0)
    return first
  }
  const deploymentsOf = (world: World) => Array.from(world.cloud.facts.keys())

  test("1: two releases see one waiter, and only the one whose slot it gets leaves it awake", {}, (world) => {
    const [a, b, c] = [world.actor(), world.actor(), world.actor()]
    const first = a.lease("a").ready()
    const second = b.lease("b").ready()
    const waiter = c.lease("c")
    world.advance(seconds(1))
    a.failpoints = [{ at: "free", when: "before", then: "pause" }]
    first.end()
    world.advance(seconds(3))
    second.released()
    a.resume()
    waiter.ready()
    world.advance(seconds(5))
    assert.deepStrictEqual(world.cloud.awake().map(({ id }) => id as string), [String(waiter.slot?.deployment.id)])
    waiter.released()
  })

  test("2: a hibernation of a holder that has died lands late, and the next one waits for that", one, (world) => {
    filled(world)
    const [a, b] = [world.actor(), world.actor()]
    const first = a.lease("a").ready()
    world.cloud.fates.push({ matches: ({ call }) => call === "hibernate", becomes: "held" })
    first.end()
    world.until("it is sent", () => world.cloud.held.length === 1)
    a.crash()
    const second = b.lease("b")
    world.advance(seconds(20))
    assert.isUndefined(second.slot, "it may still land")
    world.cloud.held[0]?.land()
    second.ready()
    world.advance(minutes(3))
    assert.isTrue(second.isInUse)
  })

  test("2: a hibernation that is not answered keeps the slot, and lands before the next holder", one, (world) => {
    filled(world)
    const [a, b] = [world.actor(), world.actor()]
    const first = a.lease("a").ready()
    world.cloud.fates.push({ matches: ({ call }) => call === "hibernate", becomes: { landsIn: seconds(34) } })
    a.failpoints = [{ at: "hibernate", when: "after", then: "pause" }]
    first.end()
    world.until("it has no answer", () => a.state === "paused")
    a.crash()
    const second = b.lease("b").ready()
    world.advance(minutes(3))
    assert.isTrue(second.isInUse)
  })

  test("3: a holder that was paused between its check and its hibernation is noticed by the next one", one, (world) => {
    filled(world)
    const [a, b] = [world.actor({ host: "two" }), world.actor()]
    const first = a.lease("a").ready()
    a.failpoints = [{ at: "hibernate", when: "before", then: "pause" }]
    first.end()
    world.until("it is about to hibernate", () => a.state === "paused")
    const second = b.lease("b").ready()
    a.resume()
    world.until("it notices", () => second.lost !== undefined, minutes(1))
    assert.include(second.lost?.reason, "hibernated from outside the pool")
    assert.isTrue(second.lost?.retryable)
    b.lease("again").ready().released()
  })

  test("4: a wake that lands after a drain has seen everything asleep does not leave it awake", one, (world) => {
    const d = filled(world)
    const a = world.actor()
    a.failpoints = [{ at: "wake", when: "before", then: "pause" }]
    a.lease("a")
    world.advance(seconds(25))
    world.cloud.fates.push({ matches: ({ call }) => call === "wake", becomes: { landsIn: seconds(34) } })
    a.resume()
    a.crash()
    assert.deepStrictEqual(d.drain().awake, [])
    world.advance(minutes(1))
    assert.lengthOf(world.cloud.awake(), 0)
    assert.isTrue(world.log.some(({ _tag }) => _tag === "Woken"))
  })

  test("5: what is HEALTHY while its hibernation is pending is woken, not trusted", one, (world) => {
    const a = filled(world)
    const first = a.lease("a").ready()
    first.released()
    const fact = Array.from(world.cloud.facts.values())[0]
    assert(fact !== undefined)
    assert.strictEqual(world.cloud.statusOf(fact), "HEALTHY")
    const second = a.lease("b").ready()
    assert.strictEqual(second.slot?.reused, "woken")
    world.advance(minutes(2))
    assert.isTrue(second.isInUse)
    second.released()
  })

  test(
    "6: a token that comes after its holder's time is taken away again, and used by nobody",
    { pool: { max: 1, maxHold: seconds(65) }, createTakes: seconds(20) },
    (world) => {
      filled(world)
      const [a, b] = [world.actor(), world.actor({ host: "two" })]
      world.cloud.fates.push({ matches: ({ call }) => call === "createToken", becomes: "held" })
      const first = a.lease("a")
      world.until("the mint is on its way", () => world.cloud.held.length === 1)
      // between the end of its hold and its next heartbeat
      world.advance(seconds(66))
      world.cloud.held[0]?.land()
      world.until("it gives up", () => first.running.exit !== undefined)
      assert.strictEqual(first.error, "LeaseLost")
      assert.deepStrictEqual(world.cloud.tokens().map(({ name }) => name), [])
      b.lease("b").ready().released()
    }
  )

  test("6: a holder that was paused before its mint cannot write when it is back", one, (world, checker) => {
    filled(world)
    const [a, b] = [world.actor({ host: "two" }), world.actor()]
    a.failpoints = [{ at: "createToken", when: "before", then: "pause" }]
    const first = a.lease("a")
    const second = b.lease("b").ready()
    a.resume()
    world.advance(seconds(30))
    assert.isUndefined(first.slot)
    assert.strictEqual(first.error, "LeaseLost")
    assert.isTrue(second.isInUse)
    checker.check()
    second.released()
  })

  test("7: upkeep frees a slot as clean only after its own token is gone", one, (world) => {
    const upkeep = world.actor()
    const [a, b] = [world.actor(), world.actor()]
    upkeep.upkeep({ hibernateAfter: "10 minutes" })
    world.advance(seconds(1))
    const first = a.lease("a").ready()
    first.write()
    world.advance(seconds(1))
    upkeep.failpoints = [{ at: "airflow remove variables", when: "after", then: "pause" }]
    first.released()
    world.until("it resets", () => upkeep.state === "paused", minutes(1))
    upkeep.failpoints = [{ at: "deleteToken", when: "before", then: "pause" }]
    upkeep.resume()
    world.until("it is about to delete its token", () => upkeep.state === "paused", minutes(1))
    assert.isFalse(world.look().slots[0]?.clean)
    assert.strictEqual(world.look().slots[0]?.holder?.kind, "upkeep")
    upkeep.resume()
    world.until("it is done", () => world.look().slots[0]?.clean === true, minutes(1))
    assert.lengthOf(world.cloud.tokens(), 0)
    const second = b.lease("b").ready()
    assert.strictEqual(second.slot?.reused, "awake")
    second.released()
  })

  test("7: whoever ends otherwise leaves the slot unverified", one, (world) => {
    const upkeep = world.actor()
    upkeep.upkeep({ hibernateAfter: "10 minutes" })
    world.advance(seconds(1))
    world.actor().lease("first").ready().released()
    world.until("it is clean", () => world.look().slots[0]?.clean === true, minutes(2))
    const a = world.actor()
    a.lease("a").ready()
    upkeep.crash()
    a.crash()
    const next = world.actor()
    next.ungated((cache) => cache.sweep(next.rules))
    assert.isNull(world.look().slots[0]?.holder)
    assert.isFalse(world.look().slots[0]?.clean)
  })

  test(
    "8: a deleted token that is still accepted writes before the last verification, never after it",
    one,
    (world, checker) => {
      filled(world)
      const a = world.actor()
      const [b, c] = [world.actor({ host: "two" }), world.actor({ host: "two" })]
      const first = a.lease("a").ready()
      a.failpoints = [{ at: "airflow write", when: "before", then: "pause" }]
      const write = first.write()
      // it deletes the token and dies before it has an answer; the next one finds none
      b.failpoints = [{ at: "deleteToken", when: "after", then: "crash" }]
      b.lease("b")
      world.until("it has died", () => b.state === "crashed")
      const second = c.lease("c")
      world.advance(seconds(3.5))
      a.resume()
      world.until("the write is through", () => write.exit !== undefined)
      assert.strictEqual(write.exit?._tag, "Success", "it was still accepted")
      second.ready()
      checker.check()
      second.released()
    }
  )

  test("8: that a token is deleted is in the ledger before the request is sent", one, (world) => {
    filled(world)
    const [a, b] = [world.actor(), world.actor()]
    a.lease("a").ready()
    world.advance(minutes(1))
    a.crash()
    b.failpoints = [{ at: "deleteToken", when: "before", then: "pause" }]
    b.lease("b")
    world.until("it is about to delete", () => b.state === "paused")
    const { now, slots: [slot] } = world.look()
    assert.isAtLeast(slot?.revokedAt ?? 0, now - seconds(1))
  })

  describe("9: two ledgers on one workspace", () => {
    const two = { pool: { max: 1 }, latency: 0 } as const

    test("a lease of the other one's makes this one step back, and wait", two, (world, checker) => {
      const a = world.actor({ ledger: 0 })
      const first = a.lease("a").ready()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      const second = b.lease("b")
      world.advance(minutes(3))
      first.write()
      world.advance(seconds(1))
      assert.isTrue(first.isInUse)
      assert.isUndefined(second.slot)
      first.released()
      second.ready()
      checker.check()
      second.released()
    })

    test("the own token outlives the hibernation", two, (world) => {
      const a = world.actor({ ledger: 0 })
      const first = a.lease("a").ready()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      a.failpoints = [{ at: "hibernate", when: "before", then: "pause" }]
      first.end()
      const second = b.lease("b")
      world.advance(seconds(50))
      assert.isUndefined(second.slot)
      a.resume()
      second.ready()
      world.advance(minutes(2))
      assert.isTrue(second.isInUse)
      second.released()
    })

    test("what the other one leases is not deleted for another spec", two, (world) => {
      const a = world.actor({ ledger: 0 })
      const first = a.lease("a").ready()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      const second = b.lease("b", { spec: otherSpec })
      world.advance(minutes(3))
      assert.isTrue(first.isInUse)
      first.released()
      second.ready().released()
    })

    test("a drain does not put to sleep what the other one leases", two, (world) => {
      const a = world.actor({ ledger: 0 })
      const first = a.lease("a").ready()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      b.reap()
      world.advance(minutes(2))
      assert.isTrue(first.isInUse)
      first.released()
    })

    test("a deleted ledger's lease is left alone, and ends with its ledger", two, (world, checker) => {
      const a = world.actor()
      const first = a.lease("a").ready()
      first.write()
      world.advance(seconds(1))
      world.removeLedger()
      const b = world.actor({ host: "two" })
      const second = b.lease("b")
      world.until("it notices", () => first.lost !== undefined, seconds(20))
      second.ready()
      checker.check()
      second.released()
    })

    test("a beat fails once its deadline has passed, though nobody has noticed", two, (world) => {
      const a = world.actor({ ledger: 0 })
      const first = a.lease("a").ready()
      const { number } = world.look(0).slots[0]!
      a.pause()
      world.advance(seconds(61))
      const { rules } = a
      const isHeld = a.ungated((cache) => cache.beat(rules, number, first.slot?.epoch ?? 0))
      assert.isFalse(isHeld)
      a.resume()
      world.until("it is told", () => first.lost !== undefined, seconds(1))
    })
  })

  describe("10: a deployment is replaced", () => {
    test("by one that was paused before its deletion, which then hits no living lease", one, (world) => {
      filled(world)
      const old = deploymentsOf(world)[0]
      const [a, b] = [world.actor(), world.actor({ host: "two" })]
      a.failpoints = [{ at: "delete", when: "before", then: "pause" }]
      a.lease("a", { spec: otherSpec })
      world.until("it is about to delete", () => a.state === "paused")
      const second = b.lease("b", { spec }).ready()
      a.resume()
      world.advance(minutes(3))
      assert.isTrue(second.isInUse)
      assert.notStrictEqual(second.slot?.deployment.id as string, old)
      assert.lengthOf(deploymentsOf(world), 1, "the older one was deleted before the next was created")
      second.released()
    })

    test(
      "by one that dies before its deletion: the older one goes before the next is created",
      one,
      (world, checker) => {
        filled(world)
        const [a, b] = [world.actor(), world.actor()]
        a.failpoints = [{ at: "delete", when: "before", then: "crash" }]
        a.lease("a", { spec: otherSpec })
        world.until("it has died", () => a.state === "crashed")
        b.failpoints = [{ at: "create", when: "before", then: "pause" }]
        const second = b.lease("b", { spec: otherSpec })
        world.until("it is about to create", () => b.state === "paused")
        assert.lengthOf(deploymentsOf(world), 0)
        b.resume()
        second.ready()
        checker.check()
        second.released()
      }
    )

    test("under a name that no earlier one had", one, (world) => {
      filled(world)
      const before = world.look().slots[0]?.generation ?? 0
      const a = world.actor()
      a.lease("a", { spec: otherSpec }).ready().released()
      const names = Array.from(world.cloud.facts.values(), ({ name }) => name)
      assert.lengthOf(names, 1)
      assert.match(names[0] ?? "", new RegExp(`-g${before + 1}$`))
    })
  })

  test("11: a smaller pool uses whatever slots are filled, and creates no more", {}, (world) => {
    const a = world.actor()
    const leases = [a.lease("a").ready(), a.lease("b").ready()]
    for (const lease of leases) lease.released()
    // slot 1 is emptied, and its holder dies
    const inFirst = world.look().slots[0]?.deploymentId
    world.cloud.remove(inFirst ?? "")
    a.failpoints = [{ at: "update", when: "after", then: "crash" }]
    a.lease("c")
    world.until("it has died", () => a.state === "crashed")
    assert.deepStrictEqual(world.look().slots.map(({ name }) => name === null), [true, false])
    const b = world.actor({ pool: { max: 1 } })
    const second = b.lease("d").ready()
    assert.strictEqual(second.slot?.reused, "woken")
    second.released()
    assert.lengthOf(deploymentsOf(world), 1)
  })

  test("11: a drain deletes what is more than the smaller pool may have", {}, (world) => {
    const a = world.actor()
    const leases = [a.lease("a").ready(), a.lease("b").ready()]
    for (const lease of leases) lease.released()
    assert.lengthOf(deploymentsOf(world), 2)
    world.actor({ pool: { max: 1 } }).drain()
    assert.lengthOf(deploymentsOf(world), 1)
  })

  test("12: a late duplicate of a ticket that has ended is granted nothing", one, (world) => {
    const a = filled(world)
    a.lease("a", { key: "run/1/test/1" }).ready().released()
    const again = a.lease("again", { key: "run/1/test/1" })
    world.until("it is refused", () => again.running.exit !== undefined, minutes(1))
    assert.strictEqual(again.error, "TicketEnded")
    a.reap()
    assert.isNull(world.look().slots[0]?.holder)
  })

  test("12: of two leases of one process one ends, and the other is kept", {}, (world) => {
    const a = world.actor()
    const [first, second] = [a.lease("a"), a.lease("b")]
    first.ready()
    second.ready()
    first.released()
    world.advance(minutes(3))
    assert.isTrue(second.isInUse)
    second.released()
  })

  test(
    "13: what a dead holder without a fence has sent may still land, and the next one waits for that",
    { pool: { max: 1, apiToken: Redacted.make(sharedToken) } },
    (world) => {
      filled(world)
      const [a, b] = [world.actor(), world.actor()]
      const first = a.lease("a").ready()
      assert.isFalse(first.isFenced)
      world.cloud.fates.push({ matches: ({ call }) => call === "airflow write", becomes: "held" })
      first.write()
      world.advance(seconds(1))
      a.crash()
      const second = b.lease("b")
      world.advance(seconds(40))
      assert.isUndefined(second.slot, "a process that has ended is not reaped at once")
      assert.isNotNull(world.look().slots[0]?.holder)
      world.until("it expires", () => world.look().slots[0]?.holder === null, minutes(1))
      world.advance(seconds(34))
      assert.isNull(world.look().slots[0]?.holder, "it is longer than any request until the next one")
      world.cloud.held[0]?.land()
      second.ready()
      assert.strictEqual(Array.from(world.cloud.facts.values())[0]?.variables.size, 0)
      second.released()
    }
  )
})
