import { Dags, Power } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import * as Runs from "../src/internal/Runs.js"

const timing = Power.timings({}, 1)
const override = (at: number, isHibernating: boolean | null, until: number | null = null) => ({
  at,
  isHibernating,
  until
})

const facts = (more: Partial<Power.Facts> = {}): Power.Facts => ({
  createdAt: 0,
  neverHealthy: false,
  overrides: [],
  updates: [],
  ...more
})

const story = (of: Power.Facts) => Power.timeline(of, timing).map(({ from, status }) => `${from / 1000} ${status}`)

describe("Power", () => {
  it("is created in three minutes, and Airflow answers twenty seconds later", () => {
    const phases = Power.timeline(facts(), timing)
    assert.deepStrictEqual(story(facts()), ["0 CREATING", "180 HEALTHY"])
    assert.isFalse(Power.airflowAnswers(phases, timing, 199_999))
    assert.isTrue(Power.airflowAnswers(phases, timing, 200_000))
  })

  it("hibernates and wakes", () => {
    const overrides = [override(300_000, true), override(400_000, false)]
    assert.deepStrictEqual(story(facts({ overrides })), [
      "0 CREATING",
      "180 HEALTHY",
      "345 HIBERNATING",
      "410 DEPLOYING",
      "475 HEALTHY"
    ])
  })

  it("keeps a wish made while it is created", () => {
    assert.deepStrictEqual(story(facts({ overrides: [override(10_000, true)] })), [
      "0 CREATING",
      "180 HEALTHY",
      "225 HIBERNATING"
    ])
  })

  it("finishes a step before it turns round, and only the last wish counts", () => {
    assert.deepStrictEqual(story(facts({ overrides: [override(300_000, true), override(301_000, false)] })), [
      "0 CREATING",
      "180 HEALTHY",
      "345 HIBERNATING",
      "355 DEPLOYING",
      "420 HEALTHY"
    ])
    const wavering = [override(1000, true), override(2000, false), override(2000, true), override(2000, false)]
    assert.deepStrictEqual(story(facts({ overrides: wavering })), ["0 CREATING", "180 HEALTHY"])
  })

  it("wakes when the override is removed or ends", () => {
    const woken = ["0 CREATING", "180 HEALTHY", "345 HIBERNATING", "410 DEPLOYING", "475 HEALTHY"]
    assert.deepStrictEqual(story(facts({ overrides: [override(300_000, true), override(400_000, null)] })), woken)
    assert.deepStrictEqual(story(facts({ overrides: [override(300_000, true, 400_000)] })), woken)
  })

  it("restarts for a change while it is awake, and applies it at waking otherwise", () => {
    assert.deepStrictEqual(story(facts({ updates: [200_000] })), [
      "0 CREATING",
      "180 HEALTHY",
      "200 DEPLOYING",
      "230 HEALTHY"
    ])
    assert.deepStrictEqual(story(facts({ updates: [100_000] })), ["0 CREATING", "180 HEALTHY"])
  })

  it("divides everything by the speed", () => {
    assert.strictEqual(Power.timings({ create: "1 minute" }, 100).create, 600)
  })
})

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
    triggeredAt: 0,
    logicalDate: "",
    conf: {},
    note: null,
    forced: null
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
      "last-1 scheduled"
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
    assert.deepStrictEqual(at(20_000, {}, { forced: { at: 2000, state: "failed" } }), [
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
})
