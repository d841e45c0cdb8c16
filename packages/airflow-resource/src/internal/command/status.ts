import { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import * as Host from "@airflow-resource/core/Host"
import * as Effect from "effect/Effect"
import * as AirflowResources from "../../AirflowResources.js"
import { logOf } from "../reaper/log.js"
import * as Status from "../status.js"
import { output } from "./output.js"
import { sharedSettings } from "./pool.js"
import * as Usage from "./usage.js"

export const status: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("status"))
    .summary("show the pool: deployments, holders, queue")
    .description("Shows the deployments, their holders and the queue, as the ledger records them. Wakes nothing.")
    .addHelpText("after", Usage.footer({ examples: ["airflow-resource status", "airflow-resource status --json"] }))
    .action((format: Usage.Format) => run(output(Usage.isJson(format), read, Status.render)))

// internal

const read = Effect.gen(function*() {
  const settings = yield* sharedSettings
  return yield* Effect.gen(function*() {
    const pool = yield* DeploymentPool
    const { path } = yield* DeploymentCache
    const reaper = { isOn: settings.upkeep.reaper === "on", log: logOf(path) }
    return Status.of(yield* pool.inspect, yield* Host.live, path, reaper)
  }).pipe(Effect.provide(AirflowResources.layerPool(settings)))
})
