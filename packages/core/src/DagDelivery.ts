/**
 * How DAG code reaches the leased deployment.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { DeploymentId } from "./Deployment.js"
import type { LeaseLost } from "./Lease.js"

/**
 * What is being delivered to, and for whom.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly deploymentId: DeploymentId
  readonly deploymentName: string
  /** The lease's own token, which fences the repository's deploys too. */
  readonly accessToken: Redacted.Redacted
  readonly leaseId: string
  /** For whom: the test's file and name, shown to those who wait. */
  readonly label: string
  /** Called with what is being waited for. */
  readonly onWait: (reason: string) => Effect.Effect<void>
}

/**
 * A delivery that is in force until its scope closes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Delivery {
  /** Never succeeds; fails when what the delivery relies on was lost. */
  readonly lost: Effect.Effect<never, LeaseLost>
}

/**
 * @since 0.1.0
 * @category errors
 */
export class DeliveryError extends Schema.TaggedError<DeliveryError>("@airflow-resource/core/DeliveryError")(
  "DeliveryError",
  {
    kind: Schema.Literal(
      "unauthorized",
      "forbidden",
      "notFound",
      "invalid",
      "staleKey",
      "rateLimited",
      "unreachable",
      "timeout",
      "server",
      "undecodable",
      "busy",
      "cache"
    ),
    operation: Schema.String,
    detail: Schema.String,
    remedy: Schema.String,
    status: Schema.optional(Schema.Number)
  }
) {
  override get message(): string {
    return `Could not ${this.operation}: ${this.detail}. ${this.remedy}`
  }
  get retryable(): boolean {
    return ["rateLimited", "unreachable", "timeout", "server", "busy"].includes(this.kind)
  }
}

/**
 * @since 0.1.0
 * @category tags
 */
export class DagDelivery extends Context.Tag("@airflow-resource/core/DagDelivery")<
  DagDelivery,
  {
    /** Makes the way from the repository to the deployment; closing the scope ends it. */
    readonly deliver: (target: Target) => Effect.Effect<Delivery, DeliveryError, Scope.Scope>
  }
>() {}

/**
 * Delivers nothing: the deployment keeps the DAGs it has.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerNone: Layer.Layer<DagDelivery> = Layer.succeed(DagDelivery, {
  deliver: () => Effect.succeed({ lost: Effect.never })
})
