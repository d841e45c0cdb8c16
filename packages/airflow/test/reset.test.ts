import { AirflowError, AirflowReset } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Either, Fiber, TestClock } from "effect"
import { connect, inVirtualTime, respond, type Responder, type Routes } from "./server.js"

const list = (path: string, order: string) => `GET /api/v1/${path}order_by=${order}&limit=100&offset=0`
const dags = list("dags?only_active=false&", "dag_id")
const runs = list("dags/~/dagRuns?", "id")
const variables = list("variables?", "id")
const connections = list("connections?", "connection_id")
const pools = list("pools?", "id")
const pauseAll = "PATCH /api/v1/dags?only_active=false&dag_id_pattern=~&limit=100&offset=0"

const defaultPool = (slots = 128) => ({ name: "default_pool", slots })
const empty = {
  dags: respond(200, { dags: [], total_entries: 0 }),
  runs: respond(200, { dag_runs: [], total_entries: 0 }),
  variables: respond(200, { variables: [], total_entries: 0 })
}
const listOf = (member: string, rows: ReadonlyArray<unknown>) =>
  respond(200, { [member]: rows, total_entries: rows.length })
const wholePool = listOf("pools", [defaultPool()])
const variable = (key: string) => ({ key, value: "1" })
const nothing = {
  [dags]: empty.dags,
  [runs]: empty.runs,
  [variables]: empty.variables,
  [connections]: listOf("connections", []),
  [pools]: wholePool,
  [pauseAll]: empty.dags
}
const run = (id: string, state: string) => ({ dag_id: "d", dag_run_id: id, state, start_date: null, end_date: null })

const writes = (routes: ReadonlyArray<string>) => routes.filter((route) => !route.startsWith("GET"))

