// Copied by ../many.local.ts into the test files of a project: each leases an Airflow, and looks for what others have left.
import { airflowTest } from "@airflow-resource/testing"
import { assert } from "@effect/vitest"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"
import * as fs from "node:fs"

airflowTest("has an Airflow to itself", ({ airflow, deploymentId, epoch }, { task }) =>
  Effect.gen(function*() {
    const from = performance.timeOrigin + performance.now()
    assert.deepStrictEqual(yield* airflow.variables.list, [])
    assert.deepStrictEqual(yield* airflow.runs(), [])
    yield* airflow.variables.put({ key: task.file.name, value: "x" })
    const { runId } = yield* airflow.runDag("hello", { timeout: "5 minutes" })
    assert.deepStrictEqual((yield* airflow.variables.list).map(({ key }) => key), [task.file.name])
    assert.deepStrictEqual((yield* airflow.runs()).map((run) => run.runId), [runId])
    const to = performance.timeOrigin + performance.now()
    const record = { file: task.file.name, pid: process.pid, deploymentId, epoch, from, to }
    fs.appendFileSync("record.jsonl", `${JSON.stringify(record)}\n`)
  }), { layer: AirflowResources.layerFromEnv, timeout: "10 minutes" })
