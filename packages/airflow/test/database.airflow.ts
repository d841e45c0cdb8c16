/**
 * Does everything that a test can do to an Airflow, resets it, and compares all tables of its database with before. A
 * table belongs into one of the three lists below. A table that is in none of them is new in this version of Airflow:
 * find out what a test can leave in it, and whether a later test would see it.
 */
import { type Airflow, AirflowReset } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schedule } from "effect"
import * as fs from "node:fs"
import { until } from "./AirflowApi.suite.js"
import { differences, readTables } from "./database.js"
import { connect, connectAsViewer, delivery, isTwo, version } from "./real.js"

/** What tests fill and a reset empties. */
const emptied = [
  "asset_dag_run_queue",
  "asset_state_store",
  "callback",
  "connection",
  "dag",
  "dag_run",
  "dag_run_note",
  "dagrun_asset_event",
  "dagrun_dataset_event",
  "dataset_dag_run_queue",
  "deadline",
  "hitl_detail",
  "rendered_task_instance_fields",
  "slot_pool",
  "task_fail",
  "task_instance",
  "task_instance_history",
  "task_instance_note",
  "task_map",
  "task_reschedule",
  "task_state_store",
  "variable",
  "xcom"
]

/** What a reset leaves, as the documentation says ("A reset" in docs/airflow.md): the rows that may differ. */
const left: Readonly<Record<string, RegExp>> = {
  // the audit log
  log: /./,
  // Airflow's processes and, in Airflow 2, the tasks that have run
  job: /./,
  sqlite_sequence: /./,
  // the triggerer deletes what no task waits for, within a minute
  trigger: /./,
  // events that have happened, and the assets that tasks have attached to aliases
  asset: /by_alias/,
  asset_active: /by_alias/,
  // Airflow 3.1: another group, once a task has used it
  asset_alias: /left_alias/,
  asset_alias_asset: /./,
  asset_alias_asset_event: /./,
  asset_event: /./,
  dataset: /by_alias/,
  dataset_alias_dataset: /./,
  dataset_alias_dataset_event: /./,
  dataset_event: /./,
  dag: /left_alias/,
  dag_schedule_asset_reference: /left_alias/,
  dag_schedule_dataset_reference: /left_alias/,
  dag_version: /left/,
  dag_code: /left/,
  serialized_dag: /left_alias/,
  // events of partitions that have started. SQLite uses their ids again: run this suite once per server
  partitioned_asset_key_log: /./,
  // backfills that have ended
  backfill: /"completed_at":"/,
  backfill_dag_run: /"dag_run_id":null/,
  // favorites of other users
  dag_favorite: /"viewer"/,
  // users and roles
  ab_permission_view_role: /./,
  ab_role: /"left"/,
  ab_user: /./,
  ab_user_role: /./
}

/** What this test does not change. */
const untouched = [
  // follow from the DAG files
  "asset_alias",
  "asset_trigger",
  "asset_watcher",
  "dag_bundle",
  "dag_owner_attributes",
  "dag_pickle",
  "dag_schedule_asset_alias_reference",
  "dag_schedule_asset_name_reference",
  "dag_schedule_asset_uri_reference",
  "dag_schedule_dataset_alias_reference",
  "dag_tag",
  "dag_warning",
  "dataset_alias",
  "deadline_alert",
  "import_error",
  "task_inlet_asset_reference",
  "task_outlet_asset_reference",
  "task_outlet_dataset_reference",
  // requests that Airflow deletes as soon as it has handled them
  "callback_request",
  "dag_priority_parsing_request",
  // belongs to runs, and is deleted with them
  "hitl_detail_history",
  // ends with the waiting partition, because of which a deployment is replaced
  "asset_partition_dag_run",
  // each row can be found only with its token
  "connection_test_request",
  "revoked_token",
  "session",
  // missed SLAs of scheduled runs, which no test here has provoked
  "sla_miss",
  // only commands and migrations change them
  "ab_permission",
  "ab_permission_view",
  "ab_register_user",
  "ab_view_menu",
  "alembic_version",
  "dag_bundle_team",
  "log_template",
  "team"
]

