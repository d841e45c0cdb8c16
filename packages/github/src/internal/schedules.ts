/** When requests to GitHub are retried. */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { GithubError } from "../GithubError.js"

/** GitHub may demand a wait of hours, which is longer than any test takes. */
const longestWait = Duration.seconds(60)

/** Whether to retry a request that is safe to send twice. */
export const isWorthRetrying = (error: GithubError): boolean =>
  error.retryable && Duration.lessThanOrEqualTo(error.retryAfter ?? Duration.zero, longestWait)

/** Four retries over about eight seconds, or longer if GitHub demands a longer wait. */
export const retries: Schedule.Schedule<unknown, GithubError> = Schedule.identity<GithubError>().pipe(
  Schedule.intersect(Schedule.jittered(Schedule.exponential("500 millis"))),
  Schedule.intersect(Schedule.recurs(4)),
  Schedule.modifyDelay(([[error]], delay) => Duration.max(delay, error.retryAfter ?? Duration.zero))
)
