// Run by globalSetup.test.ts, which checks what upkeep has done.
import { airflowTest } from "@airflow-resource/testing"
import { assert, it } from "@effect/vitest"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"

const layer = AirflowResources.layerFromEnv

it("needs nothing", () => {})

airflowTest("leases", ({ reused }) => Effect.sync(() => assert.strictEqual(reused, "created")), {
  layer,
  timeout: "1 minute"
})

airflowTest("leases again", ({ airflow, reused }) =>
  Effect.gen(function*() {
    assert.strictEqual(reused, "awake")
    yield* airflow.variables.put({ key: "planted", value: "x" })
  }), { layer, timeout: "1 minute" })

it("hangs", () => {
  process.stdout.write("it hangs\n")
  return new Promise(() => {})
}, 600_000)
