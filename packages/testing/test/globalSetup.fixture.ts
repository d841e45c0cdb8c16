// Run by globalSetup.test.ts, which checks what upkeep has done.
import { airflowTest } from "@airflow-resource/testing"
import { assert, it } from "@effect/vitest"
import { AirflowResources, DeploymentPool } from "airflow-resource"
import { Effect, Schedule, TestServices } from "effect"

const layer = AirflowResources.layerFromEnv

/** The emulator is faster than the start of a reaper, and a release before it hibernates. */
const upkeepIsActive = Effect.flatMap(DeploymentPool.DeploymentPool, ({ inspect }) =>
  Effect.repeat(inspect, {
    until: ({ upkeep }) => upkeep.holder !== null,
    schedule: Schedule.spaced("100 millis")
  })).pipe(TestServices.provideLive)

it("needs nothing", () => {})

airflowTest("leases", ({ reused }) =>
  Effect.gen(function*() {
    assert.strictEqual(reused, "created")
    yield* upkeepIsActive
  }), { layer, timeout: "1 minute" })

airflowTest("leases again", ({ airflow, reused }) =>
  Effect.gen(function*() {
    assert.strictEqual(reused, "awake")
    yield* airflow.variables.put({ key: "planted", value: "x" })
  }), { layer, timeout: "1 minute" })

it("hangs", () => {
  process.stdout.write(`it hangs in ${process.pid}\n`)
  return new Promise(() => {})
}, 600_000)
