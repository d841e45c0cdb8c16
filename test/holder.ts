// Run as a process: leases once, prints what it held and when, and gives it back.
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Clock, Console, Effect, Logger, LogLevel } from "effect"

AirflowResource.use({ testName: `process ${process.pid}` }, ({ deploymentId, epoch }) =>
  Effect.gen(function*() {
    const from = yield* Clock.currentTimeMillis
    yield* Effect.sleep("300 millis")
    yield* Console.log(JSON.stringify({ deploymentId, epoch, from, to: yield* Clock.currentTimeMillis }))
  })).pipe(
    Effect.provide(AirflowResources.layerFromEnv),
    // the parent process reads stdout
    Logger.withMinimumLogLevel(LogLevel.Warning),
    Effect.runPromise
  )
