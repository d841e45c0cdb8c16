/** The layers of the pool and its ledger: all that upkeep, the reaper and the command need. */
import * as AirflowApi from "@airflow-resource/airflow/AirflowApi"
import type { Keep } from "@airflow-resource/airflow/AirflowReset"
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import type { CacheError } from "@airflow-resource/core/CacheError"
import type { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "../Http.js"
import type * as Settings from "../Settings.js"
import type { OpenError } from "./provider/definition.js"
import type { Parts } from "./provider/parts.js"
import * as Providers from "./provider/table.js"

export const platform = Layer.mergeAll(Http.layer, NodeContext.layer, ProcessRunner.layer)

export const onRealTime = <A, E>(layer: Layer.Layer<A, E, Layer.Layer.Success<typeof platform>>): Layer.Layer<A, E> =>
  PinnedClock.liveLayer(Layer.provide(layer, platform))

/** Opens the provider, and keeps it open as long as the layers over it. */
export const opened = <A, E>(
  { provider }: Pick<Settings.Settings, "provider">,
  layer: (provider: Parts) => Layer.Layer<A, E, Layer.Layer.Success<typeof platform>>
): Layer.Layer<A, E | OpenError> => onRealTime(Layer.unwrapScoped(Effect.map(Providers.open(provider), layer)))

/** The pool and its ledger alone. */
export const layer = (
  settings: Pick<Settings.Settings, "provider" | "cache" | "pool">,
  options?: Partial<DeploymentPool.PoolOptions>
): Layer.Layer<DeploymentPool.DeploymentPool | DeploymentCache, CacheError | OpenError> =>
  opened(settings, (provider) =>
    poolOf(provider, settings.pool, options).pipe(
      Layer.provideMerge(ledgerOf(settings.cache)),
      Layer.provide(provider.provider)
    ))

export const poolOf = (
  provider: Parts,
  pool: Partial<DeploymentPool.PoolOptions>,
  options: Partial<DeploymentPool.PoolOptions> = {}
) =>
  DeploymentPool.layer({
    ...pool,
    ...provider.pool,
    ...options,
    reset: {
      ...pool.reset,
      ...provider.pool.reset,
      ...options.reset,
      keep: union(options.reset?.keep ?? pool.reset?.keep, provider.keep)
    }
  }).pipe(Layer.provide(AirflowApi.layer))

export const ledgerOf = (cache: Settings.Cache) =>
  cache._tag === "File" ? SqliteDeploymentCache.layer({ path: cache.path }) : temporaryLedger

// internal

const union = (a: Keep = {}, b: Keep = {}): Keep => ({
  variables: [...a.variables ?? [], ...b.variables ?? []],
  connections: [...a.connections ?? [], ...b.connections ?? []],
  pools: [...a.pools ?? [], ...b.pools ?? []]
})

const temporaryLedger = Layer.unwrapScoped(Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "airflow-resource-" }))
  return SqliteDeploymentCache.layer({ path: `${folder}/cluster_cache.db` })
}))
