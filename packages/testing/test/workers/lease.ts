import { airflowTest } from "@airflow-resource/testing"
import { assert } from "@effect/vitest"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"

/** What each of the four workers does. */
export const lease = () =>
  airflowTest("runs in a worker of its own", ({ workerPid }) =>
    Effect.sync(() => {
      assert.strictEqual(workerPid, process.pid)
      process.stdout.write(`worker ${workerPid}\n`)
    }), { layer: AirflowResources.layerFromEnv, timeout: "2 minutes" })
