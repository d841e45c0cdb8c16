import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

/** For looking whether something has come about: often at first, then every five seconds. */
export const poll = Schedule.either(Schedule.exponential("250 millis"), Schedule.spaced("5 seconds"))

/** For asking again after a failure, bounded by the caller. */
export const backoff = Schedule.jittered(
  Schedule.either(Schedule.exponential("500 millis"), Schedule.spaced("10 seconds"))
)

/** For asking for one's turn: every half second is soon enough, and quick at first for those who need not wait. */
export const queue = Schedule.jittered(
  Schedule.either(Schedule.exponential("20 millis"), Schedule.spaced("500 millis"))
)

/** Looks until there is something; the schedule must not end. */
export const untilSome = <A, E, R>(
  look: Effect.Effect<Option.Option<A>, E, R>,
  schedule: Schedule.Schedule<unknown>
): Effect.Effect<A, E, R> =>
  look.pipe(
    Effect.mapError(Option.some),
    Effect.flatMap(Option.match({ onNone: () => Effect.fail(Option.none<E>()), onSome: Effect.succeed })),
    Effect.retry({ schedule, while: Option.isNone }),
    Effect.mapError(Option.getOrThrow)
  )
