import { AirflowApi } from "@airflow-resource/core"
import { FetchHttpClient } from "@effect/platform"
import { Effect, Layer, Redacted } from "effect"
import { suite } from "./AirflowApi.suite.js"

const { AIRFLOW_PASSWORD: password = "", AIRFLOW_URL: baseUrl = "", AIRFLOW_USERNAME: username = "" } = process.env

suite(
  "AirflowApi against a real Airflow",
  Effect.map(
    AirflowApi.AirflowApi,
    ({ connect }) => connect({ baseUrl, credentials: { _tag: "Basic", username, password: Redacted.make(password) } })
  ).pipe(
    Effect.provide(Layer.provide(AirflowApi.layer, FetchHttpClient.layer))
  )
)