describe("reset", () => {
  it.effect("changes nothing in an empty Airflow", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect(nothing)
      assert.deepStrictEqual(yield* AirflowReset.reset(airflow), { deleted: [], kept: [] })
      assert.deepStrictEqual([...routes()].sort(), [connections, dags, pools, runs, variables].sort())
    }))

  it.effect("pauses DAGs, ends runs, then deletes runs but not DAGs", () =>
    Effect.gen(function*() {
      const { airflow, requests, routes } = yield* connect({
        ...nothing,
        [dags]: [
          // a DAG without a file would be unpaused if its file came back
          listOf("dags", [{ dag_id: "gone", is_paused: false, is_active: false }]),
          listOf("dags", [{ dag_id: "gone", is_paused: true, is_active: false }])
        ],
        [runs]: [listOf("dag_runs", [run("live", "queued"), run("old", "success")]), empty.runs],
        [pools]: [listOf("pools", [defaultPool(7)]), wholePool],
        "PATCH /api/v1/dags/d/dagRuns/live": respond(404, { title: "DAGRun not found" }),
        "DELETE /api/v1/dags/d/dagRuns/live": respond(204, undefined),
        "DELETE /api/v1/dags/d/dagRuns/old": respond(204, undefined),
        "POST /api/v1/pools": respond(409, { detail: "Pool: default_pool already exists" }),
        "PATCH /api/v1/pools/default_pool?update_mask=slots,include_deferred": respond(200, defaultPool())
      })
      const { deleted } = yield* AirflowReset.reset(airflow)
      assert.deepStrictEqual(deleted, [
        { kind: "unpaused DAG", name: "gone" },
        { kind: "run", name: "d/live" },
        { kind: "run", name: "d/old" },
        { kind: "slots of", name: "default_pool" }
      ])
      assert.deepStrictEqual(writes(routes()), [
        pauseAll,
        "PATCH /api/v1/dags/d/dagRuns/live",
        "DELETE /api/v1/dags/d/dagRuns/live",
        "DELETE /api/v1/dags/d/dagRuns/old",
        "POST /api/v1/pools",
        "PATCH /api/v1/pools/default_pool?update_mask=slots,include_deferred"
      ])
      const bodies = requests.flatMap(({ body }) => body === undefined ? [] : [body])
      assert.deepStrictEqual(bodies, [
        { is_paused: true },
        { state: "failed" },
        { name: "default_pool", slots: 128, include_deferred: false },
        { slots: 128, include_deferred: false }
      ])
    }))

  it.effect("deletes queued events, which could start a DAG in the next test", () =>
    Effect.gen(function*() {
      const byAssets = (dagId: string) => ({
        dag_id: dagId,
        is_paused: true,
        timetable_description: "Triggered by assets"
      })
      const events = (dagId: string) => `GET /api/v1/dags/${dagId}/datasets/queuedEvent`
      const none = respond(404, { title: "Queue event was not found" })
      const { airflow, routes } = yield* connect({
        ...nothing,
        [dags]: listOf("dags", [byAssets("a"), byAssets("b"), { ...byAssets("c"), timetable_description: "At 00:00" }]),
        [events("a")]: [respond(200, { queued_events: [{}], total_entries: 1 }), none],
        [events("b")]: none,
        "DELETE /api/v1/dags/a/datasets/queuedEvent": respond(204, undefined)
      })
      assert.deepStrictEqual((yield* AirflowReset.reset(airflow)).deleted, [{ kind: "queued events of", name: "a" }])
      assert.deepStrictEqual(writes(routes()), [pauseAll, "DELETE /api/v1/dags/a/datasets/queuedEvent"])
    }))

  it.effect("creates a missing default pool with the configured slots", () =>
    Effect.gen(function*() {
      const { airflow, requests } = yield* connect({
        ...nothing,
        [pools]: [listOf("pools", []), listOf("pools", [defaultPool(16)])],
        "POST /api/v1/pools": respond(200, defaultPool(16))
      })
      yield* AirflowReset.reset(airflow, { defaultPoolSlots: 16 })
      assert.deepInclude(requests.map(({ body }) => body), { name: "default_pool", slots: 16, include_deferred: false })
    }))

  it.effect("stops deferred tasks from taking slots of the default pool", () =>
    Effect.gen(function*() {
      const changed = { ...defaultPool(), include_deferred: true }
      const { airflow, requests } = yield* connect({
        ...nothing,
        [pools]: [listOf("pools", [changed]), wholePool],
        "POST /api/v1/pools": respond(409, { title: "exists" }),
        "PATCH /api/v1/pools/default_pool?update_mask=slots,include_deferred": respond(200, defaultPool())
      })
      const { deleted } = yield* AirflowReset.reset(airflow)
      assert.deepStrictEqual(deleted, [{ kind: "slots of", name: "default_pool" }])
      assert.deepInclude(requests.map(({ body }) => body), { slots: 128, include_deferred: false })
    }))

  it.effect("deletes in a second round what was created meanwhile", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        ...nothing,
        [variables]: [
          listOf("variables", [variable("early")]),
          listOf("variables", [variable("late")]),
          empty.variables
        ],
        "DELETE /api/v1/variables/early": respond(204, undefined),
        "DELETE /api/v1/variables/late": respond(204, undefined)
      })
      const { deleted } = yield* AirflowReset.reset(airflow)
      assert.deepStrictEqual(deleted.map(({ name }) => name), ["early", "late"])
      assert.deepStrictEqual(writes(routes()), [
        pauseAll,
        "DELETE /api/v1/variables/early",
        pauseAll,
        "DELETE /api/v1/variables/late"
      ])
    }))

  it.effect("gives ended tasks time to stop before it inspects again", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        ...nothing,
        [runs]: [listOf("dag_runs", [run("r", "running")]), empty.runs],
        "PATCH /api/v1/dags/d/dagRuns/r": respond(200, run("r", "failed")),
        "DELETE /api/v1/dags/d/dagRuns/r": respond(204, undefined)
      })
      const reset = Effect.zipRight(AirflowReset.reset(airflow, { settle: "7 seconds" }), Clock.currentTimeMillis)
      const fiber = yield* Effect.fork(reset)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 7000)
    }))

  it.effect("keeps what it is told to, by name or prefix", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        ...nothing,
        [variables]: [
          listOf("variables", ["shared_a", "shared_b", "region", "other"].map(variable)),
          listOf("variables", ["shared_a", "shared_b", "region"].map(variable))
        ],
        [connections]: listOf("connections", [{ connection_id: "warehouse", conn_type: "http" }]),
        [pools]: listOf("pools", [defaultPool(), { name: "etl", slots: 1 }]),
        "DELETE /api/v1/variables/other": respond(204, undefined)
      })
      const keep = Either.getOrThrow(
        AirflowReset.parseKeep("variables:shared_*, variables:region, connections:warehouse, pools:etl")
      )
      const report = yield* AirflowReset.reset(airflow, { keep })
      assert.deepStrictEqual(report.deleted, [{ kind: "variable", name: "other" }])
      assert.deepStrictEqual(report.kept.map(({ kind, name }) => `${kind} ${name}`), [
        "variable shared_a",
        "variable shared_b",
        "variable region",
        "connection warehouse",
        "pool etl"
      ])
      assert.deepStrictEqual(writes(routes()), [pauseAll, "DELETE /api/v1/variables/other"])
      const wrong = AirflowReset.parseKeep("variables:a, roles:b")
      assert.include(Either.getOrElse(Either.flip(wrong), () => ""), "\"roles:b\" is not like variables:NAME")
    }))

  it.effect("reports what it cannot delete, and deletes the rest", () =>
    Effect.gen(function*() {
      const slashed = { name: "a/b", slots: 1 }
      const { airflow, routes } = yield* connect({
        ...nothing,
        // Airflow 2 has no route to a pool with a slash in its name, and no URL can contain a name of dots
        [pools]: [
          listOf("pools", [defaultPool(), slashed, { name: "c", slots: 1 }]),
          listOf("pools", [defaultPool(), slashed])
        ],
        [variables]: listOf("variables", [variable("..")]),
        "DELETE /api/v1/pools/c": respond(204, undefined)
      })
      const error = yield* Effect.flip(AirflowReset.reset(airflow))
      assert(error._tag === "ResetIncomplete")
      assert.deepStrictEqual([...error.leftovers], [
        { kind: "variable", name: ".." },
        { kind: "pool", name: "a/b" }
      ])
      assert.include(error.message, "pool a/b")
      assert.include(writes(routes()), "DELETE /api/v1/pools/c")
      assert.isBelow(routes().length, 60)
    }))

  const locked = respond(423, { detail: "locked" })
  for (
    const [error, responder] of [
      ["a redirect", respond(308, "", { location: "/x" })],
      ["403", respond(403, { title: "Forbidden" })],
      ["404", respond(404, { title: "no route" })],
      ["409", respond(409, { title: "in use" })],
      ["423", locked],
      ["500", respond(500, "")],
      ["502", respond(502, "")]
    ] as const
  ) {
    it.effect(`deletes the rest of each kind if one item fails with ${error}`, () =>
      Effect.gen(function*() {
        const deleted = respond(204, undefined)
        const { airflow, routes } = yield* connect({
          ...nothing,
          [dags]: listOf("dags", [{
            dag_id: "a",
            is_paused: true,
            is_active: true,
            timetable_description: "Triggered by assets"
          }]),
          "GET /api/v1/dags/a/datasets/queuedEvent": respond(200, { total_entries: 1 }),
          "DELETE /api/v1/dags/a/datasets/queuedEvent": responder,
          [runs]: [
            listOf("dag_runs", [run("kept", "queued"), run("r", "queued")]),
            listOf("dag_runs", [run("kept", "queued")])
          ],
          "PATCH /api/v1/dags/d/dagRuns/kept": responder,
          "PATCH /api/v1/dags/d/dagRuns/r": respond(200, run("r", "failed")),
          "DELETE /api/v1/dags/d/dagRuns/kept": responder,
          "DELETE /api/v1/dags/d/dagRuns/r": deleted,
          [variables]: [
            listOf("variables", [variable("kept"), variable("v")]),
            listOf("variables", [variable("kept")])
          ],
          "DELETE /api/v1/variables/kept": responder,
          "DELETE /api/v1/variables/v": deleted,
          [pools]: [
            listOf("pools", [defaultPool(), { name: "kept", slots: 1 }, { name: "p", slots: 1 }]),
            listOf("pools", [defaultPool(), { name: "kept", slots: 1 }])
          ],
          "DELETE /api/v1/pools/kept": responder,
          "DELETE /api/v1/pools/p": deleted
        })
        const incomplete = yield* inVirtualTime(Effect.flip(AirflowReset.reset(airflow)))
        assert(incomplete._tag === "ResetIncomplete", incomplete.message)
        assert.deepStrictEqual(incomplete.leftovers.map(({ kind, name }) => `${kind} ${name}`), [
          "run d/kept",
          "queued events of a",
          "variable kept",
          "pool kept"
        ])
        assert.includeMembers(writes(routes()), [
          "DELETE /api/v1/dags/d/dagRuns/r",
          "DELETE /api/v1/variables/v",
          "DELETE /api/v1/pools/p"
        ])
      }))
  }

  it.effect("empties the other kinds if Airflow cannot return a list, and says why it is incomplete", () =>
    Effect.gen(function*() {
      const infinite = respond(500, {
        title: "Response body does not conform to specification",
        detail: "inf is not of type 'integer'"
      })
      const { airflow, routes } = yield* connect({
        ...nothing,
        [variables]: [listOf("variables", [variable("v")]), empty.variables],
        [pools]: infinite,
        "DELETE /api/v1/variables/v": respond(204, undefined),
        "POST /api/v1/pools": respond(409, { title: "exists" }),
        "PATCH /api/v1/pools/default_pool?update_mask=slots,include_deferred": respond(200, defaultPool())
      })
      const incomplete = yield* inVirtualTime(Effect.flip(AirflowReset.reset(airflow)))
      assert(incomplete._tag === "ResetIncomplete", incomplete.message)
      assert.deepInclude(incomplete.leftovers, { kind: "unreadable list of", name: "pools" })
      assert.include(incomplete.message, "inf is not of type 'integer'")
      assert.include(routes(), "DELETE /api/v1/variables/v")
    }))

  it.effect("pauses DAGs one by one if they cannot be paused together", () =>
    Effect.gen(function*() {
      const dag = (isPaused: boolean) => listOf("dags", [{ dag_id: "d", is_paused: isPaused, is_active: true }])
      const { airflow } = yield* connect({
        ...nothing,
        [dags]: [dag(false), dag(true)],
        [pauseAll]: respond(403, { title: "Forbidden" }),
        "PATCH /api/v1/dags/d": respond(200, {})
      })
      assert.deepStrictEqual((yield* AirflowReset.reset(airflow)).deleted, [{ kind: "unpaused DAG", name: "d" }])
    }))

  it.effect("fails at its deadline", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        ...nothing,
        [variables]: listOf("variables", [variable("v")]),
        "DELETE /api/v1/variables/v": (() => Effect.never) satisfies Responder
      })
      const fiber = yield* Effect.fork(Effect.flip(AirflowReset.reset(airflow, { timeout: "10 seconds" })))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "ResetIncomplete")
      assert.deepStrictEqual([...error.leftovers], [{ kind: "variable", name: "v" }])
    }))

  it.effect("fails if Airflow refuses to list something", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({ ...nothing, [runs]: respond(403, { title: "Forbidden" }) })
      const error = yield* Effect.flip(AirflowReset.verify(airflow))
      assert.instanceOf(error, AirflowError.AirflowApiError)
      assert.strictEqual(error.kind, "forbidden")
    }))
})