const [major = 0, minor = 0] = version.split(".").map(Number)
const isAtLeast = (required: readonly [number, number]) =>
  major > required[0] || (major === required[0] && minor >= required[1])

const aMinute = Schedule.upTo(Schedule.spaced("200 millis"), "1 minute")

/** Sends a request again while an Airflow finds its SQLite locked. */
const send = (airflow: Airflow.Airflow, ...call: Parameters<Airflow.Airflow["request"]>) =>
  Effect.retry(airflow.request(...call), { while: ({ status = 0 }) => status >= 500, schedule: aMinute })

const assetId = (airflow: Airflow.Airflow, uri: string) =>
  Effect.map(
    send(airflow, "GET", "/assets?limit=100") as Effect.Effect<
      { readonly assets: ReadonlyArray<{ readonly id: number; readonly uri: string }> }
    >,
    ({ assets }) => assets.find((asset) => asset.uri === uri)?.id ?? assert.fail(`there is no asset ${uri}`)
  )

const createBackfill = (airflow: Airflow.Airflow) =>
  Effect.suspend(() => {
    let wasLocked = false
    const request = airflow.request("POST", "/backfills", {
      dag_id: "left_scheduled",
      from_date: "2024-02-01T00:00:00Z",
      to_date: "2024-02-02T00:00:00Z",
      dag_run_conf: {},
      max_active_runs: 1
    })
    return Effect.retry(request, {
      while: ({ status = 0 }) => {
        if (status >= 500) wasLocked = true
        return status >= 500
      },
      schedule: aMinute
    }).pipe(
      // before 3.3, Airflow keeps a backfill whose runs it could not create while SQLite was locked, and refuses another one
      Effect.catchIf(({ status }) => wasLocked && status === 409 && !isAtLeast([3, 3]), () => Effect.void)
    )
  })

const produce = "/dags/left/dagRuns/left/taskInstances/produce"

const leaveOnTwo = (airflow: Airflow.Airflow) =>
  Effect.gen(function*() {
    yield* send(airflow, "PATCH", `${produce}/setNote`, { note: "left" })
    yield* send(airflow, "POST", "/datasets/events", { dataset_uri: "test://left/one" })
    yield* send(airflow, "POST", "/roles", { name: "left", actions: [] })
    yield* airflow.users.create({ username: "left", password: Redacted.make("left"), roles: ["left"] })
  })

const leaveOnThree = (airflow: Airflow.Airflow) =>
  Effect.gen(function*() {
    yield* send(airflow, "PATCH", produce, { note: "left" })
    yield* send(airflow, "POST", `${produce}/xcomEntries`, { key: "left", value: 1 })
    const asset = yield* assetId(airflow, "test://left/one")
    yield* send(airflow, "POST", "/assets/events", { asset_id: asset })
    yield* createBackfill(airflow)
    if (isAtLeast([3, 1])) {
      const viewer = yield* connectAsViewer
      yield* send(airflow, "POST", "/dags/left/favorite")
      yield* send(viewer, "POST", "/dags/left/favorite")
    }
    if (isAtLeast([3, 3])) {
      yield* send(airflow, "PUT", `/assets/${asset}/state-store/left`, { value: 1 })
      yield* send(airflow, "PUT", `${produce}/state-store/left`, { value: 1 })
    }
  })

/** Leaves something in all tables that tests can fill. */
const leave = (airflow: Airflow.Airflow) =>
  Effect.gen(function*() {
    yield* airflow.variables.put({ key: "left", value: "1", description: "left" })
    yield* airflow.connections.put({ id: "left", type: "http", password: Redacted.make("p"), extra: { a: 1 } })
    yield* airflow.pools.put({ name: "left_pool", slots: 1, includeDeferred: true })
    yield* airflow.pools.put({ name: "default_pool", slots: 7, includeDeferred: true })
    for (const dagId of ["left", "left_scheduled", "left_consumer", "left_alias_consumer"]) {
      yield* airflow.setPaused(dagId, false)
    }
    yield* airflow.trigger("left", { runId: "left", conf: { left: 1 }, note: "left" })
    yield* until(
      airflow.taskInstances("left", "left"),
      (tasks) =>
        ["deferred", "up_for_reschedule", "up_for_retry"].every((state) =>
          tasks.some((task) => task.state === state)
        ) &&
        tasks.filter(({ state, taskId }) => taskId === "mapped" && state === "success").length === 2
    )
    yield* until(airflow.queuedEvents("left_consumer"), (count) => count === 1)
    yield* until(airflow.runs("left_scheduled"), (runs) => runs.length > 0)
    yield* until(airflow.runs("left_alias_consumer"), (runs) => runs.length > 0)
    yield* send(airflow, "POST", "/dags/left/clearTaskInstances", {
      dry_run: false,
      dag_run_id: "left",
      task_ids: ["produce"],
      only_failed: false
    })
    yield* airflow.requestReparse("left")
    yield* (isTwo ? leaveOnTwo(airflow) : leaveOnThree(airflow))
  })

