/** The real Airflow that `npm run test:airflow` has started. */
import { AirflowApi } from "@airflow-resource/airflow"
import { FetchHttpClient } from "@effect/platform"
import { DateTime, Effect, Layer, Redacted } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"

const {
  AIRFLOW_DAGS_FOLDER: dagsFolder = "",
  AIRFLOW_PASSWORD: password = "",
  AIRFLOW_URL: baseUrl = "",
  AIRFLOW_VIEWER_PASSWORD: viewerPassword = "",
  AIRFLOW_VIEWER_USERNAME: viewerUsername = ""
} = process.env
export const { AIRFLOW_DATABASE: database = "", AIRFLOW_USERNAME: username = "", AIRFLOW_VERSION: version = "" } =
  process.env

export const isTwo = version.startsWith("2.")

export const connectAs = (username: string, password: string) =>
  Effect.flatMap(
    AirflowApi.AirflowApi,
    ({ connect }) =>
      connect({ baseUrl, credentials: { _tag: "Password", username, password: Redacted.make(password) } })
  ).pipe(
    Effect.provide(Layer.provide(AirflowApi.layer, FetchHttpClient.layer))
  )
export const connect = connectAs(username, password)
export const connectAsViewer = connectAs(viewerUsername, viewerPassword)

/** Delivers versions of a DAG's file. The file is deleted at the end of the test. */
export const delivery = Effect.gen(function*() {
  const dagId = `delivered_${randomUUID().slice(0, 8)}`
  const file = path.join(dagsFolder, `${dagId}.py`)
  yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(file, { force: true })))
  // in one step, so that Airflow never reads an incomplete file
  const deliver = (text: string) =>
    Effect.tap(DateTime.now, () =>
      Effect.sync(() => {
        fs.writeFileSync(`${file}.new`, text)
        fs.renameSync(`${file}.new`, file)
      }))
  return { dagId, file, deliver }
})
