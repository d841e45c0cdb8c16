import { test } from "@airflow-resource/testing/vitest"
import { expect } from "vitest"

test("hello_world_dag greets", async ({ airflow }) => {
  await airflow.variables.put({ key: "greeting", value: "Hello" })

  // fails with the failed tasks' logs if the run fails
  const { runId } = await airflow.runDag("hello_world_dag", { conf: { name: "World" }, timeout: "1 minute" })
  expect(await airflow.xcom("hello_world_dag", runId, "hello")).toBe("Hello World from Airflow")

  const messages: Array<string> = []
  for await (const { message } of airflow.tailTaskLog("hello_world_dag", runId, "hello")) messages.push(message)
  expect(messages).toContain("Hello World from Airflow")
}, 60_000)
