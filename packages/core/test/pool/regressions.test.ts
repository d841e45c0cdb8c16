/** What the model has found, each as small as it gets. */
import { assert, describe, it } from "@effect/vitest"
import { Checker, finale } from "./invariants.js"
import type { WorldOptions } from "./World.js"
import { hours, minutes, otherMake, seconds, World } from "./World.js"

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
    "a drain puts to sleep what another ledger, which is gone, has put in the place of what this one knows",
    inWorld({ pool: { max: 1 } }, (world) => {
      const a = world.actor({ ledger: 0 })
      a.lease("a").ready().released()
      const b = world.actor({ ledger: world.newLedger(), host: "two" })
      b.reap()
      const replacing = a.lease("b", { make: otherMake }).ready()
      assert.isTrue(replacing.isInUse)
      a.crash()
      // until its token is no reason to keep away any more
      world.advance(minutes(11))
      assert.deepStrictEqual(b.drain().awake, [])
      assert.lengthOf(world.cloud.awake(), 0)
    })
  )
})
