import { AirflowApi, AirflowReadiness, AirflowReset } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "@effect/platform"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { dags, suite } from "./AirflowApi.suite.js"

const speed = 1000

/** Raw HTTP for what is not Airflow's: the suite must not hang on how the astro package does it. */
const deploy = (emulator: Emulator.Service, astroRuntimeVersion: string) =>
  Effect.gen(function*() {
    const response = yield* HttpClientRequest.post(
      `${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}/deployments`
    ).pipe(
      HttpClientRequest.bearerToken(emulator.astroToken),
      HttpClientRequest.bodyUnsafeJson({
        name: "suite",
        workspaceId: emulator.workspaceId,
        isDevelopmentMode: true,
        astroRuntimeVersion,
        cloudProvider: "AWS",
        region: "us-east-1"
      }),
      HttpClient.execute
    )
    const { webServerAirflowApiUrl } = (yield* response.json) as { readonly webServerAirflowApiUrl: string }
    return webServerAirflowApiUrl.replace(/^(?!https?:)/, "http://").replace(/\/api\/v\d$/, "")
  })

const start = (runtime: string) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed, dags: dags(`${5 * speed} seconds`) })
    const baseUrl = yield* deploy(emulator, runtime)
    const { connect } = yield* AirflowApi.AirflowApi
    const connecting = connect({ baseUrl, credentials: { _tag: "Bearer", token: emulator.astroToken } })
    return yield* AirflowReadiness.awaitConnected(baseUrl, connecting, { timeout: "30 seconds" })
  }).pipe(Effect.provide(Layer.provideMerge(AirflowApi.layer, FetchHttpClient.layer)))

for (
  const [runtime, version] of [
    ["13.5.0", "2.11.2"],
    ["3.0-9", "3.0.6"],
    ["3.1-12", "3.1.8"],
    ["3.2-5", "3.2.2"],
    ["3.3-3", "3.3.2"]
  ] as const
) {
  describe(`AirflowApi against the emulated runtime ${runtime}`, () => {
    // as on a real server, every test finds what the ones before it have left
    const scope = Effect.runSync(Scope.make())
    const connect = Effect.runSync(Effect.cached(Scope.extend(start(runtime), scope)))
    afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

    suite(`Airflow ${version}`, connect, { version, users: version.startsWith("2.") ? "created" : "unsupported" })

    it.scopedLive("reads every page of a long list, and removes what is on them", () =>
      Effect.gen(function*() {
        const airflow = yield* connect
        yield* AirflowReset.reset(airflow)
        const keys = Array.from({ length: 205 }, (_, index) => `page_${index}`)
        yield* Effect.forEach(keys, (key) => airflow.variables.put({ key, value: "1" }), { concurrency: 8 })
        assert.sameMembers((yield* airflow.variables.list).map(({ key }) => key), keys)
        assert.strictEqual((yield* AirflowReset.reset(airflow)).removed.length, 205)
        assert.deepStrictEqual(yield* airflow.variables.list, [])
      }), 30_000)
  })
}
