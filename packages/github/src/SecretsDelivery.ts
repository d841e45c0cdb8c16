/**
 * Delivery by repository secrets: a push to the DAG repository deploys to the deployment that its secrets name. They name one
 * at a time, so leases that share a repository take turns.
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
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly repository: GithubRepository.GithubRepository
}

/**
 * Holds the repository's lock as long as the delivery's scope is open, and writes `ASTRO_DEPLOYMENT_ID`,
 * `ASTRO_DEPLOYMENT_NAME` and `ASTRO_ACCESS_TOKEN`, which is the lease's own token. The secrets stay as they are when the
 * scope closes: by then that token is worth nothing.
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

      const deliver = Effect.fn("SecretsDelivery.deliver")(function*(target: Target) {
        // before the queue: nobody should wait for a lock to learn that the token is wrong
        const { fullName } = yield* Effect.mapError(secrets.check(options.repository), fromGithub)
        // a repository has one lock, whatever case or former name it was asked for by
        const name = `github:${options.repository.host}/${fullName}`.toLowerCase()
        const lock = yield* Effect.mapError(
          cache.lock(name, { holderId: target.leaseId, label: target.label, onWait: target.onWait }),
          fromCache
        )
        // a holder that lost its lock stops writing: the secrets are another's by now
        yield* Effect.raceFirst(secrets.put(options.repository, secretsOf(target)), lock.lost).pipe(
          Effect.mapError((error) => error._tag === "LeaseLost" ? fromLoss(error) : fromGithub(error))
        )
        return { lost: lock.lost }
      })
      return DagDelivery.of({ deliver })
    })
  )

/**
 * As the environment says: see `GithubConfig`.
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
  // refused here, at the start, rather than at the first delivery
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

const locking = "take the repository's lock"

const fromCache = (error: CacheError): DeliveryError =>
  new DeliveryError({
    kind: error.retryable ? "busy" : "cache",
    operation: locking,
    detail: error.message.replace(/\.$/, ""),
    remedy: "Repair the cache, then run the test again."
  })

const fromLoss = (error: LeaseLost): DeliveryError =>
  new DeliveryError({
    kind: "busy",
    operation: locking,
    detail: `${error.held} was lost while the secrets were written: ${error.reason}`,
    remedy: "Run the test again."
  })
