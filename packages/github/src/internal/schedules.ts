/** When reads from GitHub are retried. */
import * as RetryAfter from "@airflow-resource/core/RetryAfter"
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { GithubError } from "../GithubError.js"

/** GitHub may demand a wait of hours, which is longer than any test takes. */
const longestWait = Duration.seconds(60)

export const isWorthRetrying = (error: GithubError): boolean =>
  error.retryable && Duration.lessThanOrEqualTo(error.retryAfter ?? Duration.zero, longestWait)

/** Over about eight seconds, or longer if GitHub demands a longer wait. */
export const retries: Schedule.Schedule<unknown, GithubError> = Schedule.intersect(
  RetryAfter.respected(Schedule.jittered(Schedule.exponential("500 millis"))),
  Schedule.recurs(4)
)
