import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { astro, awake, send, until } from "./client.js"

const fast: Emulator.Options = { speed: 10_000 }

describe("the ingress in front of Airflow", () => {
  it.scopedLive("responds with 503 unless the deployment is awake and ready, and keeps Airflow's data", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 1000 })
      const { create, hibernate } = astro(emulator)
      const token = emulator.astroToken
      yield* emulator.neverHealthy(true)
      const early = yield* send("GET", `${(yield* create("early")).json.webServerAirflowApiUrl}/variables`, { token })
      assert.strictEqual(early.status, 503)
      assert.include(early.contentType, "text/html")
      yield* emulator.neverHealthy(false)
      const created = (yield* create("one")).json
      const variables = `${created.webServerAirflowApiUrl}/variables`
      yield* until(send("GET", variables, { token }), ({ status }) => status === 200)
      yield* send("POST", variables, { token, body: { key: "k", value: "v" } })
      yield* hibernate(created.id, true)
      yield* until(send("GET", variables, { token }), ({ status }) => status === 503)
      yield* hibernate(created.id, false)
      const back = yield* until(send("GET", variables, { token }), ({ status }) => status === 200)
      assert.strictEqual(back.json.variables[0].key, "k")
      const unknown = yield* send("GET", `${emulator.url}/d0000000/api/v1/version`, { token })
      assert.deepStrictEqual([unknown.status, unknown.contentType], [404, "text/html"])
    }))

  it.scopedLive("accepts the deployment's own tokens, but not another deployment's", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { call, createToken } = astro(emulator)
      const one = yield* awake(emulator, "one")
      const two = yield* awake(emulator, "two")
      const own = (yield* createToken(one.id)).json
      const token = Redacted.make(own.token as string)
      assert.strictEqual((yield* one.airflow("GET", "dags", { token })).status, 200)
      assert.strictEqual((yield* two.airflow("GET", "dags", { token })).status, 401)
      const refused = yield* send("GET", `${one.url}/dags`)
      assert.strictEqual(refused.status, 401)
      assert.hasAllKeys(refused.json, ["detail"])
      yield* call("DELETE", `tokens/${own.id}`)
      assert.strictEqual((yield* one.airflow("GET", "dags", { token })).status, 401)
    }))

  it.scopedLive("accepts a deleted token until it is revoked", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ ...fast, durations: { tokenRevocation: "100000 hours" } })
      const { call, createToken } = astro(emulator)
      const { airflow, id } = yield* awake(emulator)
      const own = (yield* createToken(id)).json
      const token = Redacted.make(own.token as string)
      yield* call("DELETE", `tokens/${own.id}`)
      assert.strictEqual((yield* airflow("GET", "dags", { token })).status, 200)
      assert.strictEqual((yield* call("GET", `tokens/${own.id}`)).status, 404)
    }))

  it.scopedLive("refuses a deleted token once it is revoked, and not before", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ ...fast, durations: { tokenRevocation: "2000 seconds" } })
      const { call, createToken } = astro(emulator)
      const { airflow, id } = yield* awake(emulator)
      const own = (yield* createToken(id)).json
      const token = Redacted.make(own.token as string)
      yield* call("DELETE", `tokens/${own.id}`)
      yield* until(airflow("GET", "dags", { token }), ({ status }) => status !== 200)
      const refusedBy = Date.now()
      const { issued, requests } = yield* emulator.audit
      const revokedAt = (issued[0]?.deletedAt ?? Infinity) + 200
      assert.isAtLeast(refusedBy, revokedAt)
      const accepted = requests.filter((request) => request.token === own.id && request.status === 200)
      assert.isTrue(accepted.every(({ at }) => at < revokedAt))
      assert.deepInclude(requests.at(-1), { token: own.id, status: 401 })
    }))
})

