/**
 * Real time inside `it.scoped`, whose body runs under a TestClock that never moves by itself.
 *
 * A service with side effects keeps the clock under which it is *built*, and runs all its methods under that clock. If
 * it is built under {@link live}, it always uses real time, even if it is called from a test. If it is built under a
 * TestClock, the test controls its time.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestServices from "effect/TestServices"

/**
 * Runs an effect under the live clock. Unlike `TestServices.provideLive` it keeps the current ConfigProvider, Tracer
 * and Random.
 *
 * @since 0.1.0
 * @category combinators
 */
export const live = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(TestServices.provideLive(Effect.clock), (clock) => Effect.withClock(self, clock))

/**
 * Builds a layer under the live clock.
 *
 * @since 0.1.0
 * @category combinators
 */
export const liveLayer = <A, E, R>(layer: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
  Layer.scopedContext(live(Layer.build(layer)))

/**
 * Whether the current clock is the live clock.
 *
 * @since 0.1.0
 * @category constructors
 */
export const isLive: Effect.Effect<boolean> = Effect.zipWith(
  Effect.clock,
  TestServices.provideLive(Effect.clock),
  (current, live) => current === live
)

/**
 * A function that runs effects under the current clock, wherever it is called.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pin: Effect.Effect<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>> = Effect.map(
  Effect.clock,
  (clock) => (self) => Effect.withClock(self, clock)
)
