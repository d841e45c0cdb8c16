// A process of its own: leases, says so, and keeps what it has until it is killed.
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Console, Effect } from "effect"

AirflowResource.use(
  { testName: `process ${process.pid}` },
  ({ deploymentName }) => Effect.zipRight(Console.log(deploymentName), Effect.never)
).pipe(Effect.provide(AirflowResources.layerFromEnv), Effect.runPromise)
