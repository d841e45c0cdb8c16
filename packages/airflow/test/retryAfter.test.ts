import * as RetryAfter from "@airflow-resource/airflow/RetryAfter"
import { assert, it } from "@effect/vitest"
import { Duration } from "effect"

const date = "Sun, 29 Nov 2026 10:00:00 GMT"

it("reads seconds and dates, and nothing else", () => {
  for (
    const [text, seconds] of [
      ["7", 7],
      [" 7 ", 7],
      ["Sun, 29 Nov 2026 10:02:00 GMT", 120],
      ["Sun, 29 Nov 2026 09:00:00 GMT", 0],
      ["", undefined],
      ["-7", undefined],
      ["soon", undefined],
      ["xx GMT", undefined],
      ["Sun, 99 Nov 2026 10:02:00 GMT", undefined]
    ] as const
  ) {
    const wait = RetryAfter.of({ date, "retry-after": text }, 0)
    assert.strictEqual(wait && Duration.toSeconds(wait), seconds, text)
  }
  assert.isUndefined(RetryAfter.of({ date }, 0))
})
