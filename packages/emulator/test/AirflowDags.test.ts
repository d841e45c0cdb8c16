import { type Dags, Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { awake, type Minor, runtimes, send, until } from "./client.js"

const fast: Emulator.Options = { speed: 10_000 }

const dag = (dagId: string, more: Partial<Dags.DagSpec> = {}): Dags.DagSpec => ({
  dagId,
  paused: false,
  tasks: [{ taskId: "t", log: "printed" }],
  ...more
})

const minors = Object.keys(runtimes) as ReadonlyArray<Minor>

/** The few calls that differ between Airflow 2 and 3. */
const start = (minor: Minor, options: Emulator.Options = {}) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ ...fast, ...options })
    const { airflow, site } = yield* awake(emulator, "one", minor)
    const isOld = minor === "2.11"
    const trigger = (dagId: string, runId = "r", conf: object = {}) =>
      airflow("POST", `dags/${dagId}/dagRuns`, {
        body: { dag_run_id: runId, conf, ...isOld ? {} : { logical_date: null } }
      })
    const state = (dagId: string, runId = "r") =>
      Effect.map(airflow("GET", `dags/${dagId}/dagRuns/${runId}`), ({ json }) => json.state as string)
    const log = (dagId: string, taskId = "t", attempt = 1, runId = "r") =>
      Effect.map(
        airflow("GET", `dags/${dagId}/dagRuns/${runId}/taskInstances/${taskId}/logs/${attempt}`),
        ({ text }) => text
      )
    return { airflow, emulator, site, isOld, trigger, state, log }
  })

