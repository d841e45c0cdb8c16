import { assert } from "@effect/vitest"
import { AirflowResource } from "airflow-resource"
import { Effect } from "effect"

const dagId = "hello_world_dag"
const marker = "planted/marker"
const many = Array.from({ length: 250 }, (_, index) => `many_${index}`)

/** One lease leaves something in every part of an Airflow. The next lease of the deployment finds nothing of it. */
export const leaveAndCheck = (concurrentWrites: number) =>
  Effect.gen(function*() {
    const first = yield* AirflowResource.use(
      { testName: "leaves things behind" },
      ({ airflow, apiUrl, baseUrl, deploymentId, user }) =>
        Effect.gen(function*() {
          assert.strictEqual(apiUrl, `${baseUrl}/api/v${airflow.version.major - 1}`)
          const { runId } = yield* airflow.runDag(dagId, { conf: { marker }, note: marker, timeout: "2 minutes" })
          assert.strictEqual(yield* airflow.xcom(dagId, runId, "hello"), "Hello World from Airflow")
          yield* Effect.forEach([marker, ...many], (key) => airflow.variables.put({ key, value: marker }), {
            concurrency: concurrentWrites,
            discard: true
          })
          assert.strictEqual((yield* airflow.variables.list).length, many.length + 1)
          yield* airflow.connections.put({ id: "planted", type: "http", extra: { marker } })
          yield* airflow.pools.put({ name: "planted", slots: 1 })
          yield* airflow.pools.put({ name: "default_pool", slots: 3 })
          // one run that is queued, and one that is running when the lease ends
          yield* airflow.setPaused("failing_dag", true)
          yield* airflow.trigger("failing_dag", { unpause: false })
          yield* airflow.trigger("slow_dag")
          return { deploymentId, runId, user }
        })
    )
    return yield* AirflowResource.use(
      { testName: "finds nothing" },
      ({ airflow, deploymentId, reused, user }) =>
        Effect.gen(function*() {
          assert.deepStrictEqual([deploymentId, reused], [first.deploymentId, "woken"])
          const { runId } = first
          const errors = yield* Effect.all([
            Effect.flip(airflow.run(dagId, runId)),
            Effect.flip(airflow.xcom(dagId, runId, "hello")),
            Effect.flip(airflow.variables.get(marker)),
            Effect.flip(airflow.connections.get("planted")),
            Effect.flip(airflow.pools.get("planted"))
          ])
          assert.deepStrictEqual(errors.map(({ kind }) => kind), Array(errors.length).fill("notFound"))
          assert.deepStrictEqual(yield* airflow.runs(), [])
          assert.deepStrictEqual(yield* airflow.variables.list, [])
          assert.deepStrictEqual(yield* airflow.connections.list, [])
          assert.deepStrictEqual((yield* airflow.pools.list).map(({ name, slots }) => ({ name, slots })), [
            { name: "default_pool", slots: 128 }
          ])
          assert.deepStrictEqual((yield* airflow.dags).filter(({ isPaused }) => !isPaused), [])
          // and the Airflow works
          yield* airflow.runDag(dagId, { timeout: "2 minutes" })
          return [first.user, user] as const
        })
    )
  })
