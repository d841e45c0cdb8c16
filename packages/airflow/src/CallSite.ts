/**
 * Where a function is called, so that the stack trace of a failure names a line of the test and not only lines of this
 * library.
 *
 * @since 0.1.0
 */
import type { LazyArg } from "effect/Function"

/**
 * Where the function was called that calls this one, as `captureStackTrace` of a span.
 *
 * @example
 * ```ts
 * import * as CallSite from "@airflow-resource/airflow/CallSite"
 * import * as Effect from "effect/Effect"
 *
 * export const checked = <A, E, R>(self: Effect.Effect<A, E, R>) =>
 *   Effect.withSpan(self, "checked", { captureStackTrace: CallSite.callSite() })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const callSite = (): LazyArg<string | undefined> => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 3
  const error = new Error()
  Error.stackTraceLimit = limit
  // the lines are the message, this function, the function that called it, and its caller
  return () => error.stack?.split("\n")[3]?.trim()
}
