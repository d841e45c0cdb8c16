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
    lives: [Runs.begin(0)],
    removed: new Set()
  }
  const at = (now: number, more: Partial<Runs.Scheduler> = {}, facts: Partial<Runs.RunFacts> = {}) => {
    const course = Runs.evaluate({ ...run, ...facts }, {
      now,
      speed: 1,
      latency: 1000,
      opens: (from) => from,
      stops: [],
      ...more
    })
    const tasks = course.tasks.map(({ mapIndex, state, task }) => `${task.taskId}${mapIndex} ${state}`)
    return [course.state, ...tasks]
  }

  it("follows the order of the tasks", () => {
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

  it("waits for ever where nothing may start", () => {
    assert.strictEqual(at(1e9, { opens: () => Infinity })[0], "queued")
  })

  it("loses what runs when Airflow is stopped", () => {
    assert.strictEqual(at(20_000, { stops: [5000] })[1], "first-1 failed")
  })

  it("obeys whoever sets the state", () => {
    assert.deepStrictEqual(at(20_000, {}, { lives: [{ ...Runs.begin(0), forced: { at: 2000, state: "failed" } }] }), [
      "failed",
      "first-1 failed",
      "broken-1 skipped",
      "many0 skipped",
      "many1 skipped",
      "last-1 skipped"
    ])
  })

  it("refuses DAGs that cannot run", () => {
    const task = (taskId: string, ...upstream: Array<string>) => ({ taskId, log: "", upstream })
    const wrong = (...tasks: Array<Dags.TaskSpec>) => String(Dags.inOrder({ dagId: "d", tasks }))
    assert.include(wrong(task("a", "b"), task("b", "a")), "in a circle")
    assert.include(wrong(task("a", "x")), "names an upstream task x")
    assert.include(wrong(task("a"), task("a")), "two tasks named a")
  })

  it("tries again, and fails the last time as it is told", () => {
    const spec: Dags.DagSpec = { dagId: "d", tasks: [{ taskId: "t", log: "", duration: "2 seconds", tries: 2 }] }
    const states = [1500, 3500, 4500, 6500].map((now) => at(now, {}, { spec }))
    assert.deepStrictEqual(states, [
      ["running", "t-1 running"],
      ["running", "t-1 up_for_retry"],
      ["running", "t-1 running"],
      ["success", "t-1 success"]
    ])
  })

  it("lives again once it is cleared, and keeps what was not cleared", () => {
    const lives = [Runs.begin(0), Runs.begin(30_000, ["broken", "last"])]
    assert.strictEqual(at(30_500, {}, { lives })[0], "queued")
    assert.deepStrictEqual(at(32_000, {}, { lives }).slice(0, 3), ["running", "first-1 success", "broken-1 running"])
    const done = Runs.evaluate({ ...run, lives }, {
      now: 40_000,
      speed: 1,
      latency: 1000,
      opens: (from) => from,
      stops: []
    })
    const broken = done.tasks.find(({ task }) => task.taskId === "broken")
    assert.deepStrictEqual([broken?.tryNumber, broken?.maxTries, broken?.attempts.length], [2, 1, 2])
    const idle = [Runs.begin(0), Runs.begin(30_000, ["broken"], true)]
    assert.deepStrictEqual(at(90_000, {}, { lives: idle }).slice(0, 3), ["failed", "first-1 success", "broken-1 null"])
  })
})