describe("DAGs as data", () => {
  it.scopedLive.each(minors)("become visible once they are parsed (%s)", (minor) =>
    Effect.gen(function*() {
      const { airflow, emulator, trigger } = yield* start(minor, {
        dags: [dag("a")],
        durations: { parse: "1000000 hours" }
      })
      yield* emulator.setDags([dag("a", { tags: ["new"] }), dag("b")])
      assert.deepStrictEqual((yield* airflow("GET", "dags/a")).json.tags, [])
      assert.strictEqual((yield* airflow("GET", "dags/b")).status, 404)
      assert.strictEqual((yield* trigger("b")).status, 404)
      assert.strictEqual((yield* trigger("a")).status, 200)
    }))

  it.scopedLive.each(minors)(
    "are listed with the reason if they cannot be imported (%s)",
    (minor) =>
      Effect.gen(function*() {
        const { airflow, emulator, isOld, trigger } = yield* start(minor, { dags: [dag("known")] })
        const importError = "Traceback (most recent call last):\nModuleNotFoundError: No module named 'nothing'\n"
        yield* emulator.setDags([dag("known", { importError, file: "sub/known.py" }), dag("new", { importError })])
        const errors = (yield* airflow("GET", "importErrors")).json.import_errors
        const isAbsolute = isOld || minor === "3.0"
        assert.deepStrictEqual(
          errors.map((error: { filename: string }) => error.filename),
          ["sub/known.py", "new.py"].map((file) => isAbsolute ? `/usr/local/airflow/dags/${file}` : file)
        )
        assert.strictEqual(errors[0].stack_trace, importError)
        assert.strictEqual("bundle_name" in errors[0], !isOld)
        const id = errors[1].import_error_id
        assert.strictEqual((yield* airflow("GET", `importErrors/${id}`)).json.filename, errors[1].filename)
        assert.strictEqual((yield* airflow("GET", "importErrors/99")).status, 404)
        if (!isOld) {
          const found = (yield* airflow("GET", "importErrors?filename_pattern=known")).json.total_entries
          assert.strictEqual(found, minor === "3.0" ? 2 : 1)
        }
        const known = (yield* airflow("GET", "dags/known")).json
        assert.isTrue(known.has_import_errors)
        assert.isTrue(isOld ? known.is_active : known.is_stale)
        const refused = yield* trigger("known")
        assert.strictEqual(refused.status, isOld ? 400 : 404)
        if (isOld) assert.include(refused.json.detail, "has import errors")
        assert.strictEqual((yield* airflow("GET", "dags/new")).status, 404)
        yield* emulator.setDags([dag("known")])
        assert.strictEqual((yield* airflow("GET", "importErrors")).json.total_entries, 0)
        assert.strictEqual((yield* trigger("known")).status, 200)
      })
  )

  it.scopedLive.each(minors)(
    "come back, paused and empty, when they are deleted but their file stays (%s)",
    (minor) =>
      Effect.gen(function*() {
        const { airflow, state, trigger } = yield* start(minor, { dags: [dag("a", { paused: true })] })
        yield* airflow("PATCH", "dags/a", { body: { is_paused: false } })
        yield* trigger("a")
        yield* until(state("a"), (is) => is === "success")
        assert.strictEqual((yield* airflow("DELETE", "dags/a")).status, 204)
        const back = yield* until(airflow("GET", "dags/a"), ({ status }) => status === 200)
        assert.isTrue(back.json.is_paused)
        assert.strictEqual((yield* airflow("GET", "dags/a/dagRuns")).json.total_entries, 0)
        assert.strictEqual((yield* airflow("DELETE", "dags/none")).status, 404)
      })
  )

  it.scopedLive.each(minors)("validate the conf of a run (%s)", (minor) =>
    Effect.gen(function*() {
      const params = { count: { type: "integer", minimum: 1 } } as const
      const { trigger } = yield* start(minor, { dags: [dag("a", { params })] })
      const text = yield* trigger("a", "r", { count: "no" })
      assert.deepStrictEqual([text.status, text.json.detail], [
        400,
        "Invalid input for param count: 'no' is not of type 'integer'\n\nFailed validating 'type' in schema:\n" +
        "    {'type': 'integer', 'minimum': 1}\n\nOn instance:\n    'no'"
      ])
      assert.include((yield* trigger("a", "r", { count: 0 })).json.detail, "0 is less than the minimum of 1")
      assert.include((yield* trigger("a")).json.detail, "No value passed")
      assert.strictEqual((yield* trigger("a", "r", { count: 1 })).status, 200)
    }))

  it.scopedLive.each(minors)("retry failed tasks, with a log for each try (%s)", (minor) =>
    Effect.gen(function*() {
      const error = { type: "KeyError", value: "'k'" }
      const task = { taskId: "t", log: "printed", tries: 3, retryDelay: "10 hours", error } as const
      const { airflow, emulator, log, state, trigger } = yield* start(minor, {
        dags: [dag("waits", { tasks: [{ ...task, retryDelay: "1000000 hours" }] }), dag("a", { tasks: [task] })],
        speed: 1_000_000
      })
      yield* trigger("a")
      yield* trigger("waits")
      yield* until(state("a"), (is) => is === "success")
      assert.include(yield* log("a", "t", 2), error.type)
      assert.notInclude(yield* log("a", "t", 3), error.type)
      const instance = "dags/waits/dagRuns/r/taskInstances/t"
      const waiting = yield* until(airflow("GET", instance), ({ json }) => json.state === "up_for_retry")
      assert.deepInclude(waiting.json, { try_number: 1, max_tries: 2 })
      assert.strictEqual(yield* state("waits"), "running")
      assert.strictEqual((yield* airflow("GET", `${instance}/tries`)).json.total_entries, 1)
      assert.strictEqual((yield* emulator.audit).deployments.length, 1)
    }))

  it.scopedLive.each(minors)(
    "append to the log of a deleted run with the same id (%s)",
    (minor) =>
      Effect.gen(function*() {
        const { airflow, log, state, trigger } = yield* start(minor, { dags: [dag("a")] })
        const count = Effect.map(log("a"), (text) => text.split("printed").length - 1)
        yield* trigger("a")
        yield* until(state("a"), (is) => is === "success")
        assert.strictEqual(yield* count, 1)
        yield* airflow("DELETE", "dags/a/dagRuns/r")
        yield* trigger("a")
        yield* until(state("a"), (is) => is === "success")
        assert.strictEqual(yield* count, 2)
      })
  )

  it.scopedLive.each(minors)("return the tasks of several DAGs in one list (%s)", (minor) =>
    Effect.gen(function*() {
      const { airflow, state, trigger } = yield* start(minor, { dags: [dag("a"), dag("b")] })
      yield* Effect.forEach(["a", "b"], (dagId) => trigger(dagId))
      yield* Effect.forEach(["a", "b"], (dagId) => until(state(dagId), (is) => is === "success"))
      const batch = (body: unknown) => airflow("POST", "dags/~/dagRuns/~/taskInstances/list", { body })
      assert.strictEqual((yield* batch({ state: ["success"] })).json.total_entries, 2)
      assert.strictEqual((yield* batch({ dag_ids: ["a"], page_limit: 5 })).json.task_instances[0].dag_id, "a")
      assert.strictEqual((yield* batch({ state: ["failed"] })).json.total_entries, 0)
    }))

  it.scopedLive.each(minors)("run in an Airflow whose health can be set (%s)", (minor) =>
    Effect.gen(function*() {
      const { airflow, emulator, isOld } = yield* start(minor)
      const health = Effect.map(airflow("GET", isOld ? "health" : "monitor/health"), ({ json }) => json)
      assert.strictEqual((yield* health).scheduler.status, "healthy")
      yield* emulator.setHealth({ scheduler: "unhealthy", dagProcessor: "unhealthy" })
      assert.deepStrictEqual(
        [(yield* health).scheduler.status, (yield* health).dag_processor.status],
        ["unhealthy", isOld ? null : "unhealthy"]
      )
      yield* emulator.setHealth({ scheduler: "healthy", dagProcessor: "healthy" })
      assert.strictEqual((yield* health).scheduler.status, "healthy")
    }))

  it.scopedLive("are refused if a task has no tries", () =>
    Effect.gen(function*() {
      const dags = [dag("a", { tasks: [{ taskId: "t", log: "", tries: 0 }] })]
      assert.include(
        (yield* Effect.flip(Emulator.make({ dags }))).message,
        "the task t of the DAG a has 0 tries instead of 1 or more"
      )
    }))
})

