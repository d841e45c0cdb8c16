/**
 * Schedules for polling and retries, and a poll that waits for a result.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

/**
 * For polling until a condition is met: first after 250 ms, then at growing intervals of at most five seconds. Never
 * ends.
 *
 * @since 0.1.0
 * @category constructors
 */
export const poll = Schedule.either(Schedule.exponential("250 millis"), Schedule.spaced("5 seconds"))

/**
 * For retries after a failure: first after 500 ms, then at growing intervals of at most ten seconds, with jitter. Never
 * ends: the caller limits the number of retries or the time.
 *
 * @since 0.1.0
 * @category constructors
 */
export const backoff = Schedule.jittered(
  Schedule.either(Schedule.exponential("500 millis"), Schedule.spaced("10 seconds"))
)

/**
 * For waiting in a queue: first after 20 ms, which keeps the wait short if the queue is empty, then at growing intervals
 * of at most half a second, with jitter. Never ends.
 *
 * @since 0.1.0
 * @category constructors
 */
export const queue = Schedule.jittered(
  Schedule.either(Schedule.exponential("20 millis"), Schedule.spaced("500 millis"))
)

/**
 * Runs a check again and again until it returns a value, and fails as soon as the check fails. The schedule must never
 * end; limit the time with `Effect.timeoutFail`.
 *
 * @example
 * ```ts
 * import type { Airflow } from "@airflow-resource/airflow/Airflow"
 * import * as Polling from "@airflow-resource/airflow/Polling"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * export const firstRun = (airflow: Airflow, dagId: string) =>
 *   Polling.untilSome(Effect.map(airflow.runs(dagId), ([run]) => Option.fromNullable(run)), Polling.poll)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const untilSome = <A, E, R>(
  check: Effect.Effect<Option.Option<A>, E, R>,
  schedule: Schedule.Schedule<unknown>
): Effect.Effect<A, E, R> =>
  check.pipe(
    Effect.mapError(Option.some),
    Effect.flatMap(Option.match({ onNone: () => Effect.fail(Option.none<E>()), onSome: Effect.succeed })),
    Effect.retry({ schedule, while: Option.isNone }),
    Effect.mapError(Option.getOrThrow)
  )
