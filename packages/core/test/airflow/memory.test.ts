import { AirflowApi, DeploymentProvider } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Redacted, TestClock } from "effect"
import { suite } from "./AirflowApi.suite.js"

const dags: ReadonlyArray<AirflowApi.MemoryDag> = [
  { dagId: "hello_world_dag", tasks: [{ taskId: "hello", log: "Hello World from Airflow" }] },
  {
    dagId: "failing_dag",
    tasks: [{ taskId: "boom", outcome: "failed", log: "boom goes the task" }, { taskId: "after", log: "never" }]
  },
  { dagId: "slow_dag", tasks: [{ taskId: "sleep", duration: "1 hour", log: "zzz" }] }
]

const cloud = AirflowApi.layerMemory({ dags }).pipe(Layer.provideMerge(DeploymentProvider.layerMemory()))

const deploy = Effect.gen(function*() {
  const provider = yield* DeploymentProvider.DeploymentProvider
  const make = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
  return yield* provider.create({ name: "one", description: "", make })
})

const connectTo = (baseUrl: string) =>
  Effect.map(
    AirflowApi.AirflowApi,
    (api) => api.connect({ baseUrl, credentials: { _tag: "Bearer", token: Redacted.make("any") } })
  )

suite(
  "AirflowApi in memory",
  Effect.flatMap(deploy, ({ airflowUrl }) => connectTo(airflowUrl)).pipe(Effect.provide(cloud))
)

describe("AirflowApi in memory", () => {
  it.effect("answers while its deployment is awake, and keeps its state from one lease to the next", () =>
    Effect.gen(function*() {
      const provider = yield* DeploymentProvider.DeploymentProvider
      const { airflowUrl, id } = yield* deploy
      yield* Effect.flatMap(connectTo(airflowUrl), (airflow) => airflow.setVariable("k", "v"))
      yield* provider.hibernate(id)
      const airflow = yield* connectTo(airflowUrl)
      const asleep = yield* Effect.flip(airflow.variables)
      assert.deepInclude(asleep, { kind: "unreachable", retryable: true })
      yield* provider.wake(id)
      assert.deepStrictEqual(yield* airflow.variables, ["k"])
      const other = yield* Effect.flatMap(connectTo("memory://nowhere"), ({ version }) => Effect.flip(version))
      assert.strictEqual(other.kind, "unreachable")
    }).pipe(Effect.provide(cloud)))

  it.effect("runs on the clock that it was built under", () =>
    Effect.gen(function*() {
      const airflow = yield* Effect.flatMap(deploy, ({ airflowUrl }) => connectTo(airflowUrl))
      const runId = yield* airflow.unpauseAndTriggerAirflowDag("slow_dag")
      const waiting = yield* Effect.fork(airflow.verifyDagIdRan("slow_dag", runId, { timeout: "2 hours" }))
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual((yield* airflow.run("slow_dag", runId)).state, "running")
      yield* TestClock.adjust("2 minutes")
      const run = yield* Fiber.join(waiting)
      assert.deepStrictEqual(Option.map(run.endedAt, ({ epochMillis }) => epochMillis), Option.some(3_600_000))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* airflow.run("slow_dag", runId), run)
    }).pipe(Effect.provide(cloud)))

  it.effect("has a DAG that greets unless it is given others", () =>
    Effect.gen(function*() {
      const airflow = yield* Effect.flatMap(deploy, ({ airflowUrl }) => connectTo(airflowUrl))
      const runId = yield* airflow.unpauseAndTriggerAirflowDag("hello_world_dag")
      yield* airflow.verifyDagIdRan("hello_world_dag", runId)
      const log = yield* airflow.getTaskInstanceLogs("hello_world_dag", runId, "hello")
      assert.include(log, "Hello World from Airflow")
    }).pipe(Effect.provide(AirflowApi.layerMemory().pipe(Layer.provideMerge(DeploymentProvider.layerMemory())))))
})
