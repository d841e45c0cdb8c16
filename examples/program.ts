import { AirflowApi } from "@airflow-resource/airflow"
import { AstroApi, AstroConfig, AstroProject } from "@airflow-resource/astro"
import { AirflowResource, DagDelivery, DeploymentPool } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { FetchHttpClient } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"

const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

const Provider = Layer.unwrapEffect(Effect.map(AstroConfig.config, AstroApi.layer))

const Pool = DeploymentPool.layer({ spec, max: 2 })

const Airflows = Layer.mergeAll(
  Pool.pipe(Layer.provide([AirflowApi.layer, Provider])),
  DagDelivery.layerNone,
  AstroProject.layer
).pipe(
  Layer.provide(SqliteDeploymentCache.layer({ path: `${import.meta.dirname}/../Environment/CacheManager/program.db` })),
  Layer.provide([FetchHttpClient.layer, NodeContext.layer])
)

const program = AirflowResource.use(
  { testName: "program" },
  ({ airflow, deploymentName, reused }) =>
    Effect.gen(function*() {
      const dags = yield* airflow.dags
      yield* Console.log(`${deploymentName} (${reused}) has ${dags.length} DAG(s)`)
    })
)

program.pipe(Effect.provide(Airflows), NodeRuntime.runMain)
