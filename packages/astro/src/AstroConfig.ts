/**
 * The variables of this package.
 *
 * @since 0.1.0
 */
import type { DeploymentSpec } from "@airflow-resource/core/Deployment"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"

/**
 * An account on Astro.
 *
 * @since 0.1.0
 * @category models
 */
export interface AstroConfig {
  /** Without the version: `https://api.astronomer.io`. */
  readonly apiUrl: string
  readonly token: Redacted.Redacted
  readonly workspaceId: string
  /** Found out where it is not given. */
  readonly organizationId: Option.Option<string>
  /** What another process of this run has found out (see `AstroAccount`), so that this one need not. */
  readonly checked?: Option.Option<string> | undefined
  /** Default: what keeps below Astro's own limits. */
  readonly rates?: Rates | undefined
}

/**
 * How many requests with one token a process sends in a second; as many may come at once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rates {
  readonly get: number
  readonly post: number
  readonly delete: number
}

/**
 * The variable by which the processes of a run get to know that the account was checked.
 *
 * @since 0.1.0
 * @category config
 */
export const accountVariable = "AIRFLOW_RESOURCE_ACCOUNT"

// a variable that is set to nothing counts as not set
const text = (name: string) => Config.nonEmptyString(name)

/**
 * @example
 * ```ts
 * import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
 * import * as Effect from "effect/Effect"
 *
 * export const workspace = Effect.map(AstroConfig.config, (config) => config.workspaceId)
 * ```
 *
 * @since 0.1.0
 * @category config
 */
export const config: Config.Config<AstroConfig> = Config.all({
  apiUrl: Config.withDefault(text("ASTRO_API_URL"), "https://api.astronomer.io"),
  // tried the other way round, the message would ask for the wrong one
  token: Config.redacted(text("ASTRO_API_TOKEN")).pipe(
    Config.option,
    Config.zip(Config.option(Config.redacted(text("ASTRO_ACCESS_TOKEN")))),
    Config.mapOrFail(([apiToken, accessToken]) =>
      Either.fromOption(Option.orElse(accessToken, () => apiToken), missing)
    )
  ),
  workspaceId: text("ASTRO_WORKSPACE_ID"),
  organizationId: Config.option(text("ASTRO_ORGANIZATION_ID")),
  checked: Config.option(text(accountVariable))
})

/**
 * The astro CLI's path, where it is not to be looked for.
 *
 * @since 0.1.0
 * @category config
 */
export const bin: Config.Config<Option.Option<string>> = Config.option(text("ASTRO_BIN"))

/**
 * The make of deployment that a lease gets by default.
 *
 * @since 0.1.0
 * @category config
 */
export const spec: Config.Config<DeploymentSpec> = Config.all({
  runtimeVersion: Config.withDefault(text("ASTRO_RUNTIME_VERSION"), "13.1.0"),
  cloudProvider: Config.literal("aws", "gcp", "azure")("ASTRO_CLOUD_PROVIDER"),
  region: text("ASTRO_REGION")
})

/**
 * What each variable is, in one sentence.
 *
 * @since 0.1.0
 * @category config
 */
export const variables: Readonly<Record<string, string>> = {
  ASTRO_WORKSPACE_ID: "the workspace in which deployments are made: Astro's UI, Workspace Settings, ID",
  ASTRO_ACCESS_TOKEN: "a token for Astro, from https://cloud.astronomer.io/token or a Workspace API token; " +
    "with Workspace Owner rights each lease gets a token of its own",
  ASTRO_API_TOKEN: "a token that is used for Astro and, as it is, for every lease's Airflow",
  ASTRO_CLOUD_PROVIDER: "the cloud in which deployments run: aws, gcp or azure",
  ASTRO_REGION: "the region in which deployments run, as Astro names it: us-east-1, for one",
  ASTRO_RUNTIME_VERSION: "the Astro Runtime that deployments get; 13.1.0 by default",
  ASTRO_ORGANIZATION_ID: "the organization, where the token sees several: Astro's UI, Organization Settings, ID",
  ASTRO_BIN: "the path of the astro CLI; by default the first `astro` on the PATH",
  ASTRO_API_URL: "where Astro's API is; https://api.astronomer.io by default"
}

// internal

const missing = () =>
  ConfigError.MissingData(["ASTRO_ACCESS_TOKEN"], "Expected ASTRO_ACCESS_TOKEN (or ASTRO_API_TOKEN) to be set")
