// Run as a process: leases, prints what it holds, and keeps it until it is killed.
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Console, Effect } from "effect"

AirflowResource.use(
  { testName: `process ${process.pid}` },
  ({ deploymentId, epoch }) => Effect.zipRight(Console.log(JSON.stringify({ deploymentId, epoch })), Effect.never)
).pipe(
  Effect.provide(AirflowResources.layerFromEnv),
  Effect.runPromise
)
