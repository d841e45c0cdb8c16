import { Lifecycle } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"

const timing = Lifecycle.timings({}, 1)
const override = (at: number, isHibernating: boolean | null, until: number | null = null) => ({
  at,
  isHibernating,
  until
})

const facts = (more: Partial<Lifecycle.Facts> = {}): Lifecycle.Facts => ({
  createdAt: 0,
  neverHealthy: false,
  overrides: [],
  updates: [],
  deploys: [],
  ...more
})

const story = (of: Lifecycle.Facts) =>
  Lifecycle.timeline(of, timing).map(({ from, status }) => `${from / 1000} ${status}`)

describe("Lifecycle", () => {
  it("is created in three minutes, and Airflow responds twenty seconds later", () => {
    const phases = Lifecycle.timeline(facts(), timing)
    assert.deepStrictEqual(story(facts()), ["0 CREATING", "180 HEALTHY"])
    assert.isFalse(Lifecycle.airflowResponds(phases, timing, 199_999))
    assert.isTrue(Lifecycle.airflowResponds(phases, timing, 200_000))
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

  it("applies a request that was made during the creation", () => {
    assert.deepStrictEqual(story(facts({ overrides: [override(10_000, true)] })), [
      "0 CREATING",
      "180 HEALTHY",
      "225 HIBERNATING"
    ])
  })

  it("finishes a step before it starts the next, and only the latest request counts", () => {
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

  it("wakes when the override is deleted or ends", () => {
    const woken = ["0 CREATING", "180 HEALTHY", "345 HIBERNATING", "410 DEPLOYING", "475 HEALTHY"]
    assert.deepStrictEqual(story(facts({ overrides: [override(300_000, true), override(400_000, null)] })), woken)
    assert.deepStrictEqual(story(facts({ overrides: [override(300_000, true, 400_000)] })), woken)
  })

  it("restarts for a change while it is awake; otherwise the next wake applies it", () => {
    assert.deepStrictEqual(story(facts({ updates: [200_000] })), [
      "0 CREATING",
      "180 HEALTHY",
      "200 DEPLOYING",
      "230 HEALTHY"
    ])
    assert.deepStrictEqual(story(facts({ updates: [100_000] })), ["0 CREATING", "180 HEALTHY"])
  })

  it("rolls out DAGs while Airflow keeps running, and hibernates afterwards", () => {
    const deployed = facts({ deploys: [210_000], overrides: [override(220_000, true)] })
    assert.deepStrictEqual(story(deployed), [
      "0 CREATING",
      "180 HEALTHY",
      "210 DEPLOYING",
      "255 HEALTHY",
      "300 HIBERNATING"
    ])
    const phases = Lifecycle.timeline(deployed, timing)
    const responds = (at: number) => Lifecycle.airflowResponds(phases, timing, at)
    assert.deepStrictEqual([190_000, 211_000, 256_000, 299_999, 300_000].map(responds), [
      false,
      true,
      true,
      true,
      false
    ])
    const both = facts({ deploys: [210_000], updates: [220_000, 300_000] })
    assert.isFalse(Lifecycle.airflowResponds(Lifecycle.timeline(both, timing), timing, 301_000))
  })

  it("divides everything by the speed", () => {
    assert.strictEqual(Lifecycle.timings({ create: "1 minute" }, 100).create, 600)
  })
})
