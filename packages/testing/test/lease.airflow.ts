import { Emulator } from "@airflow-resource/emulator"
import { assert, it } from "@effect/vitest"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"
import { leaveAndLook } from "./leftovers.js"

const { AIRFLOW_AUTHORIZATION: authorization = "", AIRFLOW_URL: url = "", AIRFLOW_VERSION: version = "" } = process.env

/** Astro emulated, and behind its ingress a real Airflow. */
const layer = AirflowResources.layerEmulator({
  emulator: { speed: 200, airflow: () => ({ url, authorization }) },
  pool: { reset: { settle: "10 seconds" } },
  delivery: "none"
})

it.scoped("a whole lease over a real Airflow: lease, DAG, marks everywhere, reset, release", () =>
  Effect.gen(function*() {
    const users = yield* leaveAndLook
    assert.deepStrictEqual(users, version.startsWith("2") ? ["created", "exists"] : ["unsupported", "unsupported"])
    const audit = yield* Effect.flatMap(Emulator.Emulator, (emulator) => emulator.audit)
    assert.deepStrictEqual([audit.awake, audit.tokens], [[], []])
  }).pipe(Effect.provide(layer)), 300_000)
