/**
 * The layers that a program provides in order to lease Airflows.
 *
 * @since 0.1.0
 */
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as AstroProject from "@airflow-resource/astro/AstroProject"
import type { Requirements } from "@airflow-resource/core/AirflowResource"
import type { CacheError } from "@airflow-resource/core/CacheError"
import type { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import { DeploymentProvider, type ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as Emulator from "@airflow-resource/emulator/Emulator"
import type { RepositoryInvalid } from "@airflow-resource/github/GithubRepository"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import process from "node:process"
import type { ConfigurationError } from "./ConfigurationError.js"
import * as Deliveries from "./internal/delivery/table.js"
import * as PoolLayer from "./internal/poolLayer.js"
import type { OpenError } from "./internal/provider/definition.js"
import * as EmulatorProvider from "./internal/provider/emulator.js"
import type { Parts } from "./internal/provider/parts.js"
import * as Providers from "./internal/provider/table.js"
import * as Reaper from "./internal/reaper/start.js"
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
): Layer.Layer<Services, LayerError> =>
  PoolLayer.opened(settings, (provider) => servicesOf(provider, settings, withReaper(settings, options))).pipe(
    Layer.merge(endWithVitest)
  )

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
  PoolLayer.layer(settings, withReaper(settings, options))

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
  Effect.map(
    Effect.suspend(() => Settings.upkeep(process.cwd())),
    ({ hibernateAfter }) => DeploymentPool.layerUpkeep({ hibernateAfter })
  )
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
      Effect.provide(layer.pipe(Layer.provide(PoolLayer.platform)))
    )
    const { environment, provider } = yield* Providers.remember(settings.provider, account)
    return { settings: { ...settings, provider }, environment }
  }).pipe(Effect.scoped, Effect.provide(PoolLayer.platform), PinnedClock.live)

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
      PoolLayer.onRealTime(servicesOf(provider, {
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

/**
 * A worker of vitest outlives a main process that was killed: it would go on with its tests, and then try to report to it for ever. It ends
 * instead, also after the layer has ended, and the reaper cleans up after it.
 */
const endWithVitest = Layer.effectDiscard(Effect.sync(() => {
  if (process.env["VITEST"] === undefined || endsWithVitest) return
  endsWithVitest = true
  // in a worker, vitest replaces `process.exit`
  process.once("disconnect", () => process.kill(process.pid, "SIGKILL"))
}))

let endsWithVitest = false

/** What is left of settings once the provider is open. */
type Rest = Pick<Settings.Settings, "delivery" | "cache" | "dags"> & {
  readonly pool: Partial<DeploymentPool.PoolOptions>
}

const servicesOf = (provider: Parts, settings: Rest, options?: Partial<DeploymentPool.PoolOptions>) =>
  Layer.merge(
    PoolLayer.poolOf(provider, settings.pool, options),
    Deliveries.layer(settings.delivery, provider)
  ).pipe(
    Layer.provideMerge(PoolLayer.ledgerOf(settings.cache)),
    Layer.provideMerge(Layer.merge(provider.provider, AstroProject.withDags(provider.projects, settings.dags)))
  )

/** The options of a pool whose ledger other processes can use: if its process is killed, a reaper cleans up. */
const withReaper = (
  { cache, pool, provider, upkeep }: Settings.Settings,
  options: Partial<DeploymentPool.PoolOptions> = {}
): Partial<DeploymentPool.PoolOptions> =>
  cache._tag === "File" && upkeep.reaper === "on"
    ? { startReaper: Reaper.start({ settings: { provider, cache, pool }, options }, cache.path), ...options }
    : options
