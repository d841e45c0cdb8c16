import { assert, it } from "@effect/vitest"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Effect } from "effect"

it.scoped("hello_world_dag greets", () =>
  Effect.gen(function*() {
    const { airflow } = yield* AirflowResource.acquire({ testName: "hello_world_dag greets" })

    const runId = yield* airflow.unpauseAndTriggerAirflowDag("hello_world_dag")
    yield* airflow.verifyDagIdRan("hello_world_dag", runId)

    const log = yield* airflow.getTaskInstanceLogs("hello_world_dag", runId, "hello")
    assert.include(log, "Hello World from Airflow")
  }).pipe(Effect.provide(AirflowResources.layerFromEnv)), 20 * 60_000)
