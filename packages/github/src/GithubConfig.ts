/**
 * The environment variables that this package reads.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import type * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

/**
 * A repository, and a token that may write its secrets.
 *
 * @since 0.1.0
 * @category models
 */
export interface GithubConfig {
  readonly token: Redacted.Redacted
  /** As the user wrote it. `GithubRepository.parse` understands it. */
  readonly repository: string
  /** Where GitHub's API is. `None`: the public API of github.com. */
  readonly apiUrl: Option.Option<string>
}

/**
 * Each variable with its meaning, which completes the sentence "It is …".
 *
 * @since 0.1.0
 * @category config
 */
export const variables = {
  AIRFLOW_GITHUB_TOKEN: {
    meaning:
      "a GitHub token that may write the repository's secrets (fine-grained: Secrets, read and write; classic: repo)"
  },
  AIRFLOW_REPO: { meaning: "the repository that holds the DAGs, such as https://github.com/my-org/my-dags" },
  GITHUB_API_URL: { meaning: "the URL of GitHub's API, for a repository that is not on github.com" }
} as const

// a blank variable counts as not set
const text = (name: keyof typeof variables): Config.Config<string> =>
  Config.nested(
    Config.mapOrFail(Config.string(), (value) =>
      value.trim() === ""
        ? Either.left(ConfigError.MissingData([], `Expected ${name} not to be blank`))
        : Either.right(value.trim())),
    name
  )

/**
 * Reads the variables.
 *
 * @example
 * ```ts
 * import * as GithubConfig from "@airflow-resource/github/GithubConfig"
 * import * as Effect from "effect/Effect"
 *
 * export const repository = Effect.map(GithubConfig.config, (config) => config.repository)
 * ```
 *
 * @since 0.1.0
 * @category config
 */
export const config: Config.Config<GithubConfig> = Config.all({
  // not inside `Config.redacted`, which would redact the reason too; what a header cannot contain would look like a broken network
  token: Config.mapOrFail(text("AIRFLOW_GITHUB_TOKEN"), (value) =>
    /^[!#-&(-~]+$/.test(value)
      ? Either.right(Redacted.make(value))
      : Either.left(ConfigError.InvalidData([], "expected a token alone, without quotes, spaces or line breaks"))),
  repository: text("AIRFLOW_REPO"),
  apiUrl: Config.option(text("GITHUB_API_URL"))
})
