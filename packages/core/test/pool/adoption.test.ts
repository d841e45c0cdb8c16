/** Deployments that belong to a user, and that the pool borrows while they hibernate. */
import { assert } from "@effect/vitest"
import { overEachLedger } from "./scenario.js"
import type { World } from "./World.js"
import { hours, minutes, seconds, spec } from "./World.js"

overEachLedger((test) => {
  const one = { pool: { max: 1, adopt: true } } as const
  /** A user's deployment, which hibernates for some more time. */
  const adoptable = (world: World, millis: number | undefined) => {
    const until = millis === undefined ? undefined : world.time.now + millis
    const id = world.cloud.addOfUser(spec, until)
    const fact = world.cloud.facts.get(id)
    assert(fact !== undefined)
    const isAsleepUntilThen = () => assert.deepStrictEqual([fact.power?.asleep, fact.overrideUntil], [true, until])
    return { id, fact, isAsleepUntilThen }
  }
  const refuseDeletions = (world: World) => {
    for (let time = 0; time < 4; time++) {
      world.cloud.fates.push({ matches: ({ call }) => call === "deleteToken", becomes: "refused" })
    }
  }

  for (const [what, millis] of [["an end", hours(3)], ["no end", undefined]] as const) {
    test(`after each hold it hibernates as before: ${what}`, one, (world) => {
      const { id, isAsleepUntilThen } = adoptable(world, millis)
      const [a, b] = [world.actor(), world.actor()]
      for (const label of ["a", "b"]) {
        const lease = a.lease(label).ready()
        assert.strictEqual(String(lease.slot?.deployment.id), id)
        lease.released()
        isAsleepUntilThen()
      }
      b.lease("dies").ready()
      b.crash()
      a.reap()
      isAsleepUntilThen()
      a.lease("is drained").ready().released()
      a.drain()
      isAsleepUntilThen()
      world.actor().lease("loses its ledger").ready()
      world.deleteLedger()
      world.advance(minutes(2))
      isAsleepUntilThen()
      world.cloud.delete(id)
    })
  }

  test("once its hibernation has ended it is neither leased nor hibernated", one, (world) => {
    const { fact, id } = adoptable(world, hours(1))
    const a = world.actor()
    a.lease("a").ready().released()
    world.advance(hours(1))
    const next = a.lease("b").ready()
    assert.notStrictEqual(String(next.slot?.deployment.id), id)
    next.released()
    a.drain()
    assert.isFalse(fact.power?.asleep)
    assert.isFalse(a.calls.includes("resumeSchedules"))
  })

  test("it is given back to its schedules if its hibernation ends during a lease", one, (world) => {
    const { fact, id } = adoptable(world, minutes(5))
    const a = world.actor()
    const lease = a.lease("a").ready()
    world.advance(minutes(4))
    const next = a.lease("b")
    world.advance(minutes(2))
    assert.isFalse(next.isInUse)
    lease.released()
    assert.isFalse(fact.power?.asleep)
    next.ready()
    assert.notStrictEqual(String(next.slot?.deployment.id), id)
    next.released()
    a.drain()
    assert.isFalse(fact.power?.asleep)
    assert.lengthOf(world.cloud.tokens(), 0)
  })

  test("after a failed deletion its token is deleted, and nothing else is done to it", one, (world) => {
    const { fact } = adoptable(world, hours(1))
    const a = world.actor()
    const lease = a.lease("a").ready()
    refuseDeletions(world)
    lease.released()
    world.advance(hours(1))
    a.calls.length = 0
    a.reap()
    assert.lengthOf(world.cloud.tokens(), 0)
    a.reap()
    assert.isFalse(fact.power?.asleep)
    assert.isFalse(a.calls.includes("resumeSchedules"))
    assert.isNull(world.inspect().slots[0]?.adopted ?? null)
  })

  test("its user may change when its hibernation ends", one, (world) => {
    const { fact, id } = adoptable(world, hours(1))
    const a = world.actor()
    a.lease("a").ready().released()
    const later = world.time.now + hours(5)
    world.cloud.setAsleep(id, true, later)
    a.reap()
    a.lease("b").ready().released()
    assert.strictEqual(fact.overrideUntil, later)
    world.advance(hours(2))
    const next = a.lease("c").ready()
    assert.strictEqual(String(next.slot?.deployment.id), id)
    next.released()
  })

  test(
    "a smaller pool leaves it only once its tokens are deleted",
    { pool: { max: 2, adopt: true } },
    (world) => {
      for (const one of [adoptable(world, undefined), adoptable(world, undefined)]) one.isAsleepUntilThen()
      const a = world.actor()
      const leases = [a.lease("a").ready(), a.lease("b").ready()]
      for (const lease of leases) lease.released()
      // where a reaper will revoke it, a holder does not wait with the token
      const b = world.actor({ pool: { max: 1 }, reaper: true })
      world.cloud.fates.push({ matches: ({ call }) => call === "hibernate", becomes: { landsIn: seconds(34) } })
      b.drain()
      assert.lengthOf(world.cloud.tokens(), 0)
      assert.lengthOf(world.inspect().slots.filter(({ name }) => name !== null), 1)
    }
  )
})
