/**
 * Everything that the environment says, read and checked at once.
 *
 * @since 0.1.0
 */
import * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
import type { DeploymentSpec } from "@airflow-resource/core/Deployment"
import type * as Upkeep from "@airflow-resource/core/Upkeep"
import * as GithubConfig from "@airflow-resource/github/GithubConfig"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { ConfigurationError } from "./ConfigurationError.js"
import { fromConfigError } from "./ConfigurationError.js"
import * as Environment from "./internal/environment.js"
import * as ProjectRoot from "./ProjectRoot.js"

const hibernateAfter = Config.withDefault(Config.duration("AIRFLOW_RESOURCE_HIBERNATE_AFTER"), 0)

/**
 * Settings of the pool and of the user that every lease gets.
 *
 * @since 0.1.0
 * @category config
 */
export const pool = Config.all({
  prefix: Config.withDefault(Config.nonEmptyString("AIRFLOW_RESOURCE_POOL"), "airflow-resource"),
  max: Config.withDefault(
    Config.validate(Config.integer("AIRFLOW_RESOURCE_MAX"), {
      message: "a whole number from 1 on is expected",
      validation: (max) => max >= 1
    }),
    4
  ),
  fence: Config.withDefault(Config.literal("auto", "on")("AIRFLOW_RESOURCE_FENCE"), "auto"),
  acquireTimeout: Config.withDefault(Config.duration("AIRFLOW_RESOURCE_ACQUIRE_TIMEOUT"), "15 minutes"),
  maxHold: Config.withDefault(Config.duration("AIRFLOW_RESOURCE_MAX_HOLD"), "60 minutes"),
  adopt: Config.withDefault(Config.boolean("AIRFLOW_RESOURCE_ADOPT"), false),
  hibernateAfter,
  reset: Config.all({
    keep: Config.withDefault(
      Config.mapOrFail(
        Config.string("AIRFLOW_RESOURCE_KEEP"),
        (text) =>
          Either.mapLeft(
            AirflowReset.parseKeep(text),
            (problem) => ConfigError.InvalidData([], problem)
          )
      ),
      {}
    ),
    defaultPoolSlots: Config.withDefault(
      Config.validate(Config.integer("AIRFLOW_RESOURCE_DEFAULT_POOL_SLOTS"), {
        message: "a whole number from 1 on is expected",
        validation: (slots) => slots >= 1
      }),
      128
    )
  }),
  /** A token that all leases share, in place of their own. */
  apiToken: Config.option(Config.redacted("ASTRO_API_TOKEN")),
  username: Config.withDefault(Config.nonEmptyString("AIRFLOW_USERNAME"), "airflow"),
  password: Config.option(Config.redacted("AIRFLOW_PASSWORD"))
})

/**
 * @since 0.1.0
 * @category models
 */
export interface Settings {
  readonly pool: Config.Config.Success<typeof pool>
  readonly astro: Config.Config.Success<typeof AstroConfig.config>
  /** How Astro is asked: through the astro CLI, or without it. */
  readonly via: "cli" | "api"
  /** The astro CLI; `None`: the first `astro` on the PATH. */
  readonly astroBin: Option.Option<string>
  readonly spec: DeploymentSpec
  /** `None`: nothing is delivered through GitHub. */
  readonly github: Option.Option<Config.Config.Success<typeof GithubConfig.config>>
  /** The folder of the DAGs, absolute. It need not be there. */
  readonly dags: string
  /** Whether a lease gets them by a deploy of Astro's own. */
  readonly deploysDags: boolean
  /** Absolute. */
  readonly cache: string
}

/**
 * What each variable is, for messages.
 *
 * @since 0.1.0
 * @category config
 */
