/**
 * All services in memory: no socket, no file, and no waiting.
 *
 * @since 0.1.0
 */
import * as AirflowApi from "@airflow-resource/airflow/AirflowApi"
import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
import type { Requirements } from "@airflow-resource/core/AirflowResource"
import * as DagDelivery from "@airflow-resource/core/DagDelivery"
import * as DeploymentCache from "@airflow-resource/core/DeploymentCache"
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import * as DeploymentProvider from "@airflow-resource/core/DeploymentProvider"
import * as ProjectDirectory from "@airflow-resource/core/ProjectDirectory"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/**
 * Options of {@link layerOffline}.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfflineOptions {
  readonly cloud?: DeploymentProvider.MemoryOptions | undefined
  readonly airflow?: AirflowApi.MemoryOptions | undefined
  readonly pool?: Partial<DeploymentPool.PoolOptions> | undefined
}

/**
 * The services that `AirflowResource.acquire` needs, in memory. The durations in the options pass on the clock under which the layer is
 * built: in `it.effect` and `it.scoped`, `TestClock.adjust` moves it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerOffline = (
  options: OfflineOptions = {}
): Layer.Layer<
  Requirements | DeploymentCache.DeploymentCache | DeploymentProvider.DeploymentProvider
> =>
  Layer.mergeAll(
    DeploymentPool.layer({
      spec: { runtimeVersion: AstroConfig.defaults.runtimeVersion, cloudProvider: "aws", region: "us-east-1" },
      revocationWait: 0,
      readyPolls: 1,
      ...options.pool
    }).pipe(Layer.provide(airflowsOf(options))),
    DagDelivery.layerNone,
    ProjectDirectory.layerMemory
  ).pipe(Layer.provideMerge(Layer.merge(
    DeploymentCache.layerMemory,
    DeploymentProvider.layerMemory(options.cloud)
  )))

// internal

/** Every deployment has an Airflow, which accepts requests while the deployment is awake. */
const airflowsOf = ({ airflow }: OfflineOptions) =>
  Layer.unwrapEffect(Effect.map(DeploymentProvider.DeploymentProvider, ({ list }) =>
    AirflowApi.layerMemory({
      isAwake: (baseUrl) =>
        Effect.match(list, {
          onFailure: () => false,
          onSuccess: (all) => all.some(({ airflowUrl, isAwake }) => airflowUrl === baseUrl && isAwake)
        }),
      ...airflow
    })))
