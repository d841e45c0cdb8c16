import { TimeLimit } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, TestClock } from "effect"

/** An effect with a time limit, and the state in which it ended. */
const work = (duration: string) => {
  let state = "running"
  const set = (to: string) => Effect.sync(() => void (state = to))
  const effect = Effect.sleep(duration as "1 second").pipe(
    Effect.zipRight(set("done")),
    Effect.onInterrupt(() => set("interrupted"))
  )
  return { limited: TimeLimit.fail(effect, { limit: "10 seconds", onTimeout: () => "timed out" }), state: () => state }
}

describe("a time limit", () => {
  for (
    const [caller, as] of [["any", (self) => self], ["an uninterruptible", Effect.uninterruptible]] as ReadonlyArray<
      readonly [string, (self: ReturnType<typeof work>["limited"]) => ReturnType<typeof work>["limited"]]
    >
  ) {
    it.effect(`ends an effect that takes longer, for ${caller} caller`, () =>
      Effect.gen(function*() {
        const { limited, state } = work("1 hour")
        const fiber = yield* Effect.fork(Effect.zip(Effect.exit(as(limited)), Clock.currentTimeMillis))
        // further than the limit, so that an effect that is not ended fails the test instead of stopping it
        yield* TestClock.adjust("2 hours")
        const [exit, endedAt] = yield* Fiber.join(fiber)
        assert.deepStrictEqual(exit, Exit.fail("timed out"))
        assert.strictEqual(endedAt, 10_000)
        assert.strictEqual(state(), "interrupted")
      }))
  }

  it.effect("lets an uninterruptible caller finish, however often it is interrupted", () =>
    Effect.gen(function*() {
      const { limited, state } = work("1 second")
      let exit: Exit.Exit<unknown, string> | undefined
      const fiber = yield* Effect.fork(
        Effect.uninterruptible(Effect.map(Effect.exit(limited), (ended) => void (exit = ended)))
      )
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interruptFork(fiber)
      yield* Fiber.interruptFork(fiber)
      yield* TestClock.adjust("1 second")
      yield* Fiber.await(fiber)
      assert.strictEqual(state(), "done")
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit))
    }))

  it.effect("ends the effect of a caller that is interrupted", () =>
    Effect.gen(function*() {
      const { limited, state } = work("1 hour")
      const fiber = yield* Effect.fork(limited)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(state(), "interrupted")
    }))
})
