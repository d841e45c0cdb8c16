import { AstroProject } from "@airflow-resource/astro"
import { DagDelivery } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { NodeContext } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { AirflowResource, AirflowResources, DeploymentPool } from "airflow-resource"
import { Context, Deferred, Effect, Fiber, Layer, Redacted } from "effect"
import { project, start } from "./child.js"

export const canary = "canary-5d2c7f"

/** An emulated Astro, a project with a ledger, the command in that project, and leases of this process by the same ledger. */
export const world = (options: Emulator.Options = {}, max = 1) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed: 200, ...options })
    const cwd = yield* project
    const env = {
      ...AirflowResources.variablesOf(emulator),
      AIRFLOW_RESOURCE_DELIVERY: "none",
      // a reaper would clean up what a test wants to find
      AIRFLOW_RESOURCE_REAPER: "off",
      AIRFLOW_PASSWORD: canary,
      AIRFLOW_RESOURCE_MAX: String(max)
    }
    const path = `${cwd}/Environment/CacheManager/cluster_cache.db`
    const settings = yield* AirflowResources.settingsOf(emulator, { ...env, AIRFLOW_RESOURCE_CACHE: path })
    const services = yield* Layer.build(
      Layer.mergeAll(
        AirflowResources.layerPool(settings, { max, revocationWait: "25 millis", reset: { settle: "50 millis" } }),
        DagDelivery.layerNone,
        AstroProject.layer
      ).pipe(Layer.provide(NodeContext.layer))
    ).pipe(Effect.cached)
    const begin = (...args: ReadonlyArray<string>) => start("../src/main.ts", args, env, cwd)
    const run = (...args: ReadonlyArray<string>) =>
      Effect.gen(function*() {
        const ended = yield* (yield* begin(...args)).ended
        for (const secret of [Redacted.value(emulator.astroToken), Redacted.value(emulator.githubToken), canary]) {
          assert.notInclude(ended.stdout + ended.stderr, secret)
        }
        // a message, not a stack trace
        assert.notMatch(ended.stderr, /^\s+at /m)
        return ended
      })
    /** A lease of this process that lasts until `end`. */
    const hold = (testName: string) =>
      Effect.gen(function*() {
        const [name, gate] = [yield* Deferred.make<string>(), yield* Deferred.make<void>()]
        const fiber = yield* AirflowResource.use(
          { testName },
          ({ deploymentName }) => Effect.zipRight(Deferred.succeed(name, deploymentName), Deferred.await(gate))
        ).pipe(Effect.provide(yield* services), Effect.fork)
        return {
          /** Waits until the lease is ready. */
          deploymentName: Effect.raceFirst(Deferred.await(name), Effect.zipRight(Fiber.join(fiber), Effect.never)),
          end: Effect.zipRight(Deferred.succeed(gate, undefined), Fiber.join(fiber))
        }
      })
    const inspect = Effect.flatMap(services, (all) => Context.get(all, DeploymentPool.DeploymentPool).inspect)
    return { emulator, env, cwd, path, begin, run, hold, inspect }
  })
