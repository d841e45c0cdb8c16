import { type Dags, Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, type Scope } from "effect"
import { airflow3, awake, type Call, type Minor, send, until } from "./client.js"

const fast: Emulator.Options = { speed: 10_000 }

const hello: Dags.DagSpec = {
  dagId: "hello",
  paused: false,
  tags: ["a"],
  tasks: [{ taskId: "greet", log: "Hello", xcom: { return_value: { a: [1, null, true] } } }]
}

const failing: Dags.DagSpec = {
  dagId: "failing",
  paused: false,
  tasks: [
    { taskId: "boom", outcome: "failed", tries: 2, log: "about to fail", error: { type: "ValueError", value: "boom" } },
    { taskId: "after", log: "never", upstream: ["boom"] }
  ]
}

const slow: Dags.DagSpec = {
  dagId: "slow",
  paused: false,
  tasks: [{
    taskId: "tick",
    duration: "10 days",
    log: Array.from({ length: 1000 }, (_, index) => `line ${index}.`)
  }]
}

const mapped: Dags.DagSpec = {
  dagId: "mapped",
  paused: false,
  tasks: [{
    taskId: "each",
    log: "shared",
    mapped: [{ log: "zero", xcom: { return_value: 0 } }, { log: "one", xcom: { return_value: 1 } }]
  }]
}

const slashed: Dags.DagSpec = {
  dagId: "slashed",
  paused: false,
  tasks: [{ taskId: "push", log: "", xcom: { "with/slash": 1.5 } }]
}

const dags = [hello, failing, slow, mapped]

const trigger = (dagId: string, airflow: (method: string, path: string, call?: Call) => ReturnType<typeof send>) =>
  airflow("POST", `dags/${dagId}/dagRuns`, { body: { dag_run_id: "r", logical_date: null, conf: {} } })

const each = <E>(name: string, body: (minor: Minor) => Effect.Effect<void, E, Scope.Scope>) =>
  it.scopedLive.each(airflow3)(`${name} (%s)`, body)

const start = (minor: Minor, more: Emulator.Options = {}) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ ...fast, dags, ...more })
    const deployment = yield* awake(emulator, "one", minor)
    const state = (dagId: string) =>
      Effect.map(deployment.airflow("GET", `dags/${dagId}/dagRuns/r`), ({ json }) => json.state as string)
    return { emulator, state, ...deployment }
  })

const isAtLeast = (minor: Minor, other: string) => Number(minor) >= Number(other)

