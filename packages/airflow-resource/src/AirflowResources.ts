/**
 * The layers that a program provides in order to lease Airflows.
 *
 * @since 0.1.0
 */
import * as AirflowApi from "@airflow-resource/airflow/AirflowApi"
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as AstroProject from "@airflow-resource/astro/AstroProject"
import type { Requirements } from "@airflow-resource/core/AirflowResource"
import type { CacheError } from "@airflow-resource/core/CacheError"
import type { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import { DeploymentProvider, type ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import * as Emulator from "@airflow-resource/emulator/Emulator"
import type { RepositoryInvalid } from "@airflow-resource/github/GithubRepository"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as process from "node:process"
import type { ConfigurationError } from "./ConfigurationError.js"
import * as Http from "./Http.js"
import * as Deliveries from "./internal/delivery/table.js"
import type { OpenError } from "./internal/provider/definition.js"
import * as EmulatorProvider from "./internal/provider/emulator.js"
import type { Parts } from "./internal/provider/parts.js"
import * as Providers from "./internal/provider/table.js"
import * as Settings from "./Settings.js"

/**
 * What {@link layer} can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type LayerError = CacheError | RepositoryInvalid | OpenError

/**
 * Everything that `AirflowResource.acquire` needs, and the ledger.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = Requirements | DeploymentCache

/**
 * The layers that settings describe. They keep real time, even when they are built under a TestClock.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  settings: Settings.Settings,
  options?: Partial<DeploymentPool.PoolOptions>
): Layer.Layer<Services, LayerError> => opened(settings, (provider) => servicesOf(provider, settings, options))

/**
 * The layers that the environment describes. `AIRFLOW_RESOURCE_PROVIDER=emulator` needs no account and no other variable.
 *
 * @example
 * ```ts
 * import { AirflowResource } from "@airflow-resource/core"
 * import { AirflowResources } from "airflow-resource"
 * import { Effect } from "effect"
 *
 * const program = AirflowResource.use(
 *   { testName: "my test" },
 *   ({ airflow }) => airflow.verifyAirflowDagExists("hello_world_dag")
 * ).pipe(Effect.provide(AirflowResources.layerFromEnv))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv: Layer.Layer<Services, ConfigurationError | LayerError> = Layer.unwrapEffect(
  Effect.map(Effect.suspend(() => Settings.load(process.cwd())), (settings) => layer(settings))
).pipe(Layer.provide(NodeContext.layer))

/**
 * The pool and its ledger alone, for upkeep and for programs that only inspect the pool. Keeps real time, as {@link layer} does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPool = (
  settings: Settings.Settings,
  options?: Partial<DeploymentPool.PoolOptions>
): Layer.Layer<DeploymentPool.DeploymentPool | DeploymentCache, CacheError | OpenError> =>
  opened(settings, (provider) =>
    poolOf(provider, settings, options).pipe(
      Layer.provideMerge(ledgerOf(settings.cache)),
      Layer.provide(provider.provider)
    ))

/**
 * Runs upkeep of the pool in the context until the layer ends. Upkeep empties deployments ahead of the next lease, and hibernates each
 * one that has been unused for `AIRFLOW_RESOURCE_HIBERNATE_AFTER`, which is read from the environment.
 *
 * @example
 * ```ts
 * import { AirflowResources } from "airflow-resource"
 * import { Layer } from "effect"
 *
 * export const layer = AirflowResources.layerUpkeep.pipe(Layer.provideMerge(AirflowResources.layerFromEnv))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerUpkeep: Layer.Layer<never, ConfigurationError, DeploymentPool.DeploymentPool> = Layer.unwrapEffect(
  Effect.map(Effect.suspend(() => Settings.upkeep(process.cwd())), DeploymentPool.layerUpkeep)
).pipe(Layer.provide(NodeContext.layer))

/**
 * A checked account: settings whose layers do not check it again, and the variables with which other processes skip the check.
 *
 * @since 0.1.0
 * @category models
 */
export interface Checked {
  readonly settings: Settings.Settings
  readonly environment: Readonly<Record<string, string>>
}

/**
 * Checks the account (on Astro: token, organization and workspace), once for all processes of a run.
 *
 * @since 0.1.0
 * @category constructors
 */
export const check = (
  settings: Settings.Settings
): Effect.Effect<Checked, ProviderError | OpenError> =>
  Effect.gen(function*() {
    const { provider: layer } = yield* Providers.open(settings.provider)
    const account = yield* Effect.flatMap(DeploymentProvider, ({ ready }) => ready).pipe(
      Effect.provide(layer.pipe(Layer.provide(platform)))
    )
    const { environment, provider } = yield* Providers.remember(settings.provider, account)
    return { settings: { ...settings, provider }, environment }
  }).pipe(Effect.scoped, PinnedClock.live)

/**
 * Options of {@link layerEmulator}.
 *
 * @since 0.1.0
 * @category models
 */
export interface EmulatedOptions {
  /** Default: a hundred times as fast as Astro. */
  readonly emulator?: Emulator.Options | undefined
  readonly pool?: Partial<DeploymentPool.PoolOptions> | undefined
  /** Default: `secrets`, to the emulated repository. */
  readonly delivery?: "secrets" | "none" | undefined
  /** The ledger's file. Default: a temporary one. */
  readonly cache?: string | undefined
}

/**
 * The layers of the provider `Emulator`, and the emulator itself. They ignore the environment, send real HTTP to the emulator over
 * loopback, and keep real time, as {@link layer} does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerEmulator = (
  { cache, delivery, emulator, pool }: EmulatedOptions = {}
): Layer.Layer<Services | Emulator.Emulator, LayerError> =>
  Layer.unwrapEffect(
    Effect.map(Effect.flatMap(Emulator.Emulator, EmulatorProvider.partsOf), (provider) =>
      onRealTime(servicesOf(provider, {
        delivery: { _tag: delivery === "none" ? "None" : "EmulatedSecrets" },
        cache: cache === undefined ? { _tag: "Temporary" } : { _tag: "File", path: cache },
        pool: {},
        dags: `${process.cwd()}/dags`
      }, pool)))
  ).pipe(Layer.provideMerge(Emulator.layer({ ...EmulatorProvider.defaultOptions, ...emulator })))

/**
 * The variables with which another process uses a running emulator. They contain its tokens, which no other server accepts.
 *
 * @example
 * ```ts
 * import { Emulator } from "@airflow-resource/emulator"
 * import { AirflowResources } from "airflow-resource"
 * import { Effect } from "effect"
 *
 * export const environment = Effect.map(Emulator.Emulator, (emulator) => ({
 *   ...AirflowResources.variablesOf(emulator),
 *   AIRFLOW_RESOURCE_DELIVERY: "none",
 *   AIRFLOW_RESOURCE_CACHE: "/tmp/cluster_cache.db"
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const variablesOf: (emulator: Emulator.Service) => Readonly<Record<string, string>> = EmulatorProvider.variables

/**
 * Settings for a running emulator, read from its variables ({@link variablesOf}) and from those given here, which must name the
 * ledger's file. The environment of this process is not read.
 *
 * @since 0.1.0
 * @category constructors
 */
export const settingsOf = (
  emulator: Emulator.Service,
  variables: Readonly<Record<string, string>> & { readonly AIRFLOW_RESOURCE_CACHE: string }
): Effect.Effect<Settings.Settings<Extract<Settings.Provider, { readonly _tag: "AstroApi" }>>, ConfigurationError> =>
  Settings.fromVariables({ ...variables, ...variablesOf(emulator) }, process.cwd()).pipe(
    Effect.provide(NodeContext.layer),
    Effect.flatMap((settings) =>
      settings.provider._tag === "AstroApi"
        ? Effect.succeed({ ...settings, provider: EmulatorProvider.atSpeed(settings.provider, emulator) })
        : Effect.dieMessage("an emulator's variables name the provider api")
    )
  )

// internal

const platform = Layer.mergeAll(Http.layer, NodeContext.layer, ProcessRunner.layer)

const onRealTime = <A, E>(layer: Layer.Layer<A, E, Layer.Layer.Success<typeof platform>>): Layer.Layer<A, E> =>
  PinnedClock.liveLayer(Layer.provide(layer, platform))

/** Opens the provider, and keeps it open as long as the layers over it. */
const opened = <A, E>(
  { provider }: Settings.Settings,
  layer: (provider: Parts) => Layer.Layer<A, E, Layer.Layer.Success<typeof platform>>
): Layer.Layer<A, E | OpenError> => onRealTime(Layer.unwrapScoped(Effect.map(Providers.open(provider), layer)))

/** What is left of settings once the provider is open. */
type Rest = Pick<Settings.Settings, "delivery" | "cache" | "dags"> & {
  readonly pool: Partial<DeploymentPool.PoolOptions>
}

const servicesOf = (provider: Parts, settings: Rest, options?: Partial<DeploymentPool.PoolOptions>) =>
  Layer.merge(poolOf(provider, settings, options), Deliveries.layer(settings.delivery, provider)).pipe(
    Layer.provideMerge(ledgerOf(settings.cache)),
    Layer.provideMerge(Layer.merge(provider.provider, AstroProject.withDags(provider.projects, settings.dags)))
  )

const poolOf = (
  provider: Parts,
  { pool }: Pick<Rest, "pool">,
  options: Partial<DeploymentPool.PoolOptions> = {}
) =>
  DeploymentPool.layer({
    ...pool,
    ...provider.pool,
    ...options,
    reset: { ...pool.reset, ...provider.pool.reset, ...options.reset }
  }).pipe(Layer.provide(AirflowApi.layer))

const ledgerOf = (cache: Settings.Cache) =>
  cache._tag === "File" ? SqliteDeploymentCache.layer({ path: cache.path }) : temporaryLedger

const temporaryLedger = Layer.unwrapScoped(Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "airflow-resource-" }))
  return SqliteDeploymentCache.layer({ path: `${folder}/cluster_cache.db` })
}))
