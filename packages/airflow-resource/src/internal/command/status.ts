import { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import * as Host from "@airflow-resource/core/Host"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Status from "../status.js"
import { json, print, sharedPool } from "./common.js"

export const status = Command.make("status", { json }, ({ json }) =>
  Effect.gen(function*() {
    const status = yield* Effect.provide(
      Effect.gen(function*() {
        const pool = yield* DeploymentPool
        const { path } = yield* DeploymentCache
        return Status.of(yield* pool.inspect, yield* Host.live, path)
      }),
      yield* sharedPool
    )
    yield* print(json, status, Status.render)
  })).pipe(Command.withDescription("Shows the deployments, their holders and the queue, as the ledger records them."))
