import { Emulator } from "@airflow-resource/emulator"
import { airflowTest, withAirflow } from "@airflow-resource/testing"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResource, AirflowResources, PinnedClock } from "airflow-resource"
import { Clock, Effect, Layer } from "effect"

// one emulator for the file, whose deployments take longer to wake than the body may take
const slow = AirflowResources.layerEmulator({
  emulator: { speed: 10, durations: { create: "5 seconds", wake: "80 seconds" } }
})

describe("airflowTest", () => {
  it.scoped("does not count a slow wake of 8 seconds, with a body that may take 5", () =>
    Effect.gen(function*() {
      const services = yield* Layer.build(slow)
      const layer = Layer.succeedContext(services)
      yield* AirflowResource.use({ testName: "first" }, () => Effect.void).pipe(Effect.provide(layer))
      const reused = yield* withAirflow("second", ({ reused }) => Effect.succeed(reused), {
        layer,
        timeout: "5 seconds"
      })
      assert.strictEqual(reused, "woken")
      const late = yield* Effect.flip(
        withAirflow("third", () => PinnedClock.live(Effect.sleep("6 seconds")), { layer, timeout: "5 seconds" })
      )
      assert(late._tag === "BodyTimeout")
      assert.include(late.message, "5s")
      const audit = yield* (Emulator.Emulator.pipe(
        Effect.provide(services),
        Effect.flatMap((emulator) => emulator.audit)
      ))
      assert.deepStrictEqual(audit.awake, [])
      assert.deepStrictEqual(audit.tokens, [])
    }))

  airflowTest("gives the body the resource, and a clock that stands still", ({ airflow }) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
      assert.isTrue(yield* airflow.verifyAirflowDagExists("hello_world_dag"))
    }), { layer: AirflowResources.layerEmulator({ emulator: { speed: 200 } }), timeout: "1 minute" })

  airflowTest.fails("fails when its body fails", () => Effect.fail("no"), {
    layer: AirflowResources.layerEmulator({ emulator: { speed: 200 } })
  })
})
