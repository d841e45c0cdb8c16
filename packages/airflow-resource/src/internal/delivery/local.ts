/** Delivery to an Airflow on this machine. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Verdict from "../doctor/verdict.js"
import { check } from "./astro.js"
import type { DeliveryDefinition } from "./definition.js"

/** Copies the project's files into the leased deployment. */
export interface Local {
  readonly _tag: "Local"
  /** The folder of the DAGs, absolute. */
  readonly dags: string
}

export const local: DeliveryDefinition<Local> = {
  tag: "Local",
  title: "a copy of the folder AIRFLOW_DAG_PATH",
  variables: {},
  config: ({ dags }) => Config.map(dags, (dags) => ({ _tag: "Local", dags })),
  layer: ({ dags }, { deploy }) => deploy?.(dags) ?? Layer.die("this provider has no deploys of its own"),
  checks: ({ dags }) => ({
    DAGs: Verdict.given(dags, check),
    GitHub: Effect.succeed(Verdict.skip("not needed with AIRFLOW_RESOURCE_DELIVERY=local"))
  })
}
