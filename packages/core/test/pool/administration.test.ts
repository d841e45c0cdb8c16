/** What an administrator does to one slot. */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Redacted } from "effect"
import { overEachLedger } from "./scenario.js"
import type { Actor } from "./World.js"
import { hours, minutes, seconds, sharedToken, spec, type World } from "./World.js"

overEachLedger((test) => {
  const one = { pool: { max: 1 } } as const
  const failure = <A, E>(admin: Actor, effect: Effect.Effect<A, E>) => admin.run(Effect.flip(effect))
  const refused = (world: World, times: number, name: string) => {
    for (let time = 0; time < times; time++) {
      world.cloud.fates.push({ matches: ({ call }) => call === name, becomes: "refused" })
    }
  }
  const nothingIsLeft = (world: World) => {
    assert.lengthOf(world.cloud.awake(), 0)
    assert.lengthOf(world.cloud.tokens(), 0)
  }

  describe("release", () => {
    test("takes the slot from a lease of another process, and tidies it up", one, (world) => {
      const [a, admin] = [world.actor({ host: "two" }), world.actor()]
      const lease = a.lease("a").ready()
      const { actions, busyUntil, deployment, holder } = admin.run(admin.pool.release(1))
      assert.deepStrictEqual(actions.map(({ did, slot }) => [did, slot]), [["hibernate", 1]])
      assert.strictEqual(deployment, lease.slot?.deployment.name)
      assert.strictEqual(holder.label, "a")
      assert.isNull(busyUntil)
      world.until("the former holder notices", () => lease.running.exit !== undefined, seconds(16))
      assert.include(lease.lost?.reason, "an administrator released it")
      nothingIsLeft(world)
      admin.lease("b").ready().released()
    })

    test("gives it to the lease that waits, which the former holder cannot disturb", one, (world) => {
      const [a, b, admin] = [world.actor(), world.actor(), world.actor()]
      const first = a.lease("a").ready()
      const second = b.lease("b")
      world.advance(seconds(2))
      a.pause()
      admin.run(admin.pool.release(1))
      second.ready()
      a.resume()
      const late = first.write()
      world.until("the former holder notices", () => first.running.exit !== undefined)
      assert.isNotNull(late.exit)
      assert.isTrue(Exit.isFailure(late.exit ?? Exit.void), "its token is revoked")
      world.advance(minutes(2))
      assert.isTrue(second.isInUse)
      assert.strictEqual(second.slot?.epoch, (first.slot?.epoch ?? 0) + 1)
      second.released()
    })

    test("leaves a lease that is about to hibernate no second deployment to hibernate", one, (world) => {
      const [a, b, admin] = [world.actor(), world.actor(), world.actor()]
      const first = a.lease("a").ready()
      world.cloud.fates.push({ matches: ({ call }) => call === "hibernate", becomes: { landsIn: seconds(30) } })
      first.end()
      world.advance(seconds(1))
      const { actions, busyUntil } = admin.run(admin.pool.release(1))
      assert.deepStrictEqual(actions, [])
      assert.isNotNull(busyUntil)
      const second = b.lease("b").ready()
      world.advance(minutes(2))
      assert.isTrue(second.isInUse)
      second.released()
    })

    test(
      "keeps an unfenced lease's slot from the next one while its writes may land (27)",
      { pool: { max: 1, fence: "off", sharedToken: Redacted.make(sharedToken) } },
      (world) => {
        const [a, b, admin] = [world.actor({ host: "two" }), world.actor(), world.actor()]
        const first = a.lease("a").ready()
        const next = b.lease("b")
        const releasedAt = world.time.now
        const { actions, busyUntil } = admin.run(admin.pool.release(1))
        assert.deepStrictEqual(actions, [])
        assert.isAtLeast(busyUntil ?? 0, releasedAt + seconds(45 + 35))
        world.until("the former holder notices", () => first.running.exit !== undefined, seconds(16))
        assert.isUndefined(next.slot)
        next.ready().released()
      }
    )

    test("takes a slot from upkeep, too", one, (world) => {
      const [a, b, admin] = [world.actor(), world.actor(), world.actor()]
      a.lease("a").ready()
      a.crash()
      b.failpoints = [{ at: "hibernate", when: "before", then: "pause" }]
      b.startReap()
      world.until("upkeep is about to hibernate", () => b.state === "paused")
      b.crash()
      assert.strictEqual(admin.run(admin.pool.release(1)).holder.kind, "upkeep")
      world.advance(minutes(2))
      admin.reap()
      nothingIsLeft(world)
    })

    test("refuses a slot that does not exist, and one that is free", one, (world) => {
      const admin = world.actor()
      const none = failure(admin, admin.pool.release(1))
      assert.deepInclude(none, { _tag: "SlotNotFound", slot: 1, slots: [], retryable: false })
      admin.lease("a").ready().released()
      assert.include(failure(admin, admin.pool.release(7)).message, "The pool has no slot 7. It has: 1")
      const free = failure(admin, admin.pool.release(1))
      assert.deepInclude(free, { _tag: "SlotFree", slot: 1, retryable: false })
      assert.include(free.message, "airflow-resource reap")
    })

    test("has ended the hold even if the cloud cannot be reached", one, (world) => {
      const [a, admin] = [world.actor(), world.actor()]
      const lease = a.lease("a").ready()
      refused(world, 4, "list")
      const { actions } = admin.run(admin.pool.release(1))
      assert.deepInclude(actions[0], { slot: 1, did: "left alone" })
      world.until("the former holder notices", () => lease.running.exit !== undefined, seconds(16))
      world.cloud.fates.length = 0
      admin.reap()
      nothingIsLeft(world)
    })
  })

  describe("reset", () => {
    const dirty = (world: World) => {
      const actor = world.actor()
      const lease = actor.lease("leaves a variable").ready()
      actor.run(lease.slot!.airflow.variables.put({ key: "left", value: "" }))
      lease.released()
      world.advance(minutes(1))
      return lease.slot!.deployment
    }
    const variables = (world: World) => Array.from(world.cloud.facts.values(), (fact) => fact.variables.size)

    test("empties a free deployment, by its name or its id, and hibernates it again", one, (world) => {
      const { id, name } = dirty(world)
      assert.deepStrictEqual(variables(world), [1])
      const admin = world.actor()
      assert.deepStrictEqual(admin.run(admin.pool.reset(name)), { slot: 1, deployment: name, isAwake: false })
      assert.deepStrictEqual(variables(world), [0])
      assert.deepInclude(world.inspect().slots[0], { power: "asleep", holder: null, quarantine: null })
      nothingIsLeft(world)
      assert.strictEqual(admin.run(admin.pool.reset(id)).deployment, name)
    })

    test("leaves a deployment awake that is kept awake for a run", one, (world) => {
      const [a, admin] = [world.actor(), world.actor()]
      const run = a.upkeep({ hibernateAfter: "1 hour" })
      world.advance(seconds(1))
      a.lease("a").ready().released()
      world.advance(minutes(1))
      const { name } = Array.from(world.cloud.facts.values())[0]!
      assert.isTrue(admin.run(admin.pool.reset(name)).isAwake)
      assert.lengthOf(world.cloud.awake(), 1)
      assert.lengthOf(world.cloud.tokens(), 0)
      run.interrupt()
      world.until("the run has ended", () => run.exit !== undefined)
    })

    test("refuses a deployment that is not in the pool", one, (world) => {
      const { name } = dirty(world)
      const admin = world.actor()
      const error = failure(admin, admin.pool.reset("no-such-deployment"))
      assert.deepInclude(error, { _tag: "DeploymentNotFound", deployment: "no-such-deployment", deployments: [name] })
    })

    test("refuses a deployment that is held, and says by what", one, (world) => {
      const [a, admin] = [world.actor(), world.actor()]
      const lease = a.lease("a.test.ts").ready()
      const error = failure(admin, admin.pool.reset(lease.slot!.deployment.name))
      assert.deepInclude(error, { _tag: "DeploymentInUse", slot: 1, retryable: true })
      assert.include(error.message, "is held by the lease of a.test.ts (in use)")
      assert.include(error.message, "release 1 --yes")
      assert.isTrue(lease.isInUse)
      lease.released()
    })

    test("refuses a deployment that a lease waits for", one, (world) => {
      const { name } = dirty(world)
      const [b, admin] = [world.actor(), world.actor()]
      b.failpoints = [{ at: "step", when: "before", then: "pause" }]
      const next = b.lease("next.test.ts")
      world.until("it waits", () => b.state === "paused")
      const error = failure(admin, admin.pool.reset(name))
      assert.include(error.message, "is about to be leased to next.test.ts")
      b.resume()
      next.ready().released()
    })

    test("refuses a deployment that may still be changing", one, (world) => {
      const actor = world.actor()
      const lease = actor.lease("a").ready()
      world.cloud.fates.push({ matches: ({ call }) => call === "hibernate", becomes: { landsIn: seconds(34) } })
      actor.failpoints = [{ at: "hibernate", when: "before", then: "pause" }]
      lease.end()
      world.until("it is about to hibernate", () => actor.state === "paused")
      actor.crash()
      const admin = world.actor()
      assert.include(
        failure(admin, admin.pool.reset(lease.slot!.deployment.name)).message,
        "may still be changing until"
      )
      world.cloud.fates.length = 0
      world.advance(minutes(1))
    })

    test("refuses an adopted deployment that is its user's again", { pool: { max: 1, adopt: true } }, (world) => {
      const id = world.cloud.addOfUser(spec, world.time.now + hours(1))
      const admin = world.actor()
      const lease = admin.lease("a").ready()
      refused(world, 4, "deleteToken")
      lease.released()
      world.advance(hours(1))
      assert.include(failure(admin, admin.pool.reset(id)).message, "is adopted, and the hibernation")
    })

    test("fails with the error of what it could not do, and frees the slot", one, (world) => {
      const { name } = dirty(world)
      const admin = world.actor()
      refused(world, 4, "wake")
      assert.deepInclude(failure(admin, admin.pool.reset(name)), { _tag: "ProviderError", kind: "server" })
      assert.isNull(world.inspect().slots[0]?.holder)
      world.advance(minutes(1))
      assert.isFalse(admin.run(admin.pool.reset(name)).isAwake)
    })
  })
})
