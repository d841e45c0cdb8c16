/** A world for one test, and the check that every such test ends with. */
import { describe, it } from "@effect/vitest"
import { Checker, finale } from "./invariants.js"
import { World, type WorldOptions } from "./World.js"

type Body = (world: World, checker: Checker) => void

/** Runs `body` in a new world, and checks then that no invariant is broken and that the world can be tidied up. */
export const inWorld = (options: WorldOptions, body: Body): void => {
  const world = new World(options)
  const checker = new Checker(world)
  try {
    body(world, checker)
    checker.check()
    finale(world, checker, { max: options.pool?.max })
  } finally {
    world.close()
  }
}

/** Declares a test that runs {@link inWorld}. */
export type Scenario = (title: string, options: Omit<WorldOptions, "store">, body: Body) => void

/** Declares all scenarios twice: over the ledger in memory, and over SQLite. */
export const overEachLedger = (declare: (scenario: Scenario) => void): void =>
  describe.each(["memory", "SQLite"] as const)(
    "over %s",
    (store) => declare((title, options, body) => it(title, () => inWorld({ store, ...options }, body)))
  )
