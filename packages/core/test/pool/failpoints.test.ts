/** A process dies before or after any one of its calls, and another one repairs what it has left. */
import { type Deployment } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Checker, finale } from "./invariants.js"
import type { Actor, Failpoint, StoreKind } from "./World.js"
import { minutes, otherSpec, seconds, spec, World } from "./World.js"

const isChaos = process.env.AIRFLOW_RESOURCE_CHAOS === "1"

/** Everything that a process does with a pool, one after the other. Where it has died it does nothing more. */
const live = (world: World, actor: Actor): void => {
  const alive = () => actor.state !== "crashed"
  const settle = (isCase: () => boolean) => void world.time.until(() => !alive() || isCase(), minutes(20))
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
  // on an empty pool of one; and a waiter, who gets it next
  const first = lease("creates")
  first.ready()
  write(first.lease)
  const second = lease("is handed over to")
  world.advance(seconds(2))
  first.released()
  second.ready()
  write(second.lease)
  second.released()
  // upkeep resets, and hibernates later
  const upkeep = actor.start(
    actor.pool.upkeep({ hibernateAfter: "1 minute" }).pipe(
      // for as long as the test wants it
      (run) => Effect.scoped(Effect.zipRight(run, Effect.never))
    )
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

const worldOf = (store: StoreKind) => new World({ store, pool: { max: 1 }, createTakes: seconds(20) })

/** The calls of an undisturbed life. */
const callsOf = (store: StoreKind): ReadonlyArray<string> => {
  const world = worldOf(store)
  const actor = world.actor()
  live(world, actor)
  world.close()
  return actor.calls
}

const dies = (store: StoreKind, failpoint: Failpoint, host: string): void => {
  const world = worldOf(store)
  const checker = new Checker(world)
  try {
    const victim = world.actor()
    victim.failpoints = [failpoint]
    live(world, victim)
    assert.strictEqual(victim.state, "crashed")
    checker.check()
    const next = world.actor({ host })
    const lease = next.lease("repairs").ready()
    lease.write()
    world.advance(seconds(1))
    checker.check()
    lease.released()
    finale(world, checker, 1)
  } catch (error) {
    throw new Error(`${failpoint.when} call ${failpoint.at}: ${String(error)}`)
  } finally {
    world.close()
  }
}

describe.each(["memory", "SQLite"] as const)("over %s", (store) => {
  const calls = callsOf(store)
  // a part: each of the cases has another share; under chaos every single one
  const every = isChaos ? 1 : store === "memory" ? 2 : 29
  describe.each([["one", "on the same host"], ["two", "on another host"]] as const)("repaired %s", (host, where) => {
    it.each(["before", "after"] as const)(`a process that dies %s a call is followed by one ${where}`, async (when) => {
      const failed: Array<string> = []
      let ran = 0
      for (let at = 1; at <= calls.length; at++) {
        if ((at + (when === "after" ? 1 : 0) + (host === "two" ? every >> 1 : 0)) % every !== 0) continue
        ran++
        // a life is synchronous, and vitest wants to hear of its worker now and then
        await new Promise((resume) => setImmediate(resume))
        try {
          dies(store, { at, when, then: "crash" }, host)
        } catch (error) {
          failed.push(`${calls[at - 1]}, ${String(error)}`)
        }
      }
      assert.isAbove(ran, 0)
      assert.deepStrictEqual(failed, [])
    }, 600_000)
  })
})
