import { Dags } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import * as Runs from "../src/internal/airflow/Runs.js"

describe("Runs", () => {
  const spec: Dags.DagSpec = {
    dagId: "d",
    tasks: [
      { taskId: "last", log: "", upstream: ["broken"] },
      { taskId: "first", log: "", duration: "10 seconds" },
      { taskId: "broken", log: "", duration: "5 seconds", outcome: "failed", upstream: ["first"] },
      { taskId: "many", log: "", mapped: 2, upstream: ["first"] }
    ]
  }
  const run: Runs.RunFacts = {
    dagId: "d",
    runId: "r",
    spec,
    versionNumber: 1,
    queuedAt: 0,
    runAfter: 0,
    logicalDate: null,
    interval: null,
    conf: {},
    note: null,
    executions: [Runs.execution(0)],
    deletedInstances: new Set()
  }
  const at = (now: number, more: Partial<Runs.Scheduler> = {}, facts: Partial<Runs.RunFacts> = {}) => {
    const course = Runs.evaluate({ ...run, ...facts }, {
      now,
      speed: 1,
      latency: 1000,
      earliestStart: (from) => from,
      stoppedAt: [],
      ...more
    })
    const tasks = course.tasks.map(({ mapIndex, state, spec: task }) => `${task.taskId}${mapIndex} ${state}`)
    return [course.state, ...tasks]
  }

  it("runs the tasks in order", () => {
    assert.deepStrictEqual(at(500), [
      "queued",
      "first-1 null",
      "broken-1 null",
      "many0 null",
      "many1 null",
      "last-1 null"
    ])
    assert.deepStrictEqual(at(2000)[1], "first-1 running")
    assert.deepStrictEqual(at(12_000), [
      "running",
      "first-1 success",
      "broken-1 running",
      "many0 success",
      "many1 success",
      "last-1 null"
    ])
    assert.deepStrictEqual(at(20_000)[0], "failed")
    assert.deepStrictEqual(at(20_000).at(-1), "last-1 upstream_failed")
  })

  it("waits for ever if no task may start", () => {
    assert.strictEqual(at(1e9, { earliestStart: () => Infinity })[0], "queued")
  })

  it("fails the running tasks when Airflow is stopped", () => {
    assert.strictEqual(at(20_000, { stoppedAt: [5000] })[1], "first-1 failed")
  })

  it("takes a state that was set by a client", () => {
    assert.deepStrictEqual(
      at(20_000, {}, { executions: [{ ...Runs.execution(0), forced: { at: 2000, state: "failed" } }] }),
      [
        "failed",
        "first-1 failed",
        "broken-1 skipped",
        "many0 skipped",
        "many1 skipped",
        "last-1 skipped"
      ]
    )
  })

  it("refuses DAGs that cannot run", () => {
    const task = (taskId: string, ...upstream: Array<string>) => ({ taskId, log: "", upstream })
    const wrong = (...tasks: Array<Dags.TaskSpec>) => String(Dags.inOrder({ dagId: "d", tasks }))
    assert.include(wrong(task("a", "b"), task("b", "a")), "depend on each other in a cycle")
    assert.include(wrong(task("a", "x")), "names the upstream task x")
    assert.include(wrong(task("a"), task("a")), "two tasks named a")
  })

  it("retries a task, and ends the last try with its outcome", () => {
    const spec: Dags.DagSpec = { dagId: "d", tasks: [{ taskId: "t", log: "", duration: "2 seconds", tries: 2 }] }
    const states = [1500, 3500, 4500, 6500].map((now) => at(now, {}, { spec }))
    assert.deepStrictEqual(states, [
      ["running", "t-1 running"],
      ["running", "t-1 up_for_retry"],
      ["running", "t-1 running"],
      ["success", "t-1 success"]
    ])
  })

  it("runs again once it is cleared, and keeps the tasks that were not cleared", () => {
    const executions = [Runs.execution(0), Runs.execution(30_000, ["broken", "last"])]
    assert.strictEqual(at(30_500, {}, { executions })[0], "queued")
    assert.deepStrictEqual(at(32_000, {}, { executions }).slice(0, 3), [
      "running",
      "first-1 success",
      "broken-1 running"
    ])
    const done = Runs.evaluate({ ...run, executions }, {
      now: 40_000,
      speed: 1,
      latency: 1000,
      earliestStart: (from) => from,
      stoppedAt: []
    })
    const broken = done.tasks.find(({ spec: task }) => task.taskId === "broken")
    assert.deepStrictEqual([broken?.tryNumber, broken?.maxTries, broken?.attempts.length], [2, 1, 2])
    const idle = [Runs.execution(0), Runs.execution(30_000, ["broken"], true)]
    assert.deepStrictEqual(at(90_000, {}, { executions: idle }).slice(0, 3), [
      "failed",
      "first-1 success",
      "broken-1 null"
    ])
  })
})
