/** The supervisor's process. Its argument is the deployment's folder; it reads its other options from stdin, and logs to stderr. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import process from "node:process"
import { json } from "node:stream/consumers"
import * as Supervisor from "./Supervisor.js"

/** What a client sends to a supervisor that it starts. */
export interface Message {
  /** Milliseconds. */
  readonly idle: number
}

// the terminal may close
process.on("SIGHUP", () => {})

const toStderr = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

Effect.gen(function*() {
  const { idle } = (yield* Effect.promise(() => json(process.stdin))) as Message
  const folder = process.argv[2] ?? ""
  const end = yield* Supervisor.run({ folder, idle: Duration.millis(idle) })
  yield* Effect.logInfo(`The supervisor ends: ${end}.`)
}).pipe(
  Effect.annotateLogs("process.id", process.pid),
  Effect.tapErrorCause((cause) => Effect.logError("The supervisor failed.", cause)),
  Effect.provide(toStderr),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)
