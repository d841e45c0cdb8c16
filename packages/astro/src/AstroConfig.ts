/**
 * The environment variables that this package reads.
 *
 * @since 0.1.0
 */
import type { DeploymentSpec } from "@airflow-resource/core/Deployment"
import * as Array from "effect/Array"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

/**
 * An account on Astro: an API, a token, and the workspace in which deployments are created.
 *
 * @since 0.1.0
 * @category models
 */
export interface AstroConfig {
  /** Without the version: `https://api.astronomer.io`. */
  readonly apiUrl: string
  readonly token: Redacted.Redacted
  readonly workspaceId: string
  /** `None`: the first organization that the token sees. */
  readonly organizationId: Option.Option<string>
  /** The result of a check of this account by another process of the same run (see `AstroAccount`), which saves checking again. */
  readonly checked?: Option.Option<string> | undefined
  /** Default: {@link defaults}. */
  readonly rates?: Rates | undefined
}

/**
 * How many requests per second a process sends with one token, at most. Also the size of a burst.
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
 * The defaults of the variables, and of {@link AstroConfig}.
 *
 * @since 0.1.0
 * @category config
 */
export const defaults = {
  apiUrl: "https://api.astronomer.io",
  runtimeVersion: "13.1.0",
  /**
   * Less than half of Astro's limits for a token, which are 25, 10 and 5 requests per second: a burst, followed by as many requests
   * within the next second, stays below them.
   */
  rates: { get: 12, post: 4, delete: 2 }
} as const

/**
 * Each variable with its default, if it has one, and its meaning, which completes the sentence "It is …".
 *
 * @since 0.1.0
 * @category config
 */
export const variables = {
  ASTRO_WORKSPACE_ID: {
    meaning: "the workspace in which deployments are created (Astro's UI, Workspace Settings, ID)"
  },
  ASTRO_ACCESS_TOKEN: {
    meaning: "a token for Astro, from https://cloud.astronomer.io/token or a Workspace API token; " +
      "with Workspace Owner rights each lease gets a token of its own"
  },
  ASTRO_API_TOKEN: {
    meaning: "takes the place of ASTRO_ACCESS_TOKEN if that is not set; leases without a token of their own share it"
  },
  ASTRO_CLOUD_PROVIDER: {
    meaning: "the cloud in which deployments run: aws, gcp or azure",
    values: ["aws", "gcp", "azure"]
  },
  ASTRO_REGION: { meaning: "the region in which deployments run, as Astro names it, such as us-east-1" },
  ASTRO_RUNTIME_VERSION: { meaning: "the Astro Runtime of the deployments", default: defaults.runtimeVersion },
  ASTRO_ORGANIZATION_ID: {
    meaning: "the organization, if the token sees more than one (Astro's UI, Organization Settings, ID)"
  },
  ASTRO_BIN: { meaning: "the path of the astro CLI, if it is not the first `astro` on the PATH" },
  ASTRO_API_URL: { meaning: "the URL of Astro's API", default: defaults.apiUrl }
} as const

/**
 * Variables that the library sets for its own processes. Users do not set them.
 *
 * @since 0.1.0
 * @category config
 */
export const internalVariables = {
  AIRFLOW_RESOURCE_ACCOUNT: { meaning: "the result of a check of the Astro account, for the other processes of a run" }
} as const

/**
 * The variable that passes the result of the account's check to the other processes of a run.
 *
 * @since 0.1.0
 * @category config
 */
export const accountVariable = "AIRFLOW_RESOURCE_ACCOUNT" satisfies keyof typeof internalVariables

// a blank variable counts as not set
const text = (name: keyof typeof variables | keyof typeof internalVariables): Config.Config<string> =>
  Config.nested(
    Config.mapOrFail(Config.string(), (value) =>
      value.trim() === ""
        ? Either.left(ConfigError.MissingData([], `Expected ${name} not to be blank`))
        : Either.right(value.trim())),
    name
  )

