/**
 * The variables of this package.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"

/**
 * @since 0.1.0
 * @category models
 */
export interface GithubConfig {
  readonly token: Redacted.Redacted
  /** As it was given; `GithubRepository.parse` reads it. */
  readonly repository: string
  /** The repository's folder that holds the DAGs. */
  readonly dagPath: string
  readonly apiUrl: Option.Option<string>
}

// a variable that is set to nothing counts as not set
const text = (name: string): Config.Config<string> =>
  Config.mapOrFail(Config.string(name), (value) =>
    value.trim() === ""
      ? Either.left(ConfigError.MissingData([name], `Expected ${name} not to be empty`))
      : Either.right(value.trim()))

/**
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
  token: Config.redacted(text("AIRFLOW_GITHUB_TOKEN")),
  repository: text("AIRFLOW_REPO"),
  dagPath: text("AIRFLOW_DAG_PATH").pipe(Config.withDefault("dags")),
  apiUrl: Config.option(text("GITHUB_API_URL"))
})

/**
 * What each variable is, in one sentence.
 *
 * @since 0.1.0
 * @category config
 */
export const variables: Readonly<Record<string, string>> = {
  AIRFLOW_GITHUB_TOKEN:
    "a GitHub token that may write the repository's secrets (fine-grained: Secrets, read and write; " +
    "classic: repo)",
  AIRFLOW_REPO: "the repository that holds the DAGs, such as https://github.com/my-org/my-dags",
  AIRFLOW_DAG_PATH: "the folder of the repository that holds the DAGs; dags by default",
  GITHUB_API_URL: "where GitHub's API is, for a repository that is not on github.com"
}
