// Run as a process: leases, prints the deployment's name, and holds it until it is killed.
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Console, Effect, Logger, LogLevel } from "effect"

AirflowResource.use(
  { testName: `process ${process.pid}` },
  ({ deploymentName }) => Effect.zipRight(Console.log(deploymentName), Effect.never)
).pipe(
  Effect.provide(AirflowResources.layerFromEnv),
  // the parent process reads stdout
  Logger.withMinimumLogLevel(LogLevel.Warning),
  Effect.runPromise
)