/** Without the value. What a header cannot contain would look like a broken network. */
const token = (name: "ASTRO_ACCESS_TOKEN" | "ASTRO_API_TOKEN") =>
  // not inside `Config.redacted`, which would redact the reason too
  Config.mapOrFail(text(name), (value) =>
    /^[!#-&(-~]+$/.test(value)
      ? Either.right(Redacted.make(value))
      : Either.left(ConfigError.InvalidData([], "expected a token alone, without quotes, spaces or line breaks")))

/**
 * A token that leases without a token of their own use for their Airflows. Takes the place of `ASTRO_ACCESS_TOKEN` if that is not set.
 *
 * @since 0.1.0
 * @category config
 */
export const apiToken: Config.Config<Option.Option<Redacted.Redacted>> = Config.option(
  token("ASTRO_API_TOKEN")
)

/** The token is sent there. */
const safeUrl =
  /^(https:\/\/[a-z0-9][a-z0-9.-]*|http:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\]))(:\d{1,5})?(\/[a-z0-9._~/-]*)?$/i

// without the value, which may contain credentials
const badUrl =
  `expected a plain https URL (no credentials, query or fragment), such as ${defaults.apiUrl}; http is allowed for loopback only`

const access = {
  apiUrl: Config.withDefault(
    Config.mapOrFail(text("ASTRO_API_URL"), (url) =>
      safeUrl.test(url) && URL.canParse(url)
        ? Either.right(url.replace(/\/+$/, "").replace(/\/v1$/, ""))
        : Either.left(ConfigError.InvalidData([], badUrl))),
    defaults.apiUrl
  ),
  // `Config.orElse` would report the wrong variable as missing
  token: Config.option(token("ASTRO_ACCESS_TOKEN")).pipe(
    Config.zip(apiToken),
    Config.mapOrFail(([accessToken, apiToken]) =>
      Either.fromOption(Option.orElse(accessToken, () => apiToken), noToken)
    )
  ),
  organizationId: Config.option(text("ASTRO_ORGANIZATION_ID"))
}

/**
 * The account without a workspace: enough to read what Astro offers.
 *
 * @since 0.1.0
 * @category config
 */
export const organization: Config.Config<Pick<AstroConfig, "apiUrl" | "token" | "organizationId">> = Config.all(access)

/**
 * Reads the account.
 *
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
  ...access,
  workspaceId: text("ASTRO_WORKSPACE_ID"),
  checked: Config.option(text(accountVariable))
})

/**
 * The path of the astro CLI. `None`: the first `astro` on the PATH.
 *
 * @since 0.1.0
 * @category config
 */
export const bin: Config.Config<Option.Option<string>> = Config.option(text("ASTRO_BIN"))

/**
 * The Astro Runtime that deployments get by default.
 *
 * @since 0.1.0
 * @category config
 */
export const runtimeVersion: Config.Config<string> = Config.withDefault(
  text("ASTRO_RUNTIME_VERSION"),
  defaults.runtimeVersion
)

/**
 * The cloud and the region in which deployments are created by default.
 *
 * @since 0.1.0
 * @category config
 */
export const region: Config.Config<Pick<DeploymentSpec, "cloudProvider" | "region">> = Config.all({
  cloudProvider: Config.mapOrFail(text("ASTRO_CLOUD_PROVIDER"), (name) =>
    Either.fromOption(
      Array.findFirst(variables.ASTRO_CLOUD_PROVIDER.values, (value) => value === name),
      () => ConfigError.InvalidData([], `expected ${variables.ASTRO_CLOUD_PROVIDER.values.join(", ")}, not "${name}"`)
    )),
  region: text("ASTRO_REGION")
})

/**
 * The deployment that a lease gets by default.
 *
 * @since 0.1.0
 * @category config
 */
export const spec: Config.Config<DeploymentSpec> = Config.zipWith(
  runtimeVersion,
  region,
  (runtimeVersion, region) => ({ runtimeVersion, ...region })
)

// internal

const noToken = () =>
  ConfigError.MissingData(["ASTRO_ACCESS_TOKEN"], "Expected ASTRO_ACCESS_TOKEN (or ASTRO_API_TOKEN) to be set")
