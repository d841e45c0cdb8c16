import { AirflowApi } from "@airflow-resource/airflow"
import { DeploymentCache, DeploymentPool, DeploymentProvider } from "@airflow-resource/core"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Summary from "../src/internal/summary.js"

const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

/** A cloud in memory that deletes no token while `refuses` is set. */
const cloud = (refuses: { now: boolean }) =>
  Layer.effect(
    DeploymentProvider.DeploymentProvider,
    Effect.map(DeploymentProvider.DeploymentProvider, (provider) => ({
      ...provider,
      deleteToken: (id, tokenId) =>
        Effect.suspend(() =>
          refuses.now
            ? new DeploymentProvider.ProviderError({
              kind: "forbidden",
              operation: "delete a token",
              detail: "no",
              remedy: "Wait."
            })
            : provider.deleteToken(id, tokenId)
        )
    } satisfies typeof DeploymentProvider.DeploymentProvider.Service))
  ).pipe(Layer.provide(DeploymentProvider.layerMemory()))

it.scopedLive("reports a release that did not end well, what is left of it, and what to do", () =>
  Effect.gen(function*() {
    const refuses = { now: false }
    const pool = yield* DeploymentPool.make({ spec, revocationWait: 0, reset: { settle: 0 } }).pipe(
      Effect.provide([cloud(refuses).pipe(Layer.provideMerge(DeploymentCache.layerMemory))]),
      Effect.provide(AirflowApi.layerMemory())
    )
    const lease = Effect.scoped(pool.acquire({ label: "a.test.ts > leases" }))
    yield* lease
    assert.strictEqual(yield* Summary.of(pool, 0), "")

    refuses.now = true
    yield* lease
    const [{ name } = { name: "" }] = (yield* pool.inspect).slots
    assert.strictEqual(
      yield* Summary.of(pool, 0),
      "airflow-resource: a release did not end well: a.test.ts > leases: Could not delete a token: no. Wait.\n" +
        `airflow-resource: ${name} may have a valid token\n` +
        "airflow-resource: to clean up, run `npx airflow-resource reap`."
    )
    const { now } = yield* pool.inspect
    refuses.now = false
    yield* pool.reap
    assert.include(yield* Summary.of(pool, 0), "everything was cleaned up since")
    assert.strictEqual(yield* Summary.of(pool, now + 1), "", "what happened before the run is not reported")
  }))
