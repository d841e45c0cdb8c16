import { airflowTest } from "@airflow-resource/testing"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"
import { assert } from "vitest"

airflowTest("hello_world_dag exists", ({ airflow }) =>
  Effect.gen(function*() {
    assert.isTrue(yield* airflow.verifyAirflowDagExists("hello_world_dag"))
  }), { layer: AirflowResources.layerFromEnv, timeout: "5 seconds" })
