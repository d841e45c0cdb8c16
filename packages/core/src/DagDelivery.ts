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
import * as ErrorFields from "./ErrorFields.js"
import type { LeaseLost } from "./Lease.js"

/**
 * The deployment that DAGs are delivered to, and the lease that they are delivered for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly deploymentId: DeploymentId
  readonly deploymentName: string
  /** The lease's token. If it is the lease's own, revoking it also stops deploys that use it. */
  readonly accessToken: Redacted.Redacted
  readonly leaseId: string
  /** The test's file and name, shown to processes that wait for the delivery. */
  readonly label: string
  /** Called with what the delivery is waiting for. */
  readonly onWait: (reason: string) => Effect.Effect<void>
}

/**
 * A delivery that lasts until its scope closes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Delivery {
  /** Never succeeds; fails when the delivery is lost, for example with the lock on its repository. */
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
    ...ErrorFields.fields
  }
) {
  override get message(): string {
    return ErrorFields.message(this)
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
    /** Delivers DAGs to the deployment until the scope closes. */
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
