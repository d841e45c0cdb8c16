import { airflowTest } from "@airflow-resource/testing"
import { assert } from "@effect/vitest"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"

/** The test that each of the four workers runs. */
export const lease = () =>
  airflowTest("runs in its own worker", ({ workerPid }) =>
    Effect.sync(() => {
      assert.strictEqual(workerPid, process.pid)
      process.stdout.write(`worker ${workerPid}\n`)
    }), { layer: AirflowResources.layerFromEnv, timeout: "2 minutes" })
