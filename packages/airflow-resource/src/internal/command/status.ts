import { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import * as Host from "@airflow-resource/core/Host"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as AirflowResources from "../../AirflowResources.js"
import { logOf } from "../reaper/log.js"
import * as Status from "../status.js"
import { json, output, sharedSettings } from "./common.js"

export const status = Command.make("status", { json }, ({ json }) =>
  output(
    json,
    Effect.gen(function*() {
      const settings = yield* sharedSettings
      return yield* Effect.gen(function*() {
        const pool = yield* DeploymentPool
        const { path } = yield* DeploymentCache
        const reaper = { isOn: settings.upkeep.reaper === "on", log: logOf(path) }
        return Status.of(yield* pool.inspect, yield* Host.live, path, reaper)
      }).pipe(Effect.provide(AirflowResources.layerPool(settings)))
    }),
    Status.render
  )).pipe(Command.withDescription("Shows the deployments, their holders and the queue, as the ledger records them."))