/** Connects to an empty Airflow with the DAGs of leftovers.py. */
const prepare = (dagIds: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const airflow = yield* connect
    const { deliver } = yield* delivery
    yield* deliver(fs.readFileSync(new URL("leftovers.py", import.meta.url), "utf8"))
    yield* Effect.forEach(dagIds, (dagId) => airflow.awaitDag(dagId, { timeout: "1 minute" }))
    yield* AirflowReset.reset(airflow)
    return airflow
  })

describe(`the database of Airflow ${version}`, () => {
  it.scopedLive("has only known tables, and is after a reset as it was before", () =>
    Effect.gen(function*() {
      const airflow = yield* prepare(["left", "left_scheduled", "left_consumer", "left_alias_consumer"])
      const before = yield* readTables
      const known = new Set([...emptied, ...Object.keys(left), ...untouched])
      assert.deepStrictEqual(Object.keys(before).filter((name) => !known.has(name)), [])

      yield* leave(airflow)
      // deadlines are newer than their table, and 3.0 does not record which event of an alias has started a run
      const isMissing = (name: string) =>
        !(name in before) || (version.startsWith("3.0") && ["deadline", "dagrun_asset_event"].includes(name))
      const notFilled = Effect.map(readTables, (now) => {
        const filled = differences(before, now)
        return emptied.filter((name) => filled[name] === undefined && !isMissing(name))
      })
      // a task that is cleared has no XCom until it has run again
      assert.deepStrictEqual(yield* until(notFilled, (names) => names.length === 0), [])

      yield* AirflowReset.reset(airflow)
      // Airflow needs a moment to parse its files again
      const unexpected = Effect.map(readTables, (after) =>
        Object.entries(differences(before, after)).flatMap(([name, rows]) =>
          rows.filter((row) =>
            left[name]?.test(row) !== true
          ).map((row) => `${name}: ${row}`)
        ))
      yield* Effect.ignore(until(unexpected, (rows) => rows.length === 0))
      assert.deepStrictEqual(yield* unexpected, [])

      if (!isTwo) {
        // Airflow refuses a backfill while another one has not ended
        yield* createBackfill(airflow)
        yield* AirflowReset.reset(airflow)
      }
    }), 240_000)

  it.scopedLive.runIf(isAtLeast([3, 2]))(
    "is not called empty while a partition waits for more events",
    () =>
      Effect.gen(function*() {
        const airflow = yield* prepare(["left_partitioned"])
        const emit = (uri: string) =>
          Effect.flatMap(
            assetId(airflow, uri),
            (asset_id) => send(airflow, "POST", "/assets/events", { asset_id, partition_key: "one" })
          )
        // a paused DAG gets no events
        yield* airflow.setPaused("left_partitioned", false)
        yield* emit("test://left/half")
        const incomplete = yield* Effect.flip(AirflowReset.reset(airflow))
        assert(incomplete._tag === "ResetIncomplete", incomplete.message)
        assert.deepStrictEqual([...incomplete.leftovers], [
          { kind: "waiting partition of", name: "left_partitioned/one" }
        ])
        assert.include(incomplete.message, "Send the missing events")
        yield* airflow.setPaused("left_partitioned", false)
        yield* emit("test://left/other_half")
        yield* until(airflow.runs("left_partitioned"), (runs) => runs.length > 0)
        yield* AirflowReset.reset(airflow)
      }),
    120_000
  )
})
