/**
 * Why a test with a leased Airflow fails, besides what its body and the pool can fail with.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * The body took longer than its timeout.
 *
 * @since 0.1.0
 * @category errors
 */
export class BodyTimeout extends Schema.TaggedError<BodyTimeout>("@airflow-resource/testing/BodyTimeout")(
  "BodyTimeout",
  { timeout: Schema.DurationFromSelf }
) {
  override get message(): string {
    return `The test's body took longer than ${
      Duration.format(this.timeout)
    }, not counting the time to get the Airflow. Allow more with { timeout }.`
  }
  readonly retryable = false
}

/**
 * Getting the Airflow took longer than its budget.
 *
 * @since 0.1.0
 * @category errors
 */
export class AcquireBudgetSpent
  extends Schema.TaggedError<AcquireBudgetSpent>("@airflow-resource/testing/AcquireBudgetSpent")("AcquireBudgetSpent", {
    testName: Schema.String,
    budget: Schema.DurationFromSelf,
    /** The last step of the lease. */
    during: Schema.String
  })
{
  override get message(): string {
    return `No Airflow was ready for "${this.testName}" within ${
      Duration.format(this.budget)
    }; the last step was: ${this.during}. Allow more with { acquireTimeout }, or more deployments with AIRFLOW_RESOURCE_MAX.`
  }
  readonly retryable = true
}

/**
 * `vi.useFakeTimers()` stops the time that an Airflow is waited for.
 *
 * @since 0.1.0
 * @category errors
 */
export class TimersAreFake extends Schema.TaggedError<TimersAreFake>("@airflow-resource/testing/TimersAreFake")(
  "TimersAreFake",
  {}
) {
  override get message(): string {
    return "No Airflow can be leased while vi.useFakeTimers() is in effect, because waiting for it takes real time. " +
      "Call vi.useRealTimers() first, and fake timers in the body, between its calls to the Airflow."
  }
  readonly retryable = false
}
