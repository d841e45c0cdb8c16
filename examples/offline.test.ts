import { assert, it } from "@effect/vitest"
import { AirflowResource, Offline } from "airflow-resource"
import { Effect, Fiber, Option, TestClock } from "effect"

const greet = Effect.gen(function*() {
  const { airflow, reused } = yield* AirflowResource.acquire({ testName: "greets" })
  const runId = yield* airflow.unpauseAndTriggerAirflowDag("hello_world_dag")
  yield* airflow.verifyDagIdRan("hello_world_dag", runId)
  return reused
})

it.effect("takes no time and needs no network", () =>
  Effect.gen(function*() {
    assert.strictEqual(yield* Effect.scoped(greet), "created")
    assert.strictEqual(yield* Effect.scoped(greet), "woken")
  }).pipe(Effect.provide(Offline.layerOffline())))

it.effect("takes the time that the layers are configured to take, on the test's clock", () =>
  Effect.gen(function*() {
    const lease = yield* Effect.fork(Effect.scoped(greet))
    yield* TestClock.adjust("2 minutes")
    assert.isTrue(Option.isNone(yield* Fiber.poll(lease)))
    yield* TestClock.adjust("3 minutes")
    assert.strictEqual(yield* Fiber.join(lease), "created")
  }).pipe(Effect.provide(Offline.layerOffline({ cloud: { createTakes: "3 minutes" } }))))
