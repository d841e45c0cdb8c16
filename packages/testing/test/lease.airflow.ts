import { Emulator } from "@airflow-resource/emulator"
import { assert, it } from "@effect/vitest"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Effect } from "effect"

const { AIRFLOW_PASSWORD: password = "", AIRFLOW_URL: url = "", AIRFLOW_USERNAME: username = "" } = process.env

/** Astro emulated, and behind its ingress a real Airflow. */
const layer = AirflowResources.layerEmulator({
  emulator: { speed: 200, airflow: () => ({ url, username, password }) },
  delivery: "none"
})

it.scoped("a whole lease over a real Airflow: lease, DAG, log, reset, release", () =>
  Effect.gen(function*() {
    const first = yield* AirflowResource.use({ testName: "real" }, ({ airflow, user }) =>
      Effect.gen(function*() {
        assert.strictEqual(user, "created")
        const runId = yield* airflow.unpauseAndTriggerAirflowDag("hello_world_dag")
        const run = yield* airflow.verifyDagIdRan("hello_world_dag", runId, { timeout: "2 minutes" })
        assert.strictEqual(run.state, "success")
        assert.include(
          yield* airflow.getTaskInstanceLogs("hello_world_dag", runId, "hello"),
          "Hello World from Airflow"
        )
        yield* airflow.setVariable("left/behind", "canary")
        yield* airflow.createConnection({ id: "left-behind", type: "http" })
        yield* airflow.createPool({ name: "left", slots: 1 })
        return runId
      }))
    yield* AirflowResource.use({ testName: "after" }, ({ airflow, reused, user }) =>
      Effect.gen(function*() {
        assert.strictEqual(reused, "woken")
        assert.strictEqual(user, "exists")
        assert.deepStrictEqual(yield* airflow.runs(), [])
        assert.deepStrictEqual(yield* airflow.variables, [])
        assert.deepStrictEqual(yield* airflow.connections, [])
        assert.deepStrictEqual(yield* airflow.pools, [{ name: "default_pool", slots: 128 }])
        const gone = yield* Effect.flip(airflow.run("hello_world_dag", first))
        assert.strictEqual(gone.kind, "notFound")
      }))
    const audit = yield* Effect.flatMap(Emulator.Emulator, (emulator) => emulator.audit)
    assert.deepStrictEqual([audit.awake, audit.tokens], [[], []])
  }).pipe(Effect.provide(layer)), 300_000)
