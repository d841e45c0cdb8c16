// Run by scene.ts, which ends its processes while the test is in a phase of its lease.
import { airflowTest } from "@airflow-resource/testing"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"

airflowTest(
  "leases",
  () => process.env["AIRFLOW_RESOURCE_TEST_PHASE"] === "release" ? Effect.void : Effect.never,
  { layer: AirflowResources.layerFromEnv, timeout: "10 minutes" }
)
