/** What the model has found, each case as small as it gets. */
import { assert } from "@effect/vitest"
import type { Fate } from "./Cloud.js"
import { overEachLedger } from "./scenario.js"
import { describeExit, hours, minutes, otherSpec, seconds, type World } from "./World.js"

/** The next calls fail. */
const failing = (world: World, times: number, name: string, becomes: Fate["becomes"]) => {
  for (let time = 0; time < times; time++) world.cloud.fates.push({ matches: ({ call }) => call === name, becomes })
}

const one = { pool: { max: 1 } } as const

overEachLedger((test) => {
  test(
    "a wall clock that is ahead does not make another ledger's lease seem old",
    { ...one, ahead: hours(2) },
    (world) => {
      const first = world.actor({ ledger: 0 }).lease("a").ready()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      world.machine.skew = hours(1)
      b.reap()
      world.advance(minutes(2))
      assert.isTrue(first.isInUse)
      first.released()
    }
  )

  test("a wall clock that is ahead does not make a started Airflow seem stopped", one, (world) => {
    world.machine.skew = hours(1)
    world.actor().lease("a").ready().released()
    world.advance(seconds(1))
  })

  test(
    "a deployment on its way to hibernation is not woken before it hibernates: it would hibernate in use",
    one,
    (world) => {
      world.actor().lease("a").ready().released()
      const next = world.actor().lease("b").ready()
      assert.isTrue(next.isInUse)
      const areAwake = () =>
        Array.from(world.cloud.facts.values()).every((fact) => world.cloud.statusOf(fact) === "HEALTHY")
      for (let passed = 0; passed < 300; passed += 5) {
        assert.isTrue(areAwake(), `after ${passed} seconds`)
        world.advance(seconds(5))
      }
      assert.isTrue(next.isInUse)
      next.released()
    }
  )

  test("a failed poll while a deployment wakes is not the last poll", one, (world) => {
    const actor = world.actor()
    actor.lease("a").ready().released()
    world.advance(minutes(5))
    let woken = false
    world.cloud.fates.push({
      matches: ({ call }) => {
        woken ||= call === "wake"
        return woken && call === "list"
      },
      becomes: "refused"
    })
    actor.lease("b").ready().released()
    assert.lengthOf(world.cloud.fates, 0)
  })

  test(
    "a deployment for which no token can be minted is hibernated all the same",
    { pool: { max: 1, acquireTimeout: "5 minutes" } },
    (world) => {
      failing(world, 1000, "createToken", "refused")
      const failed = world.actor().lease("a")
      world.until("the lease has failed", () => failed.running.exit !== undefined)
      assert.strictEqual(failed.error, "AcquireTimeout")
      assert.include(describeExit(failed.running.exit!), "Could not createToken: server")
      assert.lengthOf(world.cloud.awake(), 0)
      assert.isAbove(world.cloud.fates.length, 0)
      world.cloud.fates.length = 0
    }
  )

  for (
    const becomes of ["refused", "lost", "response lost", { fails: "unreachable" }, { fails: "rateLimited" }] as const
  ) {
    test(`a creation that fails a few times is sent again: ${JSON.stringify(becomes)}`, one, (world) => {
      failing(world, 3, "create", becomes)
      world.actor().lease("a").ready().released()
      assert.lengthOf(world.cloud.facts, 1)
      assert.lengthOf(world.log.filter(({ _tag }) => _tag === "Created"), 1)
      world.cloud.fates.length = 0
    })
  }

  test("a creation is sent again only when the first can land no more", one, (world) => {
    failing(world, 1, "create", { landsIn: seconds(60) })
    const actor = world.actor()
    const lease = actor.lease("a").ready()
    const requests = () => actor.calls.filter((call) => call === "create").length
    assert.strictEqual(requests(), 1)
    assert.isTrue(lease.isInUse)
    lease.released()
    assert.lengthOf(world.log.filter(({ _tag }) => _tag === "Created"), 1)
  })

  test("reads that fail for minutes do not fail a lease that has the time", one, (world) => {
    const actor = world.actor()
    failing(world, 20, "list", "refused")
    actor.lease("a").ready().released()
    world.advance(minutes(5))
    failing(world, 20, "get", "refused")
    failing(world, 20, "listTokens", "refused")
    failing(world, 20, "deleteToken", "refused")
    failing(world, 20, "wake", "refused")
    actor.lease("b").ready().released()
    world.cloud.fates.length = 0
  })

  test("an Airflow that stops responding while it is verified is awaited again", one, (world) => {
    failing(world, 1, "airflow list variables", { fails: "unreachable" })
    world.actor().lease("a").ready().released()
    assert.lengthOf(world.cloud.fates, 0)
  })

  test("a deployment that a list leaves out is not taken for deleted", one, (world) => {
    const lease = world.actor().lease("a").ready()
    const facts = world.cloud.facts
    const all = facts.values
    facts.values = () => [][Symbol.iterator]() as never
    world.advance(minutes(3))
    assert.isTrue(lease.isInUse)
    facts.values = all
    lease.released()
  })

  test("a deployment that is deleted between its last read and its wake is created again", one, (world) => {
    const actor = world.actor()
    actor.lease("a").ready().released()
    world.advance(minutes(5))
    const [before] = world.cloud.facts.keys()
    world.cloud.fates.push({
      matches: ({ call, target }) => {
        if (call === "wake") world.cloud.delete(target)
        return false
      },
      becomes: "held"
    })
    actor.lease("b").ready().released()
    world.cloud.fates.length = 0
    const [after] = world.cloud.facts.keys()
    assert.notStrictEqual(after, before)
  })

  test(
    "a drain hibernates the replacement that a dead ledger created for a deployment that this ledger knows",
    one,
    (world) => {
      const a = world.actor({ ledger: 0 })
      a.lease("a").ready().released()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      b.reap()
      const replacing = a.lease("b", { spec: otherSpec }).ready()
      assert.isTrue(replacing.isInUse)
      a.crash()
      // longer than the token of the dead ledger protects the deployment
      world.advance(minutes(11))
      assert.deepStrictEqual(b.drain().awake, [])
      assert.lengthOf(world.cloud.awake(), 0)
    }
  )

  test("a reaper whose ledger is deleted hibernates what a dead process has left, and nothing else", {
    pool: { max: 2 }
  }, (world) => {
    const [dies, lives] = [world.actor({ ledger: 0 }), world.actor({ ledger: 0 })]
    dies.lease("dies").ready()
    const lease = lives.lease("lives").ready()
    const reaper = world.reaper()
    world.advance(seconds(15))
    dies.crash()
    world.deleteLedger()
    world.until("the holder that lives notices it", () => lease.lost !== undefined, minutes(1))
    world.until("the reaper has ended", () => reaper.reaper?.exit !== undefined, minutes(5))
    assert.lengthOf(world.cloud.awake(), 0)
    assert.lengthOf(world.cloud.tokens(), 0)
  })
})
