/**
 * Why a slot or a deployment was left alone that an administrator has named.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The pool has no slot with this number.
 *
 * @since 0.1.0
 * @category errors
 */
export class SlotNotFound
  extends Schema.TaggedError<SlotNotFound>("@airflow-resource/core/SlotNotFound")("SlotNotFound", {
    slot: Schema.Number,
    /** The numbers that it has. */
    slots: Schema.Array(Schema.Number)
  })
{
  override get message(): string {
    return `The pool has no slot ${this.slot}. ` +
      (this.slots.length === 0 ? "It has none yet." : `It has: ${this.slots.join(", ")} (\`airflow-resource status\`).`)
  }
  readonly retryable = false
}

/**
 * The slot has no holder.
 *
 * @since 0.1.0
 * @category errors
 */
export class SlotFree extends Schema.TaggedError<SlotFree>("@airflow-resource/core/SlotFree")("SlotFree", {
  slot: Schema.Number
}) {
  override get message(): string {
    return `Slot ${this.slot} is free: there is nothing to release. ` +
      "If its deployment is still awake, run `airflow-resource reap`."
  }
  readonly retryable = false
}

/**
 * No slot of the pool has this deployment.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeploymentNotFound
  extends Schema.TaggedError<DeploymentNotFound>("@airflow-resource/core/DeploymentNotFound")("DeploymentNotFound", {
    deployment: Schema.String,
    /** The names of those that it has. */
    deployments: Schema.Array(Schema.String)
  })
{
  override get message(): string {
    return `The pool has no deployment with the name or the id ${this.deployment}. ` +
      (this.deployments.length === 0
        ? "It has none."
        : `It has: ${this.deployments.join(", ")} (\`airflow-resource status\`).`)
  }
  readonly retryable = false
}

/**
 * The deployment cannot be changed now: it has a holder, a ticket waits for it, or a request may still land on it.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeploymentInUse
  extends Schema.TaggedError<DeploymentInUse>("@airflow-resource/core/DeploymentInUse")("DeploymentInUse", {
    deployment: Schema.String,
    slot: Schema.Number,
    reason: Schema.String,
    remedy: Schema.String
  })
{
  override get message(): string {
    return `${this.deployment} (slot ${this.slot}) ${this.reason}. ${this.remedy}`
  }
  readonly retryable = true
}
