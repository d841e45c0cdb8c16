import type { LeasedSlot } from "@airflow-resource/core"
import { CacheError, type DeploymentCache, Lease, type Slot } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, TestClock } from "effect"
import type { PoolContext } from "../../src/internal/pool/HeldSlot.js"
import * as UsualTimes from "../../src/internal/pool/UsualTimes.js"
import { overEachLedger } from "./scenario.js"
import { seconds } from "./World.js"

/** The events of holds that each begin a second after the other: `[kind or step, seconds since the one before]`. */
const eventsOf = (...holds: ReadonlyArray<ReadonlyArray<readonly [what: string, after: number]>>) =>
  holds.flatMap((hold, index) => {
    let at = seconds(index)
    return hold.map(([what, after]): Slot.PoolEvent => {
      at += seconds(after)
      const isKind = (kind: string): kind is Slot.EventKind => kinds.includes(kind)
      return {
        at,
        kind: isKind(what) ? what : "step",
        slot: 1,
        epoch: 1,
        leaseId: Lease.LeaseId.make(`lease-${index}`),
        detail: isKind(what) ? "" : what
      }
    })
  }).sort((a, b) => a.at - b.at)

const kinds = ["queued", "granted", "freed", "expired", "unfinished"]

const usual = (events: ReadonlyArray<Slot.PoolEvent>, ...activities: ReadonlyArray<string>) => {
  const time = UsualTimes.fromEvents(events)(
    activities[0] === "queued" ? UsualTimes.queue : activities.reduce(UsualTimes.follow, UsualTimes.start)
  )
  return time && Duration.toSeconds(time)
}

describe("from events", () => {
  it("is the median of the times of a step, whatever names are in it", () => {
    const events = eventsOf(
      ...[10, 90, 30].map((time) =>
        [["granted", 0], [`deleting airflow-resource-f8cc8a7d-s${time}-g1`, 1], ["freed", time]] as const
      )
    )
    assert.strictEqual(usual(events, "deleting airflow-resource-f8cc8a7d-s4-g2"), 30)
    assert.strictEqual(usual(events.slice(0, -1), "deleting x1, which was left behind"), 20)
    assert.isUndefined(usual(events, "waking"))
  })

  it("tells a deployment that was created from one that was woken, and from one that was awake", () => {
    const events = eventsOf(
      [["creating", 0], ["minting a token", 9], ["waiting for Airflow", 1], ["in use", 60]],
      [["waking", 0], ["waiting for Airflow", 1], ["in use", 20]],
      [["granted", 0], ["waiting for Airflow", 1], ["in use", 1]]
    )
    assert.strictEqual(usual(events, "creating", "waiting for Airflow"), 60)
    assert.strictEqual(usual(events, "waking", "waiting for Airflow"), 20)
    assert.strictEqual(usual(events, "waiting for Airflow"), 1)
  })

  it("counts a wait from the queue to the grant, and only for tickets that had to wait", () => {
    assert.strictEqual(
      usual(
        eventsOf(
          [["queued", 0], ["granted", 0.1]],
          [["queued", 0], ["granted", 40]],
          [["queued", 0], ["granted", 0.2]]
        ),
        "queued"
      ),
      40
    )
    assert.isUndefined(usual(eventsOf([["queued", 0], ["granted", 0.1]]), "queued"))
  })

  it("leaves out steps that were cut short", () => {
    assert.isUndefined(usual(eventsOf([["waking", 0], ["expired", 60]], [["waking", 0], ["unfinished", 9]]), "waking"))
  })

  it("forgets old times", () => {
    const times = [...Array.from({ length: 20 }, () => 100), ...Array.from({ length: 15 }, () => 5)]
    assert.strictEqual(
      usual(eventsOf(...times.map((time, index) => [["waking", index * 200], ["freed", time]] as const)), "waking"),
      5
    )
  })
})

const contextOf = (events: typeof DeploymentCache.DeploymentCache.Service["events"]) =>
  Effect.succeed({ cache: { events }, rules: { poolId: "p1" } } as unknown as PoolContext)

it.effect("reads the last events of its pool, once a minute", () =>
  Effect.gen(function*() {
    const reads: Array<unknown> = []
    const times = yield* UsualTimes.make(contextOf((...args) => Effect.sync(() => (reads.push(args), []))))
    yield* Effect.all([times, times, times], { concurrency: "unbounded" })
    assert.deepStrictEqual(reads, [["p1", { last: 2000 }]])
    yield* TestClock.adjust("61 seconds")
    yield* times
    assert.lengthOf(reads, 2)
  }))

it.effect("fails nothing if the ledger cannot be read", () =>
  Effect.gen(function*() {
    const failures = [Effect.fail(new CacheError.CacheError({ kind: "io", path: "", detail: "" })), Effect.die("a bug")]
    yield* Effect.forEach(failures, (failure) =>
      Effect.gen(function*() {
        const times = yield* yield* UsualTimes.make(contextOf(() => failure))
        assert.isUndefined(times(UsualTimes.queue))
      }))
  }))

overEachLedger((test) => {
  test("a lease says how long its steps usually take", { pool: { max: 1 } }, (world) => {
    const actor = world.actor()
    const progress = (label: string) => {
      const steps: Array<LeasedSlot.Progress> = []
      const lease = actor.lease(label, { onProgress: (step) => Effect.sync(() => void steps.push(step)) })
      const usual = (activity: string | RegExp) => {
        const step = steps.find((step) => step.activity.match(activity))
        assert.isDefined(step, `${activity} of ${steps.map((step) => step.activity).join(", ")}`)
        return step?.usual && Math.round(Duration.toSeconds(step.usual))
      }
      return { lease, usual }
    }
    const first = progress("first")
    first.lease.ready()
    assert.isUndefined(first.usual("waiting for HEALTHY"))
    const second = progress("second")
    world.advance(seconds(100))
    first.lease.released()
    second.lease.ready().released()
    assert.isUndefined(second.usual(/place 1/))
    // it wakes, which no lease has done so far
    world.advance(seconds(100))
    const third = progress("third")
    third.lease.ready()
    assert.isUndefined(third.usual("waiting for HEALTHY"))
    const fourth = progress("fourth")
    world.advance(seconds(70))
    third.lease.released()
    fourth.lease.ready().released()
    assert.approximately(fourth.usual(/place 1/)!, 100, 2)
    world.advance(seconds(100))
    const fifth = progress("fifth")
    fifth.lease.ready().released()
    assert.approximately(fifth.usual("waiting for HEALTHY")!, 20, 5)
  })
})
