// Makes a process kill itself right before or after a named call to the ledger or the provider.
import * as AirflowApi from "@airflow-resource/airflow/AirflowApi"
import * as AstroApi from "@airflow-resource/astro/AstroApi"
import * as AstroProject from "@airflow-resource/astro/AstroProject"
import * as DagDelivery from "@airflow-resource/core/DagDelivery"
import { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import { DeploymentProvider } from "@airflow-resource/core/DeploymentProvider"
import * as Host from "@airflow-resource/core/Host"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import type { Settings } from "airflow-resource"
import { Http } from "airflow-resource"
import { Effect, Layer } from "effect"

/** `provider.createToken:after:1`: after the response to the first such call. */
const parse = (failpoint: string) => {
  const [call = "", when, count] = failpoint.split(":")
  return { call, isBefore: when === "before", count: Number(count) }
}

/** The same service, which kills the process at the failpoint. */
const armed = <S extends object>(name: string, failpoint: string, service: S): S => {
  const { call, count, isBefore } = parse(failpoint)
  let left = count
  const die = Effect.sync(() => {
    left -= 1
    if (left === 0) process.kill(process.pid, "SIGKILL")
  })
  const arm = (effect: Effect.Effect<unknown, unknown>) =>
    isBefore ? Effect.zipRight(die, effect) : Effect.zipLeft(effect, die)
  return new Proxy(service, {
    get: (target, key) => {
      const member: unknown = Reflect.get(target, key)
      if (`${name}.${String(key)}` !== call) return member
      return Effect.isEffect(member)
        ? arm(member as Effect.Effect<unknown, unknown>)
        : (...args: ReadonlyArray<unknown>) =>
          arm((member as (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown>)(...args))
    }
  })
}

/** The layers of `AirflowResources.layer`, with ledger and provider replaced by armed ones. */
export const layer = (
  settings: Settings.Settings,
  options: Partial<DeploymentPool.PoolOptions>,
  failpoint: string
) =>
  Layer.unwrapEffect(
    Effect.map(Host.live, (host) => {
      if (settings.provider._tag !== "AstroApi" || settings.cache._tag !== "File") throw new Error("not over REST")
      const { account, spec } = settings.provider
      const cache = Layer.effect(
        DeploymentCache,
        Effect.map(DeploymentCache, (service) => armed("cache", failpoint, service))
      ).pipe(Layer.provide(SqliteDeploymentCache.layer({ path: settings.cache.path, host })))
      const provider = Layer.effect(
        DeploymentProvider,
        Effect.map(DeploymentProvider, (service) => armed("provider", failpoint, service))
      ).pipe(Layer.provide(AstroApi.layer(account)))
      return Layer.mergeAll(
        DeploymentPool.layer({
          ...settings.pool,
          spec,
          sharedToken: account.token,
          ...options
        }).pipe(Layer.provide([provider, AirflowApi.layer])),
        DagDelivery.layerNone,
        AstroProject.layer
      ).pipe(Layer.provideMerge(cache))
    })
  ).pipe(Layer.provide([Http.layer, NodeContext.layer]))
