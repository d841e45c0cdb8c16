import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import * as DeploymentWatch from "../../src/internal/pool/DeploymentWatch.js"

it.scoped("one listing serves all waits: the first at once, later ones at growing intervals", () =>
  Effect.gen(function*() {
    let listings = 0
    const watch = yield* DeploymentWatch.make(
      Effect.sync(() => {
        listings += 1
        return []
      }),
      "5 seconds"
    )
    let isOver = false
    const wait = Effect.fork(watch.until(() => Effect.sync(() => isOver ? Option.some("over") : Option.none())))
    const waits = yield* Effect.replicateEffect(wait, 10)
    yield* TestClock.adjust(0)
    assert.strictEqual(listings, 1)
    yield* TestClock.adjust("1 minutes")
    assert.isAtLeast(listings, 12)
    assert.isAtMost(listings, 17)
    isOver = true
    yield* TestClock.adjust("5 seconds")
    assert.deepStrictEqual(yield* Effect.forEach(waits, Fiber.join), Array(10).fill("over"))

    const before = listings
    yield* watch.within("15 seconds")
    assert.strictEqual(listings, before, "a recent listing is returned again")
    yield* TestClock.adjust("20 seconds")
    const listed = yield* Effect.fork(watch.within("15 seconds"))
    yield* TestClock.adjust(0)
    yield* Fiber.join(listed)
    assert.strictEqual(listings, before + 1, "without a wait the next listing is immediate")
  }))
