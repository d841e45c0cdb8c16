/** No delivery: a deployment keeps the DAGs that it has. */
import * as DagDelivery from "@airflow-resource/core/DagDelivery"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Verdict from "../doctor/verdict.js"
import type { DeliveryDefinition } from "./definition.js"

export interface None {
  readonly _tag: "None"
}

export const none: DeliveryDefinition<None> = {
  tag: "None",
  title: "no delivery",
  variables: {},
  config: () => Config.succeed({ _tag: "None" }),
  layer: () => DagDelivery.layerNone,
  checks: () => ({ GitHub: Effect.succeed(Verdict.skip("not needed with AIRFLOW_RESOURCE_DELIVERY=none")) })
}
