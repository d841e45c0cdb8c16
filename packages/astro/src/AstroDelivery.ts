/**
 * Delivers DAGs by a deploy of Astro's own: no repository, no workflow.
 *
 * @since 0.1.0
 */
import { DagDelivery, DeliveryError } from "@airflow-resource/core/DagDelivery"
import { DeploymentProvider, type ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AstroCli, type AstroCliError } from "./AstroCli.js"

/**
 * Each lease gets the DAGs of a folder, put there with the lease's own token by `astro deploy --dags`.
 *
 * @example
 * ```ts
 * import * as AstroDelivery from "@airflow-resource/astro/AstroDelivery"
 *
 * export const delivery = AstroDelivery.layer({ dags: "/home/me/project/dags" })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  { dags }: { readonly dags: string }
): Layer.Layer<DagDelivery, never, AstroCli | DeploymentProvider> =>
  Layer.effect(
    DagDelivery,
    Effect.gen(function*() {
      const { deployDags } = yield* AstroCli
      const { ready } = yield* DeploymentProvider
      return DagDelivery.of({
        deliver: ({ accessToken, deploymentId, onWait }) =>
          Effect.gen(function*() {
            const { organizationId } = yield* ready
            yield* onWait("the DAGs are being deployed")
            yield* deployDags({ deploymentId, organizationId, token: accessToken, dags })
            return { lost: Effect.never }
          }).pipe(Effect.mapError(toDeliveryError))
      })
    })
  )

// internal

const toDeliveryError = ({ detail, kind, remedy }: AstroCliError | ProviderError) =>
  new DeliveryError({ kind: kinds[kind] ?? "invalid", operation: "deploy the DAGs", detail, remedy })

const kinds: Partial<Record<AstroCliError["kind"] | ProviderError["kind"], DeliveryError["kind"]>> = {
  notLoggedIn: "unauthorized",
  tokenExpired: "unauthorized",
  unauthorized: "unauthorized",
  forbidden: "forbidden",
  rateLimited: "rateLimited",
  unreachable: "unreachable",
  hangs: "timeout",
  timeout: "timeout",
  server: "server",
  notJson: "server",
  crashed: "undecodable",
  undecodable: "undecodable"
}
