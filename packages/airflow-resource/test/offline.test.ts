import { DagDelivery, DeploymentPool, DeploymentProvider, type LeasedSlot } from "@airflow-resource/core"
import { assert, it } from "@effect/vitest"
import { AirflowResource, Offline } from "airflow-resource"
import { Effect, Layer } from "effect"

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

it.effect("the processes that wait see a delivery, and then that the Airflow is in use", () =>
  Effect.gen(function*() {
    const { inspect } = yield* DeploymentPool.DeploymentPool
    const seen: Array<string | undefined> = []
    const told: Array<string> = []
    const look = Effect.map(Effect.orDie(inspect), ({ slots }) => void seen.push(slots[0]?.holder?.activity))
    const delivery = Layer.succeed(DagDelivery.DagDelivery, {
      lock: Effect.succeedNone,
      deliver: ({ onWait }) => Effect.all([look, onWait("waiting for the workflow"), look], { discard: true })
    })
    const onProgress = ({ activity }: LeasedSlot.Progress) => Effect.sync(() => void told.push(activity))
    yield* AirflowResource.use({ testName: "is seen", onProgress }, () => look).pipe(Effect.provide(delivery))
    const steps = ["delivering DAGs and creating the user", "waiting for the workflow"]
    assert.deepStrictEqual(seen, [...steps, "in use"])
    assert.deepStrictEqual(told.slice(told.indexOf(steps[0]!)).slice(0, 3), [...steps, "ready"])
  }).pipe(Effect.provide(Offline.layerOffline())))
