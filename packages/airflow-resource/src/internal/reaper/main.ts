/** The reaper's process. It reads from stdin which pool it takes care of, and logs to stderr. */
import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import type * as Upkeep from "@airflow-resource/core/Upkeep"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as fs from "node:fs"
import process from "node:process"
import { text } from "node:stream/consumers"
import * as PoolLayer from "../poolLayer.js"
import { decode } from "./message.js"

// the terminal may close
process.on("SIGHUP", () => {})

let logged = ""
const onReport = ({ actions, awake, tokens }: Upkeep.Report) => {
  const left = [
    ...awake.map((name) => `${name} is awake`),
    ...tokens.map((name) => `a token of ${name} may be valid`)
  ]
  const lines = [
    ...actions.map(({ deployment, detail, did, slot }) => `slot ${slot}: ${deployment}: ${did} ${detail}`.trim()),
    `left: ${left.join("; ") || "nothing"}`
  ]
  // what cannot be done would be logged every ten seconds
  if (lines.join() === logged) return Effect.void
  logged = lines.join()
  return Effect.forEach(lines, (line) => Effect.logInfo(line), { discard: true })
}

const toStderr = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

Effect.gen(function*() {
  const message = yield* Effect.promise(() => text(process.stdin))
  if (message === "") return yield* Effect.logInfo("The reaper ends: the process that started it had ended before.")
  const { options, settings } = decode(message)
  // a new ledger would know nothing about the pool
  if (settings.cache._tag !== "File" || !fs.existsSync(settings.cache.path)) {
    return yield* Effect.logWarning("The reaper ends: its ledger is gone.")
  }
  const { path } = settings.cache
  yield* Effect.gen(function*() {
    yield* Effect.logInfo("The reaper has started.")
    const pool = yield* DeploymentPool
    // also while it cannot even find out which pool it is
    const isGone = Effect.repeat(Effect.sync(() => !fs.existsSync(path)), {
      until: (isGone) => isGone,
      schedule: Schedule.spaced("10 seconds")
    })
    const end = yield* Effect.raceFirst(
      pool.reaper({ onReport }),
      // enough for what it can do without the ledger
      Effect.as(Effect.zipRight(isGone, Effect.sleep("5 minutes")), "its ledger is gone")
    )
    yield* Effect.logInfo(`The reaper ends: ${end}.`)
  }).pipe(
    Effect.provide(PoolLayer.layer(settings, options)),
    // until the ledger can be opened
    Effect.tapError(({ message }) => Effect.logWarning(`${message} The reaper tries again.`)),
    Effect.retry({ schedule: Schedule.spaced("10 seconds"), times: 30 })
  )
}).pipe(
  Effect.onInterrupt(() =>
    Effect.logWarning("The reaper was stopped by a signal. The next look of a lease starts another.")
  ),
  Effect.annotateLogs("process.id", process.pid),
  Effect.tapErrorCause((cause) => Effect.logError("The reaper failed.", cause)),
  Effect.provide(toStderr),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)
