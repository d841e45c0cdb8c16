// Run as a process: leases, prints what it holds, and keeps it until it is killed.
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Console, Effect, Logger, LogLevel } from "effect"

AirflowResource.use(
  { testName: `process ${process.pid}` },
  ({ deploymentId, epoch }) => Effect.zipRight(Console.log(JSON.stringify({ deploymentId, epoch })), Effect.never)
).pipe(
  Effect.provide(AirflowResources.layerFromEnv),
  // the parent process reads stdout
  Logger.withMinimumLogLevel(LogLevel.Warning),
  Effect.runPromise
)
