/**
 * Delivers DAGs by a deploy to Astro: without a repository or a workflow.
 *
 * @since 0.1.0
 */
import { DagDelivery, DeliveryError, type Target } from "@airflow-resource/core/DagDelivery"
import type { DeploymentId } from "@airflow-resource/core/Deployment"
import { DeploymentProvider, type ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as PinnedClock from "@airflow-resource/core/PinnedClock"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { AstroCli } from "./AstroCli.js"
import type { AstroCliError } from "./AstroCliError.js"
import type { AstroConfig } from "./AstroConfig.js"
import { type DagFolderUnusable, openForDelivery } from "./internal/dagFolder.js"
import * as Deploy from "./internal/deploy.js"

/**
 * Delivers the DAGs of a folder to each lease's deployment by `astro deploy --dags`, with the lease's own token. A delivery
 * succeeds once Astro reports that the DAGs are live. Each delivery is a span, `AstroDelivery.deliver`.
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
    Effect.flatMap(AstroCli, ({ deployDags }) =>
      make(dags, ({ accessToken, deploymentId }, organizationId) =>
        deployDags({ deploymentId, organizationId, token: accessToken, dags })))
  )

/**
 * Delivers like {@link layer}, but through Astro's API, without the astro CLI.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerApi = (
  { apiUrl, dags, rates }: Pick<AstroConfig, "apiUrl" | "rates"> & { readonly dags: string }
): Layer.Layer<DagDelivery, never, DeploymentProvider | HttpClient.HttpClient> =>
  Layer.effect(
    DagDelivery,
    Effect.gen(function*() {
      const http = yield* HttpClient.HttpClient
      return yield* make(dags, ({ accessToken, deploymentId }, organizationId) =>
        Deploy.dags({ apiUrl, rates, token: accessToken, organizationId, deploymentId, dags }).pipe(
          Effect.scoped,
          Effect.provideService(HttpClient.HttpClient, http)
        ))
    })
  )

// internal

type DeployError = AstroCliError | ProviderError | DagFolderUnusable

/** `deploy` returns the version of the DAGs that it deployed. */
const make = (
  dags: string,
  deploy: (target: Target, organizationId: string) => Effect.Effect<string, DeployError>
): Effect.Effect<typeof DagDelivery.Service, never, DeploymentProvider> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    const provider = yield* DeploymentProvider
    return DagDelivery.of({
      lock: Effect.succeedNone,
      deliver: (target) =>
        pin(
          Effect.gen(function*() {
            yield* openForDelivery(dags)
            const { organizationId } = yield* provider.ready
            yield* target.onWait("the DAGs are being deployed")
            const version = yield* deploy(target, organizationId)
            yield* awaitLive(provider, target.deploymentId, version)
          }).pipe(
            Effect.mapError((error) => error._tag === "DeliveryError" ? error : toDeliveryError(error)),
            Effect.withSpan("AstroDelivery.deliver", {
              attributes: {
                "deployment.id": target.deploymentId,
                "deployment.name": target.deploymentName,
                "dag.folder": dags,
                "lease.id": target.leaseId
              }
            })
          )
        )
    })
  })

const rolloutTimeout = Duration.minutes(5)

const awaitLive = (provider: typeof DeploymentProvider.Service, id: DeploymentId, version: string) =>
  provider.get(id).pipe(
    // without a span for each poll
    Effect.withTracerEnabled(false),
    Effect.repeat({
      until: ({ dagVersion }) => dagVersion === version,
      schedule: Schedule.union(Schedule.exponential("250 millis"), Schedule.spaced("5 seconds"))
    }),
    Effect.timeoutFail({
      duration: rolloutTimeout,
      onTimeout: () =>
        new DeliveryError({
          kind: "timeout",
          operation,
          detail: `they were uploaded, but were not live ${Duration.format(rolloutTimeout)} later`,
          remedy: "Try again. If it happens again, see Deploy History on the deployment's page."
        })
    })
  )

const operation = "deploy the DAGs"

const toDeliveryError = ({ detail, kind, remedy }: DeployError) =>
  new DeliveryError({ kind: kinds[kind] ?? "invalid", operation, detail, remedy })

const kinds: Partial<Record<DeployError["kind"], DeliveryError["kind"]>> = {
  notLoggedIn: "unauthorized",
  tokenExpired: "unauthorized",
  unauthorized: "unauthorized",
  forbidden: "forbidden",
  notFound: "notFound",
  rateLimited: "rateLimited",
  unreachable: "unreachable",
  hangs: "timeout",
  timeout: "timeout",
  server: "server",
  notJson: "server",
  crashed: "undecodable",
  undecodable: "undecodable"
}
