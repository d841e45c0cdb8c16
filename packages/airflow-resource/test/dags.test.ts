import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Effect } from "effect"

it.scopedLive(
  "copies the DAGs into the lease's project, and deploys them with the lease's own token",
  () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      yield* fs.makeDirectory(`${folder}/flows`)
      yield* fs.writeFileString(`${folder}/flows/orders.py`, "# a DAG\n")
      const emulator = yield* Emulator.make({ speed: 1000 })
      const settings = yield* AirflowResources.settingsOf(emulator, {
        AIRFLOW_RESOURCE_CACHE: `${folder}/cluster_cache.db`,
        AIRFLOW_RESOURCE_DELIVERY: "astro",
        AIRFLOW_RESOURCE_REAPER: "off",
        AIRFLOW_DAG_PATH: `${folder}/flows`
      })
      const lease = AirflowResource.use({ testName: "orders" }, ({ projectDirectory }) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* fs.readFileString(`${projectDirectory}/dags/orders.py`), "# a DAG\n")
          const { requests, tokens } = yield* emulator.audit
          const deploys = requests.filter(({ path }) => /\/(deploys|blobs)\b/.test(path))
          assert.deepStrictEqual(deploys.map(({ method, status }) => `${method} ${status}`), [
            "POST 200",
            "PUT 201",
            "POST 200"
          ])
          assert.deepStrictEqual([...new Set(deploys.map(({ token }) => token))], [tokens[0]?.id, null])
        }))
      yield* lease.pipe(
        Effect.provide(
          AirflowResources.layer(settings, { revocationWait: "5 millis", reset: { settle: "10 millis" } })
        )
      )
      assert.deepStrictEqual((yield* emulator.audit).awake, [])
    }).pipe(Effect.provide(NodeContext.layer))
)
