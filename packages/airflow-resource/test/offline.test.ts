import { DeploymentProvider } from "@airflow-resource/core"
import { assert, it } from "@effect/vitest"
import { AirflowResource, Offline } from "airflow-resource"
import { Effect } from "effect"

it.effect("an Airflow in memory can be reached while its deployment is awake, and keeps its state", () =>
  Effect.scoped(Effect.gen(function*() {
    const provider = yield* DeploymentProvider.DeploymentProvider
    const { airflow, deploymentId } = yield* AirflowResource.acquire({ testName: "hibernates" })
    yield* airflow.variables.put({ key: "k", value: "v" })
    yield* provider.hibernate(deploymentId)
    assert.deepInclude(yield* Effect.flip(airflow.variables.list), { kind: "unreachable", retryable: true })
    yield* provider.wake(deploymentId)
    assert.deepStrictEqual(yield* airflow.variables.list, [{ key: "k", value: "v" }])
    yield* provider.delete(deploymentId)
    assert.deepInclude(yield* Effect.flip(airflow.health), { kind: "unreachable" })
    yield* provider.create({
      name: "another",
      description: "",
      spec: { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" }
    })
    assert.deepInclude(yield* Effect.flip(airflow.health), { kind: "unreachable" })
  })).pipe(Effect.provide(Offline.layerOffline())))
