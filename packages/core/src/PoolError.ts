/**
 * Why a slot could not be leased.
 *
 * @since 0.1.0
 */
import type { AirflowApiError, AirflowNotReady } from "@airflow-resource/airflow/AirflowError"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { CacheError } from "./CacheError.js"
import { ProviderError } from "./DeploymentProvider.js"
import type { LeaseLost } from "./Lease.js"

/**
 * Getting a lease took longer than is allowed. With a `cause`, the provider failed again and again, and this is its last failure.
 *
 * @since 0.1.0
 * @category errors
 */
export class AcquireTimeout extends Schema.TaggedError<AcquireTimeout>("@airflow-resource/core/AcquireTimeout")(
  "AcquireTimeout",
  {
    label: Schema.String,
    waited: Schema.DurationFromSelf,
    during: Schema.String,
    cause: Schema.optional(ProviderError)
  }
) {
  override get message(): string {
    return `No deployment was ready for ${this.label} within ${
      Duration.format(this.waited)
    }; the last step was: ${this.during}. ` +
      (this.cause?.message ??
        `Allow more time (AIRFLOW_RESOURCE_ACQUIRE_TIMEOUT) or more deployments (AIRFLOW_RESOURCE_MAX).`)
  }
  readonly retryable = true
}

/**
 * The ticket ended before it was granted: its process stopped polling for too long, or its key was used before.
 *
 * @since 0.1.0
 * @category errors
 */
export class TicketEnded extends Schema.TaggedError<TicketEnded>("@airflow-resource/core/TicketEnded")("TicketEnded", {
  key: Schema.String
}) {
  override get message(): string {
    return `The ticket ${this.key} has ended: its process was paused for too long, or the key was used before. ` +
      `Request a lease again, under a new key.`
  }
  readonly retryable = true
}

/**
 * A deployment did not become healthy in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeploymentNotHealthy
  extends Schema.TaggedError<DeploymentNotHealthy>("@airflow-resource/core/DeploymentNotHealthy")(
    "DeploymentNotHealthy",
    {
      name: Schema.String,
      status: Schema.String,
      waited: Schema.DurationFromSelf,
      uiUrl: Schema.String,
      /** Why it is not going to be, if the provider knows. */
      problem: Schema.optional(Schema.String)
    }
  )
{
  override get message(): string {
    if (this.problem !== undefined) return `The deployment ${this.name} is ${this.status}: ${this.problem}`
    return `The deployment ${this.name} is still ${this.status} after ${Duration.format(this.waited)}. ` +
      `Check it at ${this.uiUrl}, or allow more time (AIRFLOW_RESOURCE_HEALTHY_TIMEOUT).`
  }
  readonly retryable = true
}

/**
 * A deployment could not be emptied, and neither could the new one that was created in its place.
 *
 * @since 0.1.0
 * @category errors
 */
export class SlotNotClean extends Schema.TaggedError<SlotNotClean>("@airflow-resource/core/SlotNotClean")(
  "SlotNotClean",
  { name: Schema.String, leftovers: Schema.Array(Schema.String) }
) {
  override get message(): string {
    return `The deployment ${this.name} could not be emptied; it still has: ${this.leftovers.join(", ")}. ` +
      `If a program outside the pool writes to it, stop that. If they are part of its image, keep them (AIRFLOW_RESOURCE_KEEP).`
  }
  readonly retryable = false
}

/**
 * @since 0.1.0
 * @category errors
 */
export type PoolError =
  | ProviderError
  | CacheError
  | LeaseLost
  | AirflowApiError
  | AirflowNotReady
  | AcquireTimeout
  | TicketEnded
  | DeploymentNotHealthy
  | SlotNotClean
