/** A process dies before or after any of its calls, and another process repairs what it left behind. */
import { type Deployment } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { inWorld } from "./scenario.js"
import { never } from "./VirtualTime.js"
import type { Actor, Failpoint, StoreKind, WorldOptions } from "./World.js"
import { minutes, otherSpec, seconds, spec, World } from "./World.js"

const isChaos = process.env.AIRFLOW_RESOURCE_CHAOS === "1"

/** Does everything that a process can do with a pool, step by step. Once it has died, the rest is skipped. */
const live = (world: World, actor: Actor): void => {
  const alive = () => actor.state !== "crashed"
  const settle = (condition: () => boolean) => void world.time.until(() => !alive() || condition(), minutes(20))
  const lease = (label: string, needs: Deployment.DeploymentSpec = spec) => {
    const lease = actor.lease(label, { spec: needs })
    return {
      lease,
      ready: () => settle(() => lease.slot !== undefined || lease.running.exit !== undefined),
      released: () => {
        lease.end()
        settle(() => lease.running.exit !== undefined)
      }
    }
  }
  const write = (lease: ReturnType<typeof actor.lease>) => {
    if (alive() && lease.slot !== undefined) lease.write()
    world.advance(seconds(1))
  }
  // creates a deployment in an empty pool of one slot, and hands it over to a waiter
  const first = lease("creates")
  first.ready()
  write(first.lease)
  const second = lease("is handed over to")
  world.advance(seconds(2))
  first.released()
  second.ready()
  write(second.lease)
  second.released()
  // leaves the deployment to upkeep, which resets it and hibernates it later
  const upkeep = actor.start(
    Effect.scoped(Effect.zipRight(actor.pool.upkeep({ hibernateAfter: "1 minute" }), never))
  )
  world.advance(seconds(5))
  const third = lease("wakes")
  third.ready()
  write(third.lease)
  third.released()
  world.advance(minutes(2))
  upkeep.interrupt()
  settle(() => upkeep.exit !== undefined)
  const other = lease("replaces", otherSpec)
  other.ready()
  write(other.lease)
  other.released()
  const drained = actor.start(actor.pool.drain({ timeout: "10 minutes" }))
  settle(() => drained.exit !== undefined)
}

const optionsFor = (store: StoreKind): WorldOptions => ({ store, pool: { max: 1 }, createTakes: seconds(20) })

/** The calls of a life without a crash. */
const callsOf = (store: StoreKind): ReadonlyArray<string> => {
  const world = new World(optionsFor(store))
  const actor = world.actor()
  live(world, actor)
  world.close()
  return actor.calls
}

const dies = (store: StoreKind, failpoint: Failpoint, host: string): void => {
  try {
    inWorld(optionsFor(store), (world, checker) => {
      const victim = world.actor()
      victim.failpoints = [failpoint]
      live(world, victim)
      assert.strictEqual(victim.state, "crashed")
      checker.check()
      const lease = world.actor({ host }).lease("repairs").ready()
      lease.write()
      world.advance(seconds(1))
      checker.check()
      lease.released()
    })
  } catch (error) {
    throw new Error(`${failpoint.when} call ${failpoint.at}: ${String(error)}`)
  }
}

describe.each(["memory", "SQLite"] as const)("over %s", (store) => {
  const calls = callsOf(store)
  // each case tries a different part of the calls; `npm run chaos` tries all of them
  const every = isChaos ? 1 : store === "memory" ? 2 : 29
  describe.each([["one", "on the same host"], ["two", "on another host"]] as const)("repaired %s", (host, where) => {
    it.each(["before", "after"] as const)(`a process that dies %s a call is followed by one ${where}`, async (when) => {
      const failed: Array<string> = []
      let ran = 0
      for (let at = 1; at <= calls.length; at++) {
        if ((at + (when === "after" ? 1 : 0) + (host === "two" ? every >> 1 : 0)) % every !== 0) continue
        ran++
        // a life is synchronous, and the worker has to respond to vitest now and then
        await new Promise((resume) => setImmediate(resume))
        try {
          dies(store, { at, when, then: "crash" }, host)
        } catch (error) {
          failed.push(`${calls[at - 1]}, ${String(error)}`)
        }
      }
      assert.isAbove(ran, 0)
      assert.deepStrictEqual(failed, [])
    }, 1_800_000)
  })
})
