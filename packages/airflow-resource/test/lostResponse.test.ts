import { Emulator } from "@airflow-resource/emulator"
import { assert, it } from "@effect/vitest"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Effect } from "effect"
import { folder } from "./child.js"

it.scopedLive("a lease goes on if the response to the creation of its user is lost", () =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed: 1000 })
    const settings = yield* AirflowResources.settingsOf(emulator, {
      AIRFLOW_RESOURCE_DELIVERY: "none",
      AIRFLOW_RESOURCE_REAPER: "off",
      AIRFLOW_RESOURCE_CACHE: `${yield* folder}/cache.db`
    })
    yield* emulator.faults.next({ match: { method: "POST", path: /\/users$/ }, then: { _tag: "DropAfter" } })
    const user = yield* AirflowResource.use({ testName: "greets" }, ({ user }) => Effect.succeed(user)).pipe(
      Effect.provide(AirflowResources.layer(settings))
    )
    assert.strictEqual(user, "exists")
    assert.strictEqual(yield* emulator.faults.pending, 0)
  }))
