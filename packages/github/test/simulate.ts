import { Effect, Fiber, Option, TestClock } from "effect"

const tick = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/**
 * Runs an effect and advances the TestClock by half seconds, but only while no request is in flight: promises do not run on the
 * TestClock.
 */
export const simulate = <A, E, R>(effect: Effect.Effect<A, E, R>, idle: () => boolean = () => true) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    while (Option.isNone(yield* Fiber.poll(fiber))) {
      for (let ticks = 0; ticks < 5 || (!idle() && ticks < 100_000); ticks++) yield* tick
      yield* TestClock.adjust("500 millis")
    }
    return yield* Fiber.join(fiber)
  })
