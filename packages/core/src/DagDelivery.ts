/**
 * How DAG code reaches the leased deployment.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { DeploymentId } from "./Deployment.js"
import * as ErrorFields from "./ErrorFields.js"
import type { RequestedLock } from "./LeasedSlot.js"

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
  /** Called with what the delivery is waiting for. */
  readonly onWait: (reason: string) => Effect.Effect<void>
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
      "undecodable"
    ),
    ...ErrorFields.fields,
    ...ErrorFields.responseFields
  }
) {
  override get message(): string {
    return ErrorFields.message(this)
  }
  get retryable(): boolean {
    return ["rateLimited", "unreachable", "timeout", "server"].includes(this.kind)
  }
}

/**
 * @since 0.1.0
 * @category tags
 */
export class DagDelivery extends Context.Tag("@airflow-resource/core/DagDelivery")<
  DagDelivery,
  {
    /** The lock that leases need for their deliveries, if they have to take turns. It is granted together with a deployment. */
    readonly lock: Effect.Effect<Option.Option<RequestedLock>, DeliveryError>
    /** Delivers DAGs to the deployment until the scope closes. */
    readonly deliver: (target: Target) => Effect.Effect<void, DeliveryError, Scope.Scope>
  }
>() {}

/**
 * Delivers nothing: the deployment keeps the DAGs it has.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerNone: Layer.Layer<DagDelivery> = Layer.succeed(DagDelivery, {
  lock: Effect.succeedNone,
  deliver: () => Effect.void
})
