import { Emulator } from "@airflow-resource/emulator"
import { airflowTest, withAirflow } from "@airflow-resource/testing"
import { afterAll, assert, describe, it, layer } from "@effect/vitest"
import { AirflowResource, AirflowResources, Offline, PinnedClock } from "airflow-resource"
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

  const offline = { layer: Offline.layerOffline(), timeout: "1 minute" } as const

  airflowTest.fails("fails when its body fails", () => Effect.fail("no"), offline)

  it.effect("fails when there is no Airflow within its budget, and says what it waited for", () =>
    Effect.gen(function*() {
      const never = Offline.layerOffline({ cloud: { createTakes: "1 hour" } })
      const error = yield* Effect.flip(
        withAirflow("late", () => Effect.void, { layer: never, acquireTimeout: "1 second" })
      )
      assert(error._tag === "AcquireBudgetSpent")
      assert.include(
        error.message,
        `No Airflow was ready for "late" within 1s; the last step was: waiting for HEALTHY.`
      )
    }))

  describe("has the variants of vitest", () => {
    const ran: Array<unknown> = []
    const body = (name: string) => () => Effect.sync(() => ran.push(name))
    airflowTest.skipIf(true)("is skipped", body("skipped"), offline)
    airflowTest.skipIf(false)("is not skipped", body("not skipped"), offline)
    airflowTest.runIf(false)("does not run", body("does not run"), offline)
    airflowTest.runIf(true).fails("runs and fails", () => Effect.zipRight(body("fails")(), Effect.fail("no")), offline)
    airflowTest.each([1, "two"])("has the case %s", (value, { testName }, { task }) =>
      Effect.sync(() => {
        assert.strictEqual(task.name, `has the case ${value}`)
        assert.include(testName, ` > has the variants of vitest > ${task.name}`)
        ran.push(value)
      }), offline)
    afterAll(() => assert.deepStrictEqual(ran, ["not skipped", "fails", 1, "two"]))
  })
})

const shared = AirflowResources.layerEmulator({ emulator: { speed: 200 }, pool: { max: 1 } })

layer(shared, { timeout: "5 minutes" })("a layer block", (it) => {
  const deployments = new Set<string>()

  it.scoped("shares its pool with acquire", () =>
    Effect.gen(function*() {
      const { airflow, deploymentName } = yield* AirflowResource.acquire({ testName: "acquires" })
      assert.isTrue(yield* airflow.verifyAirflowDagExists("hello_world_dag"))
      deployments.add(deploymentName)
    }))

  it.effect("shares its pool with use", () =>
    AirflowResource.use({ testName: "uses" }, ({ deploymentName, reused }) =>
      Effect.sync(() => {
        assert.strictEqual(reused, "woken")
        deployments.add(deploymentName)
      })))

  it.effect("leaves nothing awake between its tests", () =>
    Effect.gen(function*() {
      assert.lengthOf([...deployments], 1)
      const { awake, tokens } = yield* (yield* Emulator.Emulator).audit
      assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] })
    }))

  airflowTest("contains tests with a layer of their own", ({ reused }) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
      assert.strictEqual(reused, "created")
    }), { layer: Offline.layerOffline() })
})
