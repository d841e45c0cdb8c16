/**
 * What a run needs only once, in vitest's main process: `globalSetup: ["@airflow-resource/testing/globalSetup"]`. It
 * checks token, organization and workspace for all workers, and runs upkeep, which takes over the deployments of ended
 * tests: it empties them for the next test, and hibernates all free ones at the end.
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
 * Starts upkeep, and returns the function that vitest calls at the end of the run. If the environment is incomplete, it
 * reports that in one line and does nothing else. If a signal ends the run, free deployments are hibernated first.
 *
 * @since 0.1.0
 * @category constructors
 */
export default async function globalSetup(): Promise<() => Promise<void>> {
  const scope = Effect.runSync(Scope.make())
  let closing: Promise<void> | undefined
  const close = () => closing ??= Effect.runPromise(Scope.close(scope, Exit.void))
  const restoreSignals = (await Effect.runPromise(Scope.extend(upkeep, scope))) ? closeOnSignals(close) : () => {}
  return () => close().finally(restoreSignals)
}

// internal

/** Logs to stderr: a program may read what vitest's reporter writes to stdout. */
const toStderr = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

/** Starts upkeep if the environment allows it. Returns whether it runs. */
const upkeep: Effect.Effect<boolean, never, Scope.Scope> = Effect.gen(function*() {
  const loaded = yield* Settings.load(process.cwd(), { delivers: false })
  // each process has its own emulator, so there is no pool to share
  if (loaded.cache._tag === "Temporary") return false
  const { environment, settings } = yield* check(loaded)
  yield* exportToWorkers(environment)
  yield* Layer.build(AirflowResources.layerUpkeep.pipe(Layer.provide(AirflowResources.layerPool(settings))))
  return true
}).pipe(
  Effect.catchAll((error) => {
    const reason = error._tag === "ConfigurationError"
      ? error.problems.map(({ problem, variable }) => `${variable} ${problem}`).join(", ")
      : error.message
    return Effect.as(
      Console.warn(`airflow-resource: no upkeep in this run: ${reason}`.replace(/\s*\n\s*/g, " ")),
      false
    )
  }),
  Effect.provide(Layer.merge(NodeContext.layer, toStderr))
)

/** Checks the account. After a retryable failure each worker checks again, when it needs the account. */
const check = (settings: Settings.Settings) =>
  Effect.catchIf(
    AirflowResources.check(settings),
    ({ retryable }) => retryable,
    () => Effect.succeed({ settings, environment: {} })
  )

/** Passes variables on to the workers, which start later with this process's environment. */
const exportToWorkers = (environment: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => void Object.assign(process.env, environment)),
    () => Effect.sync(() => Object.keys(environment).forEach((name) => delete process.env[name]))
  )

const signals = ["SIGINT", "SIGTERM"] as const

/**
 * Runs `close` before either signal ends the process; vitest alone would exit at once. A second signal ends the process
 * immediately.
 */
const closeOnSignals = (close: () => Promise<void>) => {
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
