/**
 * How long a server tells its clients to wait before they send a request again.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

/**
 * What the `Retry-After` header of a response says, in seconds or as a date. A date counts from the response's own `Date`, because this
 * machine's clock may be wrong; without one, from `now`. The names of the headers are in lower case. `undefined` if the header is
 * missing or says something else.
 *
 * @example
 * ```ts
 * import * as RetryAfter from "@airflow-resource/airflow/RetryAfter"
 *
 * // two minutes
 * export const wait = RetryAfter.of({
 *   date: "Sun, 29 Nov 2026 10:00:00 GMT",
 *   "retry-after": "Sun, 29 Nov 2026 10:02:00 GMT"
 * }, 0)
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const of = (
  headers: Readonly<Record<string, string | undefined>>,
  now: number
): Duration.Duration | undefined => {
  const value = headers["retry-after"]?.trim() ?? ""
  if (/^\d+$/.test(value)) return Duration.seconds(Number(value))
  return Option.getOrUndefined(
    Option.map(epochMillis(value), (at) => Duration.millis(Math.max(0, at - serverTime(headers, now))))
  )
}

/**
 * The time at which the server responded, by its own clock; `now` if it does not say.
 *
 * @since 0.1.0
 * @category accessors
 */
export const serverTime = (headers: Readonly<Record<string, string | undefined>>, now: number): number =>
  Option.getOrElse(epochMillis(headers["date"] ?? ""), () => now)

/**
 * A schedule of retries, each no sooner than the server asked for.
 *
 * @example
 * ```ts
 * import * as Polling from "@airflow-resource/airflow/Polling"
 * import * as RetryAfter from "@airflow-resource/airflow/RetryAfter"
 * import * as Effect from "effect/Effect"
 *
 * export const retried = <A>(call: Effect.Effect<A, Error>) =>
 *   Effect.retry(call, { schedule: RetryAfter.respected(Polling.backoff), times: 3 })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const respected = (
  schedule: Schedule.Schedule<unknown>
): Schedule.Schedule<unknown, Failure> =>
  Schedule.identity<Failure>().pipe(
    Schedule.intersect(schedule),
    Schedule.modifyDelay(([{ retryAfter }], delay) => Duration.max(delay, retryAfter ?? Duration.zero))
  )

// internal

interface Failure {
  readonly message: string
  readonly retryAfter?: Duration.Duration | undefined
}

/** From a date as HTTP writes it: `Sun, 29 Nov 2026 10:00:00 GMT`. */
const epochMillis = (text: string): Option.Option<number> =>
  /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)
    // DateTime does not parse "GMT"
    ? Option.map(DateTime.make(text.replace("GMT", "+0000")), DateTime.toEpochMillis)
    : Option.none()