describe("Airflow 3", () => {
  each("serves /api/v2 and no other API", (minor) =>
    Effect.gen(function*() {
      const { airflow, emulator, site, url } = yield* start(minor)
      assert.isTrue(url.endsWith("/api/v2"))
      const token = emulator.astroToken
      assert.match((yield* airflow("GET", "version")).json.version, new RegExp(`^${minor}\\.`))
      const health = yield* airflow("GET", "monitor/health")
      assert.strictEqual(health.json.dag_processor.status, "healthy")
      assert.strictEqual(health.json.triggerer.status, "healthy")
      const old = yield* send("GET", `${site}/api/v1/version`, { token })
      assert.deepStrictEqual([old.status, old.json.error.slice(0, 20)], [404, "/api/v1 has been rem"])
      const post = yield* send("POST", `${site}/api/v1/dags/x/dagRuns`, { token, body: {} })
      assert.deepStrictEqual([post.status, post.json], [405, { detail: "Method Not Allowed" }])
      const moved = yield* send("GET", `${site}/health`, { token })
      assert.deepStrictEqual([moved.status, moved.json.error.slice(0, 18)], [404, "Moved in Airflow 3"])
      assert.deepStrictEqual((yield* airflow("GET", "nope")).json, { error: "API route not found" })
      const page = yield* send("GET", `${site}/auth/fab/v1/users`, { token })
      assert.deepStrictEqual([page.status, page.contentType], [200, "text/html; charset=utf-8"])
      assert.strictEqual((yield* send("POST", `${site}/auth/fab/v1/users`, { token, body: {} })).status, 405)
      assert.strictEqual((yield* airflow("POST", "users", { body: {} })).status, 405)
      const login = yield* send("POST", `${site}/auth/token`, { token, body: { username: "a", password: "b" } })
      assert.deepStrictEqual([login.status, login.json.detail], [401, "Invalid credentials"])
    }))

  each("lists, pauses and deletes DAGs", (minor) =>
    Effect.gen(function*() {
      const { airflow, emulator } = yield* start(minor, { durations: { reparse: "10000 hours" } })
      const ids = (query: string) =>
        Effect.map(airflow("GET", `dags?${query}`), ({ json }) => json.dags.map((d: { dag_id: string }) => d.dag_id))
      assert.deepStrictEqual(yield* ids("limit=2&bogus=1"), ["failing", "hello"])
      assert.deepStrictEqual(yield* ids("limit=0"), [])
      assert.deepStrictEqual(yield* ids("order_by=-dag_id&limit=1"), ["slow"])
      assert.deepStrictEqual(yield* ids("tags=a"), ["hello"])
      const negative = yield* airflow("GET", "dags?limit=-1")
      assert.deepStrictEqual([negative.status, negative.json.detail[0].type], [422, "greater_than_equal"])
      assert.strictEqual((yield* airflow("GET", "dags?order_by=nonsense")).status, 400)
      const dag = (yield* airflow("GET", "dags/hello")).json
      assert.deepInclude(dag, { is_stale: false, bundle_name: "dags-folder", relative_fileloc: "hello.py" })
      assert.strictEqual("last_parse_duration" in dag, isAtLeast(minor, "3.1"))
      assert.strictEqual("allowed_run_types" in dag, isAtLeast(minor, "3.2"))
      assert.strictEqual("is_backfillable" in dag, isAtLeast(minor, "3.3"))
      const extra = yield* airflow("PATCH", "dags/hello", { body: { is_paused: true, description: "x" } })
      assert.deepStrictEqual(extra.json.detail, [{
        type: "extra_forbidden",
        loc: ["body", "description"],
        msg: "Extra inputs are not permitted",
        input: "x"
      }])
      assert.isTrue((yield* airflow("PATCH", "dags/hello", { body: { is_paused: true } })).json.is_paused)
      const none = yield* airflow("PATCH", "dags", { body: { is_paused: true } })
      assert.deepStrictEqual([none.status, none.json], [200, { dags: [], total_entries: 0 }])
      const all = yield* airflow("PATCH", "dags?dag_id_pattern=~", { body: { is_paused: true } })
      assert.strictEqual(all.json.total_entries, 4)
      assert.deepStrictEqual(yield* ids("paused=false"), [])
      assert.strictEqual((yield* airflow("DELETE", "dags/hello")).status, 204)
      const gone = yield* airflow("GET", "dags/hello")
      assert.deepStrictEqual(
        [gone.status, gone.json.detail],
        [404, minor === "3.0" ? "Dag with id hello was not found" : "The Dag with ID: `hello` was not found"]
      )
      yield* emulator.setDags([failing])
      assert.deepStrictEqual(yield* ids(""), ["failing"])
      assert.deepStrictEqual(yield* ids("exclude_stale=false"), ["failing", "mapped", "slow"])
      assert.strictEqual((yield* airflow("GET", "dags/slow/details")).json.is_stale, true)
      assert.strictEqual((yield* trigger("slow", airflow)).status, 404)
    }))

  each("validates the body of a trigger", (minor) =>
    Effect.gen(function*() {
      const { airflow } = yield* start(minor)
      const post = (body: unknown, dagId = "hello") => airflow("POST", `dags/${dagId}/dagRuns`, { body })
      const empty = yield* post({})
      assert.deepStrictEqual(empty.json.detail, [
        { type: "missing", loc: ["body", "logical_date"], msg: "Field required", input: {} }
      ])
      assert.strictEqual((yield* post("{nope")).json.detail[0].type, "json_invalid")
      assert.strictEqual((yield* post({ logical_date: null, bogus: 1 })).json.detail[0].type, "extra_forbidden")
      assert.strictEqual((yield* post({ logical_date: "2024-05-01T00:00:00" })).json.detail[0].type, "timezone_aware")
      assert.strictEqual((yield* post({ logical_date: null, conf: "x" })).json.detail[0].type, "dict_type")
      assert.strictEqual((yield* post({ logical_date: null, conf: null })).status, minor === "3.0" ? 422 : 200)
      assert.strictEqual((yield* post({ logical_date: null, dag_run_id: "bad id/x" })).status, 400)
      assert.strictEqual((yield* post({ logical_date: null }, "none")).status, 404)
      const run = (yield* post({ logical_date: "2024-05-02T00:00:00Z", dag_run_id: "a+b:1", note: "n" })).json
      assert.deepInclude(run, {
        state: "queued",
        logical_date: "2024-05-02T00:00:00Z",
        note: "n",
        triggered_by: "rest_api"
      })
      assert.strictEqual(run.dag_versions[0].version_number, 1)
      assert.strictEqual("partition_key" in run, isAtLeast(minor, "3.2"))
      assert.strictEqual("partition_date" in run, isAtLeast(minor, "3.3"))
      const sameId = yield* post({ logical_date: null, dag_run_id: "a+b:1" })
      const sameDate = yield* post({ logical_date: "2024-05-02T00:00:00Z", dag_run_id: "other" })
      const errors = [sameId, sameDate].map(({ json, status }) => [status, json.detail.orig_error])
      assert.deepStrictEqual(
        errors,
        isAtLeast(minor, "3.2") ? [[409, "hidden"], [409, "hidden"]] : [
          [409, "UNIQUE constraint failed: dag_run.dag_id, dag_run.run_id"],
          [409, "UNIQUE constraint failed: dag_run.dag_id, dag_run.logical_date"]
        ]
      )
      const named = (yield* post({ logical_date: null, dag_run_id: "" })).json.dag_run_id
      assert.match(named, isAtLeast(minor, "3.1") ? /^manual__.*\+00:00$/ : /^manual__.*\+00:00_\w{8}$/)
    }))

  each("lists, changes, clears and deletes runs", (minor) =>
    Effect.gen(function*() {
      const { airflow, state } = yield* start(minor)
      yield* trigger("hello", airflow)
      yield* trigger("slow", airflow)
      yield* until(state("hello"), (is) => is === "success")
      yield* until(state("slow"), (is) => is === "running")
      const running = (yield* airflow("GET", "dags/~/dagRuns?state=running&state=queued")).json
      assert.deepInclude(running, { total_entries: 1 })
      assert.strictEqual("next_cursor" in running, isAtLeast(minor, "3.2"))
      assert.strictEqual("total_entries_limit" in running, isAtLeast(minor, "3.3"))
      assert.strictEqual((yield* airflow("GET", "dags/none/dagRuns")).status, 404)
      const batch = { dag_ids: ["hello", "none"], states: ["success"], page_limit: 10_000 }
      assert.strictEqual((yield* airflow("POST", "dags/~/dagRuns/list", { body: batch })).json.total_entries, 1)
      const notAll = yield* airflow("POST", "dags/hello/dagRuns/list", { body: {} })
      assert.strictEqual(notAll.json.detail[0].type, "literal_error")
      const busy = yield* airflow("DELETE", "dags/slow")
      assert.deepStrictEqual(
        [busy.status, busy.json.detail],
        [409, "Task instances of dag with id: 'slow' are still running"]
      )
      const bad = yield* airflow("PATCH", "dags/slow/dagRuns/r", { body: { state: "running" } })
      assert.strictEqual(bad.json.detail[0].msg, "Input should be 'queued', 'success' or 'failed'")
      const failed = yield* airflow("PATCH", "dags/slow/dagRuns/r", { body: { state: "failed", note: "stop" } })
      assert.deepInclude(failed.json, { state: "failed", note: "stop" })
      assert.strictEqual((yield* airflow("DELETE", "dags/slow")).status, 204)
      const dry = yield* airflow("POST", "dags/hello/dagRuns/r/clear", { body: {} })
      assert.strictEqual(dry.json.task_instances[0].task_id, "greet")
      const cleared = yield* airflow("POST", "dags/hello/dagRuns/r/clear", { body: { dry_run: false } })
      assert.strictEqual(cleared.json.state, "queued")
      yield* until(state("hello"), (is) => is === "success")
      assert.strictEqual((yield* airflow("GET", "dags/hello/dagRuns/r/taskInstances/greet")).json.try_number, 2)
      assert.strictEqual((yield* airflow("DELETE", "dags/hello/dagRuns/r")).status, 204)
      assert.strictEqual((yield* airflow("GET", "dags/hello/dagRuns/r")).status, 404)
      yield* trigger("mapped", airflow)
      const foreign = yield* airflow("GET", "dags/hello/dagRuns/r/taskInstances")
      assert.strictEqual(foreign.status, isAtLeast(minor, "3.2") ? 404 : 200)
      assert.strictEqual((yield* airflow("GET", "dags/hello/dagRuns/zz/taskInstances")).status, 404)
    }))

  each("returns tasks, their tries and their mapped instances", (minor) =>
    Effect.gen(function*() {
      const { airflow, state } = yield* start(minor)
      yield* trigger("failing", airflow)
      yield* trigger("mapped", airflow)
      yield* until(state("failing"), (is) => is === "failed")
      yield* until(state("mapped"), (is) => is === "success")
      const run = "dags/failing/dagRuns/r/taskInstances"
      const list = (yield* airflow("GET", run)).json
      assert.deepStrictEqual(
        list.task_instances.map((t: Record<string, unknown>) => [t.task_id, t.state, t.try_number, t.max_tries]),
        [["boom", "failed", 2, 1], ["after", "upstream_failed", 0, 0]]
      )
      assert.strictEqual((yield* airflow("GET", `${run}?limit=1`)).json.task_instances.length, 1)
      const tries = (yield* airflow("GET", `${run}/boom/tries`)).json.task_instances
      assert.deepStrictEqual(tries.map((t: { try_number: number }) => t.try_number), [1, 2])
      assert.strictEqual((yield* airflow("GET", `${run}/zz/tries`)).status, 404)
      const each = "dags/mapped/dagRuns/r/taskInstances/each"
      assert.include((yield* airflow("GET", each)).json.detail, "Task instance is mapped")
      assert.deepInclude((yield* airflow("GET", `${each}/1`)).json, { map_index: 1, rendered_map_index: "1" })
      assert.include((yield* airflow("GET", `${each}/9`)).json.detail, "The Mapped Task Instance")
      assert.strictEqual((yield* airflow("GET", `${each}/listMapped`)).json.total_entries, 2)
      assert.strictEqual((yield* airflow("GET", `${run}/boom/listMapped`)).json.detail, "Task id boom is not mapped")
      const events = (yield* airflow("GET", `${each}/logs/1?map_index=1`)).json.content
      assert.include(events.map(({ event }: { event: string }) => event), "one")
      assert.strictEqual((yield* airflow("GET", `${each}/logs/1`)).status, 404)
      const deleted = yield* airflow("DELETE", `${run}/after`)
      assert.deepStrictEqual([deleted.status, deleted.text], minor === "3.0" ? [405, deleted.text] : [200, "null"])
      assert.strictEqual((yield* airflow("GET", `${run}/after`)).status, minor === "3.0" ? 200 : 404)
      const body = { dry_run: false, dag_run_id: "r", task_ids: ["boom"], include_downstream: true }
      const cleared = yield* airflow("POST", "dags/failing/clearTaskInstances", { body })
      assert.deepInclude(cleared.json.task_instances[0], { task_id: "boom", state: null })
      yield* until(airflow("GET", `${run}/boom`), ({ json }) => json.state === "failed" && json.try_number === 4)
    }))

  each("returns logs as objects", (minor) =>
    Effect.gen(function*() {
      const { airflow, state } = yield* start(minor)
      yield* trigger("failing", airflow)
      yield* until(state("failing"), (is) => is === "failed")
      const log = "dags/failing/dagRuns/r/taskInstances/boom/logs"
      const { content, continuation_token } = (yield* airflow("GET", `${log}/2`)).json
      assert.isNull(continuation_token)
      assert.strictEqual(content[0].event, "::group::Log message source details")
      assert.strictEqual("sources" in content[0], !isAtLeast(minor, "3.2"))
      const printed = content.find(({ event }: { event: string }) => event === "about to fail")
      assert.strictEqual(printed.logger, minor === "3.0" ? "task" : "task.stdout")
      const raised = content.find(({ event }: { event: string }) => event === "Task failed with exception")
      assert.deepInclude(raised.error_detail[0], { exc_type: "ValueError", exc_value: "boom" })
      assert.strictEqual("ti_id" in raised, isAtLeast(minor, "3.2"))
      assert.strictEqual((yield* airflow("GET", `${log}/1`)).status, 200)
      assert.strictEqual((yield* airflow("GET", `${log}/9`)).status, 404)
      assert.strictEqual((yield* airflow("GET", `${log}/2`, { headers: { accept: "text/plain" } })).status, 406)
      const lines = yield* airflow("GET", `${log}/2`, { headers: { accept: "application/x-ndjson" } })
      assert.strictEqual(lines.contentType, "application/x-ndjson")
      assert.isNotNull(lines.headers.get("airflow-continuation-token"))
      const parsed = lines.text.trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>)
      assert.deepInclude(parsed[0], { timestamp: null })
      assert.strictEqual(parsed.length, content.length)
      assert.strictEqual((yield* airflow("GET", `${log}/2?token=garbage`)).status, 400)
      const never = "dags/failing/dagRuns/r/taskInstances/after/logs"
      const why = (yield* airflow("GET", `${never}/0`)).json.content.at(-1).event
      assert.include(why, minor === "3.0" ? "Try number 0 is invalid" : "upstream task(s) failed")
      assert.strictEqual((yield* airflow("GET", `${never}/1`)).status, 404)
    }))

  each(
    "returns a growing log while a task runs, and continues at a token as each version does",
    (minor) =>
      Effect.gen(function*() {
        const { airflow } = yield* start(minor)
        yield* trigger("slow", airflow)
        const log = "dags/slow/dagRuns/r/taskInstances/tick/logs/1"
        const has = (line: string) => ({ text }: { readonly text: string }) => text.includes(`"${line}"`)
        const first = yield* until(airflow("GET", log), has("line 0."))
        const lineCount = first.text.match(/line \d+\./g)?.length ?? 0
        const fresh = `line ${lineCount}.`
        yield* until(airflow("GET", log), has(fresh))
        assert.notInclude((yield* airflow("GET", log)).text, "line 999.")
        const token = first.json.continuation_token
        assert.isString(token)
        const next = yield* airflow("GET", `${log}?token=${token}`)
        if (minor === "3.2") {
          assert.deepStrictEqual(
            [next.status, next.contentType, next.text],
            [500, "text/plain; charset=utf-8", "Internal Server Error"]
          )
        } else {
          assert.notInclude(next.text, "::group::Log message source details")
          assert.isTrue(has(fresh)(next))
          assert.strictEqual(has("line 0.")(next), minor !== "3.3")
        }
      })
  )

  each("stores XComs", (minor) =>
    Effect.gen(function*() {
      const { airflow, state } = yield* start(minor, { dags: [hello, slashed] })
      yield* trigger("hello", airflow)
      yield* trigger("slashed", airflow)
      yield* until(state("hello"), (is) => is === "success")
      yield* until(state("slashed"), (is) => is === (minor === "3.0" ? "failed" : "success"))
      const xcoms = "dags/hello/dagRuns/r/taskInstances/greet/xcomEntries"
      const list = (yield* airflow("GET", xcoms)).json
      assert.deepStrictEqual(list.xcom_entries.map(({ key }: { key: string }) => key), ["return_value"])
      assert.strictEqual("run_after" in list.xcom_entries[0], isAtLeast(minor, "3.1"))
      assert.deepStrictEqual((yield* airflow("GET", `${xcoms}/return_value`)).json.value, { a: [1, null, true] })
      const key = yield* airflow("GET", "dags/slashed/dagRuns/r/taskInstances/push/xcomEntries/with%2Fslash")
      assert.strictEqual(key.status, minor === "3.0" ? 404 : 200)
      const made = yield* airflow("POST", xcoms, { body: { key: "made", value: { z: 1 } } })
      assert.deepStrictEqual([made.status, made.json.value], [201, isAtLeast(minor, "3.2") ? { z: 1 } : "{\"z\": 1}"])
      assert.strictEqual((yield* airflow("POST", xcoms, { body: { key: "made", value: 1 } })).status, 409)
      yield* airflow("PATCH", `${xcoms}/made`, { body: { value: [2] } })
      assert.deepStrictEqual(
        (yield* airflow("GET", `${xcoms}/made`)).json.value,
        isAtLeast(minor, "3.2") ? [2] : "\"[2]\""
      )
      assert.strictEqual((yield* airflow("DELETE", `${xcoms}/made`)).status, isAtLeast(minor, "3.2") ? 204 : 405)
      assert.strictEqual((yield* airflow("GET", `${xcoms}/zz`)).json.detail, "XCom entry with key: `zz` not found")
    }))

  each("waits for a run", (minor) =>
    Effect.gen(function*() {
      const { airflow, state, url } = yield* start(minor)
      yield* trigger("hello", airflow)
      yield* trigger("mapped", airflow)
      yield* until(state("hello"), (is) => is === "success")
      yield* until(state("mapped"), (is) => is === "success")
      const done = yield* airflow("GET", "dags/hello/dagRuns/r/wait?interval=1&result=greet")
      if (minor === "3.0") return assert.deepStrictEqual(done.json, { error: "API route not found" })
      assert.deepStrictEqual([done.status, done.contentType], [200, ""])
      assert.strictEqual(done.text, "{\"state\": \"success\", \"results\": {\"greet\": {\"a\": [1, null, true]}}}\n")
      const list = yield* airflow("GET", "dags/mapped/dagRuns/r/wait?interval=1&result=each")
      assert.deepStrictEqual(JSON.parse(list.text).results, { each: [0, 1] })
      assert.strictEqual((yield* airflow("GET", "dags/hello/dagRuns/r/wait")).json.detail[0].type, "missing")
      assert.strictEqual((yield* airflow("GET", "dags/hello/dagRuns/zz/wait?interval=1")).status, 404)
      assert.include(url, "/api/v2")
    }))

  each("streams the state of a run, unless the response is compressed before 3.3", (minor) =>
    Effect.gen(function*() {
      if (minor === "3.0") return
      const { airflow, emulator, state, url } = yield* start(minor)
      yield* trigger("slow", airflow)
      yield* until(state("slow"), (is) => is === "running")
      const open = (encoding: string) =>
        Effect.promise(async (signal) => {
          const response = await fetch(`${url}/dags/slow/dagRuns/r/wait?interval=1`, {
            signal,
            headers: {
              authorization: `Bearer ${Redacted.value(emulator.astroToken)}`,
              "accept-encoding": encoding
            }
          })
          const reader = response.body?.getReader()
          const next = async () => Buffer.from((await reader?.read())?.value ?? []).toString()
          return { encoding: response.headers.get("content-encoding"), next }
        })
      const plain = yield* open("identity")
      assert.isNull(plain.encoding)
      assert.match(yield* Effect.promise(plain.next), /^({"state": "running"}\n)+$/)
      const zipped = yield* open("gzip")
      assert.strictEqual(zipped.encoding, "gzip")
      const early = zipped.next()
      if (minor === "3.3") assert.match(yield* Effect.promise(() => early), /^({"state": "running"}\n)+$/)
      yield* airflow("PATCH", "dags/slow/dagRuns/r", { body: { state: "failed" } })
      const rest = (first: string) =>
        Effect.promise(async () => {
          let text = first
          while (!text.includes("failed")) text += await zipped.next()
          return text
        })
      if (minor !== "3.3") {
        // the first chunk to arrive is the whole body
        assert.match(yield* Effect.promise(() => early), /^({"state": "running"}\n)+{"state": "failed"}\n$/)
      } else {
        assert.include(yield* rest(""), "{\"state\": \"failed\"}\n")
      }
    }))

  each("stores variables, one by one and in bulk", (minor) =>
    Effect.gen(function*() {
      const { airflow } = yield* start(minor)
      const create = (body: unknown) => airflow("POST", "variables", { body })
      const created = yield* create({ key: "k /%1", value: "1", description: "d" })
      assert.deepStrictEqual([created.status, created.json], [201, {
        key: "k /%1",
        value: "1",
        description: "d",
        is_encrypted: true,
        ...isAtLeast(minor, "3.2") ? { team_name: null } : {}
      }])
      const path = `variables/${encodeURIComponent("k /%1")}`
      assert.strictEqual(
        (yield* create({ key: "k /%1", value: "2" })).json.detail,
        "The Variable with key: `k /%1` already exists"
      )
      assert.strictEqual((yield* airflow("PATCH", path, { body: { key: "k /%1", value: "3" } })).json.value, "3")
      const masked = yield* airflow("PATCH", `${path}?update_mask=value,description`, {
        body: { key: "k /%1", value: "4", description: "e" }
      })
      assert.deepInclude(masked.json, { value: "3", description: "d" })
      assert.strictEqual((yield* airflow("PATCH", path, { body: { value: "4" } })).status, 422)
      const bare = yield* airflow("PATCH", path, { body: { key: "k /%1", value: "3", description: null } })
      assert.isNull(bare.json.description)
      assert.strictEqual((yield* create({ key: "a_password", value: "s" })).json.value, "***")
      const object = yield* create({ key: "o", value: { a: 1 } })
      assert.strictEqual(object.json.value, minor === "3.3" ? "{\"a\": 1}" : "{'a': 1}")
      const nothing = yield* create({ key: "n", value: null })
      assert.strictEqual(nothing.json.value, minor === "3.3" ? "null" : "None")
      const bulk = (...actions: ReadonlyArray<unknown>) => airflow("PATCH", "variables", { body: { actions } })
      yield* create({ key: "r", value: "1", description: "d" })
      yield* bulk({ action: "create", entities: [{ key: "r", value: "2" }], action_on_existence: "overwrite" })
      assert.deepInclude((yield* airflow("GET", "variables/r")).json, { value: "2", description: null })
      const both = yield* bulk(
        { action: "create", entities: [{ key: "b", value: "1" }], action_on_existence: "overwrite" },
        { action: "delete", entities: ["b", "nope"], action_on_non_existence: "skip" }
      )
      assert.deepStrictEqual([both.status, both.json], [200, {
        create: { success: ["b"], errors: [] },
        update: null,
        delete: { success: ["b"], errors: [] }
      }])
      const refused = yield* bulk({ action: "delete", entities: ["o", "nope"], action_on_non_existence: "fail" })
      assert.deepStrictEqual(refused.json.delete, {
        success: [],
        errors: [{ error: "The variables with these keys: {'nope'} were not found.", status_code: 404 }]
      })
      assert.strictEqual((yield* airflow("GET", "variables/o")).status, 200)
      assert.strictEqual((yield* airflow("DELETE", path)).status, 204)
      assert.strictEqual((yield* airflow("GET", path)).json.detail, "The Variable with key: `k /%1` was not found")
      assert.strictEqual((yield* airflow("GET", "variables?variable_key_pattern=pass")).json.total_entries, 1)
    }))

  each("stores connections and hides their secrets", (minor) =>
    Effect.gen(function*() {
      const { airflow } = yield* start(minor)
      const create = (body: unknown) => airflow("POST", "connections", { body })
      const body = { connection_id: "pg", conn_type: "postgres", password: "p", extra: "{\"api_key\":\"s\",\"x\":1}" }
      const created = yield* create(body)
      assert.strictEqual(created.status, 201)
      assert.deepInclude(created.json, { password: "***", extra: "{\"api_key\": \"***\", \"x\": 1}", host: null })
      assert.strictEqual((yield* create(body)).json.detail.reason, "Unique constraint violation")
      const object = yield* create({ connection_id: "o", conn_type: "http", extra: { a: 1 } })
      assert.strictEqual(object.status, minor === "3.3" ? 422 : 500)
      assert.strictEqual((yield* create({ connection_id: "i", conn_type: "http", extra: "[1]" })).status, 422)
      assert.strictEqual((yield* create({ connection_id: "a b", conn_type: "http" })).status, 422)
      const patch = (fields: object, query = "") => airflow("PATCH", `connections/pg${query}`, { body: fields })
      assert.strictEqual((yield* patch({ host: "h" })).json.detail.length, 2)
      assert.strictEqual(
        (yield* patch({ connection_id: "pg", conn_type: "x", port: 1 }, "?update_mask=port")).json.port,
        1
      )
      const { connections } = (yield* airflow("GET", "connections")).json
      assert.deepInclude(connections[0], { connection_id: "pg", conn_type: "postgres", password: "***" })
      const actions = [{ action: "delete", entities: ["pg"] }]
      const bulk = yield* airflow("PATCH", "connections", { body: { actions } })
      assert.deepStrictEqual(bulk.json.delete, { success: ["pg"], errors: [] })
      assert.strictEqual((yield* airflow("GET", "connections/pg")).status, 404)
      assert.strictEqual((yield* airflow("POST", "connections/test", { body })).status, 403)
    }))

  each("starts no task without the default pool, which a bulk request may delete", (minor) =>
    Effect.gen(function*() {
      const { airflow, state } = yield* start(minor)
      const create = (body: unknown) => airflow("POST", "pools", { body })
      assert.strictEqual((yield* create({ name: "p/1", slots: 2 })).status, 201)
      assert.strictEqual((yield* create({ name: "p/1", slots: 2 })).status, 409)
      const patch = (body: unknown, query = "") => airflow("PATCH", `pools/p%2F1${query}`, { body })
      const partial = yield* patch({ pool: "p/1", slots: 5 }, "?update_mask=slots")
      assert.strictEqual(partial.status, isAtLeast(minor, "3.2") ? 422 : 200)
      const whole = yield* patch({ pool: "p/1", slots: 6, include_deferred: false }, "?update_mask=slots")
      assert.strictEqual(whole.json.slots, 6)
      assert.strictEqual((yield* airflow("DELETE", "pools/p%2F1")).status, 204)
      assert.strictEqual((yield* create({ name: "n", slots: -2 })).status, minor === "3.0" ? 201 : 422)
      assert.strictEqual((yield* airflow("DELETE", "pools/default_pool")).status, 400)
      const described = yield* airflow("PATCH", "pools/default_pool", { body: { slots: 1, description: "x" } })
      assert.strictEqual(described.status, 400)
      const actions = [{ action: "delete", entities: ["default_pool"], action_on_non_existence: "skip" }]
      const bulk = yield* airflow("PATCH", "pools", { body: { actions } })
      assert.deepStrictEqual(bulk.json.delete.success, ["default_pool"])
      yield* trigger("hello", airflow)
      const task = Effect.map(
        airflow("GET", "dags/hello/dagRuns/r/taskInstances/greet"),
        ({ json }) => json.state as string | null
      )
      assert.notInclude(["running", "success"], yield* task)
      assert.strictEqual((yield* create({ name: "default_pool", slots: 128 })).status, 201)
      yield* until(state("hello"), (is) => is === "success")
    }))

  each("returns the source and the versions of DAGs", (minor) =>
    Effect.gen(function*() {
      const { airflow, emulator } = yield* start(minor, { durations: { schedule: "1000000 hours" } })
      const source = (accept: string) => airflow("GET", "dagSources/hello", { headers: { accept } })
      const text = yield* source("text/plain")
      assert.strictEqual(text.contentType, "text/plain; charset=utf-8")
      assert.include(text.text, "tags=[\"a\"]")
      assert.strictEqual((yield* source("*/*")).json.content, text.text)
      assert.strictEqual((yield* source("text/html")).status, 406)
      assert.strictEqual((yield* airflow("GET", "dagSources/none")).status, 404)
      yield* emulator.setDags([{ ...hello, tags: ["b"] }])
      const versions = (yield* airflow("GET", "dags/hello/dagVersions")).json.dag_versions
      assert.deepStrictEqual(versions.map((v: { version_number: number }) => v.version_number), [1, 2])
      assert.include((yield* airflow("GET", "dagSources/hello?version_number=1")).json.content, "tags=[\"a\"]")
      assert.strictEqual((yield* airflow("GET", "dags/none/dagVersions")).status, 404)
      const token = (yield* airflow("GET", "dags/hello")).json.file_token
      const parsed = yield* airflow("PUT", `parseDagFile/${token}`)
      assert.deepStrictEqual([parsed.status, parsed.text], [201, "null"])
      assert.strictEqual((yield* airflow("PUT", `parseDagFile/${token}`)).status, 409)
      assert.strictEqual((yield* airflow("PUT", "parseDagFile/xyz")).status, 404)
      assert.deepStrictEqual((yield* airflow("GET", "dagWarnings")).json, { dag_warnings: [], total_entries: 0 })
      const events = yield* airflow("GET", "dags/hello/assets/queuedEvents")
      assert.strictEqual(events.status, isAtLeast(minor, "3.1") ? 200 : 404)
      assert.strictEqual((yield* airflow("GET", "dagStats")).json.total_entries, 0)
    }))

  it.scopedLive("compresses responses if the client accepts it, unlike Airflow 2", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const two = yield* awake(emulator, "two")
      const three = yield* awake(emulator, "three", "3.2")
      const encoding = (answer: { readonly headers: Headers }) => answer.headers.get("content-encoding")
      assert.isNull(encoding(yield* two.airflow("GET", "version")))
      assert.strictEqual(encoding(yield* three.airflow("GET", "version")), "gzip")
      const identity = { headers: { "accept-encoding": "identity" } }
      assert.isNull(encoding(yield* three.airflow("GET", "version", identity)))
    }))
})
