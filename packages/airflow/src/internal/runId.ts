/**
 * Ids of runs.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { AirflowApiError } from "../AirflowError.js"

/** Unique for ever: a deleted run's log files stay, and a second run of its id would append to them. */
const make = Effect.gen(function*() {
  const now = yield* Clock.currentTimeMillis
  const random = yield* Random.nextIntBetween(0, 2 ** 40)
  return `test__${now.toString(36)}_${random.toString(36)}`
})

/** An id to trigger `dagId` with. Airflow answers one that it cannot take with a page about a bug. */
export const choose = (dagId: string, wanted: string | undefined): Effect.Effect<string, AirflowApiError> =>
  wanted === undefined
    ? make
    : /^[A-Za-z0-9_.~:+-]{1,250}$/.test(wanted) && !/^\.{1,2}$/.test(wanted)
    ? Effect.succeed(wanted)
    : new AirflowApiError({
      kind: "badRequest",
      operation: `trigger ${dagId}`,
      detail: `${JSON.stringify(wanted.slice(0, 300))} cannot be the id of a run`,
      remedy: "Use letters, digits and _.~:+- only, 250 at most."
    })
