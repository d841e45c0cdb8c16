/**
 * The counterexamples of the model-checked protocol, by number: what goes wrong without the rule. docs/protocol.md
 * lists the rules.
 */
import { assert, describe } from "@effect/vitest"
import { Redacted } from "effect"
import { overEachLedger } from "./scenario.js"
import { minutes, otherSpec, seconds, sharedToken, spec, type World } from "./World.js"

overEachLedger((test) => {
  const one = { pool: { max: 1 } } as const
  /** The pool's slot has a deployment, which hibernates. Returns the process that created it. */
  const filled = (world: World, host = "one") => {
    const first = world.actor({ host })
    first.lease("first").ready().released()
    world.advance(seconds(30))
    assert.lengthOf(world.cloud.awake(), 0)
    return first
  }
  const deploymentsOf = (world: World) => Array.from(world.cloud.facts.keys())

  test(
    "1: of two releases that see one waiter, only the one whose slot is granted leaves its deployment awake",
    {},
    (world) => {
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
    }
  )

  test("2: the next holder waits for the late hibernation of a dead holder", one, (world) => {
    filled(world)
    const [a, b] = [world.actor(), world.actor()]
    const first = a.lease("a").ready()
    world.cloud.fates.push({ matches: ({ call }) => call === "hibernate", becomes: "held" })
    first.end()
    world.until("the hibernation is sent", () => world.cloud.held.length === 1)
    a.crash()
    const second = b.lease("b")
    world.advance(seconds(20))
    assert.isUndefined(second.slot, "the hibernation may still land")
    world.cloud.held[0]?.land()
    second.ready()
    world.advance(minutes(3))
    assert.isTrue(second.isInUse)
  })

  test("2: a hibernation without a response keeps the slot busy, and lands before the next holder", one, (world) => {
    filled(world)
    const [a, b] = [world.actor(), world.actor()]
    const first = a.lease("a").ready()
    world.cloud.fates.push({ matches: ({ call }) => call === "hibernate", becomes: { landsIn: seconds(34) } })
    a.failpoints = [{ at: "hibernate", when: "after", then: "pause" }]
    first.end()
    world.until("the hibernation has timed out", () => a.state === "paused")
    a.crash()
    const second = b.lease("b").ready()
    world.advance(minutes(3))
    assert.isTrue(second.isInUse)
  })

  test("3: the hibernation of a holder that was paused after its check is noticed by the next holder", one, (world) => {
    filled(world)
    const [a, b] = [world.actor({ host: "two" }), world.actor()]
    const first = a.lease("a").ready()
    a.failpoints = [{ at: "hibernate", when: "before", then: "pause" }]
    first.end()
    world.until("the process is about to hibernate", () => a.state === "paused")
    const second = b.lease("b").ready()
    a.resume()
    world.until("the next holder notices", () => second.lost !== undefined, minutes(1))
    assert.include(second.lost?.reason, "hibernated from outside the pool")
    assert.isTrue(second.lost?.retryable)
    b.lease("again").ready().released()
  })

  test("4: a wake that lands after a drain has seen everything hibernating leaves nothing awake", one, (world) => {
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

  test("5: a HEALTHY deployment whose hibernation is pending is woken, not trusted", one, (world) => {
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
    "6: a token that is minted after its holder was lost is deleted and never used",
    { pool: { max: 1, maxHold: seconds(65) }, createTakes: seconds(20) },
    (world) => {
      filled(world)
      const [a, b] = [world.actor(), world.actor({ host: "two" })]
      world.cloud.fates.push({ matches: ({ call }) => call === "createToken", becomes: "held" })
      const first = a.lease("a")
      world.until("the mint is on its way", () => world.cloud.held.length === 1)
      // its max hold has passed, and its next heartbeat is still to come
      world.advance(seconds(66))
      world.cloud.held[0]?.land()
      world.until("the first lease fails", () => first.running.exit !== undefined)
      assert.strictEqual(first.error, "LeaseLost")
      assert.deepStrictEqual(world.cloud.tokens().map(({ name }) => name), [])
      b.lease("b").ready().released()
    }
  )

  test("6: a holder that was paused before its mint cannot write after it resumes", one, (world, checker) => {
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

  test("7: upkeep frees a slot as clean only after its own token is deleted", one, (world) => {
    const upkeep = world.actor()
    const [a, b] = [world.actor(), world.actor()]
    upkeep.upkeep({ hibernateAfter: "10 minutes" })
    world.advance(seconds(1))
    const first = a.lease("a").ready()
    first.write()
    world.advance(seconds(1))
    upkeep.failpoints = [{ at: "airflow delete variables", when: "after", then: "pause" }]
    first.released()
    world.until("upkeep resets the Airflow", () => upkeep.state === "paused", minutes(1))
    upkeep.failpoints = [{ at: "deleteToken", when: "before", then: "pause" }]
    upkeep.resume()
    world.until("upkeep is about to delete its token", () => upkeep.state === "paused", minutes(1))
    assert.isFalse(world.inspect().slots[0]?.clean)
    assert.strictEqual(world.inspect().slots[0]?.holder?.kind, "upkeep")
    upkeep.resume()
    world.until("upkeep frees the slot as clean", () => world.inspect().slots[0]?.clean === true, minutes(1))
    assert.lengthOf(world.cloud.tokens(), 0)
    const second = b.lease("b").ready()
    assert.strictEqual(second.slot?.reused, "awake")
    second.released()
  })

  test("7: a holder that ends in any other way leaves the slot unverified", one, (world) => {
    const upkeep = world.actor()
    upkeep.upkeep({ hibernateAfter: "10 minutes" })
    world.advance(seconds(1))
    world.actor().lease("first").ready().released()
    world.until("upkeep frees the slot as clean", () => world.inspect().slots[0]?.clean === true, minutes(2))
    const a = world.actor()
    a.lease("a").ready()
    upkeep.crash()
    a.crash()
    const next = world.actor()
    next.ungated((cache) => cache.sweep(next.rules))
    assert.isNull(world.inspect().slots[0]?.holder)
    assert.isFalse(world.inspect().slots[0]?.clean)
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
      // it deletes the token and dies before the response; the next holder finds no token
      b.failpoints = [{ at: "deleteToken", when: "after", then: "crash" }]
      b.lease("b")
      world.until("the process has died", () => b.state === "crashed")
      const second = c.lease("c")
      world.advance(seconds(3.5))
      a.resume()
      world.until("the write has ended", () => write.exit !== undefined)
      assert.strictEqual(write.exit?._tag, "Success", "the deleted token was still accepted")
      second.ready()
      checker.check()
      second.released()
    }
  )

  test("8: the ledger records the deletion of a token before the request is sent", one, (world) => {
    filled(world)
    const [a, b] = [world.actor(), world.actor()]
    a.lease("a").ready()
    world.advance(minutes(1))
    a.crash()
    b.failpoints = [{ at: "deleteToken", when: "before", then: "pause" }]
    b.lease("b")
    world.until("the process is about to delete", () => b.state === "paused")
    const { now, slots: [slot] } = world.inspect()
    assert.isAtLeast(slot?.revokedAt ?? 0, now - seconds(1))
  })

  describe("9: two ledgers on one workspace", () => {
    const two = { pool: { max: 1 }, latency: 0 } as const

    test("a lease steps back and waits while the other ledger leases the deployment", two, (world, checker) => {
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

    test("a holder's token outlives its hibernation", two, (world) => {
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

    test("a deployment that the other ledger leases is not deleted for another spec", two, (world) => {
      const a = world.actor({ ledger: 0 })
      const first = a.lease("a").ready()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      const second = b.lease("b", { spec: otherSpec })
      world.advance(minutes(3))
      assert.isTrue(first.isInUse)
      first.released()
      second.ready().released()
    })

    test("a reap does not hibernate a deployment that the other ledger leases", two, (world) => {
      const a = world.actor({ ledger: 0 })
      const first = a.lease("a").ready()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      b.reap()
      world.advance(minutes(2))
      assert.isTrue(first.isInUse)
      first.released()
    })

    test("the lease of a deleted ledger is left alone until its holder notices", two, (world, checker) => {
      const a = world.actor()
      const first = a.lease("a").ready()
      first.write()
      world.advance(seconds(1))
      world.deleteLedger()
      const b = world.actor({ host: "two" })
      const second = b.lease("b")
      world.until("the first lease is lost", () => first.lost !== undefined, seconds(20))
      second.ready()
      checker.check()
      second.released()
    })

    test("a heartbeat fails after its deadline, even before the holder is expired", two, (world) => {
      const a = world.actor({ ledger: 0 })
      const first = a.lease("a").ready()
      const { number } = world.inspect(0).slots[0]!
      a.pause()
      world.advance(seconds(61))
      const { rules } = a
      const isHeld = a.ungated((cache) => cache.beat(rules, number, first.slot?.epoch ?? 0))
      assert.isFalse(isHeld)
      a.resume()
      world.until("the lease is lost", () => first.lost !== undefined, seconds(1))
    })
  })

  describe("10: a deployment is replaced", () => {
    test("by a holder that is paused before the deletion, which later hits no living lease", one, (world) => {
      filled(world)
      const old = deploymentsOf(world)[0]
      const [a, b] = [world.actor(), world.actor({ host: "two" })]
      a.failpoints = [{ at: "delete", when: "before", then: "pause" }]
      a.lease("a", { spec: otherSpec })
      world.until("the process is about to delete", () => a.state === "paused")
      const second = b.lease("b", { spec }).ready()
      a.resume()
      world.advance(minutes(3))
      assert.isTrue(second.isInUse)
      assert.notStrictEqual(second.slot?.deployment.id as string, old)
      assert.lengthOf(deploymentsOf(world), 1, "the older deployment was deleted before the next was created")
      second.released()
    })

    test(
      "by a holder that dies before the deletion: the older one is deleted before the next is created",
      one,
      (world, checker) => {
        filled(world)
        const [a, b] = [world.actor(), world.actor()]
        a.failpoints = [{ at: "delete", when: "before", then: "crash" }]
        a.lease("a", { spec: otherSpec })
        world.until("the process has died", () => a.state === "crashed")
        b.failpoints = [{ at: "create", when: "before", then: "pause" }]
        const second = b.lease("b", { spec: otherSpec })
        world.until("the process is about to create", () => b.state === "paused")
        assert.lengthOf(deploymentsOf(world), 0)
        b.resume()
        second.ready()
        checker.check()
        second.released()
      }
    )

    test("under a name that no earlier deployment had", one, (world) => {
      filled(world)
      const before = world.inspect().slots[0]?.generation ?? 0
      const a = world.actor()
      a.lease("a", { spec: otherSpec }).ready().released()
      const names = Array.from(world.cloud.facts.values(), ({ name }) => name)
      assert.lengthOf(names, 1)
      assert.match(names[0] ?? "", new RegExp(`-g${before + 1}$`))
    })
  })

  test("11: a smaller pool uses any slot that has a deployment, and creates no more", {}, (world) => {
    const a = world.actor()
    const leases = [a.lease("a").ready(), a.lease("b").ready()]
    for (const lease of leases) lease.released()
    // the deployment of slot 1 disappears, and the holder that notices dies
    const inFirst = world.inspect().slots[0]?.deploymentId
    world.cloud.delete(inFirst ?? "")
    a.failpoints = [{ at: "update", when: "after", then: "crash" }]
    a.lease("c")
    world.until("the process has died", () => a.state === "crashed")
    assert.deepStrictEqual(world.inspect().slots.map(({ name }) => name === null), [true, false])
    const b = world.actor({ pool: { max: 1 } })
    const second = b.lease("d").ready()
    assert.strictEqual(second.slot?.reused, "woken")
    second.released()
    assert.lengthOf(deploymentsOf(world), 1)
  })

  test("11: a drain deletes deployments beyond the max of a smaller pool", {}, (world) => {
    const a = world.actor()
    const leases = [a.lease("a").ready(), a.lease("b").ready()]
    for (const lease of leases) lease.released()
    assert.lengthOf(deploymentsOf(world), 2)
    world.actor({ pool: { max: 1 } }).drain()
    assert.lengthOf(deploymentsOf(world), 1)
  })

  test("12: a late duplicate of an ended ticket is granted nothing", one, (world) => {
    const a = filled(world)
    a.lease("a", { key: "run/1/test/1" }).ready().released()
    const again = a.lease("again", { key: "run/1/test/1" })
    world.until("the duplicate is refused", () => again.running.exit !== undefined, minutes(1))
    assert.strictEqual(again.error, "TicketEnded")
    a.reap()
    assert.isNull(world.inspect().slots[0]?.holder)
  })

  test("12: when one of two leases of a process ends, the other is kept", {}, (world) => {
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
    "13: the next holder waits for a late write of a dead holder without a fence",
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
      assert.isUndefined(second.slot, "an unfenced holder is not expired as soon as its process ends")
      assert.isNotNull(world.inspect().slots[0]?.holder)
      world.until("the first holder is expired", () => world.inspect().slots[0]?.holder === null, minutes(1))
      world.advance(seconds(34))
      assert.isNull(world.inspect().slots[0]?.holder, "there is no grant while the longest request may still land")
      world.cloud.held[0]?.land()
      second.ready()
      assert.strictEqual(Array.from(world.cloud.facts.values())[0]?.variables.size, 0)
      second.released()
    }
  )
})
