/** The list of all environment variables, and how those of this package are read. `npm run check` compares the list with the README. */
import * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { DeliveryDefinition } from "./delivery/definition.js"
import * as Deliveries from "./delivery/table.js"
import type { ProviderDefinition } from "./provider/definition.js"
import * as Providers from "./provider/table.js"
import type { Variables } from "./variable.js"

type AnyProvider = ProviderDefinition<Providers.Provider>

/** The deliveries of all providers by name. If two providers differ, the first one wins. */
const deliveries: AnyProvider["deliveries"] = Object.assign(
  {},
  ...Providers.all.map(({ deliveries }) => deliveries).reverse()
)

const titles = (all: ReadonlyArray<readonly [name: string, title: string]>) =>
  all.map(([name, title]) => `\`${name}\` (${title})`).join(", ")

const { defaults } = DeploymentPool

/** As Airflow itself creates `default_pool`. */
const defaultPoolSlots = 128

/** The variables that this package reads itself. */
export const own = {
  AIRFLOW_RESOURCE_PROVIDER: {
    meaning: `what runs the deployments: ${titles(Providers.names.map((name) => [name, Providers.named(name).title]))}`,
    default: Providers.defaultName,
    values: Providers.names
  },
  AIRFLOW_RESOURCE_DELIVERY: {
    meaning: `how DAG code reaches the deployment: ${
      titles(Object.entries(deliveries).map(([name, tag]) => [name, Deliveries.definitionOf(tag).title]))
    }`,
    default: Providers.named(Providers.defaultName).defaultDelivery,
    values: Object.keys(deliveries)
  },
  AIRFLOW_RESOURCE_POOL: {
    meaning: "the first part of the deployments' names",
    default: defaults.prefix
  },
  AIRFLOW_RESOURCE_MAX: {
    meaning: "the largest number of deployments in the pool",
    default: String(defaults.max)
  },
  AIRFLOW_RESOURCE_CACHE: {
    meaning: "the ledger's file, which has no default outside a project (a folder with a .git or a package.json)",
    default: "Environment/CacheManager/cluster_cache.db"
  },
  AIRFLOW_RESOURCE_FENCE: {
    meaning: "whether a lease without a token of its own continues unfenced (`auto`) or fails (`on`)",
    default: defaults.fence,
    values: ["auto", "on"]
  },
  AIRFLOW_RESOURCE_ACQUIRE_TIMEOUT: {
    meaning: "the time in which a lease must be ready, queue included, such as `20 minutes`",
    default: defaults.acquireTimeout
  },
  AIRFLOW_RESOURCE_HEALTHY_TIMEOUT: {
    meaning: "the time in which a deployment that was created or woken must become HEALTHY, such as `20 minutes`",
    default: defaults.healthyTimeout
  },
  AIRFLOW_RESOURCE_READY_TIMEOUT: {
    meaning: "the time in which the Airflow of a HEALTHY deployment must be ready, such as `10 minutes`",
    default: defaults.readyTimeout
  },
  AIRFLOW_RESOURCE_MAX_HOLD: {
    meaning: "the longest time that a lease may last, such as `2 hours`",
    default: defaults.maxHold
  },
  AIRFLOW_RESOURCE_HIBERNATE_AFTER: {
    meaning: "the time for which upkeep leaves an unused deployment awake, such as `10 minutes`",
    default: "0 seconds"
  },
  AIRFLOW_RESOURCE_ADOPT: {
    meaning: "whether the pool may use the workspace's other hibernating development deployments, `true` or `false`",
    default: String(defaults.adopt)
  },
  AIRFLOW_RESOURCE_KEEP: {
    meaning: "what a reset leaves in a deployment, such as `variables:shared_*, connections:warehouse, pools:etl`"
  },
  AIRFLOW_RESOURCE_DEFAULT_POOL_SLOTS: {
    meaning: "the number of slots that a reset gives `default_pool`",
    default: String(defaultPoolSlots)
  },
  AIRFLOW_DAG_PATH: { meaning: "the folder of the DAGs", default: "dags" },
  AIRFLOW_USERNAME: {
    meaning: "the name of the Airflow user that every lease creates",
    default: defaults.username
  },
  AIRFLOW_PASSWORD: { meaning: "the password of that user", default: "airflow" }
} as const satisfies Variables

