import { AirflowApi } from "@airflow-resource/airflow"
import { FetchHttpClient } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"

const greeting = Effect.gen(function*() {
  const { connect } = yield* AirflowApi.AirflowApi
  const airflow = yield* connect({
    baseUrl: "http://127.0.0.1:8080",
    credentials: { _tag: "Password", username: "admin", password: Redacted.make("admin") }
  })
  const { runId } = yield* airflow.runDag("hello_world_dag", { timeout: "1 minute" })
  const { text } = yield* airflow.taskLog("hello_world_dag", runId, "hello")
  return text
})

export const fromServer = greeting.pipe(
  Effect.provide(Layer.provide(AirflowApi.layer, FetchHttpClient.layer))
)

it.effect("reads the greeting from an Airflow in memory", () =>
  Effect.gen(function*() {
    assert.include(yield* greeting, "Hello World from Airflow")
  }).pipe(Effect.provide(AirflowApi.layerMemory())))
