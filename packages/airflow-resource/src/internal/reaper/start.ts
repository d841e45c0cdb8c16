/** Starts the reaper of a pool. */
import * as DetachedProcess from "@airflow-resource/core/DetachedProcess"
import * as Effect from "effect/Effect"
import { logOf } from "./log.js"
import { encode, type Message } from "./message.js"

/** A failure is only logged: without a reaper, a lease works, and hibernates its deployment itself. */
export const start = (message: Message, cache: string): Effect.Effect<void> => {
  let startedAt = -Infinity
  const log = logOf(cache)
  const start = Effect.suspend(() => DetachedProcess.start({ entry, stdin: encode(message), log })).pipe(
    Effect.catchAllCause((cause) =>
      Effect.logWarning(
        "The reaper could not be started. If this process is killed, run `airflow-resource reap`.",
        cause
      )
    )
  )
  return Effect.suspend(() => {
    const before = startedAt
    if (performance.now() < before + longestStart) return Effect.void
    startedAt = performance.now()
    return before === -Infinity
      ? start
      : Effect.zipRight(Effect.logWarning(`The reaper is not active and is started again; see ${log}.`), start)
  })
}

// internal

/** How long a reaper may take until it is active, in milliseconds. */
const longestStart = 20_000

const entry = new URL(import.meta.url.endsWith(".ts") ? "./main.ts" : "./main.js", import.meta.url)
