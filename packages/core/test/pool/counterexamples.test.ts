/**
 * The counterexamples of the model-checked protocol, by number: what goes wrong without the rule. docs/protocol.md
 * lists the rules.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Redacted } from "effect"
import type { Fate } from "./Cloud.js"
import { overEachLedger } from "./scenario.js"
import { minutes, otherSpec, seconds, sharedToken, spec, type World } from "./World.js"

overEachLedger((test) => {
  const one = { pool: { max: 1 } } as const
  const shared = { max: 1, sharedToken: Redacted.make(sharedToken) }
  /** The pool's slot has a deployment, which hibernates. Returns the process that created it. */
  const filled = (world: World, host = "one") => {
    const first = world.actor({ host })
    first.lease("first").ready().released()
    world.advance(seconds(30))
    assert.lengthOf(world.cloud.awake(), 0)
    return first
  }
  const deploymentsOf = (world: World) => Array.from(world.cloud.facts.keys())
  /** The next requests of a kind end like this. */
  const fates = (world: World, call: string, ...all: ReadonlyArray<Fate["becomes"]>) => {
    for (const becomes of all) world.cloud.fates.push({ matches: (request) => request.call === call, becomes })
  }
  const four = <A>(one: A) => [one, one, one, one]
  const reapers = (world: World) =>
    world.actors.filter(({ reaper, state }) => reaper !== undefined && state === "running")
  /** All processes but reapers have ended, and no command runs any more. */
  const cleansUp = (world: World, ttl = seconds(60)) => {
    world.until(
      "everything hibernates, and no token is left",
      () => world.cloud.awake().length === 0 && world.cloud.tokens().length === 0,
      ttl + seconds(50)
    )
    world.until("the reaper has ended", () => reapers(world).length === 0, minutes(2))
  }

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
    const a = world.actor({ host: "two" })
    a.failpoints = [{ at: "wake", when: "before", then: "pause" }]
    a.lease("a")
    world.advance(minutes(2))
    d.reap()
    world.advance(seconds(36))
    d.reap()
    assert.strictEqual(world.inspect().slots[0]?.power, "asleep")
    fates(world, "wake", { landsIn: seconds(34) })
    a.resume()
    a.crash()
    assert.deepStrictEqual(d.drain().awake, [])
    world.advance(minutes(1))
    assert.lengthOf(world.cloud.awake(), 0)
    assert.isTrue(world.log.some(({ _tag }) => _tag === "Woken"))
  })

  test("4: a drain looks again although its timeout has passed", one, (world) => {
    const d = filled(world)
    const a = world.actor()
    a.failpoints = [{ at: "wake", when: "before", then: "pause" }]
    a.lease("a")
    world.advance(seconds(25))
    fates(world, "wake", { landsIn: seconds(34) })
    a.resume()
    a.crash()
    const reports: Array<number> = []
    const startedAt = world.time.now
    const onReport = () => Effect.sync(() => void reports.push(world.time.now - startedAt))
    const { awake, held } = d.run(d.pool.drain({ timeout: "1 seconds", onReport }))
    assert.deepStrictEqual([awake, held], [[], []])
    assert.isAtLeast(reports.at(-1) ?? 0, seconds(35))
    assert.isTrue(world.log.some(({ _tag }) => _tag === "Woken"))
    assert.lengthOf(world.cloud.awake(), 0)
  })

  test("4: a drain looks again while a lease is in use", one, (world) => {
    const [a, b] = [world.actor(), world.actor()]
    const lease = a.lease("a").ready()
    const startedAt = world.time.now
    const { held } = b.drain(seconds(1))
    assert.isAtLeast(world.time.now - startedAt, seconds(35))
    assert.lengthOf(held, 1)
    assert.isTrue(lease.isInUse)
    lease.released()
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

  test("12: of two requests with one key, only the first gets a lease", {}, (world) => {
    const a = world.actor()
    const first = a.lease("a", { key: "run/1/test/1" })
    const again = a.lease("again", { key: "run/1/test/1" })
    world.until("the duplicate is refused", () => again.running.exit !== undefined, minutes(1))
    assert.strictEqual(again.error, "TicketEnded")
    first.ready().released()
    assert.lengthOf(deploymentsOf(world), 1)
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
    { pool: { ...shared, fence: "off" } },
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

  test("13: a lease that may mint a token does not share one", { pool: shared }, (world) => {
    const lease = world.actor().lease("a").ready()
    assert.isTrue(lease.isFenced)
    assert.lengthOf(world.cloud.tokens(), 1)
    lease.released()
  })

  test("13: a lease without a fence mints no token, and revokes that of a dead holder", { pool: shared }, (world) => {
    const [dies, b] = [world.actor(), world.actor({ pool: { fence: "off" } })]
    dies.lease("dies").ready()
    dies.crash()
    const lease = b.lease("b").ready()
    assert.isFalse(lease.isFenced)
    assert.lengthOf(world.cloud.tokens(), 0)
    lease.released()
    const replacing = b.lease("another runtime", { spec: otherSpec }).ready()
    assert.notInclude(b.calls, "createToken")
    replacing.released()
  })

  describe("14: a failed deletion of a token at the release is work left", () => {
    for (
      const [what, fate] of [
        ["500", "refused"],
        ["429", { fails: "rateLimited" }],
        ["a reset connection", { fails: "unreachable" }],
        ["a lost response", "response lost"]
      ] as const
    ) {
      test(what, one, (world) => {
        const a = world.actor()
        const lease = a.lease("a").ready()
        fates(world, "deleteToken", ...four(fate))
        lease.released()
        assert.lengthOf(world.cloud.awake(), 0)
        assert.isTrue(world.inspect().slots[0]?.tokens.mayExist)
        fates(world, "deleteToken", ...four(fate))
        const name = String(lease.slot?.deployment.name)
        // nothing is left to be deleted if the first request arrived
        assert.deepStrictEqual(a.reap().tokens, fate === "response lost" ? [] : [name])
        world.cloud.fates.length = 0
        const { awake, tokens } = a.reap()
        assert.deepStrictEqual([awake, tokens], [[], []])
        assert.lengthOf(world.cloud.tokens(), 0)
      })
    }

    test("a process that dies before it", one, (world) => {
      const [a, b] = [world.actor(), world.actor()]
      a.failpoints = [{ at: "deleteToken", when: "before", then: "crash" }]
      a.lease("a").ready().end()
      world.until("the process has died", () => a.state === "crashed")
      assert.lengthOf(world.cloud.tokens(), 1)
      assert.deepStrictEqual(b.reap().tokens, [])
      assert.lengthOf(world.cloud.tokens(), 0)
    })

    test("and a drain reports what it could not delete", one, (world) => {
      const a = world.actor()
      const lease = a.lease("a").ready()
      fates(world, "deleteToken", ...Array.from({ length: 100 }, () => "refused" as const))
      lease.released()
      assert.deepStrictEqual(a.drain(seconds(5)).tokens, [String(lease.slot?.deployment.name)])
      assert.lengthOf(world.cloud.tokens(), 1)
      world.cloud.fates.length = 0
      assert.deepStrictEqual(a.drain().tokens, [])
      assert.lengthOf(world.cloud.tokens(), 0)
    })

    test("until the deployment is gone", one, (world) => {
      const a = world.actor()
      const lease = a.lease("a").ready()
      fates(world, "deleteToken", ...four("refused" as const))
      lease.released()
      world.cloud.delete(String(lease.slot?.deployment.id))
      assert.deepStrictEqual(a.reap().tokens, [])
      assert.isFalse(world.inspect().slots[0]?.tokens.mayExist)
    })

    test("also in a slot whose deployment is being replaced", one, (world) => {
      filled(world)
      const [a, b] = [world.actor(), world.actor()]
      a.failpoints = [{ at: "delete", when: "before", then: "crash" }]
      a.lease("a", { spec: otherSpec })
      world.until("the process has died", () => a.state === "crashed")
      assert.deepInclude(world.inspect().slots[0], { name: null, tokens: { mayExist: true, version: 2 } })
      b.ungated((cache) => cache.sweep(b.rules))
      world.advance(seconds(36))
      b.reap()
      assert.isFalse(world.inspect().slots[0]?.tokens.mayExist)
      assert.lengthOf(deploymentsOf(world), 0)
    })
  })

  test("15: tokens are listed only once the mint of a dead holder can no longer land", one, (world) => {
    filled(world)
    const [a, b] = [world.actor(), world.actor()]
    a.failpoints = [{ at: "createToken", when: "before", then: "pause" }]
    a.lease("a")
    world.until("the process is about to mint", () => a.state === "paused")
    fates(world, "createToken", { landsIn: seconds(34) })
    a.resume()
    a.crash()
    b.reap()
    world.advance(seconds(35))
    assert.lengthOf(world.cloud.tokens(), 1)
    b.reap()
    assert.lengthOf(world.cloud.tokens(), 0)
  })

  test("15: a holder whose mint has no response leaves its tokens while that mint may land", one, (world) => {
    const a = filled(world)
    fates(world, "createToken", { landsIn: seconds(34) })
    const lease = a.lease("a").ready().end()
    world.advance(seconds(10))
    assert.lengthOf(world.cloud.awake(), 0)
    assert.lengthOf(world.cloud.tokens(), 2)
    assert.isTrue(world.inspect().slots[0]?.tokens.mayExist)
    // without a reaper it waits, and revokes both
    world.until("the lease is released", () => lease.running.exit !== undefined, minutes(1))
    assert.lengthOf(world.cloud.tokens(), 0)
  })

  test("15: a holder whose mint had no response does not take its token for the only one", one, (world) => {
    const a = filled(world)
    fates(world, "createToken", { landsIn: seconds(34) })
    const lease = a.lease("a").ready()
    world.advance(minutes(2))
    lease.released()
    assert.lengthOf(world.cloud.tokens(), 0)
  })

  describe("16: a former holder cannot delete the token that it minted", () => {
    const [former, current] = ["two", "one"]
    const isHeld = (world: World) => world.inspect().slots[0]?.holder !== null
    const pausedBeforeMint = (world: World) => {
      filled(world, current)
      const [a, b] = [world.actor({ host: former }), world.actor({ host: current })]
      a.failpoints = [{ at: "createToken", when: "before", then: "pause" }]
      const lost = a.lease("a")
      world.until("the process is about to mint", () => a.state === "paused")
      return { a, b, lost }
    }

    test("and the current holder has just listed", one, (world) => {
      const { a, b, lost } = pausedBeforeMint(world)
      const second = b.lease("b").ready()
      b.failpoints = [{ at: "deleteToken", when: "after", then: "pause" }]
      second.end()
      world.until("the current holder has deleted its token", () => b.state === "paused")
      fates(world, "deleteToken", "refused")
      a.resume()
      world.until("the former holder gives up", () => lost.running.exit !== undefined)
      assert.lengthOf(world.cloud.tokens(), 1)
      b.resume()
      world.until("the slot is free", () => !isHeld(world), minutes(1))
      assert.isTrue(world.inspect().slots[0]?.tokens.mayExist)
      world.advance(seconds(36))
      b.reap()
      assert.lengthOf(world.cloud.tokens(), 0)
    })

    test("and the slot is free", one, (world) => {
      const { a, b, lost } = pausedBeforeMint(world)
      b.lease("b").ready().released()
      assert.isFalse(world.inspect().slots[0]?.tokens.mayExist)
      fates(world, "deleteToken", "refused")
      a.resume()
      world.until("the former holder gives up", () => lost.running.exit !== undefined)
      world.advance(seconds(36))
      b.reap()
      assert.lengthOf(world.cloud.tokens(), 0)
    })

    test("because its mint has no response, and lands late", one, (world) => {
      const { a, b, lost } = pausedBeforeMint(world)
      b.lease("b").ready().released()
      fates(world, "createToken", { landsIn: seconds(34) })
      a.resume()
      world.until("the former holder gives up", () => lost.running.exit !== undefined)
      b.reap()
      world.advance(seconds(36))
      b.reap()
      assert.lengthOf(world.cloud.tokens(), 0)
    })
  })

  test("17: a request that is sent long after it was announced does not land on the next lease", one, (world) => {
    filled(world)
    const [a, b] = [world.actor(), world.actor()]
    const first = a.lease("a").ready()
    const { number } = world.inspect().slots[0]!
    a.failpoints = [{ at: "hibernate", when: "before", then: "pause" }]
    first.end()
    world.until("the hibernation is announced", () => a.state === "paused")
    // the event loop is blocked, and the thread beats
    for (let beat = 0; beat < 5; beat++) {
      world.advance(seconds(10))
      assert.isTrue(a.ungated((cache) => cache.beat(a.rules, number, first.slot?.epoch ?? 0)))
    }
    fates(world, "hibernate", { landsIn: seconds(34) })
    a.resume()
    a.crash()
    const second = b.lease("b")
    world.advance(seconds(34))
    assert.isNull(world.inspect().slots[0]?.holder)
    second.ready()
    world.advance(minutes(3))
    assert.isTrue(second.isInUse)
    second.released()
  })

  test(
    "18: while the first of two hibernations may land, the token keeps the other ledger's lease away",
    { pool: { max: 1 }, hibernateTakes: seconds(1), wakeTakes: seconds(1), latency: 0 },
    (world) => {
      const a = world.actor({ ledger: 0 })
      const first = a.lease("a").ready()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      fates(world, "hibernate", "held")
      first.end()
      world.until("the hibernation is sent", () => world.cloud.held.length === 1)
      world.cloud.held[0]?.timeOut()
      world.until("the second hibernation has a response", () => world.cloud.awake().length === 0)
      const second = b.lease("b")
      world.advance(seconds(34))
      assert.isUndefined(second.slot)
      world.cloud.held[0]?.land()
      world.until("the lease is released", () => first.running.exit !== undefined)
      second.ready()
      world.advance(minutes(2))
      assert.isTrue(second.isInUse)
      second.released()
    }
  )

  test("19: a reaper stays once a lease has left its deployment awake to it", one, (world) => {
    filled(world).crash()
    const reaper = world.reaper()
    reaper.failpoints = [{ at: "retire", when: "before", then: "pause" }]
    world.until("the reaper is about to end", () => reaper.state === "paused")
    const a = world.actor({ reaper: true })
    a.upkeep({ hibernateAfter: "10 minutes" })
    a.lease("a").ready().released()
    assert.lengthOf(world.cloud.awake(), 1, "it is left to the reaper")
    reaper.resume()
    world.advance(seconds(30))
    assert.deepStrictEqual(reapers(world), [reaper])
    a.crash()
    cleansUp(world)
  })

  test("20: a lease finds that the reaper has ended before it was in the queue", one, (world) => {
    filled(world).crash()
    const reaper = world.reaper()
    const a = world.actor({ reaper: true })
    a.failpoints = [{ at: "enqueue", when: "before", then: "pause" }]
    const lease = a.lease("a")
    world.until("the reaper has ended", () => reaper.state === "crashed")
    a.resume()
    lease.ready()
    a.crash()
    cleansUp(world)
  })

  test("20: a lease that ends with work left finds that the reaper has died", one, (world) => {
    const a = world.actor({ reaper: true })
    const lease = a.lease("a").ready()
    const [reaper] = reapers(world)
    reaper?.crash()
    fates(world, "deleteToken", ...four("refused" as const))
    lease.released()
    assert.lengthOf(world.cloud.tokens(), 1)
    world.until("its token is deleted", () => world.cloud.tokens().length === 0, seconds(30))
    a.crash()
    cleansUp(world)
  })

  test("21: a reaper outlives a process that was paused before its wake", one, (world) => {
    filled(world).crash()
    const a = world.actor({ reaper: true })
    a.failpoints = [{ at: "wake", when: "before", then: "pause" }]
    const lease = a.lease("a")
    world.until("the process is about to wake it", () => a.state === "paused" && reapers(world).length === 1)
    const [reaper] = reapers(world)
    world.advance(minutes(10))
    assert.lengthOf(world.cloud.awake(), 0)
    assert.isNull(world.inspect().slots[0]?.holder)
    assert.deepStrictEqual(reapers(world), [reaper])
    a.resume()
    world.until("the lease is lost", () => lease.running.exit !== undefined)
    assert.lengthOf(world.cloud.awake(), 1)
    a.crash()
    cleansUp(world)
  })

  test("21: a process that wakes a deployment after it lost its slot reports that it did", one, (world) => {
    filled(world)
    const a = world.actor({ host: "two" })
    const b = world.actor()
    a.failpoints = [{ at: "wake", when: "before", then: "pause" }]
    const lease = a.lease("a")
    world.advance(minutes(2))
    b.reap()
    world.advance(seconds(36))
    b.reap()
    assert.strictEqual(world.inspect().slots[0]?.power, "asleep")
    a.resume()
    world.until("the lease is lost", () => lease.running.exit !== undefined)
    assert.strictEqual(world.inspect().slots[0]?.power, "unknown")
  })

  test("21: a reaper lists once more, one longest request after the last process has ended", one, (world) => {
    filled(world).crash()
    const a = world.actor({ reaper: true })
    a.failpoints = [{ at: "wake", when: "before", then: "pause" }]
    a.lease("a")
    world.until("the process is about to wake it", () => a.state === "paused")
    world.advance(minutes(10))
    fates(world, "wake", { landsIn: seconds(34) })
    a.resume()
    a.crash()
    world.advance(seconds(34))
    assert.lengthOf(world.cloud.awake(), 1)
    cleansUp(world)
  })

  test("22: nothing is left to a reaper that has died, and another takes its place at once", one, (world) => {
    filled(world)
    const a = world.actor({ reaper: true })
    const run = a.upkeep({ hibernateAfter: "10 minutes" })
    const lease = a.lease("a").ready()
    const [reaper] = reapers(world)
    assert.strictEqual(world.inspect().upkeep.holder?.owner.pid, reaper?.owner.pid)
    reaper?.crash()
    lease.released()
    assert.lengthOf(world.cloud.awake(), 0)
    world.advance(seconds(5))
    assert.lengthOf(reapers(world), 1)
    assert.strictEqual(world.inspect().upkeep.holder?.owner.pid, reapers(world)[0]?.owner.pid)
    run.interrupt()
  })

  describe("23: a reaper that was paused finds its lock lost", () => {
    const replaced = (world: World) => {
      filled(world).crash()
      const a = world.actor({ reaper: true })
      const lease = a.lease("a").ready()
      const [before] = reapers(world)
      before?.pause()
      world.advance(seconds(61))
      lease.released()
      world.advance(seconds(5))
      const [successor] = reapers(world)
      assert(before !== undefined && successor !== undefined)
      assert.strictEqual(world.inspect().upkeep.holder?.owner.pid, successor.owner.pid)
      return { a, before, successor }
    }

    test("and goes on if its successor has died", one, (world) => {
      const { a, before, successor } = replaced(world)
      const lease = a.lease("b").ready()
      successor.crash()
      before.resume()
      world.advance(seconds(15))
      assert.isTrue(lease.isInUse)
      a.crash()
      assert.deepStrictEqual(reapers(world), [before])
      cleansUp(world)
    })

    test("and goes on if the lock is its own, which it could not give up", one, (world) => {
      filled(world).crash()
      const a = world.actor({ reaper: true })
      const lease = a.lease("a").ready()
      const [reaper] = reapers(world)
      // it fails after it has taken its lock, and cannot release it
      const ledger = world.ledgers[0]!
      ledger.failure = "io"
      world.advance(seconds(25))
      ledger.failure = undefined
      world.advance(seconds(15))
      assert.isTrue(lease.isInUse)
      assert.deepStrictEqual(reapers(world), [reaper])
      a.crash()
      cleansUp(world)
    })

    test("and ends if its successor is active", one, (world) => {
      const { a, before, successor } = replaced(world)
      before.resume()
      world.advance(seconds(15))
      assert.deepStrictEqual(reapers(world), [successor])
      assert.deepStrictEqual(before.reaper?.exit, Exit.succeed("replaced"))
      a.crash()
      cleansUp(world)
    })
  })

  test("24: a lease of another machine gets a reaper of its own", {}, (world) => {
    filled(world)
    const [a, b] = [world.actor({ reaper: true }), world.actor({ host: "two", reaper: true })]
    for (const actor of [a, b]) {
      actor.upkeep({ hibernateAfter: "10 minutes" })
      actor.lease(actor.name).ready().released()
    }
    assert.deepStrictEqual(reapers(world).map(({ host }) => host), ["one", "two"])
    for (const actor of world.actors) if (actor.reaper === undefined) actor.crash()
    cleansUp(world)
  })

  test("24: a reaper stays for the lease of another machine", one, (world) => {
    filled(world).crash()
    world.reaper()
    const lease = world.actor({ host: "two" }).lease("a").ready()
    world.advance(minutes(5))
    assert.isTrue(lease.isInUse)
    assert.lengthOf(reapers(world), 1)
    lease.actor.crash()
    cleansUp(world, seconds(95))
  })

  describe("25: a lock is granted together with the slot", () => {
    const repository = { lock: { name: "repository", advice: "deliver without it" } }
    const other = { lock: { name: "other", advice: "" } }

    test(
      "first come, first served; a ticket without it, or with another, does not wait",
      { pool: { max: 3 } },
      (world) => {
        const [a, b, c, d, e] = four(0).concat(0).map(() => world.actor())
        assert(a && b && c && d && e)
        const first = a.lease("a", repository).ready()
        const second = b.lease("b", repository)
        const third = c.lease("c", repository)
        const without = d.lease("d")
        const another = e.lease("e", other)
        for (const lease of [without, another]) lease.ready()
        assert.isUndefined(second.slot)
        first.released()
        second.ready()
        assert.isUndefined(third.slot)
        for (const lease of [without, another, second]) lease.released()
        third.ready().released()
      }
    )

    test("so that a lease that waits for it holds no slot", one, (world) => {
      const [a, b, c] = [world.actor(), world.actor(), world.actor()]
      const elsewhere = world.actor({ pool: { prefix: "elsewhere" } })
      const first = elsewhere.lease("elsewhere", repository).ready()
      const waits = a.lease("a", repository)
      const passes = b.lease("b", other).ready()
      const waitsToo = c.lease("c", repository)
      world.advance(seconds(10))
      assert.isUndefined(waits.slot)
      // the lock is free, the slot is not; then the slot is free, and the lock is not
      first.released()
      const again = elsewhere.lease("again", repository).ready()
      passes.released()
      assert.isUndefined(waits.slot)
      again.released()
      waits.ready().released()
      waitsToo.ready().released()
      elsewhere.drain()
    })
  })

  describe("26: a protected write without a response", () => {
    const repository = { lock: { name: "repository", advice: "" } }
    const published = (world: World) => world.log.filter(({ _tag }) => _tag === "Published")

    test("of a process that has died keeps its lock while it may land", {}, (world) => {
      const [a, b] = [world.actor(), world.actor()]
      const first = a.lease("a", repository).ready()
      fates(world, "publish", { landsIn: seconds(34) })
      first.publish()
      world.advance(seconds(1))
      a.crash()
      const second = b.lease("b", repository)
      world.advance(seconds(34))
      assert.lengthOf(published(world), 1)
      assert.isNull(world.inspect().slots[0]?.holder)
      second.ready().released()
    })

    test("keeps its lock after the release", {}, (world) => {
      const [a, b] = [world.actor(), world.actor()]
      const first = a.lease("a", repository).ready()
      fates(world, "publish", { landsIn: seconds(40) })
      const write = first.publish()
      world.until("the write has timed out", () => write.exit !== undefined)
      first.released()
      const second = b.lease("b", repository)
      world.advance(seconds(20))
      assert.lengthOf(published(world), 1)
      assert.isTrue(world.inspect().slots.every(({ holder }) => holder === null))
      second.ready().released()
    })

    test("keeps its lock, whatever response a later write has", {}, (world) => {
      const [a, b] = [world.actor(), world.actor()]
      const first = a.lease("a", repository).ready()
      fates(world, "publish", { landsIn: seconds(34) })
      const writes = [first.publish(), first.publish()]
      world.until("the second write has a response", () => writes[1]?.exit !== undefined)
      first.released()
      const second = b.lease("b", repository)
      world.advance(seconds(30))
      assert.lengthOf(published(world), 1)
      assert.isTrue(world.inspect().slots.every(({ holder }) => holder === null))
      second.ready().released()
    })

    test("only: after others it is granted at once", {}, (world) => {
      const [a, b] = [world.actor(), world.actor()]
      const first = a.lease("a", repository).ready()
      const write = first.publish()
      world.until("the write has a response", () => write.exit !== undefined)
      a.crash()
      b.lease("b", repository)
      world.advance(seconds(1))
      assert.strictEqual(world.inspect().slots.find(({ holder }) => holder !== null)?.holder?.owner.pid, b.owner.pid)
    })
  })
})
