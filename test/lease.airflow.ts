import { Emulator } from "@airflow-resource/emulator"
import { assert, it } from "@effect/vitest"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"
import { leaveAndCheck } from "./leftovers.js"

const { AIRFLOW_AUTHORIZATION: authorization = "", AIRFLOW_URL: url = "", AIRFLOW_VERSION: version = "" } = process.env

const isAirflow2 = version.startsWith("2")

/** An emulated Astro whose deployments lead to a real Airflow. */
const layer = AirflowResources.layerEmulator({
  emulator: { speed: 200, airflow: () => ({ url, authorization }) },
  pool: { reset: { settle: "10 seconds" } },
  delivery: "none"
})

it.scoped(
  "a real Airflow goes through a whole lease: a DAG runs, data is left everywhere, the next lease finds none",
  () =>
    Effect.gen(function*() {
      // with several writes at once Airflow 3 locks its own SQLite database
      const users = yield* leaveAndCheck(isAirflow2 ? 4 : 1)
      assert.deepStrictEqual(users, isAirflow2 ? ["created", "exists"] : ["unsupported", "unsupported"])
      const audit = yield* Effect.flatMap(Emulator.Emulator, (emulator) => emulator.audit)
      assert.deepStrictEqual([audit.awake, audit.tokens], [[], []])
    }).pipe(Effect.provide(layer)),
  600_000
)
