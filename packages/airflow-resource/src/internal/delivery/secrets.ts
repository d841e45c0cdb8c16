/** Delivery by a GitHub workflow that reads the repository's secrets. */
import * as GithubConfig from "@airflow-resource/github/GithubConfig"
import * as GithubRepository from "@airflow-resource/github/GithubRepository"
import * as GithubSecrets from "@airflow-resource/github/GithubSecrets"
import * as SecretsDelivery from "@airflow-resource/github/SecretsDelivery"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Http from "../../Http.js"
import * as Verdict from "../doctor/verdict.js"
import type { DeliveryDefinition } from "./definition.js"

/** Points the repository's secrets at the leased deployment. Its workflow deploys there. */
export interface Secrets extends GithubConfig.GithubConfig {
  readonly _tag: "Secrets"
}

export const secrets: DeliveryDefinition<Secrets> = {
  tag: "Secrets",
  title: "secrets of the GitHub repository",
  variables: GithubConfig.variables,
  config: () => Config.map(GithubConfig.config, (github) => ({ _tag: "Secrets", ...github })),
  layer: (github) => layerOf(github),
  checks: () => ({ GitHub: Verdict.given(GithubConfig.config, check) })
}

/** The same for the provider's own repository, whose address and token are not known before the provider runs. */
export interface EmulatedSecrets {
  readonly _tag: "EmulatedSecrets"
}

export const emulatedSecrets: DeliveryDefinition<EmulatedSecrets> = {
  tag: "EmulatedSecrets",
  title: "secrets of the emulated repository",
  variables: {},
  config: () => Config.succeed({ _tag: "EmulatedSecrets" }),
  layer: (_, { github }) =>
    github === undefined ? Layer.die("this provider has no repository of its own") : layerOf(github),
  checks: () => ({})
}

/** Whether the repository's secrets could be written. Writes nothing. */
export const check = ({ apiUrl, repository: text, token }: GithubConfig.GithubConfig) =>
  Effect.gen(function*() {
    const repository = yield* GithubRepository.parse(text)
    const url = yield* GithubRepository.apiUrl(repository, Option.getOrUndefined(apiUrl))
    const secrets = yield* GithubSecrets.make({ token, apiUrl: url, timeout: "10 seconds", fetch: yield* Http.fetch })
    const { fullName } = yield* secrets.check(repository)
    return Verdict.pass(`${fullName}; the token can write its secrets`)
  }).pipe(
    Effect.scoped,
    Effect.catchAll((error) =>
      Effect.succeed(
        error._tag === "RepositoryInvalid" ? Verdict.fail(error.problem, error.remedy) : Verdict.failed(error)
      )
    )
  )

const layerOf = (github: GithubConfig.GithubConfig) =>
  Layer.unwrapScoped(Effect.gen(function*() {
    const repository = yield* GithubRepository.parse(github.repository)
    const apiUrl = yield* GithubRepository.apiUrl(repository, Option.getOrUndefined(github.apiUrl))
    return SecretsDelivery.layer({ repository }).pipe(
      Layer.provide(GithubSecrets.layer({ token: github.token, apiUrl, fetch: yield* Http.fetch }))
    )
  }))
