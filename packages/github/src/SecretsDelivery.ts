/**
 * Delivery by repository secrets: a push to the DAG repository deploys to the deployment that its secrets name. They can name only one
 * deployment, so leases that share a repository take turns.
 *
 * @since 0.1.0
 */
import type { CacheError } from "@airflow-resource/core/CacheError"
import type { Target } from "@airflow-resource/core/DagDelivery"
import { DagDelivery, DeliveryError } from "@airflow-resource/core/DagDelivery"
import { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import type { LeaseLost } from "@airflow-resource/core/Lease"
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
 * Takes the repository's lock, holds it until the delivery's scope closes, and writes the secrets `ASTRO_DEPLOYMENT_ID`,
 * `ASTRO_DEPLOYMENT_NAME` and `ASTRO_ACCESS_TOKEN` (the lease's own token). The secrets are not deleted afterwards: the token is revoked
 * when the lease ends.
 *
 * @example
 * ```ts
 * import * as DeploymentCache from "@airflow-resource/core/DeploymentCache"
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
 * ).pipe(
 *   Layer.provide(GithubSecrets.layer({ token: Redacted.make("github_pat_…") })),
 *   Layer.provide(DeploymentCache.layerMemory)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<DagDelivery, never, GithubSecrets.GithubSecrets | DeploymentCache> =>
  Layer.effect(
    DagDelivery,
    Effect.gen(function*() {
      const cache = yield* DeploymentCache
      const secrets = yield* GithubSecrets.GithubSecrets

      const deliver = Effect.fnUntraced(function*(target: Target) {
        // before the queue for the lock: a wrong token is reported without a wait
        const { fullName } = yield* Effect.mapError(secrets.check(options.repository), fromGithub)
        // one lock for a repository, whichever spelling or former name was requested
        const name = `github:${options.repository.host}/${fullName}`.toLowerCase()
        const lock = yield* Effect.mapError(
          cache.lock(name, { holderId: target.leaseId, label: target.label, onWait: target.onWait }),
          fromCache
        )
        // stop writing once the lock is lost: the secrets belong to the next holder
        yield* Effect.raceFirst(secrets.put(options.repository, secretsOf(target)), lock.lost).pipe(
          Effect.mapError((error) => error._tag === "LeaseLost" ? fromLoss(error) : fromGithub(error))
        )
        return { lost: lock.lost }
      })
      return DagDelivery.of({
        deliver: (target) =>
          Effect.withSpan(deliver(target), "SecretsDelivery.deliver", {
            attributes: {
              "deployment.id": target.deploymentId,
              "deployment.name": target.deploymentName,
              "github.repository": options.repository.fullName,
              "lease.id": target.leaseId
            }
          })
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
  ConfigError.ConfigError | GithubRepository.RepositoryInvalid,
  DeploymentCache
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

const fromGithub = ({ detail, kind, operation, remedy, status }: GithubError): DeliveryError =>
  new DeliveryError({ kind, operation, detail, remedy, ...(status === undefined ? {} : { status }) })

const lockOperation = "take the repository's lock"

const fromCache = (error: CacheError): DeliveryError =>
  new DeliveryError({
    kind: error.retryable ? "busy" : "cache",
    operation: lockOperation,
    detail: error.message.replace(/\.$/, ""),
    remedy: "Repair the ledger, then run the test again."
  })

const fromLoss = (error: LeaseLost): DeliveryError =>
  new DeliveryError({
    kind: "busy",
    operation: lockOperation,
    detail: `${error.held} was lost while the secrets were written: ${error.reason}`,
    remedy: "Run the test again."
  })
