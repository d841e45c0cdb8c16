/**
 * What the errors of outside systems have in common: their fields, and the shape of their message.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The fields of each of these errors.
 *
 * @since 0.1.0
 * @category models
 */
export const fields = {
  /** What was attempted, as a verb phrase: "create the deployment pool-1". */
  operation: Schema.String,
  /** What happened, in the system's own words where it gave any. Never a secret. */
  detail: Schema.String,
  /** What to do next. */
  remedy: Schema.String,
  /** HTTP status of the response, if there was one. */
  status: Schema.optional(Schema.Number)
}

/**
 * Further fields for an error that a server responded with.
 *
 * @since 0.1.0
 * @category models
 */
export const responseFields = {
  /** The server's own id of the request, for its support. */
  requestId: Schema.optional(Schema.String),
  /** How long the server tells its clients to wait before they retry. */
  retryAfter: Schema.optional(Schema.DurationFromSelf)
}

/**
 * The message of an error: what was attempted, what happened, and what to do next.
 *
 * @example
 * ```ts
 * import * as ErrorFields from "@airflow-resource/core/ErrorFields"
 *
 * // "Could not list deployments: Astro's API did not respond. Try again."
 * export const message = ErrorFields.message({
 *   operation: "list deployments",
 *   detail: "Astro's API did not respond",
 *   remedy: "Try again."
 * })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const message = (
  error: { readonly operation: string; readonly detail: string; readonly remedy: string }
): string =>
  // several lines may be those of a program, whose last one stays as it is
  `Could not ${error.operation}: ${error.detail}${error.detail.includes("\n") ? "\n" : ". "}${error.remedy}`
