/** Delivery by a deploy through the provider. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isFolder } from "../doctor/checks.js"
import * as Verdict from "../doctor/verdict.js"
import type { DeliveryDefinition } from "./definition.js"

/** Deploys a folder of DAGs to the leased deployment. */
export interface Astro {
  readonly _tag: "Astro"
  /** Absolute. */
  readonly dags: string
}

export const astro: DeliveryDefinition<Astro> = {
  tag: "Astro",
  title: "a deploy of the folder AIRFLOW_DAG_PATH",
  variables: {},
  config: ({ dags }) => Config.map(dags, (dags) => ({ _tag: "Astro", dags })),
  layer: ({ dags }, { deploy }) => deploy?.(dags) ?? Layer.die("this provider has no deploys of its own"),
  checks: ({ dags }) => ({
    DAGs: Verdict.given(dags, check),
    GitHub: Effect.succeed(Verdict.skip("not needed with AIRFLOW_RESOURCE_DELIVERY=astro"))
  })
}

export const check = (folder: string) =>
  Effect.map(isFolder(folder), (isFolder) =>
    isFolder
      ? Verdict.pass(folder)
      : Verdict.fail(`there is no folder ${folder}`, "Set AIRFLOW_DAG_PATH to the folder that holds the DAGs."))
