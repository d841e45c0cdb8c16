/**
 * A lease: a test's right to one deployment, under an epoch that only grows.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category models
 */
export const LeaseId = Schema.NonEmptyString.pipe(Schema.brand("@airflow-resource/core/LeaseId"))

/**
 * @since 0.1.0
 * @category models
 */
export type LeaseId = typeof LeaseId.Type

/**
 * A holder lost what it held: it missed its deadline, held it for longer than max hold, or its deployment is gone.
 *
 * @since 0.1.0
 * @category errors
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>("@airflow-resource/core/LeaseLost")("LeaseLost", {
  /** What was held: "slot 2", "the lock on …". */
  held: Schema.String,
  epoch: Schema.Number,
  reason: Schema.String
}) {
  override get message(): string {
    return `Lost ${this.held} (epoch ${this.epoch}): ${this.reason}. ` +
      `What the test did after that is unreliable; run it again.`
  }
  readonly retryable = true
}
