import { AirflowApi } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Option, Redacted, Ref, Stream, TestClock } from "effect"
import { dags, suite } from "./AirflowApi.suite.js"

const connectTo = (baseUrl: string) =>
  Effect.flatMap(
    AirflowApi.AirflowApi,
    ({ connect }) => connect({ baseUrl, credentials: { _tag: "Bearer", token: Redacted.make("any") } })
  )

const connect = connectTo("memory://one")

for (const version of ["2.11.2", "3.1.8"]) {
  suite(
    `AirflowApi in memory, as ${version}`,
    Effect.provide(connect, AirflowApi.layerMemory({ version, dags: dags("3 seconds") })),
    { version, users: "created", hasHttp: false }
  )
}

describe("AirflowApi in memory", () => {
  it.effect("keeps one state for each base URL, and is unreachable while it is not awake", () =>
    Effect.gen(function*() {
      const awake = yield* Ref.make(true)
      yield* Effect.gen(function*() {
        const airflow = yield* connect
        yield* airflow.variables.put({ key: "k", value: "v" })
        yield* Ref.set(awake, false)
        const asleep = yield* Effect.flip(airflow.variables.list)
        assert.deepInclude(asleep, { kind: "unreachable", retryable: true })
        assert.deepInclude(yield* Effect.flip(connect), { kind: "unreachable" })
        yield* Ref.set(awake, true)
        const again = yield* connect
        assert.deepStrictEqual(yield* again.variables.list, [{ key: "k", value: "v" }])
        const other = yield* connectTo("memory://other")
        assert.deepStrictEqual(yield* other.variables.list, [])
      }).pipe(Effect.provide(AirflowApi.layerMemory({ isAwake: () => Ref.get(awake) })))
    }))

  it.effect("runs on the clock that it was built under", () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      const runId = yield* airflow.unpauseAndTriggerAirflowDag("slow_dag")
      const waiting = yield* Effect.fork(airflow.verifyDagIdRan("slow_dag", runId, { timeout: "1 hour" }))
      yield* TestClock.adjust("9 minutes")
      assert.strictEqual((yield* airflow.run("slow_dag", runId)).state, "running")
      yield* TestClock.adjust("2 minutes")
      const { tasks: _, ...run } = yield* Fiber.join(waiting)
      assert.strictEqual(Option.getOrNull(Option.map(run.endedAt, ({ epochMillis }) => epochMillis)), 600_000)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* airflow.run("slow_dag", runId), run)
    }).pipe(Effect.provide(AirflowApi.layerMemory({ dags: dags("10 minutes") }))))

  it.effect("spreads the lines of a log over the duration of its task", () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      const { runId } = yield* airflow.trigger("slow_dag")
      const messages: Array<string> = []
      const tail = yield* airflow.tailTaskLog("slow_dag", runId, "sleep").pipe(
        Stream.runForEach(({ message }) => Effect.sync(() => void messages.push(message))),
        Effect.fork
      )
      for (const count of [1, 2, 3, 4, 5]) {
        yield* TestClock.adjust(count === 1 ? "1 second" : "10 seconds")
        assert.strictEqual(messages.length, count)
      }
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(tail)
      assert.deepStrictEqual(messages, ["tick 0", "tick 1", "tick 2", "tick 3", "done sleeping"])
    }).pipe(Effect.provide(AirflowApi.layerMemory({ dags: dags("50 seconds") }))))

  it.effect("waits between two tries, and keeps the log of each", () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      const { runId } = yield* airflow.trigger("flaky")
      const states: Array<string> = []
      for (let step = 0; step < 4; step++) {
        const [task] = yield* airflow.taskInstances("flaky", runId)
        states.push(`${task?.state} ${task?.tryNumber}`)
        yield* TestClock.adjust("1 minute")
      }
      assert.deepStrictEqual(states, ["running 1", "up_for_retry 1", "running 2", "success 2"])
      const { lines } = yield* airflow.taskLog("flaky", runId, "t", { tryNumber: "all" })
      assert.deepStrictEqual(
        lines.map(({ errors, message, tryNumber }) => [tryNumber, message, errors.length]),
        [[1, "trying", 0], [1, "Task failed with exception", 1], [2, "trying", 0]]
      )
    }).pipe(Effect.provide(AirflowApi.layerMemory({
      dags: [{
        dagId: "flaky",
        tasks: [{ taskId: "t", log: "trying", duration: "1 minute", tries: 2, error: { type: "E", value: "not yet" } }]
      }]
    }))))

  it.effect("has hello_world_dag by default", () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      const { runId } = yield* airflow.runDag("hello_world_dag")
      const log = yield* Stream.runCollect(Stream.take(airflow.tailTaskLog("hello_world_dag", runId, "hello"), 1))
      assert.deepStrictEqual(Chunk.toReadonlyArray(log).map(({ message }) => message), ["Hello World from Airflow"])
    }).pipe(Effect.provide(AirflowApi.layerMemory())))
})
