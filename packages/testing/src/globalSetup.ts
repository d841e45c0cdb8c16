/**
 * What a run needs only once, in vitest's main process: `globalSetup: ["@airflow-resource/testing/globalSetup"]`. It
 * checks token, organization and workspace for all workers, and registers the run, so that upkeep empties the deployments
 * of ended tests for the next test and keeps them awake. At the end it hibernates all free ones, and reports every lease
 * whose release did not end well.
 *
 * @since 0.1.0
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { AirflowResources, DeploymentPool, Settings } from "airflow-resource"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import process from "node:process"
import * as GlobalSetup from "./internal/isGlobalSetup.js"
import * as Summary from "./internal/summary.js"

/**
 * Registers the run, and returns the function that vitest calls at its end. If the environment is incomplete, it reports
 * that in one line and does nothing else. If a signal ends the run, the reaper does the rest.
 *
 * @since 0.1.0
 * @category constructors
 */
export default async function globalSetup(): Promise<() => Promise<void>> {
  const scope = Effect.runSync(Scope.make())
  const run = await Effect.runPromise(Scope.extend(start, scope))
  if (Option.isNone(run)) return () => Effect.runPromise(Scope.close(scope, Exit.void))
  const end = run.value
  return () => Effect.runPromise(Effect.ensuring(end, Scope.close(scope, Exit.void)))
}

// internal

/** Logs to stderr: a program may read what vitest's reporter writes to stdout. */
const toStderr = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

/** Starts the run if the environment allows it. Returns how to end its upkeep and to report what is left. */
const start: Effect.Effect<Option.Option<Effect.Effect<void>>, never, Scope.Scope> = Effect.gen(function*() {
  const loaded = yield* Settings.load(process.cwd(), { delivers: false })
  // each process has its own emulator, so there is no pool to share
  if (loaded.cache._tag === "Temporary") return Option.none()
  const { environment, settings } = yield* check(loaded)
  yield* exportToWorkers(environment)
  const layer = yield* Layer.build(AirflowResources.layerPool(settings))
  return yield* Effect.gen(function*() {
    const pool = yield* DeploymentPool.DeploymentPool
    const { now: since } = yield* pool.inspect
    const upkeep = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    yield* Scope.extend(pool.upkeep({ hibernateAfter: settings.upkeep.hibernateAfter }), upkeep)
    // a reporter leaves what is awake to the summary below
    yield* Effect.acquireRelease(
      Effect.sync(() => GlobalSetup.setActive(true)),
      () => Effect.sync(() => GlobalSetup.setActive(false))
    )
    const end = Scope.close(upkeep, Exit.void).pipe(
      Effect.zipRight(Summary.of(pool, since)),
      Effect.flatMap((summary) => summary === "" ? Effect.void : Console.warn(summary)),
      Effect.catchAll((error) => Console.warn(`airflow-resource: ${error.message}`)),
      Effect.provide(toStderr)
    )
    return Option.some(end)
  }).pipe(Effect.provide(layer))
}).pipe(
  Effect.catchAll((error) => {
    const reason = error._tag === "ConfigurationError"
      ? error.problems.map(({ problem, variable }) => `${variable} ${problem}`).join(", ")
      : error.message
    return Effect.as(
      Console.warn(`airflow-resource: no upkeep in this run: ${reason}`.replace(/\s*\n\s*/g, " ")),
      Option.none()
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
