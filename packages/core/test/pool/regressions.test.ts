import { assert, describe, it } from "@effect/vitest"
import { World } from "./World.js"

describe.each(["memory", "SQLite"] as const)("smoke over %s", (store) => {
  it("lives", () => {
    const world = new World({ store })
    const t0 = Date.now()
    const one = world.actor()
    const two = world.actor()
    const a = one.lease("a").ready()
    a.write()
    world.advance(1000)
    const b = two.lease("b").ready()
    assert.notStrictEqual(a.slot?.deployment.id, b.slot?.deployment.id)
    a.released()
    b.released()
    console.log(world.describe())
    one.drain()
    console.log(world.describe(), one.calls.length, Date.now() - t0)
    world.close()
  })
})
