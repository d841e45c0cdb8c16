/** The emulated Airflow of one deployment: `/api/v1` for Airflow 2, `/api/v2` for Airflow 3. */
import * as V1 from "./airflow/v1/Routes.js"
import * as V2 from "./airflow/v2/Routes.js"
import * as Version from "./airflow/Version.js"
import type { Request, Response } from "./Http.js"
import type { Deployment, World } from "./World.js"

/** The path of `request` is relative to the deployment's ingress path. */
export const handle = (world: World, deployment: Deployment, request: Request, now: number): Response => {
  const version = Version.parse(deployment.runtime.airflowVersion)
  const call = { world, deployment, request, now, version }
  return version.major < 3 ? V1.handle(call) : V2.handle(call)
}
