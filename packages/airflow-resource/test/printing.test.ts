import { assert, it } from "@effect/vitest"
import { processError } from "@vitest/utils/error"
import { AirflowResource, Offline } from "airflow-resource"
import { Cause, Effect } from "effect"
import { inspect } from "node:util"

/** What vitest prints of a test that fails with a value. */
const printed = (value: unknown) =>
  Cause.prettyErrors(Cause.fail(value)).map((error) => JSON.stringify(processError({ ...error }))).join()

it.effect("prints little of a test that fails with the resource or its client", () =>
  Effect.gen(function*() {
    const resource = yield* AirflowResource.acquire({ testName: "greets" })
    const { airflow } = resource
    for (
      const value of [resource, { resource }, airflow, { airflow }, airflow.variables, airflow.pools, airflow.users]
    ) {
      assert.isBelow(printed(value).length, 5000)
      assert.isBelow(JSON.stringify(value).length, 5000)
      assert.isBelow(inspect(value, { depth: 20 }).length, 5000)
    }
    assert.include(printed(resource), resource.deploymentName)
    assert.include(printed({ airflow }), resource.baseUrl)
    assert.notInclude(printed(resource), "effect_instruction")
  }).pipe(Effect.scoped, Effect.provide(Offline.layerOffline())))
