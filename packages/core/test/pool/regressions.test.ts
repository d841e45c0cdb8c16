/** What the model has found, each as small as it gets. */
import { assert, describe, it } from "@effect/vitest"
import { Checker, finale } from "./invariants.js"
import type { WorldOptions } from "./World.js"
import { hours, minutes, otherSpec, seconds, World } from "./World.js"

describe.each(["memory", "SQLite"] as const)("over %s", (store) => {
  const inWorld = (options: Omit<WorldOptions, "store">, body: (world: World, checker: Checker) => void) => () => {
    const world = new World({ store, ...options })
    const checker = new Checker(world)
    try {
      body(world, checker)
      finale(world, checker, options.pool?.max ?? 2)
    } finally {
      world.close()
    }
  }

  it(
    "a wall clock that is ahead does not make another ledger's lease look old",
    inWorld({ pool: { max: 1 }, ahead: hours(2) }, (world) => {
      const first = world.actor({ ledger: 0 }).lease("a").ready()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      world.machine.skew = hours(1)
      b.reap()
      world.advance(minutes(2))
      assert.isTrue(first.isInUse)
      first.released()
    })
  )

  it(
    "a wall clock that is ahead does not make an Airflow look as if it had not started",
    inWorld({ pool: { max: 1 } }, (world) => {
      world.machine.skew = hours(1)
      world.actor().lease("a").ready().released()
      world.advance(seconds(1))
    })
  )

  it(
    "what is on its way to sleep is not woken before it sleeps: it would fall asleep in use",
    inWorld({ pool: { max: 1 } }, (world) => {
      world.actor().lease("a").ready().released()
      const next = world.actor().lease("b").ready()
      assert.isTrue(next.isInUse)
      const isAwake = () =>
        Array.from(world.cloud.facts.values()).every((fact) => world.cloud.statusOf(fact) === "HEALTHY")
      for (let passed = 0; passed < 300; passed += 5) {
        assert.isTrue(isAwake(), `after ${passed} seconds`)
        world.advance(seconds(5))
      }
      assert.isTrue(next.isInUse)
      next.released()
    })
  )

  it(
    "a look that fails while a deployment wakes is not the last one",
    inWorld({ pool: { max: 1 } }, (world) => {
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
  )

  it(
    "a deployment for which no token can be made is put to sleep all the same",
    inWorld({ pool: { max: 1 } }, (world) => {
      for (let time = 0; time < 20; time++) {
        world.cloud.fates.push({ matches: ({ call }) => call === "createToken", becomes: "refused" })
      }
      const failed = world.actor().lease("a")
      world.until("it has failed", () => failed.running.exit !== undefined)
      assert.strictEqual(failed.error, "ProviderError")
      assert.lengthOf(world.cloud.awake(), 0)
      assert.isAbove(world.cloud.fates.length, 0)
      world.cloud.fates.length = 0
    })
  )

  it(
    "what is gone when it is to be woken, though it could still be read, is made anew",
    inWorld({ pool: { max: 1 } }, (world) => {
      const actor = world.actor()
      actor.lease("a").ready().released()
      world.advance(minutes(5))
      const [before] = world.cloud.facts.keys()
      world.cloud.fates.push({
        matches: ({ call, target }) => {
          if (call === "wake") world.cloud.remove(target)
          return false
        },
        becomes: "held"
      })
      actor.lease("b").ready().released()
      world.cloud.fates.length = 0
      const [after] = world.cloud.facts.keys()
      assert.notStrictEqual(after, before)
    })
  )

  it(
    "a drain puts to sleep what another ledger, which is gone, has put in the place of what this one knows",
    inWorld({ pool: { max: 1 } }, (world) => {
      const a = world.actor({ ledger: 0 })
      a.lease("a").ready().released()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      b.reap()
      const replacing = a.lease("b", { spec: otherSpec }).ready()
      assert.isTrue(replacing.isInUse)
      a.crash()
      // until its token is no reason to keep away any more
      world.advance(minutes(11))
      assert.deepStrictEqual(b.drain().awake, [])
      assert.lengthOf(world.cloud.awake(), 0)
    })
  )
})
