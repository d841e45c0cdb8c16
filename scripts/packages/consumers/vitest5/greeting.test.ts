import { test } from "@airflow-resource/testing/vitest"
import { expect } from "vitest"

test("greets", async ({ airflow }) => {
  const { runId } = await airflow.runDag("hello_world_dag", { timeout: "1 minute" })
  const { text } = await airflow.taskLog("hello_world_dag", runId, "hello")
  expect(text).toContain("Hello World from Airflow")
}, 60_000)
