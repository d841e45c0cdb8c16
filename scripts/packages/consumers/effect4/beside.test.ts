import { test } from "@airflow-resource/testing/vitest"
import { Effect } from "effect"
import { createRequire } from "node:module"
import { expect } from "vitest"

test("a program in Effect 4 uses a leased Airflow", async ({ airflow }) => {
  const program = Effect.gen(function*() {
    const { runId } = yield* Effect.promise(() => airflow.runDag("hello_world_dag", { timeout: "1 minute" }))
    return yield* Effect.promise(() => airflow.taskLog("hello_world_dag", runId, "hello"))
  })
  expect((await Effect.runPromise(program)).text).toContain("Hello World from Airflow")
}, 60_000)

test("this project has Effect 4, and our package Effect 3", () => {
  const project = createRequire(import.meta.url)
  const ours = createRequire(project.resolve("@airflow-resource/testing/package.json"))
  expect(project("effect/package.json").version).toMatch(/^4\./)
  expect(ours("effect/package.json").version).toMatch(/^3\./)
})
