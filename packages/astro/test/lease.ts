import { AirflowApi } from "@airflow-resource/airflow"
import {
  AirflowResource,
  DagDelivery,
  DeploymentCache,
  DeploymentPool,
  type DeploymentProvider,
  type ProjectDirectory
} from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { FetchHttpClient } from "@effect/platform"
import { Effect, Layer } from "effect"

const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

type Services = DeploymentProvider.DeploymentProvider | ProjectDirectory.ProjectDirectory

/** All services of a lease. */
export const pool = (services: Layer.Layer<Services>) =>
  Layer.mergeAll(
    DeploymentPool.layer({ spec, revocationWait: "5 millis", reset: { settle: "100 millis" } }),
    DagDelivery.layerNone
  ).pipe(
    Layer.provideMerge(DeploymentCache.layerMemory),
    Layer.provide(Layer.provide(AirflowApi.layer, FetchHttpClient.layer)),
    Layer.provideMerge(services)
  )

/** Runs two leases, one after the other, on a new emulator. Returns their results and the writes that Astro received. */
export const twice = (servicesOf: (emulator: Emulator.Service) => Layer.Layer<Services>) =>
  Effect.scoped(Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed: 1000 })
    const lease = AirflowResource.use({ testName: "a test" }, (resource) =>
      Effect.gen(function*() {
        const run = yield* resource.airflow.runDag("hello_world_dag", { timeout: "20 seconds" })
        const { awake } = yield* emulator.audit
        return {
          awake: awake.length,
          fenced: resource.fenced,
          reused: resource.reused,
          state: run.state,
          user: resource.user
        }
      }))
    const leases = yield* Effect.all([lease, lease]).pipe(Effect.provide(pool(servicesOf(emulator))))
    const audit = yield* emulator.audit
    const writes = audit.requests.filter(({ method, path }) => method !== "GET" && path.startsWith("/v1/"))
    const ids = new Map<string, string>()
    const known = (id: string) => {
      if (!ids.has(id)) ids.set(id, `id${ids.size + 1}`)
      return ids.get(id)
    }
    return {
      leases,
      writes: writes.map(({ method, path, status }) =>
        `${method} ${path.replace(/\bc[a-z0-9]{24}\b/g, (id) => known(id) ?? "")} ${status}`
      ),
      checks: audit.requests.filter(({ path }) => /^\/v1\/organizations(\?|\/[^/]+\/workspaces\/)/.test(path)).length,
      astroCalls: audit.requests.filter(({ path }) => path.startsWith("/v1/")).length,
      awake: audit.awake,
      tokens: audit.tokens.length,
      deployments: audit.deployments.length
    }
  }))
