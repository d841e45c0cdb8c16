/**
 * The layers put together: what a program provides to lease Airflows.
 *
 * @since 0.1.0
 */
import * as AirflowApi from "@airflow-resource/airflow/AirflowApi"
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as AstroAccount from "@airflow-resource/astro/AstroAccount"
import * as AstroApi from "@airflow-resource/astro/AstroApi"
import * as AstroCli from "@airflow-resource/astro/AstroCli"
import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
import * as AstroDelivery from "@airflow-resource/astro/AstroDelivery"
import * as AstroProject from "@airflow-resource/astro/AstroProject"
import type { Requirements } from "@airflow-resource/core/AirflowResource"
import type { CacheError } from "@airflow-resource/core/CacheError"
import * as DagDelivery from "@airflow-resource/core/DagDelivery"
import type { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import { DeploymentProvider, type ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import type { ProjectDirectory } from "@airflow-resource/core/ProjectDirectory"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import * as Emulator from "@airflow-resource/emulator/Emulator"
import type { RepositoryInvalid } from "@airflow-resource/github/GithubRepository"
import * as GithubRepository from "@airflow-resource/github/GithubRepository"
import * as GithubSecrets from "@airflow-resource/github/GithubSecrets"
import * as SecretsDelivery from "@airflow-resource/github/SecretsDelivery"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Path from "@effect/platform/Path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as process from "node:process"
import type { ConfigurationError } from "./ConfigurationError.js"
import * as Http from "./Http.js"
import * as Settings from "./Settings.js"

/**
 * What {@link layerFromEnv} can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type LayerError = ConfigurationError | CacheError | RepositoryInvalid

/**
 * Everything that `AirflowResource.acquire` needs, and the ledger.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = Requirements | DeploymentCache

/**
 * The pool and its ledger alone, on real time whoever builds them: for upkeep, and for those who only look.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPool = (
  settings: Settings.Settings,
  options?: Partial<DeploymentPool.PoolOptions>
): Layer.Layer<DeploymentPool.DeploymentPool | DeploymentCache, CacheError> =>
  PinnedClock.liveLayer(
    poolOf(settings, options).pipe(
      Layer.provideMerge(ledgerOf(settings)),
      Layer.provide(astroOf(settings)),
      Layer.provide([Http.layer, NodeContext.layer])
    )
  )

/**
 * An account that was checked: settings whose layers do not check it again, and the variables by which other processes need not either.
 *
 * @since 0.1.0
 * @category models
 */
export interface Checked {
  readonly settings: Settings.Settings
  readonly environment: Readonly<Record<string, string>>
}

/**
 * Checks the token, the organization and the workspace, once for all processes of a run.
 *
 * @since 0.1.0
 * @category constructors
 */
export const check = (settings: Settings.Settings): Effect.Effect<Checked, ProviderError> =>
  Effect.gen(function*() {
    const { ready } = yield* DeploymentProvider
    const checked = yield* AstroAccount.encode(settings.astro, yield* ready)
    return {
      settings: { ...settings, astro: { ...settings.astro, checked: Option.some(checked) } },
      environment: { [AstroConfig.accountVariable]: checked }
    }
  }).pipe(
    Effect.provide(astroOf(settings).pipe(Layer.provide([Http.layer, NodeContext.layer]))),
    PinnedClock.live
  )

/**
 * The layers that settings describe, on real time whoever builds them.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  settings: Settings.Settings,
  options?: Partial<DeploymentPool.PoolOptions>
): Layer.Layer<Services, CacheError | RepositoryInvalid> =>
  PinnedClock.liveLayer(
    Layer.mergeAll(
      poolOf(settings, options),
      deliveryOf(settings)
    ).pipe(
      Layer.provideMerge(ledgerOf(settings)),
      Layer.provideMerge(astroOf(settings)),
      Layer.provide([Http.layer, NodeContext.layer])
    )
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
export const layerFromEnv: Layer.Layer<Services, LayerError | Emulator.EmulatorError> = Layer.unwrapEffect(
  Effect.gen(function*() {
    const from = process.cwd()
    if ((yield* Settings.provider(from)) === "emulator") return layerEmulator()
    return layer(yield* Settings.load(from))
  })
).pipe(Layer.provide(NodeContext.layer))

/**
 * Upkeep of the pool that is at hand, as the environment describes it, for as long as the layer lives: it empties deployments ahead
 * of the next lease, and puts them to sleep `AIRFLOW_RESOURCE_HIBERNATE_AFTER` their last one.
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
 * Options of {@link layerEmulator}.
 *
 * @since 0.1.0
 * @category models
 */
export interface EmulatedOptions {
  /** Default: a hundred times faster than Astro. */
  readonly emulator?: Emulator.Options | undefined
  readonly pool?: Partial<DeploymentPool.PoolOptions> | undefined
  /** Default: `secrets`, to the emulated repository. */
  readonly delivery?: "secrets" | "none" | undefined
  /** The ledger's file. Default: one of its own, which goes with the layer. */
  readonly cache?: string | undefined
}

/**
 * The same layers over real HTTP against an emulator in this process, which is offered too. No account, no network.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerEmulator = (
  options: EmulatedOptions = {}
): Layer.Layer<Services | Emulator.Emulator, CacheError | RepositoryInvalid | Emulator.EmulatorError> =>
  Layer.unwrapScoped(Effect.gen(function*() {
    const { speed = 100 } = options.emulator ?? {}
    const emulator = yield* Emulator.Emulator
    const fs = yield* FileSystem.FileSystem
    const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "airflow-resource-" }))
    const { cache = `${folder}/cluster_cache.db`, delivery = "secrets" } = options
    return layer(settingsOf(emulator, { cache, delivery }), {
      revocationWait: Duration.seconds(5 / speed),
      ...options.pool,
      reset: { settle: Duration.seconds(10 / speed), ...options.pool?.reset }
    })
  })).pipe(
    Layer.provideMerge(Emulator.layer({ speed: 100, ...options.emulator })),
    Layer.provide(NodeContext.layer)
  )

/**
 * What the environment would say of an emulator: for another process, or another ledger, beside the one that started it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const settingsOf = (
  emulator: Emulator.Service,
  { cache, delivery }: { readonly cache: string; readonly delivery: "secrets" | "none" }
): Settings.Settings => ({
  pool: {
    prefix: "airflow-resource",
    max: 4,
    fence: "auto",
    acquireTimeout: Duration.minutes(15),
    maxHold: Duration.minutes(60),
    adopt: false,
    hibernateAfter: Duration.zero,
    reset: { keep: {}, defaultPoolSlots: 128 },
    apiToken: Option.none(),
    username: "airflow",
    password: Option.none()
  },
  astro: {
    apiUrl: emulator.astroApiUrl,
    token: emulator.astroToken,
    workspaceId: emulator.workspaceId,
    organizationId: Option.none(),
    rates: { get: 12 * emulator.speed, post: 4 * emulator.speed, delete: 2 * emulator.speed }
  },
  via: "api",
  astroBin: Option.none(),
  dags: `${process.cwd()}/dags`,
  deploysDags: false,
  spec: { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" },
  github: delivery === "none"
    ? Option.none()
    : Option.some({
      token: emulator.githubToken,
      repository: emulator.repository,
      dagPath: "dags",
      apiUrl: Option.some(emulator.githubApiUrl)
    }),
  cache
})

// internal

const poolOf = (settings: Settings.Settings, options: Partial<DeploymentPool.PoolOptions> = {}) =>
  DeploymentPool.layer({
    ...settings.pool,
    spec: settings.spec,
    apiToken: Option.getOrUndefined(settings.pool.apiToken),
    accessToken: settings.astro.token,
    password: Option.getOrUndefined(settings.pool.password),
    ...options
  }).pipe(Layer.provide(AirflowApi.layer))

/** The cloud and the projects, by the astro CLI or without it; nobody looks for it before it is used. */
const astroOf = ({ astro, astroBin, dags, via }: Settings.Settings) => {
  const api = AstroApi.layer(astro)
  const projects = AstroProject.withDags(via === "cli" ? AstroProject.layerCli : AstroProject.layer, dags)
  const services: Layer.Layer<
    DeploymentProvider | ProjectDirectory,
    never,
    AstroCli.AstroCli | HttpClient.HttpClient | FileSystem.FileSystem | Path.Path
  > = via === "cli"
    ? Layer.mergeAll(api.pipe(Layer.provide(AstroCli.layerHttpClient)), projects)
    : Layer.mergeAll(api, projects)
  return services.pipe(
    Layer.provideMerge(AstroCli.layer({ ...astro, bin: Option.getOrUndefined(astroBin) })),
    Layer.provide(ProcessRunner.layer)
  )
}

const deliveryOf = (
  { astro, dags, deploysDags, github, via }: Settings.Settings
): Layer.Layer<
  DagDelivery.DagDelivery,
  RepositoryInvalid,
  AstroCli.AstroCli | DeploymentProvider | DeploymentCache | HttpClient.HttpClient | FileSystem.FileSystem
> => {
  if (deploysDags) {
    return via === "cli" ? AstroDelivery.layer({ dags }) : AstroDelivery.layerApi({ ...astro, dags })
  }
  return Option.match(github, { onNone: () => DagDelivery.layerNone, onSome: layerSecrets })
}

const ledgerOf = ({ cache }: Settings.Settings) => SqliteDeploymentCache.layer({ path: cache })

const layerSecrets = (github: NonNullable<Option.Option.Value<Settings.Settings["github"]>>) =>
  Layer.unwrapScoped(Effect.gen(function*() {
    const repository = yield* GithubRepository.parse(github.repository)
    const apiUrl = yield* GithubRepository.apiUrl(repository, Option.getOrUndefined(github.apiUrl))
    return SecretsDelivery.layer({ repository }).pipe(
      Layer.provide(GithubSecrets.layer({ token: github.token, apiUrl, fetch: yield* Http.fetch }))
    )
  }))
