import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as Patience from "../src/internal/patience.js"

/** A wait whose time passes when the test says so. */
const begin = () => {
  const lines: Array<string> = []
  const timers: Array<() => void> = []
  const patience = Patience.begin("a.test.ts > waits", {
    after: (duration, f) => {
      assert.strictEqual(duration, Patience.patience)
      timers.push(f)
      return { stop: () => void timers.splice(timers.indexOf(f), 1) }
    },
    print: (line) => lines.push(line.replace("airflow-resource: \"a.test.ts > waits\" waits for its Airflow: ", ""))
  })
  /** Lets the time of all timers pass, and returns what was printed meanwhile. */
  const later = () => {
    for (const timer of timers.splice(0)) timer()
    return lines.splice(0).join("")
  }
  return { ...patience, later, timers }
}

describe("a test that waits", () => {
  it("says once where it is in the queue, why, and what is usual, and then nothing until something changes", () => {
    const { later, onProgress } = begin()
    onProgress({ activity: "place 2 in the queue: all 1 deployments are leased" })
    onProgress({ activity: "place 1 in the queue: all 1 deployments are leased", usual: Duration.minutes(3) })
    assert.strictEqual(later(), "place 1 in the queue: all 1 deployments are leased; this usually takes 3m\n")
    assert.strictEqual(later(), "")
    onProgress({ activity: "place 1 in the queue: all 1 deployments are leased", usual: Duration.minutes(3) })
    assert.strictEqual(later(), "")
    onProgress({ activity: "waking" })
    onProgress({ activity: "waiting for HEALTHY", usual: 90_000 })
    assert.strictEqual(later(), "waiting for HEALTHY; this usually takes 1m 30s\n")
  })

  it("says nothing if it has its Airflow soon, nor afterwards", () => {
    const { later, onProgress, stop, timers } = begin()
    onProgress({ activity: "waking" })
    stop()
    assert.deepStrictEqual(timers, [])
    onProgress({ activity: "pausing DAGs" })
    assert.strictEqual(later(), "")
  })
})
