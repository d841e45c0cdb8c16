// A process that holds the only slot until it is killed.
import { AirflowApi } from "@airflow-resource/airflow"
import { DeploymentPool, DeploymentProvider } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"

const [path = ""] = process.argv.slice(2)

Effect.gen(function*() {
  const { acquire } = yield* DeploymentPool.DeploymentPool
  yield* acquire({ label: "will be killed" })
  process.send?.("holds")
  return yield* Effect.never
}).pipe(
  Effect.scoped,
  Effect.provide(
    DeploymentPool.layer({
      spec: { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" },
      max: 1,
      readyPolls: 1,
      revocationWait: 0
    }).pipe(
      Layer.provide(AirflowApi.layerMemory()),
      Layer.provide(DeploymentProvider.layerMemory()),
      Layer.provide(SqliteDeploymentCache.layer({ path })),
      Layer.provide(NodeContext.layer)
    )
  ),
  NodeRuntime.runMain
)