export const variables: Readonly<Record<string, string>> = {
  AIRFLOW_RESOURCE_PROVIDER:
    "who operates the deployments: `cli` (the astro CLI), `api` (Astro's REST API) or `emulator`; default cli",
  AIRFLOW_RESOURCE_DELIVERY:
    "how DAG code reaches the deployment: `secrets` (of the GitHub repository), `astro` (a deploy of AIRFLOW_DAG_PATH) or `none`",
  AIRFLOW_RESOURCE_POOL: "the first part of the deployments' names; default airflow-resource",
  AIRFLOW_RESOURCE_MAX: "how many deployments the pool may fill; default 4",
  AIRFLOW_RESOURCE_FENCE: "whether a lease without a token of its own goes on (`auto`) or fails (`on`); default auto",
  AIRFLOW_RESOURCE_ACQUIRE_TIMEOUT: "how long getting a lease may take, such as `15 minutes`",
  AIRFLOW_RESOURCE_MAX_HOLD: "how long a lease may last, such as `60 minutes`",
  AIRFLOW_RESOURCE_ADOPT:
    "whether the pool may use the workspace's other hibernating development deployments (`true`) or not (`false`); default false",
  AIRFLOW_RESOURCE_HIBERNATE_AFTER:
    "how long upkeep leaves a deployment awake that nobody uses, such as `10 minutes`; default 0 seconds",
  AIRFLOW_RESOURCE_KEEP: "what a reset leaves, such as `variables:shared_*, connections:warehouse, pools:etl`",
  AIRFLOW_RESOURCE_DEFAULT_POOL_SLOTS: "how many slots a reset gives `default_pool`; default 128",
  AIRFLOW_RESOURCE_CACHE:
    "the ledger's file; default Environment/CacheManager/cluster_cache.db under the project's root, which was not found here",
  AIRFLOW_USERNAME: "the Airflow user that every lease gets; default airflow",
  AIRFLOW_PASSWORD: "that user's password; default airflow",
  ...AstroConfig.variables,
  ...GithubConfig.variables
}

const providerConfig = Config.withDefault(
  Config.literal("cli", "api", "emulator")("AIRFLOW_RESOURCE_PROVIDER"),
  "cli"
)

/**
 * Which provider the environment names.
 *
 * @since 0.1.0
 * @category config
 */
export const provider = (
  from: string
): Effect.Effect<"cli" | "api" | "emulator", ConfigurationError, FileSystem.FileSystem | Path.Path> =>
  read(from, () => providerConfig)

/**
 * Where the ledger is, whatever else is set.
 *
 * @since 0.1.0
 * @category config
 */
export const cache = (
  from: string
): Effect.Effect<string, ConfigurationError, FileSystem.FileSystem | Path.Path> =>
  read(from, (root) =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      return path.resolve(Option.getOrElse(root, () => from), yield* cacheFile(root))
    }))

/**
 * When upkeep does what.
 *
 * @since 0.1.0
 * @category config
 */
export const upkeep = (
  from: string
): Effect.Effect<Upkeep.UpkeepOptions, ConfigurationError, FileSystem.FileSystem | Path.Path> =>
  read(from, () => Config.all({ hibernateAfter }))

/**
 * Reads the environment, and a `.env` in the project's root where there is one; the process environment wins. With
 * `delivers: false` what only delivery needs may be missing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const load = (
  from: string,
  { delivers = true }: { readonly delivers?: boolean } = {}
): Effect.Effect<Settings, ConfigurationError, FileSystem.FileSystem | Path.Path> =>
  read(from, (root) =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      const delivery = Config.withDefault(
        Config.literal("secrets", "astro", "none")("AIRFLOW_RESOURCE_DELIVERY"),
        "secrets"
      )
      // what is wrong with it is said together with all else
      const named = yield* Effect.orElseSucceed(delivery, () => "none" as const)
      const settings = yield* Config.all({
        pool,
        astro: AstroConfig.config,
        via: Config.map(providerConfig, (named) => named === "cli" ? "cli" as const : "api" as const),
        astroBin: AstroConfig.bin,
        spec: AstroConfig.spec,
        github: named === "secrets" && delivers
          ? Config.map(GithubConfig.config, Option.some)
          : Config.succeed(Option.none()),
        dags: Config.withDefault(Config.nonEmptyString("AIRFLOW_DAG_PATH"), "dags"),
        deploysDags: Config.map(delivery, () => named === "astro" && delivers),
        cache: cacheFile(root)
      })
      const absolute = (file: string) => path.resolve(Option.getOrElse(root, () => from), file)
      return { ...settings, cache: absolute(settings.cache), dags: absolute(settings.dags) }
    }))

// internal

/** Without a root there is no place to look for the ledger by default. */
const cacheFile = (root: Option.Option<string>) => {
  const given = Config.nonEmptyString("AIRFLOW_RESOURCE_CACHE")
  return Option.isNone(root) ? given : Config.withDefault(given, "Environment/CacheManager/cluster_cache.db")
}

const read = <A, R>(
  from: string,
  body: (root: Option.Option<string>) => Effect.Effect<A, ConfigError.ConfigError, R>
): Effect.Effect<A, ConfigurationError, R | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const root = yield* ProjectRoot.find(from)
    return yield* Effect.withConfigProvider(body(root), yield* Environment.provider(root))
  }).pipe(Effect.mapError((error) => fromConfigError(error, variables)))