describe("the API of Airflow 2", () => {
  it.scopedLive("returns its version and health", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow, url } = yield* awake(emulator)
      assert.deepStrictEqual((yield* airflow("GET", "version")).json, { git_version: "", version: "2.11.0" })
      const health = yield* send("GET", `${url.replace("/api/v1", "")}/health`, { token: emulator.astroToken })
      assert.deepInclude(health.json, { metadatabase: { status: "healthy" } })
      assert.strictEqual(health.json.triggerer.status, "healthy")
      assert.match(health.json.scheduler.latest_scheduler_heartbeat, /^\d{4}-\d\d-\d\dT[\d:]{8}(\.\d{6})?\+00:00$/)
      assert.deepStrictEqual((yield* airflow("GET", "health")).status, 200)
      const unknown = yield* airflow("GET", "nope")
      assert.deepStrictEqual([unknown.status, unknown.contentType], [404, "application/problem+json"])
      assert.strictEqual(unknown.json.type, "about:blank")
      const other = yield* send("GET", `${url.replace("v1", "v2")}/version`, { token: emulator.astroToken })
      assert.deepStrictEqual([other.status, other.contentType], [404, "text/html; charset=utf-8"])
      assert.deepStrictEqual((yield* airflow("GET", "importErrors")).json, { import_errors: [], total_entries: 0 })
    }))

  it.scopedLive("runs a DAG once it is unpaused, and returns the log in both formats", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      const runs = "dags/hello_world_dag/dagRuns"
      const triggered = yield* airflow("POST", runs, { body: { dag_run_id: "a+b:1", conf: { k: 1 } } })
      assert.strictEqual(triggered.status, 200)
      assert.deepInclude(triggered.json, { state: "queued", conf: { k: 1 }, run_type: "manual", start_date: null })
      const run = airflow("GET", `${runs}/a%2Bb%3A1`)
      assert.strictEqual((yield* run).json.state, "queued")
      const unpaused = yield* airflow("PATCH", "dags/hello_world_dag", { body: { is_paused: false } })
      assert.isFalse(unpaused.json.is_paused)
      const done = yield* until(run, ({ json }) => json.state === "success")
      assert.isString(done.json.end_date)
      const tasks = (yield* airflow("GET", `${runs}/a+b:1/taskInstances`)).json
      assert.strictEqual(tasks.total_entries, 1)
      assert.deepInclude(tasks.task_instances[0], { task_id: "hello", state: "success", map_index: -1, try_number: 1 })
      const log = `${runs}/a+b:1/taskInstances/hello/logs/1`
      const text = yield* airflow("GET", log, { headers: { accept: "text/plain" } })
      assert.strictEqual(text.contentType, "text/plain")
      assert.match(text.text, /^airflow-host\n INFO - ::group::[^]*INFO - Hello World from Airflow\n/)
      const json = yield* airflow("GET", `${log}?full_content=true`, { headers: { accept: "application/json" } })
      assert.match(json.json.content, /^\[\('airflow-host', '.*INFO - Hello World from Airflow\\n/)
      const token = json.json.continuation_token
      const rest = yield* airflow("GET", `${log}?token=${token}`, { headers: { accept: "application/json" } })
      assert.strictEqual(rest.json.content, "[('airflow-host', '')]")
      assert.strictEqual((yield* airflow("GET", `${log}?token=garbage`)).status, 400)
      assert.strictEqual((yield* airflow("GET", `${runs}/a+b:1/taskInstances/zz/logs/1`)).status, 404)
      const conflict = yield* airflow("POST", runs, { body: { dag_run_id: "a+b:1" } })
      assert.strictEqual(conflict.status, 409)
      assert.strictEqual(
        conflict.json.detail,
        "DAGRun with DAG ID: 'hello_world_dag' and DAGRun ID: 'a+b:1' already exists"
      )
      const deleted = yield* airflow("DELETE", `${runs}/a+b:1`)
      assert.deepStrictEqual([deleted.status, deleted.text], [204, ""])
      assert.strictEqual((yield* run).status, 404)
      assert.deepStrictEqual((yield* airflow("GET", "dags/~/dagRuns")).json, { dag_runs: [], total_entries: 0 })
    }))

  it.scopedLive("runs failing, mapped and long tasks as the DAGs describe them", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({
        ...fast,
        dags: [
          { dagId: "bad", paused: false, tasks: [{ taskId: "boom", outcome: "failed", log: ["it's \"so\"", "boom"] }] },
          { dagId: "many", paused: false, tasks: [{ taskId: "each", mapped: 3, log: "x" }] },
          { dagId: "slow", paused: false, tasks: [{ taskId: "sleep", duration: "10 days", log: "tick" }] }
        ]
      })
      const { airflow } = yield* awake(emulator)
      const start = (dagId: string) => airflow("POST", `dags/${dagId}/dagRuns`, { body: { dag_run_id: "r" } })
      const state = (dagId: string) => Effect.map(airflow("GET", `dags/${dagId}/dagRuns/r`), ({ json }) => json.state)
      yield* Effect.forEach(["bad", "many", "slow"], start)
      yield* until(state("bad"), (is) => is === "failed")
      const log = yield* airflow("GET", "dags/bad/dagRuns/r/taskInstances/boom/logs/1")
      assert.include(log.text, "ValueError: boom failed")
      yield* until(state("many"), (is) => is === "success")
      const task = "dags/many/dagRuns/r/taskInstances/each"
      assert.strictEqual((yield* airflow("GET", `${task}/listMapped`)).json.total_entries, 3)
      assert.strictEqual((yield* airflow("GET", `${task}/2`)).json.map_index, 2)
      assert.include((yield* airflow("GET", task)).json.detail, "Task instance is mapped")
      assert.strictEqual((yield* airflow("GET", `${task}/logs/1`)).status, 404)
      assert.strictEqual((yield* airflow("GET", `${task}/logs/1?map_index=0`)).status, 200)
      yield* until(state("slow"), (is) => is === "running")
      assert.strictEqual((yield* airflow("GET", "dags/~/dagRuns?state=running")).json.dag_runs[0].dag_id, "slow")
      const patch = (to: string) => airflow("PATCH", "dags/slow/dagRuns/r", { body: { state: to } })
      assert.strictEqual((yield* patch("running")).status, 400)
      assert.strictEqual((yield* patch("failed")).json.state, "failed")
      assert.strictEqual((yield* airflow("GET", "dags/slow/dagRuns/r/taskInstances/sleep")).json.state, "failed")
    }))

  it.scopedLive("lists, pauses and replaces DAGs", () =>
    Effect.gen(function*() {
      const dag = (dagId: string, tags: Array<string> = []) => ({ dagId, tags, paused: false, tasks: [] })
      const emulator = yield* Emulator.make({ ...fast, dags: [dag("b", ["x"]), dag("a"), dag("c")] })
      const { airflow } = yield* awake(emulator)
      const ids = (query: string) =>
        Effect.map(airflow("GET", `dags?${query}`), ({ json }) => json.dags.map((d: { dag_id: string }) => d.dag_id))
      assert.deepStrictEqual(yield* ids("limit=2&offset=1&order_by=dag_id"), ["b", "c"])
      assert.deepStrictEqual(yield* ids("tags=x"), ["b"])
      assert.deepStrictEqual(yield* ids("limit=0"), ["a", "b", "c"])
      const extra = yield* airflow("GET", "dags?bogus=1")
      assert.deepStrictEqual([extra.status, extra.json.detail], [400, "Extra query parameter(s) bogus not in spec"])
      assert.strictEqual((yield* airflow("GET", "dags?limit=-1")).status, 400)
      assert.strictEqual((yield* airflow("PATCH", "dags", { body: { is_paused: true } })).status, 400)
      const paused = yield* airflow("PATCH", "dags?dag_id_pattern=~&only_active=false", { body: { is_paused: true } })
      assert.strictEqual(paused.json.total_entries, 3)
      assert.deepStrictEqual(yield* ids("paused=false"), [])
      yield* emulator.setDags([dag("a", ["new"]), dag("d")])
      assert.deepStrictEqual(yield* ids(""), ["a", "d"])
      assert.deepStrictEqual(yield* ids("only_active=false"), ["a", "b", "c", "d"])
      const changed = (yield* airflow("GET", "dags/a")).json
      assert.deepStrictEqual([changed.is_paused, changed.tags], [true, [{ name: "new" }]])
      assert.isFalse((yield* airflow("GET", "dags/b")).json.is_active)
      assert.strictEqual((yield* airflow("GET", "dags/b/details")).status, 404)
      assert.strictEqual((yield* airflow("GET", "dags/a/details")).json.timezone, "UTC")
      assert.strictEqual((yield* airflow("GET", "dags/none")).json.title, "DAG not found")
    }))

  it.scopedLive("validates the body of a trigger", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      const trigger = (body: unknown, dagId = "hello_world_dag") => airflow("POST", `dags/${dagId}/dagRuns`, { body })
      const detail = (body: unknown) => Effect.map(trigger(body), ({ json, status }) => [status, json.detail])
      assert.deepStrictEqual(yield* detail({ conf: null }), [400, "None is not of type 'object' - 'conf'"])
      assert.deepStrictEqual(yield* detail({ bogus: 1 }), [400, "{'bogus': ['Unknown field.']}"])
      assert.deepStrictEqual(yield* detail({ logical_date: null }), [
        400,
        "{'logical_date': ['Field may not be null.']}"
      ])
      assert.deepStrictEqual(yield* detail("{nope"), [400, "Request body is not valid JSON"])
      assert.strictEqual((yield* trigger({}, "none")).status, 404)
      const crash = yield* trigger({ dag_run_id: "bad id/x" })
      assert.deepStrictEqual([crash.status, crash.contentType], [500, "text/html; charset=utf-8"])
      const dated = { logical_date: "2024-05-02T00:00:00Z" }
      assert.strictEqual((yield* trigger(dated)).json.dag_run_id, "manual__2024-05-02T00:00:00+00:00")
      assert.strictEqual((yield* trigger({ ...dated, dag_run_id: "x" })).status, 409)
      const both = yield* Effect.all([trigger({}), trigger({})], { concurrency: 2 })
      assert.notStrictEqual(both[0].json.dag_run_id, both[1].json.dag_run_id)
    }))

  it.scopedLive("stores variables under any key", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      for (const key of ["a/b", "a b", "100%", "ü+?", "c%2Fd"]) {
        const path = `variables/${encodeURIComponent(key)}`
        assert.deepStrictEqual((yield* airflow("POST", "variables", { body: { key, value: "1" } })).json, {
          key,
          value: "1"
        })
        assert.strictEqual((yield* airflow("POST", "variables", { body: { key, value: "2" } })).status, 200)
        const patched = yield* airflow("PATCH", path, { body: { key, value: "3" } })
        assert.deepStrictEqual(patched.json, { description: null, key, value: "3" })
        assert.strictEqual((yield* airflow("GET", path)).json.value, "3")
        const page = yield* airflow("DELETE", path, { headers: { "content-type": "application/json" } })
        assert.deepStrictEqual([page.status, page.contentType], [400, "text/html; charset=utf-8"])
        const deleted = yield* airflow("DELETE", path)
        assert.deepStrictEqual([deleted.status, deleted.text], [204, ""])
        assert.strictEqual((yield* airflow("DELETE", path)).status, 404)
      }
      const wrong = yield* airflow("POST", "variables", { body: { key: "o", value: { a: 1 } } })
      assert.strictEqual(wrong.json.detail, "{'a': 1} is not of type 'string' - 'value'")
      assert.strictEqual((yield* airflow("PATCH", "variables/zz", { body: { key: "zz", value: "1" } })).status, 404)
    }))

  it.scopedLive("stores connections and hides their secrets", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      const body = { connection_id: "pg", conn_type: "postgres", password: "p", extra: "{\"api_key\":\"s\",\"x\":1}" }
      const created = yield* airflow("POST", "connections", { body })
      assert.strictEqual(created.status, 200)
      assert.deepStrictEqual(created.json, {
        connection_id: "pg",
        conn_type: "postgres",
        description: null,
        extra: "{\"api_key\": \"***\", \"x\": 1}",
        host: null,
        login: null,
        port: null,
        schema: null
      })
      assert.strictEqual((yield* airflow("POST", "connections", { body })).status, 409)
      assert.strictEqual((yield* airflow("PATCH", "connections/pg", { body: { host: "h" } })).json.host, "h")
      assert.notProperty((yield* airflow("GET", "connections")).json.connections[0], "extra")
      assert.strictEqual((yield* airflow("DELETE", "connections/pg")).status, 204)
      assert.strictEqual((yield* airflow("GET", "connections/pg")).status, 404)
      const bad = yield* airflow("POST", "connections", { body: { connection_id: "a b", conn_type: "http" } })
      assert.strictEqual(bad.status, 400)
    }))

  it.scopedLive("has a default pool and stores others", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      assert.deepInclude((yield* airflow("GET", "pools/default_pool")).json, { slots: 128, open_slots: 128 })
      assert.strictEqual((yield* airflow("DELETE", "pools/default_pool")).json.detail, "Default Pool can't be deleted")
      const body = { name: "p", slots: 2 }
      assert.strictEqual((yield* airflow("POST", "pools", { body })).status, 200)
      assert.strictEqual((yield* airflow("POST", "pools", { body })).status, 409)
      assert.strictEqual((yield* airflow("PATCH", "pools/p", { body: { slots: 5 } })).status, 400)
      assert.strictEqual((yield* airflow("PATCH", "pools/p?update_mask=slots", { body: { slots: 5 } })).json.slots, 5)
      assert.strictEqual((yield* airflow("DELETE", "pools/p")).status, 204)
      assert.strictEqual((yield* airflow("GET", "pools")).json.total_entries, 1)
      yield* airflow("POST", "pools", { body: { name: "with/slash", slots: 1 } })
      assert.strictEqual((yield* airflow("DELETE", "pools/with%2Fslash")).json.type, "about:blank")
    }))

  it.scopedLive("selects fields, updates the masked fields and sorts as requested", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      const { dags } = (yield* airflow("GET", "dags?fields=dag_id&fields=is_paused")).json
      assert.deepStrictEqual(dags, [{ dag_id: "hello_world_dag", is_paused: true }])
      for (const key of ["a", "b"]) yield* airflow("POST", "variables", { body: { key, value: "1" } })
      const keys = (yield* airflow("GET", "variables?order_by=-key")).json.variables.map((one: { key: string }) =>
        one.key
      )
      assert.deepStrictEqual(keys, ["b", "a"])
      assert.strictEqual((yield* airflow("GET", "variables?order_by=nonsense")).status, 400)
      const body = { key: "a", value: "2", description: "d" }
      const masked = yield* airflow("PATCH", "variables/a?update_mask=description", { body })
      assert.deepStrictEqual(masked.json, { key: "a", value: "1", description: "d" })
      // `val` is Airflow's internal name of the field `value`
      assert.strictEqual((yield* airflow("PATCH", "variables/a?update_mask=val", { body })).json.value, "2")
      assert.strictEqual((yield* airflow("PATCH", "variables/a?update_mask=value", { body })).status, 400)
    }))

  it.scopedLive("keeps the microseconds of a date and the times of a cleared task", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      const logicalDate = "2024-03-04T05:06:07.000800+00:00"
      const triggered = yield* airflow("POST", "dags/hello_world_dag/dagRuns", {
        body: { dag_run_id: "r", logical_date: logicalDate }
      })
      assert.strictEqual(triggered.json.logical_date, logicalDate)
      const run = "dags/hello_world_dag/dagRuns/r"
      yield* airflow("PATCH", "dags/hello_world_dag", { body: { is_paused: false } })
      yield* until(airflow("GET", run), ({ json }) => json.state === "success")
      yield* airflow("PATCH", "dags/hello_world_dag", { body: { is_paused: true } })
      const before = (yield* airflow("GET", `${run}/taskInstances/hello`)).json
      yield* airflow("POST", `${run}/clear`, { body: { dry_run: false } })
      assert.deepStrictEqual((yield* airflow("GET", `${run}/taskInstances/hello`)).json, {
        ...before,
        state: null,
        max_tries: 1
      })
    }))

  it.scopedLive("redirects from a name that begins with a slash, although such a variable can be created", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      assert.strictEqual((yield* airflow("POST", "variables", { body: { key: "/x", value: "1" } })).status, 200)
      for (const method of ["GET", "DELETE"]) {
        const { headers, status } = yield* airflow(method, "variables/%2Fx")
        assert.strictEqual(status, 308)
        assert.match(headers.get("location") ?? "", /[^/]\/api\/v1\/variables\/x$/)
      }
      assert.strictEqual((yield* airflow("GET", "variables/a%2F%2Fb")).status, 404)
    }))

  it.scopedLive("fails to print an unlimited pool", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      const made = yield* airflow("POST", "pools", { body: { name: "unlimited", slots: -1 } })
      assert.strictEqual(made.status, 500)
      assert.strictEqual((yield* airflow("GET", "pools")).status, 500)
      assert.strictEqual((yield* airflow("DELETE", "pools/unlimited")).status, 204)
      assert.strictEqual((yield* airflow("GET", "pools")).status, 200)
    }))

  it.scopedLive("creates a user once", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      const user = { username: "u", email: "u@x", first_name: "U", last_name: "U", password: "p" }
      const body = { ...user, roles: [{ name: "Admin" }] }
      const created = yield* airflow("POST", "users", { body })
      assert.strictEqual(created.status, 200)
      assert.notProperty(created.json, "password")
      assert.strictEqual((yield* airflow("POST", "users", { body })).status, 409)
      const bad = yield* airflow("POST", "users", {
        body: { ...user, username: "v", email: "v@x", roles: [{ name: "X" }] }
      })
      assert.strictEqual(bad.json.detail, "Unknown roles: 'X'")
      assert.strictEqual((yield* airflow("DELETE", "users/u")).status, 204)
      assert.strictEqual((yield* airflow("GET", "users/u")).status, 404)
    }))
})
