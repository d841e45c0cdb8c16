/**
 * Delivery by repository secrets: a push to the DAG repository deploys to the deployment that its secrets name. They can name only one
 * deployment, so leases that share a repository take turns.
 *
 * @since 0.1.0
 */
import type { Target } from "@airflow-resource/core/DagDelivery"
import { DagDelivery, DeliveryError } from "@airflow-resource/core/DagDelivery"
import type * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as GithubConfig from "./GithubConfig.js"
import type { GithubError } from "./GithubError.js"
import * as GithubRepository from "./GithubRepository.js"
import * as GithubSecrets from "./GithubSecrets.js"

/**
 * What the layer needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly repository: GithubRepository.GithubRepository
}

/**
 * Writes the secrets `ASTRO_DEPLOYMENT_ID`, `ASTRO_DEPLOYMENT_NAME` and `ASTRO_ACCESS_TOKEN` (the lease's own token) under the
 * repository's lock. The secrets are not deleted afterwards: the token is revoked when the lease ends.
 *
 * @example
 * ```ts
 * import * as GithubRepository from "@airflow-resource/github/GithubRepository"
 * import * as GithubSecrets from "@airflow-resource/github/GithubSecrets"
 * import * as SecretsDelivery from "@airflow-resource/github/SecretsDelivery"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * export const delivery = Layer.unwrapEffect(
 *   Effect.map(
 *     GithubRepository.parse("my-org/my-dags"),
 *     (repository) => SecretsDelivery.layer({ repository })
 *   )
 * ).pipe(Layer.provide(GithubSecrets.layer({ token: Redacted.make("github_pat_…") })))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<DagDelivery, never, GithubSecrets.GithubSecrets> =>
  Layer.effect(
    DagDelivery,
    Effect.gen(function*() {
      const secrets = yield* GithubSecrets.GithubSecrets
      const { repository } = options
      return DagDelivery.of({
        // before the queue: a wrong token is reported without a wait
        lock: Effect.map(secrets.check(repository), ({ fullName }) =>
          Option.some({
            // one lock for a repository, whichever spelling or former name was requested
            name: `github:${repository.host}/${fullName}`.toLowerCase(),
            advice: "with the delivery `secrets`, leases of one repository take turns: " +
              "set AIRFLOW_RESOURCE_DELIVERY=astro to run them in parallel"
          })).pipe(
            Effect.mapError(fromGithub)
          ),
        deliver: (target) =>
          Effect.withSpan(
            Effect.mapError(secrets.put(repository, secretsOf(target)), fromGithub),
            "SecretsDelivery.deliver",
            {
              attributes: {
                "deployment.id": target.deploymentId,
                "deployment.name": target.deploymentName,
                "github.repository": repository.fullName,
                "lease.id": target.leaseId
              }
            }
          )
      })
    })
  )

/**
 * Configured by environment variables: see `GithubConfig`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv: Layer.Layer<
  DagDelivery,
  ConfigError.ConfigError | GithubRepository.RepositoryInvalid
> = Layer.unwrapEffect(Effect.gen(function*() {
  const { apiUrl, repository: text, token } = yield* GithubConfig.config
  const repository = yield* GithubRepository.parse(text)
  const explicit = Option.getOrUndefined(apiUrl)
  // fails when the layer is built, not at the first delivery
  yield* GithubRepository.apiUrl(repository, explicit)
  return Layer.provide(layer({ repository }), GithubSecrets.layer({ token, apiUrl: explicit }))
}))

// internal

const secretsOf = (target: Target): Record<string, Redacted.Redacted> => ({
  ASTRO_DEPLOYMENT_ID: Redacted.make(target.deploymentId),
  ASTRO_DEPLOYMENT_NAME: Redacted.make(target.deploymentName),
  ASTRO_ACCESS_TOKEN: target.accessToken
})

const fromGithub = ({ detail, kind, operation, remedy, requestId, retryAfter, status }: GithubError): DeliveryError =>
  new DeliveryError({ kind, operation, detail, remedy, requestId, retryAfter, status })
