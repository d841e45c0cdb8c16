/**
 * What the environment says, read and checked as a whole.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConfigurationError } from "./ConfigurationError.js"
import { fromConfigError } from "./ConfigurationError.js"
import type * as Deliveries from "./internal/delivery/table.js"
import * as Environment from "./internal/environment.js"
import * as Paths from "./internal/paths.js"
import * as Project from "./internal/project.js"
import * as Providers from "./internal/provider/table.js"
import type * as InternalVariable from "./internal/variable.js"
import * as Variables from "./internal/variables.js"

/**
 * What runs the deployments: one case for each value of `AIRFLOW_RESOURCE_PROVIDER`, with its own options.
 *
 * @since 0.1.0
 * @category models
 */
export type Provider = Providers.Provider

/**
 * How DAG code reaches a deployment, with the options of the choice:
 *
 * - `Secrets`: a GitHub repository's secrets point at the leased deployment, and its workflow deploys there
 * - `EmulatedSecrets`: the same for the repository of the provider `Emulator`
 * - `Astro`: a deploy of a folder
 * - `Local`: a copy of a folder on this machine
 * - `None`: a deployment keeps the DAGs that it has
 *
 * @since 0.1.0
 * @category models
 */
export type Delivery = Deliveries.Delivery

/**
 * Where the ledger is. `Temporary`: in a file that is deleted when the layer ends.
 *
 * @since 0.1.0
 * @category models
 */
export type Cache = Paths.Cache

/**
 * Settings of the pool. They do not depend on the provider.
 *
 * @since 0.1.0
 * @category models
 */
export type PoolSettings = Config.Config.Success<ReturnType<typeof Variables.poolOf>>

/**
 * The whole configuration of the layers of a lease.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings<P extends Provider = Provider> {
  readonly provider: P
  readonly delivery: Delivery
  readonly cache: Cache
  readonly pool: PoolSettings
  readonly upkeep: Config.Config.Success<typeof Variables.upkeep>
  /** The absolute path of the DAG folder, which need not exist. */
  readonly dags: string
}

/**
 * An environment variable, as messages and the documentation describe it.
 *
 * @since 0.1.0
 * @category models
 */
export type Variable = InternalVariable.Variable

/**
 * Every environment variable that users may set. `npm run check` compares the list with the documentation.
 *
 * @since 0.1.0
 * @category config
 */
export const variables: Readonly<Record<string, Variable>> = Variables.all

/**
 * The variables that the library sets for its own processes.
 *
 * @since 0.1.0
 * @category config
 */
export const internalVariables: Readonly<Record<string, Variable>> = Variables.internal

/**
 * Settings of the pool, and of the Airflow user that every lease creates, with the defaults for Astro.
 *
 * @since 0.1.0
 * @category config
 */
export const pool: Config.Config<PoolSettings> = Variables.poolOf({})

/**
 * Reads the environment, and the `.env` in the project's root if there is one. The process environment wins, and a blank variable counts
 * as not set. Paths are relative to the project's root.
 *
 * With `delivers: false` the variables of the delivery may be missing, and the delivery is `None`.
 *
 * Fails with everything that is missing or invalid.
 *
 * @example
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { AirflowResources, Settings } from "airflow-resource"
 * import { Effect, Layer } from "effect"
 *
 * export const twoAtMost = Layer.unwrapEffect(
 *   Effect.map(Settings.load(process.cwd()), (settings) => AirflowResources.layer(settings, { max: 2 }))
 * ).pipe(Layer.provide(NodeContext.layer))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const load = (
  from: string,
  options: { readonly delivers?: boolean } = {}
): Effect.Effect<Settings, ConfigurationError, FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(Environment.find(from), (environment) => read(environment, settings(environment, options))).pipe(
    Effect.tap(({ dags }) => checkDags(dags))
  )

/**
 * Reads these variables alone: neither the process environment nor a `.env`. Paths are relative to `folder`, and the ledger has no default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromVariables = (
  variables: Readonly<Record<string, string>>,
  folder: string
): Effect.Effect<Settings, ConfigurationError, Path.Path> =>
  Effect.flatMap(Environment.of(variables, folder), (environment) => read(environment, settings(environment, {})))

/**
 * Where the ledger is. Needs no other variable.
 *
 * @since 0.1.0
 * @category config
 */
export const cache = (from: string): Effect.Effect<Cache, ConfigurationError, FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(Environment.find(from), (environment) =>
    read(
      environment,
      Effect.flatMap(Variables.provider, ({ isShared }) => Paths.cache(environment, isShared))
    ))

/**
 * How upkeep works. Needs no other variable.
 *
 * @since 0.1.0
 * @category config
 */
export const upkeep = (
  from: string
): Effect.Effect<Settings["upkeep"], ConfigurationError, FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(Environment.find(from), (environment) => read(environment, Variables.upkeep))

// internal

/** Before a deployment is created, because the lease needs the folder only after that. It may be missing. */
const checkDags = (dags: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.option(fs.stat(dags))).pipe(
    Effect.filterOrFail(
      Option.match({ onNone: () => true, onSome: ({ type }) => type === "Directory" }),
      () => {
        const invalid = ConfigError.InvalidData([Variables.name("AIRFLOW_DAG_PATH")], `${dags} is not a folder`)
        return fromConfigError(invalid, variables)
      }
    )
  )

const settings = (
  environment: Environment.Environment,
  { delivers = true }: { readonly delivers?: boolean }
): Effect.Effect<Settings, ConfigError.ConfigError> =>
  Effect.gen(function*() {
    // an invalid name is reported at the end, together with everything else
    const provider = yield* Effect.orElseSucceed(Variables.provider, () => Providers.named(Providers.defaultName))
    const delivery = yield* Effect.option(Variables.delivery(provider))
    const dags = Paths.dags(environment)
    const { settings } = yield* Config.all({
      providerName: Variables.provider,
      deliveryName: Variables.delivery(provider),
      settings: Config.all({
        provider: provider.config(Project.of(environment)),
        delivery: delivers && Option.isSome(delivery)
          ? delivery.value.config({ dags })
          : Config.succeed<Delivery>({ _tag: "None" }),
        cache: Paths.cache(environment, provider.isShared),
        pool: Variables.poolOf(provider),
        upkeep: Variables.upkeep,
        dags
      })
    })
    return settings
  })

const read = <A>(
  environment: Environment.Environment,
  body: Effect.Effect<A, ConfigError.ConfigError>
): Effect.Effect<A, ConfigurationError> =>
  Effect.mapError(
    Effect.withConfigProvider(body, environment.variables),
    (error) => fromConfigError(error, variables)
  )
