import { airflowTest } from "@airflow-resource/testing"
import { assert } from "@effect/vitest"
import { AirflowResources, TaskLog } from "airflow-resource"
import { Effect, Stream } from "effect"

const layer = AirflowResources.layerFromEnv
const dagId = "hello_world_dag"

airflowTest(
  "waits for this version of a DAG, runs it, and looks at what it did",
  ({ airflow }) =>
    Effect.gen(function*() {
      // live is what has the tag: a file that cannot be imported fails this at once, with Python's stack trace
      yield* airflow.awaitDag(dagId, { tag: "example", timeout: "2 minutes" })
      yield* airflow.variables.put({ key: "greeting", value: "Hello" })

      // unpauses, triggers once whatever the network does, waits; a failed run fails with the ends of the failed tasks' logs
      const { runId } = yield* airflow.runDag(dagId, { conf: { name: "World" }, timeout: "1 minute" })
      yield* airflow.assertTasks(dagId, runId, { hello: "success" })

      assert.strictEqual(yield* airflow.xcom(dagId, runId, "hello"), "Hello World from Airflow")
      const { lines } = yield* airflow.taskLog(dagId, runId, "hello")
      assert.include(lines.map(({ message }) => message), "Hello World from Airflow")
    }),
  { layer, timeout: "30 seconds" }
)

airflowTest("follows a log while the task runs", ({ airflow }) =>
  Effect.gen(function*() {
    const { runId } = yield* airflow.trigger(dagId)
    const log = yield* airflow.tailTaskLog(dagId, runId, "hello").pipe(
      Stream.map(TaskLog.render),
      Stream.runCollect
    )
    assert.include(Array.from(log).join("\n"), "Hello World from Airflow")
  }), { layer, timeout: "30 seconds" })
