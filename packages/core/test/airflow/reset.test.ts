import { Airflow, AirflowReset } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { answer, connect } from "./server.js"

const list = (path: string, order: string) => `GET /api/v1/${path}limit=100&order_by=${order}&offset=0`
const dags = list("dags?only_active=false&", "dag_id")
const runs = list("dags/~/dagRuns?", "id")
const variables = list("variables?", "id")
const connections = list("connections?", "connection_id")
const pools = list("pools?", "id")
const pauseAll = "PATCH /api/v1/dags?dag_id_pattern=~&only_active=false&limit=100"

const defaultPool = (slots = 128) => ({ name: "default_pool", slots })
const nothing = {
  [dags]: answer(200, { dags: [], total_entries: 0 }),
  [runs]: answer(200, { dag_runs: [], total_entries: 0 }),
  [variables]: answer(200, { variables: [], total_entries: 0 }),
  [connections]: answer(200, { connections: [], total_entries: 0 }),
  [pools]: answer(200, { pools: [defaultPool()], total_entries: 1 }),
  [pauseAll]: answer(200, { dags: [], total_entries: 0 })
}
const run = (id: string, state: string) => ({ dag_id: "d", dag_run_id: id, state, start_date: null, end_date: null })

describe("reset", () => {
  it.effect("touches nothing of an empty Airflow but the pauses", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect(nothing)
      assert.deepStrictEqual(yield* AirflowReset.reset(airflow), [])
      assert.deepStrictEqual(routes().filter((route) => !route.startsWith("GET")), [pauseAll])
    }))

  it.effect("pauses first, ends before it deletes, and leaves DAGs that are gone alone", () =>
    Effect.gen(function*() {
      const dirty = answer(200, { dag_runs: [run("live", "running"), run("old", "success")], total_entries: 2 })
      const rows = [{ dag_id: "gone", is_paused: false, is_active: false }]
      const { airflow, requests, routes } = yield* connect({
        ...nothing,
        [dags]: answer(200, { dags: rows, total_entries: 1 }),
        [runs]: [dirty, dirty, nothing[runs]!],
        [pools]: [
          answer(200, { pools: [defaultPool(7)], total_entries: 1 }),
          answer(200, { pools: [defaultPool(7)], total_entries: 1 }),
          nothing[pools]!
        ],
        "PATCH /api/v1/dags/d/dagRuns/live": answer(404, { title: "DAGRun not found" }),
        "DELETE /api/v1/dags/d/dagRuns/live": answer(204, undefined),
        "DELETE /api/v1/dags/d/dagRuns/old": answer(204, undefined),
        "PATCH /api/v1/pools/default_pool?update_mask=slots": answer(200, defaultPool())
      })
      assert.deepStrictEqual(yield* AirflowReset.reset(airflow), [
        { kind: "run", name: "d/live" },
        { kind: "run", name: "d/old" },
        { kind: "slots of", name: "default_pool" }
      ])
      assert.deepStrictEqual(routes().filter((route) => !route.startsWith("GET")), [
        pauseAll,
        "PATCH /api/v1/dags/d/dagRuns/live",
        "DELETE /api/v1/dags/d/dagRuns/live",
        "DELETE /api/v1/dags/d/dagRuns/old",
        "PATCH /api/v1/pools/default_pool?update_mask=slots"
      ])
      const bodies = requests.flatMap(({ body }) => body === undefined ? [] : [body])
      assert.deepStrictEqual(bodies, [{ is_paused: true }, { state: "failed" }, { slots: 128 }])
    }))

  it.effect("removes in a second round what came in between", () =>
    Effect.gen(function*() {
      const late = answer(200, { variables: [{ key: "late" }], total_entries: 1 })
      const { airflow, routes } = yield* connect({
        ...nothing,
        [variables]: [nothing[variables]!, nothing[variables]!, late, late, nothing[variables]!],
        "DELETE /api/v1/variables/late": answer(204, undefined)
      })
      yield* AirflowReset.reset(airflow)
      assert.strictEqual(routes().filter((route) => route === pauseAll).length, 2)
    }))

  it.effect("names what it cannot remove", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        ...nothing,
        // Airflow 2 has no route to a pool with a slash in its name
        [pools]: answer(200, { pools: [defaultPool(), { name: "a/b", slots: 1 }], total_entries: 2 }),
        "DELETE /api/v1/pools/a%2Fb": answer(404, { title: "Not Found", type: "about:blank" })
      })
      const error = yield* Effect.flip(AirflowReset.reset(airflow))
      assert(error._tag === "ResetIncomplete")
      assert.deepStrictEqual([...error.leftovers], [{ kind: "pool", name: "a/b" }])
      assert.include(error.message, "pool a/b")
      assert.strictEqual(routes().filter((route) => route.startsWith("DELETE")).length, 2)
    }))

  it.effect("fails when Airflow does not let it look", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({ ...nothing, [runs]: answer(403, { title: "Forbidden" }) })
      const error = yield* Effect.flip(AirflowReset.verify(airflow))
      assert.instanceOf(error, Airflow.AirflowApiError)
      assert.strictEqual(error.kind, "forbidden")
    }))
})
