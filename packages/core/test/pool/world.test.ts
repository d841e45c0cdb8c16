import { assert, it } from "@effect/vitest"
import { setImmediate } from "node:timers/promises"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { minutes, type StoreKind, World } from "./World.js"

/** A closed world, in which two processes crashed: one during its test, one while it waited. */
const crashedWorld = (store: StoreKind): WeakRef<World> => {
  const world = new World({ store, pool: { max: 1 } })
  const processes = [world.actor(), world.actor()]
  processes[0]!.lease("holds").ready()
  processes[1]!.lease("waits")
  world.advance(minutes(1))
  for (const process of processes) process.crash()
  world.advance(minutes(1))
  world.close()
  return new WeakRef(world)
}

it.each(["memory", "SQLite"] as const)(
  "a world whose processes crashed is collected after it is closed: %s",
  async (store) => {
    setFlagsFromString("--expose-gc")
    const collect: () => void = runInNewContext("gc")
    const world = crashedWorld(store)
    for (let turn = 0; turn < 10 && world.deref() !== undefined; turn++) {
      // what a WeakRef refers to is kept until the current turn ends
      await setImmediate()
      collect()
    }
    assert.isUndefined(world.deref())
  }
)
