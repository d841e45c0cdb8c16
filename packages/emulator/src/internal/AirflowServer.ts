/** The Airflow of one deployment, in the dialect of its version. */
import * as V1 from "./airflow/v1/Routes.js"
import * as V2 from "./airflow/v2/Routes.js"
import * as Version from "./airflow/Version.js"
import type { Reply, Request } from "./Http.js"
import type { Deployment, World } from "./World.js"

/** `request` is what comes after the deployment's path. */
export const handle = (world: World, deployment: Deployment, request: Request, now: number): Reply => {
  const version = Version.parse(deployment.runtime.airflowVersion)
  const call = { world, deployment, request, now, version }
  return version.major < 3 ? V1.handle(call) : V2.handle(call)
}
