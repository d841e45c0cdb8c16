/**
 * What is done once for a whole run, in vitest's main process: `globalSetup: ["@airflow-resource/testing/globalSetup"]`. Token,
 * organization and workspace are checked for all workers; and upkeep, to which tests leave their deployments, empties them ahead of the
 * next test, and at the end puts to sleep what nobody holds.
 *
 * @since 0.1.0
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { AirflowResources, Settings } from "airflow-resource"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import process from "node:process"

/**
 * Starts upkeep; vitest calls what it answers when the run is over. Where the environment is not complete it says so in one line,
 * and does nothing. A run that is ended by a signal puts to sleep what is free before it ends.
 *
 * @since 0.1.0
 * @category constructors
 */
export default async function globalSetup(): Promise<() => Promise<void>> {
  const scope = Effect.runSync(Scope.make())
  let closing: Promise<void> | undefined
  const close = () => closing ??= Effect.runPromise(Scope.close(scope, Exit.void))
  const forget = (await Effect.runPromise(Scope.extend(upkeep, scope))) ? beforeSignals(close) : () => {}
  return () => close().finally(forget)
}

// internal

/** What a reporter writes to stdout may be read by a program. */
const toStderr = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

/** Whether there is any. */
const upkeep: Effect.Effect<boolean, never, Scope.Scope> = Effect.gen(function*() {
  const loaded = yield* Settings.load(process.cwd(), { delivers: false })
  // each process has an emulator of its own
  if (loaded.cache._tag === "Temporary") return false
  const { environment, settings } = yield* check(loaded)
  yield* forWorkers(environment)
  yield* Layer.build(AirflowResources.layerUpkeep.pipe(Layer.provide(AirflowResources.layerPool(settings))))
  return true
}).pipe(
  Effect.catchAll((error) => {
    const why = error._tag === "ConfigurationError"
      ? error.problems.map(({ problem, variable }) => `${variable} ${problem}`).join(", ")
      : error.message
    return Effect.as(Console.warn(`airflow-resource: no upkeep in this run: ${why}`.replace(/\s*\n\s*/g, " ")), false)
  }),
  Effect.provide(Layer.merge(NodeContext.layer, toStderr))
)

/** What may get better is left to those who need it. */
const check = (settings: Settings.Settings) =>
  Effect.catchIf(
    AirflowResources.check(settings),
    ({ retryable }) => retryable,
    () => Effect.succeed({ settings, environment: {} })
  )

/** They start later, with this process's environment. */
const forWorkers = (environment: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => void Object.assign(process.env, environment)),
    () => Effect.sync(() => Object.keys(environment).forEach((name) => delete process.env[name]))
  )

const signals = ["SIGINT", "SIGTERM"] as const

/** Takes both signals over: vitest would exit at once. A second one ends the process as ever. */
const beforeSignals = (close: () => Promise<void>) => {
  const before = signals.map((signal) => [signal, process.listeners(signal)] as const)
  const restore = () => {
    for (const [signal, listeners] of before) {
      process.removeAllListeners(signal)
      for (const listener of listeners) process.on(signal, listener as () => void)
    }
  }
  for (const signal of signals) {
    process.removeAllListeners(signal)
    process.once(signal, () =>
      void close().finally(() => {
        restore()
        process.kill(process.pid, signal)
      }))
  }
  return restore
}
