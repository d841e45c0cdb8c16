/**
 * Ids of runs.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { AirflowApiError } from "../AirflowError.js"

/** A unique id: the log files of a deleted run remain, and a second run with its id would append to them. */
const unique = Effect.gen(function*() {
  const now = yield* Clock.currentTimeMillis
  const random = yield* Random.nextIntBetween(0, 2 ** 40)
  return `test__${now.toString(36)}_${random.toString(36)}`
})

/**
 * The id of a new run. Rejects ids that Airflow would reject with a page that asks to report a bug, and ids with which its
 * tasks would fail: the name of a log's folder is `run_id=` and the id, and may have 255 characters.
 */
export const choose = (dagId: string, requested: string | undefined): Effect.Effect<string, AirflowApiError> =>
  requested === undefined
    ? unique
    : /^[A-Za-z0-9_.~:+-]{1,247}$/.test(requested) && !/^\.{1,2}$/.test(requested)
    ? Effect.succeed(requested)
    : new AirflowApiError({
      kind: "badRequest",
      operation: `trigger ${dagId}`,
      detail: `${JSON.stringify(requested.slice(0, 300))} is not a valid run id`,
      remedy: "Use 1 to 247 letters, digits or characters of _.~:+-, but neither \".\" nor \"..\"."
    })
