/**
 * Real time inside `it.scoped`, whose body runs under a TestClock that nobody moves.
 *
 * A service that touches the outside world takes the clock it is *built* under and runs every method under it; what is
 * built under {@link live} therefore keeps real time whoever calls it, and what is built under a TestClock is driven by it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestServices from "effect/TestServices"

/**
 * Runs an effect under the live clock, leaving the ConfigProvider, the Tracer and Random as they are.
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
 * Whether the clock at hand is the live one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const isLive: Effect.Effect<boolean> = Effect.zipWith(
  Effect.clock,
  TestServices.provideLive(Effect.clock),
  (atHand, live) => atHand === live
)

/**
 * The clock at hand, as a function that runs an effect under it wherever it is called.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pin: Effect.Effect<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>> = Effect.map(
  Effect.clock,
  (clock) => (self) => Effect.withClock(self, clock)
)
