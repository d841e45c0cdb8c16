import { airflowTest } from "@airflow-resource/testing"
import { AirflowResources, TaskLog } from "airflow-resource"
import { Effect, Stream } from "effect"
import { assert } from "vitest"

const layer = AirflowResources.layerFromEnv
const dagId = "hello_world_dag"

airflowTest(
  "waits for this version of a DAG, runs it and reads its results",
  ({ airflow }) =>
    Effect.gen(function*() {
      // waits until the version with this tag is live; fails with the stack trace if its file cannot be imported
      yield* airflow.awaitDag(dagId, { tag: "example", timeout: "2 minutes" })
      yield* airflow.variables.put({ key: "greeting", value: "Hello" })

      // unpauses the DAG, starts exactly one run and waits; fails with the failed tasks' logs if the run fails
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
