/**
 * The error of the astro CLI. It has its own module, so that the REST transport can recognize it without loading the CLI's.
 *
 * @since 0.1.0
 */
import * as ErrorFields from "@airflow-resource/core/ErrorFields"
import * as Schema from "effect/Schema"

/**
 * The astro CLI cannot be used, or did not report success.
 *
 * - `notFound`, `unusable`, `tooOld`: there is no suitable program
 * - `notLoggedIn`: it has no token, or rejects it
 * - `hangs`, `unreachable`, `timeout`: a retry may help; a write may have been carried out all the same
 * - `refused`: the program asked for a confirmation, got none, and gave up; or a deploy has no valid deployment id or no DAG folder
 * - `crashed`, `unexpected`: it did not report success
 *
 * @since 0.1.0
 * @category errors
 */
export class AstroCliError extends Schema.TaggedError<AstroCliError>("@airflow-resource/astro/AstroCliError")(
  "AstroCliError",
  {
    kind: Schema.Literal(
      "notFound",
      "unusable",
      "tooOld",
      "notLoggedIn",
      "hangs",
      "unreachable",
      "timeout",
      "refused",
      "crashed",
      "unexpected"
    ),
    /** What happened. Contains no arguments, and at most one line of output. */
    detail: ErrorFields.fields.detail,
    remedy: ErrorFields.fields.remedy
  }
) {
  override get message(): string {
    return ErrorFields.message({ operation: "use the astro CLI", detail: this.detail, remedy: this.remedy })
  }
  /** Whether a retry of a *read* may succeed. */
  get retryable(): boolean {
    return ["hangs", "unreachable", "timeout"].includes(this.kind)
  }
}
