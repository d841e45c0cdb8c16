import { airflowTest } from "@airflow-resource/testing"
import { assert, it } from "@effect/vitest"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Effect } from "effect"

it.scoped("leases an Airflow", () =>
  Effect.gen(function*() {
    const { airflow } = yield* AirflowResource.acquire({ testName: "leases an Airflow" })
    const { runId } = yield* airflow.runDag("hello_world_dag", { timeout: "1 minute" })
    const { text } = yield* airflow.taskLog("hello_world_dag", runId, "hello")
    assert.include(text, "Hello World from Airflow")
  }).pipe(Effect.provide(AirflowResources.layerFromEnv)), 120_000)

airflowTest("has the DAG", ({ airflow }) =>
  Effect.gen(function*() {
    assert.isTrue(yield* airflow.verifyAirflowDagExists("hello_world_dag"))
  }), { layer: AirflowResources.layerFromEnv, timeout: "1 minute" })