describe("Airflow 2", () => {
  it.scopedLive("has no route for tokens, and returns a DAG's source in an accepted format", () =>
    Effect.gen(function*() {
      const { airflow, emulator, site } = yield* start("2.11", {
        dags: [dag("a")],
        durations: { schedule: "1000000 hours" }
      })
      const token = yield* send("POST", `${site}/auth/token`, { token: emulator.astroToken, body: {} })
      assert.deepStrictEqual([token.status, token.contentType], [404, "text/html; charset=utf-8"])
      const file = (yield* airflow("GET", "dags/a")).json.file_token
      const source = (accept: string) => airflow("GET", `dagSources/${file}`, { headers: { accept } })
      const text = yield* source("text/plain")
      assert.deepStrictEqual([text.status, text.contentType], [200, "text/plain"])
      assert.strictEqual((yield* source("application/json")).json.content, text.text)
      assert.strictEqual((yield* source("image/png")).status, 406)
      assert.strictEqual((yield* airflow("GET", "dagSources/xyz")).status, 404)
      const parse = airflow("PUT", `parseDagFile/${file}`)
      assert.deepStrictEqual([(yield* parse).text, (yield* parse).text], ["", "Duplicate request"])
      assert.strictEqual((yield* airflow("PUT", "parseDagFile/xyz")).json.title, "File not found")
      assert.strictEqual((yield* airflow("GET", "dagWarnings")).json.total_entries, 0)
      assert.strictEqual((yield* airflow("GET", "dags/a/datasets/queuedEvent")).status, 404)
      assert.strictEqual((yield* airflow("GET", "dagStats")).status, 400)
    }))

  it.scopedLive("returns XComs as Python prints them, unless JSON is requested", () =>
    Effect.gen(function*() {
      const value = { a: 1, b: [true, null], c: "it's" }
      const { airflow, state, trigger } = yield* start("2.11", {
        dags: [dag("a", { tasks: [{ taskId: "t", log: "", xcom: { return_value: value } }] })]
      })
      yield* trigger("a")
      yield* until(state("a"), (is) => is === "success")
      const xcoms = "dags/a/dagRuns/r/taskInstances/t/xcomEntries"
      assert.strictEqual((yield* airflow("GET", xcoms)).json.xcom_entries[0].key, "return_value")
      const get = (query: string) => airflow("GET", `${xcoms}/return_value${query}`)
      assert.strictEqual((yield* get("")).json.value, "{'a': 1, 'b': [True, None], 'c': \"it's\"}")
      assert.deepStrictEqual((yield* get("?stringify=false")).json.value, value)
      assert.strictEqual((yield* get("?deserialize=true")).status, 400)
      assert.strictEqual((yield* airflow("GET", `${xcoms}/zz`)).json.title, "XCom entry not found")
      assert.strictEqual((yield* airflow("DELETE", `${xcoms}/return_value`)).status, 405)
    }))

  it.scopedLive("lists runs in a batch, clears them and returns their tries", () =>
    Effect.gen(function*() {
      const tasks = [
        { taskId: "t", log: "", outcome: "failed" },
        { taskId: "after", log: "", upstream: ["t"] }
      ] as const
      const { airflow, state, trigger } = yield* start("2.11", { dags: [dag("a", { tasks })] })
      yield* trigger("a")
      yield* until(state("a"), (is) => is === "failed")
      const batch = (body: unknown, dagId = "~") => airflow("POST", `dags/${dagId}/dagRuns/list`, { body })
      assert.strictEqual((yield* batch({ dag_ids: ["a"], states: ["failed"] })).json.total_entries, 1)
      assert.strictEqual((yield* batch({ dag_ids: ["none"] })).json.total_entries, 0)
      assert.strictEqual((yield* batch({ bogus: 1 })).status, 400)
      assert.strictEqual((yield* batch({}, "a")).status, 405)
      const clear = (body: unknown) => airflow("POST", "dags/a/dagRuns/r/clear", { body })
      assert.strictEqual((yield* clear({})).json.task_instances.length, 2)
      assert.strictEqual((yield* clear({ dry_run: false })).json.state, "queued")
      yield* until(state("a"), (is) => is === "failed")
      const task = "dags/a/dagRuns/r/taskInstances/t"
      const tries = (yield* airflow("GET", `${task}/tries`)).json.task_instances
      assert.deepStrictEqual(tries.map((t: { try_number: number }) => t.try_number), [1, 2])
      const some = { dry_run: false, task_ids: ["t"], dag_run_id: "r", include_downstream: true }
      const idle = yield* airflow("POST", "dags/a/clearTaskInstances", { body: some })
      assert.strictEqual(idle.json.task_instances.length, 2)
      assert.isNull((yield* airflow("GET", task)).json.state)
      assert.strictEqual(yield* state("a"), "failed")
    }))

  it.scopedLive("refuses to delete a DAG while one of its tasks is running", () =>
    Effect.gen(function*() {
      const { airflow, state, trigger } = yield* start("2.11", {
        dags: [dag("a", { tasks: [{ taskId: "t", log: "", duration: "1000 days" }] })]
      })
      yield* trigger("a")
      yield* until(state("a"), (is) => is === "running")
      const busy = yield* airflow("DELETE", "dags/a")
      assert.deepStrictEqual([busy.status, busy.json.title], [409, "Conflict"])
      yield* airflow("PATCH", "dags/a/dagRuns/r", { body: { state: "failed" } })
      assert.strictEqual((yield* airflow("DELETE", "dags/a")).status, 204)
    }))

  it.scopedLive("crashes on the same requests as a real server", () =>
    Effect.gen(function*() {
      const { airflow } = yield* start("2.11")
      const create = (extra: string) =>
        airflow("POST", "connections", { body: { connection_id: "c", conn_type: "http", extra } })
      const bare = yield* create("[1]")
      assert.deepStrictEqual([bare.status, bare.contentType], [500, "text/html"])
      assert.strictEqual((yield* create("not json")).json.extra, "not json")
      assert.strictEqual((yield* airflow("POST", "connections/test", { body: {} })).status, 403)
      assert.strictEqual((yield* airflow("GET", "config")).status, 403)
    }))
})
