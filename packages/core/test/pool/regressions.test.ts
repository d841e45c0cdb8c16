/** What the model has found, each case as small as it gets. */
import { assert } from "@effect/vitest"
import { overEachLedger } from "./scenario.js"
import { hours, minutes, otherSpec, seconds } from "./World.js"

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

  test("a deployment for which no token can be minted is hibernated all the same", one, (world) => {
    for (let time = 0; time < 20; time++) {
      world.cloud.fates.push({ matches: ({ call }) => call === "createToken", becomes: "refused" })
    }
    const failed = world.actor().lease("a")
    world.until("the lease has failed", () => failed.running.exit !== undefined)
    assert.strictEqual(failed.error, "ProviderError")
    assert.lengthOf(world.cloud.awake(), 0)
    assert.isAbove(world.cloud.fates.length, 0)
    world.cloud.fates.length = 0
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
})
