/** The list of all environment variables, and how those of this package are read. `npm run check` compares the list with the README. */
import * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import type * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { DeliveryDefinition } from "./delivery/definition.js"
import * as Deliveries from "./delivery/table.js"
import * as Forms from "./forms.js"
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
    meaning:
      "what gives a lease its token: it mints one, and if that is refused it shares one unfenced (`auto`) or fails (`on`); or all share one (`off`)",
    default: defaults.fence,
    values: ["auto", "on", "off"]
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
  AIRFLOW_RESOURCE_REAPER: {
    meaning:
      "whether a process in the background cleans up after leases whose processes were killed (`on`), or not (`off`)",
    default: "on",
    values: ["on", "off"]
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

/** Whether the library reads a variable. */
export const isKnown = (name: string): boolean =>
  name in all || name in internal || name.startsWith("AIRFLOW_RESOURCE_")

/** Returns the name unchanged. Its type ensures that the variable is in the list. */
export const name = (name: keyof typeof own): string => name

/** Longer than any lease, and short enough for every timer. */
const longest = "7 days"

const timeout = (variable: keyof typeof own, fallback: Duration.DurationInput) =>
  Config.withDefault(Forms.duration(variable, ["1 second", longest]), fallback)

const count = (variable: keyof typeof own, most: number, fallback: number) =>
  Config.withDefault(Forms.wholeNumber(variable, [1, most]), fallback)

/** It becomes a part of names in URLs, lists and logs. */
const nameOf = (variable: keyof typeof own, longest: number, fallback: string) =>
  Config.withDefault(
    Forms.parsed(
      variable,
      `a name of at most ${longest} characters, without slashes and control characters`,
      Option.liftPredicate((value) => /^[^/\p{Cc}]+$/u.test(value) && !/^\.+$/.test(value) && value.length <= longest)
    ),
    fallback
  )

/** Settings of the pool, and of the Airflow user that every lease creates. */
export const poolOf = ({ defaultMax = defaults.max }: Pick<AnyProvider, "defaultMax">) =>
  Config.all({
    prefix: nameOf("AIRFLOW_RESOURCE_POOL", 60, defaults.prefix),
    max: count("AIRFLOW_RESOURCE_MAX", 1000, defaultMax),
    fence: Config.withDefault(
      Forms.oneOf(name("AIRFLOW_RESOURCE_FENCE"), own.AIRFLOW_RESOURCE_FENCE.values),
      defaults.fence
    ),
    acquireTimeout: timeout("AIRFLOW_RESOURCE_ACQUIRE_TIMEOUT", defaults.acquireTimeout),
    healthyTimeout: timeout("AIRFLOW_RESOURCE_HEALTHY_TIMEOUT", defaults.healthyTimeout),
    readyTimeout: timeout("AIRFLOW_RESOURCE_READY_TIMEOUT", defaults.readyTimeout),
    maxHold: timeout("AIRFLOW_RESOURCE_MAX_HOLD", defaults.maxHold),
    adopt: Config.withDefault(Forms.boolean(name("AIRFLOW_RESOURCE_ADOPT")), defaults.adopt),
    reset: Config.all({
      keep: Config.withDefault(
        Config.mapOrFail(
          Forms.text(name("AIRFLOW_RESOURCE_KEEP")),
          (text) => Either.mapLeft(AirflowReset.parseKeep(text), (problem) => ConfigError.InvalidData([], problem))
        ),
        {}
      ),
      defaultPoolSlots: count("AIRFLOW_RESOURCE_DEFAULT_POOL_SLOTS", 1_000_000, defaultPoolSlots)
    }),
    username: nameOf("AIRFLOW_USERNAME", 64, defaults.username),
    /** `undefined`: `airflow`. */
    password: Config.map(Config.option(Config.redacted(Forms.text(name("AIRFLOW_PASSWORD")))), Option.getOrUndefined)
  })

/** Settings of upkeep and of the reaper. */
export const upkeep = Config.all({
  hibernateAfter: Config.withDefault(
    Forms.duration(name("AIRFLOW_RESOURCE_HIBERNATE_AFTER"), ["0 seconds", longest]),
    own.AIRFLOW_RESOURCE_HIBERNATE_AFTER.default
  ),
  reaper: Config.withDefault(
    Forms.oneOf(name("AIRFLOW_RESOURCE_REAPER"), own.AIRFLOW_RESOURCE_REAPER.values),
    own.AIRFLOW_RESOURCE_REAPER.default
  )
})

/** The provider that AIRFLOW_RESOURCE_PROVIDER names. */
export const provider: Config.Config<AnyProvider> = Config.map(
  Config.withDefault(
    Forms.oneOf(name("AIRFLOW_RESOURCE_PROVIDER"), Providers.names),
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
      Forms.oneOf(name("AIRFLOW_RESOURCE_DELIVERY"), Object.keys(deliveries)),
      defaultDelivery
    ),
    (name) => Deliveries.definitionOf(deliveries[name]!)
  )
