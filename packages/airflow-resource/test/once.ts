// Run as a process: leases once, prints what it got, and releases it.
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Console, Effect, Logger, LogLevel } from "effect"

AirflowResource.use(
  { testName: "once" },
  ({ airflow, deploymentName, fenced }) =>
    Effect.flatMap(
      airflow.dags,
      (dags) => Console.log(JSON.stringify({ deploymentName, fenced, dags: dags.map(({ dagId }) => dagId) }))
    )
).pipe(
  Effect.provide(AirflowResources.layerFromEnv),
  // the parent process reads stdout
  Logger.withMinimumLogLevel(LogLevel.Warning),
  Effect.runPromise
)