describe("reset of Airflow 3", () => {
  const favorites = "GET /api/v2/dags?is_favorite=true&exclude_stale=false&order_by=dag_id&limit=100&offset=0"
  const assets = "GET /api/v2/assets?only_active=false&order_by=id&limit=100&offset=0"
  const v2 = {
    ...Object.fromEntries(
      Object.entries(nothing).map(([route, responder]) => [
        route.replace("/api/v1", "/api/v2").replace("only_active", "exclude_stale").replace("connection_id", "id"),
        responder
      ])
    ) as Routes,
    [favorites]: empty.dags,
    [assets]: listOf("assets", [])
  }
  const dags2 = "GET /api/v2/dags?exclude_stale=false&order_by=dag_id&limit=100&offset=0"
  const dag = (dag_id: string, timetable_description: string, more: Record<string, unknown> = {}) => ({
    dag_id,
    is_paused: true,
    is_stale: false,
    timetable_description,
    ...more
  })
  const names = Array.from({ length: 250 }, (_, index) => `v${index}`)
  const pageOf = (offset: number) =>
    respond(200, { variables: names.slice(offset, offset + 100).map(variable), total_entries: 250 })
  const page = (offset: number) => `GET /api/v2/variables?order_by=id&limit=100&offset=${offset}`

  it.effect("deletes all of a kind with one request, but never the default pool", () =>
    Effect.gen(function*() {
      const { airflow, requests, routes } = yield* connect({
        ...v2,
        [page(0)]: [pageOf(0), listOf("variables", [])],
        [page(100)]: pageOf(100),
        [page(200)]: pageOf(200),
        "GET /api/v2/pools?order_by=id&limit=100&offset=0": [
          listOf("pools", [defaultPool(), { name: "a/b", slots: 1 }]),
          listOf("pools", [defaultPool()])
        ],
        "PATCH /api/v2/variables": respond(200, { delete: { success: names, errors: [] } }),
        "PATCH /api/v2/pools": respond(200, { delete: { success: ["a/b"], errors: [] } })
      }, { version: "3.3.2" })
      assert.strictEqual((yield* AirflowReset.reset(airflow)).deleted.length, 251)
      assert.strictEqual(writes(routes()).length, 3)
      const bulk = (entities: ReadonlyArray<string>) => ({
        actions: [{ action: "delete", entities, action_on_non_existence: "skip" }]
      })
      assert.deepStrictEqual(requests.filter(({ body }) => body !== undefined).map(({ body }) => body), [
        { is_paused: true },
        bulk(names),
        bulk(["a/b"])
      ])
    }))

  it.effect("cancels the backfill of a DAG that has a schedule, before its runs are deleted", () =>
    Effect.gen(function*() {
      const last = (dagId: string) => `GET /api/v2/backfills?dag_id=${dagId}&order_by=-id&limit=1`
      const backfill = (completed_at: string | null) => listOf("backfills", [{ id: 7, completed_at }])
      const ended = backfill("2026-01-01T00:00:00Z")
      const { airflow, routes } = yield* connect({
        ...v2,
        [dags2]: listOf("dags", [
          dag("daily", "At 00:00"),
          dag("never", "Never, external triggers only"),
          dag("ended", "Triggered by assets or At 00:00"),
          dag("raced", "")
        ]),
        [last("daily")]: [backfill(null), ended],
        [last("ended")]: ended,
        [last("raced")]: [listOf("backfills", [{ id: 8, completed_at: null }]), ended],
        "GET /api/v2/dags/ended/assets/queuedEvents": respond(404, { detail: "none" }),
        "PUT /api/v2/backfills/7/cancel": respond(200, {}),
        "PUT /api/v2/backfills/8/cancel": respond(409, { detail: "Backfill is already completed." }),
        "GET /api/v2/dags/~/dagRuns?order_by=id&limit=100&offset=0": [
          listOf("dag_runs", [run("backfill", "success")]),
          empty.runs
        ],
        "DELETE /api/v2/dags/d/dagRuns/backfill": respond(204, undefined)
      }, { version: "3.0.6" })
      const { deleted } = yield* AirflowReset.reset(airflow)
      assert.deepStrictEqual(deleted.map(({ kind, name }) => `${kind} ${name}`), [
        "run d/backfill",
        "backfill of daily",
        "backfill of raced"
      ])
      assert.deepStrictEqual(writes(routes()).slice(1), [
        "PUT /api/v2/backfills/7/cancel",
        "PUT /api/v2/backfills/8/cancel",
        "DELETE /api/v2/dags/d/dagRuns/backfill"
      ])
    }))

  it.effect("deletes favorites and the states of assets", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        ...v2,
        [favorites]: [listOf("dags", [dag("liked", "Never")]), empty.dags],
        [assets]: listOf("assets", [{ id: 1, name: "one" }, { id: 2, name: "two" }]),
        "GET /api/v2/assets/1/state-store?limit=1": respond(200, { asset_state_store: [], total_entries: 0 }),
        "GET /api/v2/assets/2/state-store?limit=1": [
          respond(200, { asset_state_store: [{}], total_entries: 3 }),
          respond(200, { asset_state_store: [], total_entries: 0 })
        ],
        "POST /api/v2/dags/liked/unfavorite": respond(204, undefined),
        "DELETE /api/v2/assets/2/state-store": respond(204, undefined)
      }, { version: "3.3.2" })
      const { deleted } = yield* AirflowReset.reset(airflow)
      assert.deepStrictEqual(deleted, [
        { kind: "favorite", name: "liked" },
        { kind: "state of asset", name: "two" }
      ])
      assert.deepStrictEqual(writes(routes()).slice(1), [
        "POST /api/v2/dags/liked/unfavorite",
        "DELETE /api/v2/assets/2/state-store"
      ])
    }))

  const partitions = "GET /ui/partitioned_dag_runs?has_created_dag_run_id=false"
  const partitioned = {
    ...v2,
    [dags2]: listOf("dags", [dag("parts", "Triggered by assets", { timetable_partitioned: true })]),
    "GET /api/v2/dags/parts/assets/queuedEvents": respond(200, { queued_events: [], total_entries: 0 })
  }

  it.effect("is incomplete while a partition waits for more events, which Airflow's API cannot delete", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        ...partitioned,
        [partitions]: respond(200, { partitioned_dag_runs: [{ dag_id: "parts", partition_key: "K1" }], total: 1 })
      }, { version: "3.3.2" })
      const incomplete = yield* Effect.flip(AirflowReset.reset(airflow))
      assert(incomplete._tag === "ResetIncomplete", incomplete.message)
      assert.deepStrictEqual([...incomplete.leftovers], [{ kind: "waiting partition of", name: "parts/K1" }])
      assert.include(incomplete.message, "cannot delete the events")
    }))

  for (
    const [what, responder] of [
      ["forbidden", respond(403, { detail: "Forbidden" })],
      ["missing", respond(200, "<!doctype html>", { "content-type": "text/html" })]
    ] as const
  ) {
    it.effect(`is incomplete if the list of waiting partitions is ${what}`, () =>
      Effect.gen(function*() {
        const { airflow } = yield* connect({ ...partitioned, [partitions]: responder }, { version: "3.2.2" })
        const incomplete = yield* inVirtualTime(Effect.flip(AirflowReset.reset(airflow)))
        assert(incomplete._tag === "ResetIncomplete", incomplete.message)
        assert.deepStrictEqual([...incomplete.leftovers], [{ kind: "waiting partition of", name: "an unknown DAG" }])
        assert.include(incomplete.message, "does not list the partitions")
      }))
  }

  it.effect("fails if a bulk response with status 200 contains errors", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        ...v2,
        "PATCH /api/v2/variables": respond(200, {
          delete: { success: [], errors: [{ error: "locked", status_code: 500 }] }
        })
      }, { version: "3.1.8" })
      const error = yield* Effect.flip(airflow.variables.deleteAll(["a"]))
      assert.include(error.message, "locked")
    }))

  it.effect("deletes one by one if the permission for bulk requests is checked incorrectly", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        "PATCH /api/v2/variables": respond(403, { detail: "Forbidden" }),
        "DELETE /api/v2/variables/a": respond(204, undefined),
        "DELETE /api/v2/variables/b": respond(404, { detail: "gone" })
      }, { version: "3.0.6" })
      yield* airflow.variables.deleteAll(["a", "b"])
      assert.strictEqual(routes().length, 3)
    }))
})