/** Every variable that users may set. */
export const all: Variables = Object.assign(
  {},
  own,
  ...Providers.all.map(({ variables }) => variables),
  ...Deliveries.all.map(({ variables }) => variables)
)

/** Variables that the library sets for its own processes. */
export const internal: Variables = AstroConfig.internalVariables

/** Returns the name unchanged. Its type ensures that the variable is in the list. */
export const name = (name: keyof typeof own): string => name

const duration = <const A>(variable: keyof typeof own, fallback: A) =>
  Config.withDefault(Config.duration(name(variable)), fallback)

const countFromOne = (variable: keyof typeof own, fallback: number) =>
  Config.withDefault(
    Config.validate(Config.integer(name(variable)), {
      message: "Expected a whole number, 1 or more",
      validation: (value) => value >= 1
    }),
    fallback
  )

const text = (variable: keyof typeof own, fallback: string) =>
  Config.withDefault(Config.nonEmptyString(name(variable)), fallback)

/** Settings of the pool, and of the Airflow user that every lease creates. */
export const pool = Config.all({
  prefix: text("AIRFLOW_RESOURCE_POOL", defaults.prefix),
  max: countFromOne("AIRFLOW_RESOURCE_MAX", defaults.max),
  fence: Config.withDefault(
    Config.literal(...own.AIRFLOW_RESOURCE_FENCE.values)(name("AIRFLOW_RESOURCE_FENCE")),
    defaults.fence
  ),
  acquireTimeout: duration("AIRFLOW_RESOURCE_ACQUIRE_TIMEOUT", defaults.acquireTimeout),
  healthyTimeout: duration("AIRFLOW_RESOURCE_HEALTHY_TIMEOUT", defaults.healthyTimeout),
  readyTimeout: duration("AIRFLOW_RESOURCE_READY_TIMEOUT", defaults.readyTimeout),
  maxHold: duration("AIRFLOW_RESOURCE_MAX_HOLD", defaults.maxHold),
  adopt: Config.withDefault(Config.boolean(name("AIRFLOW_RESOURCE_ADOPT")), defaults.adopt),
  reset: Config.all({
    keep: Config.withDefault(
      Config.mapOrFail(
        Config.string(name("AIRFLOW_RESOURCE_KEEP")),
        (text) => Either.mapLeft(AirflowReset.parseKeep(text), (problem) => ConfigError.InvalidData([], problem))
      ),
      {}
    ),
    defaultPoolSlots: countFromOne("AIRFLOW_RESOURCE_DEFAULT_POOL_SLOTS", defaultPoolSlots)
  }),
  username: text("AIRFLOW_USERNAME", defaults.username),
  /** `undefined`: `airflow`. */
  password: Config.map(Config.option(Config.redacted(name("AIRFLOW_PASSWORD"))), Option.getOrUndefined)
})

/** Settings of upkeep. */
export const upkeep = Config.all({
  hibernateAfter: duration("AIRFLOW_RESOURCE_HIBERNATE_AFTER", own.AIRFLOW_RESOURCE_HIBERNATE_AFTER.default)
})

/** The provider that AIRFLOW_RESOURCE_PROVIDER names. */
export const provider: Config.Config<AnyProvider> = Config.map(
  Config.withDefault(
    Config.literal(...Providers.names)(name("AIRFLOW_RESOURCE_PROVIDER")),
    Providers.defaultName
  ),
  Providers.named
)

/** The delivery that AIRFLOW_RESOURCE_DELIVERY names, out of those of the provider. */
export const delivery = (
  { defaultDelivery, deliveries }: AnyProvider
): Config.Config<DeliveryDefinition<Deliveries.Delivery>> =>
  Config.map(
    Config.withDefault(
      Config.literal(...Object.keys(deliveries))(name("AIRFLOW_RESOURCE_DELIVERY")),
      defaultDelivery
    ),
    (name) => Deliveries.definitionOf(deliveries[name]!)
  )
