import { Emulator } from "@airflow-resource/emulator"
import { assert, it } from "@effect/vitest"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"
import { leaveAndLook } from "./leftovers.js"

const { AIRFLOW_AUTHORIZATION: authorization = "", AIRFLOW_URL: url = "", AIRFLOW_VERSION: version = "" } = process.env

const isTwo = version.startsWith("2")

/** Astro emulated, and behind its ingress a real Airflow. */
const layer = AirflowResources.layerEmulator({
  emulator: { speed: 200, airflow: () => ({ url, authorization }) },
  pool: { reset: { settle: "10 seconds" } },
  delivery: "none"
})

it.scoped(
  "a whole lease over a real Airflow: lease, DAG, marks everywhere, reset, release",
  () =>
    Effect.gen(function*() {
      // Airflow 3 locks itself out of SQLite by several writes at once
      const users = yield* leaveAndLook(isTwo ? 4 : 1)
      assert.deepStrictEqual(users, isTwo ? ["created", "exists"] : ["unsupported", "unsupported"])
      const audit = yield* Effect.flatMap(Emulator.Emulator, (emulator) => emulator.audit)
      assert.deepStrictEqual([audit.awake, audit.tokens], [[], []])
    }).pipe(Effect.provide(layer)),
  600_000
)
