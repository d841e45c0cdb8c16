// Run as a process: leases, leaves a variable in the Airflow, prints a line, and gives it back when its stdin ends.
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Console, Effect, Logger, LogLevel } from "effect"
import { text } from "node:stream/consumers"

AirflowResource.use({ testName: "another" }, ({ airflow }) =>
  Effect.gen(function*() {
    yield* airflow.variables.put({ key: "planted", value: "x" })
    yield* Console.log("holds")
    yield* Effect.promise(() => text(process.stdin))
  })).pipe(
    Effect.provide(AirflowResources.layerFromEnv),
    // the parent process reads stdout
    Logger.withMinimumLogLevel(LogLevel.Warning),
    Effect.runPromise
  )
