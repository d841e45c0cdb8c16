import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import * as DeploymentWatch from "../../src/internal/pool/DeploymentWatch.js"

it.scoped("one look serves all that wait, the first at once and later ones more seldom", () =>
  Effect.gen(function*() {
    let looks = 0
    const watch = yield* DeploymentWatch.make(Effect.sync(() => {
      looks += 1
      return []
    }))
    let isOver = false
    const wait = Effect.fork(watch.until(() => Effect.sync(() => isOver ? Option.some("over") : Option.none())))
    const waits = yield* Effect.replicateEffect(wait, 10)
    yield* TestClock.adjust(0)
    assert.strictEqual(looks, 1)
    yield* TestClock.adjust("1 minutes")
    assert.isAtLeast(looks, 12)
    assert.isAtMost(looks, 17)
    isOver = true
    yield* TestClock.adjust("5 seconds")
    assert.deepStrictEqual(yield* Effect.forEach(waits, Fiber.join), Array(10).fill("over"))

    const before = looks
    yield* watch.within("15 seconds")
    assert.strictEqual(looks, before, "what was seen a moment ago will do")
    yield* TestClock.adjust("20 seconds")
    const seen = yield* Effect.fork(watch.within("15 seconds"))
    yield* TestClock.adjust(0)
    yield* Fiber.join(seen)
    assert.strictEqual(looks, before + 1, "with nobody waiting the next look is at once")
  }))
