import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { GithubError } from "../GithubError.js"

/** GitHub may ask for hours; a test that waits that long is no use. */
const longestWait = Duration.seconds(60)

/** Whether a request that may be repeated should be. */
export const worthRepeating = (error: GithubError): boolean =>
  error.retryable && Duration.lessThanOrEqualTo(error.retryAfter ?? Duration.zero, longestWait)

/** Four more tries over some eight seconds, or as long as GitHub says if that is longer. */
export const repetitions: Schedule.Schedule<unknown, GithubError> = Schedule.identity<GithubError>().pipe(
  Schedule.intersect(Schedule.jittered(Schedule.exponential("500 millis"))),
  Schedule.intersect(Schedule.recurs(4)),
  Schedule.modifyDelay(([[error]], delay) => Duration.max(delay, error.retryAfter ?? Duration.zero))
)
