import { AirflowApi, AirflowReset } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { suite } from "./AirflowApi.suite.js"

/** Raw HTTP for what is not Airflow's: the suite must not hang on how the astro package does it. */
const deploy = (emulator: Emulator.Service) =>
  Effect.gen(function*() {
    const response = yield* HttpClientRequest.post(
      `${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}/deployments`
    ).pipe(
      HttpClientRequest.bearerToken(emulator.astroToken),
      HttpClientRequest.bodyUnsafeJson({
        name: "suite",
        workspaceId: emulator.workspaceId,
        isDevelopmentMode: true,
        astroRuntimeVersion: "13.1.0",
        cloudProvider: "AWS",
        region: "us-east-1"
      }),
      HttpClient.execute
    )
    const { webServerAirflowApiUrl } = (yield* response.json) as { readonly webServerAirflowApiUrl: string }
    return webServerAirflowApiUrl.replace(/^(?!https?:)/, "http://").replace(/\/api\/v1$/, "")
  })

const connect = Effect.gen(function*() {
  const emulator = yield* Emulator.make({
    speed: 1000,
    dags: [
      { dagId: "hello_world_dag", tasks: [{ taskId: "hello", log: "Hello World from Airflow" }] },
      {
        dagId: "failing_dag",
        tasks: [
          { taskId: "boom", outcome: "failed", log: "boom goes the task" },
          { taskId: "after", log: "never", upstream: ["boom"] }
        ]
      },
      { dagId: "slow_dag", tasks: [{ taskId: "sleep", duration: "1000 hours", log: "zzz" }] }
    ]
  })
  const baseUrl = yield* deploy(emulator)
  const { connect } = yield* AirflowApi.AirflowApi
  const airflow = connect({ baseUrl, credentials: { _tag: "Bearer", token: emulator.astroToken } })
  yield* airflow.waitForAirflowToBeReady({ timeout: "30 seconds" })
  return airflow
}).pipe(Effect.provide(Layer.provideMerge(AirflowApi.layer, FetchHttpClient.layer)))

suite("AirflowApi against the emulator", connect)

describe("AirflowApi against the emulator", () => {
  // a real server takes minutes for so many writes
  it.scopedLive("reads every page of a long list, and removes what is on them", () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      const keys = Array.from({ length: 205 }, (_, index) => `page_${index}`)
      yield* Effect.forEach(keys, (key) => airflow.setVariable(key, "1"), { concurrency: 8 })
      assert.sameMembers([...(yield* airflow.variables)], keys)
      assert.strictEqual((yield* AirflowReset.reset(airflow)).length, 205)
      assert.deepStrictEqual(yield* airflow.variables, [])
    }), 30_000)
})
