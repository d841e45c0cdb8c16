import { HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import {
  connect,
  connectionRefused,
  dagRow,
  html,
  inVirtualTime,
  noResponse,
  problem,
  respond,
  type Responder,
  run,
  task
} from "./server.js"

describe("a trigger", () => {
  const post = "POST /api/v1/dags/d/dagRuns"
  const get = "GET /api/v1/dags/d/dagRuns/r"

  it.effect("whose response was lost returns the run that it started", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({ [post]: noResponse, [get]: respond(200, run("queued")) })
      const started = yield* inVirtualTime(airflow.trigger("d", { runId: "r", unpause: false }))
      assert.strictEqual(started.state, "queued")
      assert.deepStrictEqual(routes(), [post, get])
    }))

  it.effect("that never arrived is retried under the same id", () =>
    Effect.gen(function*() {
      const { airflow, requests, routes } = yield* connect({
        [post]: [html(502), respond(200, run("queued"))],
        [get]: problem(404, "DAGRun not found")
      })
      yield* inVirtualTime(airflow.trigger("d", { runId: "r", conf: { k: 1 }, unpause: false }))
      assert.deepStrictEqual(routes(), [post, get, post])
      assert.deepStrictEqual(requests.flatMap(({ body }) => body === undefined ? [] : [body]), [
        { dag_run_id: "r", conf: { k: 1 } },
        { dag_run_id: "r", conf: { k: 1 } }
      ])
    }))

  it.effect("with the id of an existing run is a conflict, and does not return that run as its own", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        [post]: problem(409, "exists"),
        [get]: respond(200, run("success"))
      })
      for (const call of [airflow.trigger, airflow.runDag]) {
        const error = yield* Effect.flip(call("d", { runId: "r", unpause: false }))
        assert(error._tag === "AirflowApiError")
        assert.deepInclude(error, { kind: "conflict", detail: "exists" })
        assert.include(error.message, "this id or this logical date: choose another one")
      }
      assert.deepStrictEqual(routes(), [post, post])
    }))

  for (
    const [lost, responder] of [["timeout", noResponse], ["502", html(502)], ["cut", respond(200, "{\"dag")]] as const
  ) {
    it.effect(`that was retried after a lost response (${lost}) returns its run in spite of a conflict`, () =>
      Effect.gen(function*() {
        const gone = problem(404, "DAGRun not found")
        const { airflow, routes } = yield* connect({
          [post]: [responder, problem(409, "exists")],
          // the first trigger arrives after the check
          [get]: lost === "cut" ? respond(200, run("queued")) : [gone, respond(200, run("queued"))]
        })
        assert.strictEqual((yield* inVirtualTime(airflow.trigger("d", { runId: "r", unpause: false }))).runId, "r")
        assert.deepStrictEqual(routes(), lost === "cut" ? [post, get] : [post, get, post, get])
      }))
  }

  it.effect("that cannot be sent fails with the error of the trigger", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({ [post]: html(503), [get]: problem(404, "DAGRun not found") })
      const error = yield* inVirtualTime(Effect.flip(airflow.trigger("d", { runId: "r", unpause: false })))
      assert.deepInclude(error, { kind: "gateway", status: 503 })
      assert.strictEqual(routes().filter((route) => route === post).length, 5)
    }))

  it.effect("unpauses the DAG first", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        "PATCH /api/v1/dags/d": respond(200, dagRow),
        [post]: respond(200, run("queued"))
      })
      yield* airflow.trigger("d", { runId: "r" })
      assert.deepStrictEqual(routes(), ["PATCH /api/v1/dags/d", post])
    }))

  it.effect("of an unknown DAG fails as a trigger, whichever request failed", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        "PATCH /api/v1/dags/d": problem(404, null, "Dag with id: 'd' not found"),
        "GET /api/v1/importErrors?order_by=import_error_id&limit=100&offset=0": respond(200, {
          import_errors: [],
          total_entries: 0
        })
      })
      const error = yield* Effect.flip(airflow.trigger("d"))
      assert.match(error.message, /^Could not trigger d: Dag with id: 'd' not found/)
    }))

  it.effect("sends what each API expects", () =>
    Effect.gen(function*() {
      const logicalDate = DateTime.unsafeMake("2026-01-02T03:04:05Z")
      const bodies: Array<unknown> = []
      for (const version of ["2.10.5", "3.0.6"]) {
        const { airflow, requests } = yield* connect({
          [post.replace("v1", version.startsWith("2") ? "v1" : "v2")]: respond(200, run("queued"))
        }, { version })
        yield* airflow.trigger("d", { runId: "r", unpause: false })
        yield* airflow.trigger("d", { runId: "r", unpause: false, logicalDate, note: "n" })
        yield* airflow.trigger("d", { runId: "r", unpause: false, logicalDate: "now" })
        bodies.push(...requests.map(({ body }) => body))
      }
      const [dated, now] = ["2026-01-02T03:04:05.000Z", "1970-01-01T00:00:00.000Z"]
      assert.deepStrictEqual(bodies, [
        { dag_run_id: "r", conf: {} },
        { dag_run_id: "r", conf: {}, logical_date: dated, note: "n" },
        { dag_run_id: "r", conf: {}, logical_date: now },
        { dag_run_id: "r", conf: {}, logical_date: null },
        { dag_run_id: "r", conf: {}, logical_date: dated, note: "n" },
        { dag_run_id: "r", conf: {}, logical_date: now }
      ])
    }))

  it.effect("that fails with 500 starts one run: checked, retried, and found although it failed", () =>
    Effect.gen(function*() {
      const [post2, get2] = [post.replace("v1", "v2"), get.replace("v1", "v2")]
      const crash = respond(500, "Internal Server Error")
      const { airflow, routes } = yield* connect({
        [post2]: [crash, respond(409, { detail: { reason: "Unique constraint violation", orig_error: "hidden" } })],
        [get2]: [respond(404, { detail: "not found" }), respond(200, run("running"))]
      }, { version: "3.2.2" })
      const started = yield* inVirtualTime(airflow.trigger("d", { runId: "r", unpause: false }))
      assert.strictEqual(started.state, "running")
      assert.deepStrictEqual(routes(), [post2, get2, post2, get2])
    }))

  it.effect("with the logical date of another run is a conflict", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        [post]: problem(409, "DAGRun logical date already exists"),
        [get]: problem(404, "DAGRun not found")
      })
      const error = yield* Effect.flip(airflow.trigger("d", { runId: "r", unpause: false, logicalDate: "now" }))
      assert.strictEqual(error._tag === "AirflowApiError" ? error.kind : error._tag, "conflict")
    }))

  it.effect("of a DAG whose file cannot be imported fails with the import error on both APIs", () =>
    Effect.gen(function*() {
      const errors = (filename: string) =>
        respond(200, {
          import_errors: [
            { import_error_id: 1, filename: "/dags/other.py", timestamp: null, stack_trace: "OtherError" },
            { import_error_id: 2, filename, timestamp: null, stack_trace: "SyntaxError: d" }
          ],
          total_entries: 2
        })
      const known = respond(200, { ...dagRow, fileloc: "/opt/dags/team/d_file.py" })
      const v1 = yield* connect({
        [post]: problem(400, "DAG with dag_id: 'd' has import errors"),
        "GET /api/v1/importErrors?order_by=import_error_id&limit=100&offset=0": errors("/opt/dags/team/d_file.py"),
        "GET /api/v1/dags/d": known
      })
      const v2 = yield* connect({
        [post.replace("v1", "v2")]: respond(404, { detail: "DAG with dag_id: 'd' not found" }),
        "GET /api/v2/importErrors?order_by=id&limit=100&offset=0": errors("team/d_file.py"),
        "GET /api/v2/dags/d": known
      }, { version: "3.1.8" })
      for (const { airflow } of [v1, v2]) {
        const error = yield* Effect.flip(airflow.trigger("d", { unpause: false }))
        assert(error._tag === "DagImportFailed")
        assert.include(error.message, "SyntaxError: d")
      }
    }))
})

describe("a wait for a run", () => {
  const get = "GET /api/v1/dags/d/dagRuns/r"

  it.effect("continues while the webserver restarts", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        [get]: [
          respond(200, run("running")),
          ...Array.from({ length: 12 }, () => connectionRefused),
          respond(200, run("success"))
        ]
      })
      assert.strictEqual((yield* inVirtualTime(airflow.awaitRun("d", "r"))).state, "success")
    }))

  it.effect("reports each state once", () =>
    Effect.gen(function*() {
      const states = ["queued", "queued", "running", "running", "failed"].map((state) => respond(200, run(state)))
      const { airflow } = yield* connect({ [get]: [states[0]!, ...states.slice(1)] })
      const reported: Array<string> = []
      const onState = (state: string) => Effect.sync(() => void reported.push(state))
      yield* inVirtualTime(airflow.awaitRun("d", "r", { onState }))
      assert.deepStrictEqual(reported, ["queued", "running", "failed"])
    }))

  it.effect("fails at its deadline with a diagnosis", () =>
    Effect.gen(function*() {
      const queued = task("queued", { pool: "etl", queued_when: "1970-01-01T00:00:00Z" })
      const { airflow } = yield* connect({
        [get]: respond(200, { ...run("running"), logical_date: "2031-01-02T03:04:05Z" }),
        "GET /api/v1/dags/d": respond(200, { ...dagRow, fileloc: "/dags/d.py" }),
        "GET /api/v1/health": html(502),
        [`${get}/taskInstances?limit=10000`]: respond(200, {
          task_instances: [
            queued,
            task("up_for_retry", { task_id: "u", map_index: 2 }),
            task(null, { pool: "gone", task_id: "v" })
          ],
          total_entries: 3
        }),
        "GET /api/v1/pools?order_by=id&limit=100&offset=0": respond(200, {
          pools: [{ name: "etl", slots: 1, occupied_slots: 1, open_slots: 0 }],
          total_entries: 1
        }),
        "GET /api/v1/dags/d/dagRuns?order_by=id&limit=100&offset=0": respond(200, {
          dag_runs: [run("running"), { ...run("running"), dag_run_id: "scheduled" }],
          total_entries: 2
        }),
        "GET /api/v1/importErrors?order_by=import_error_id&limit=100&offset=0": respond(200, {
          import_errors: [{ import_error_id: 1, filename: "/dags/d.py", timestamp: null, stack_trace: "x" }],
          total_entries: 1
        })
      })
      const error = yield* inVirtualTime(Effect.flip(airflow.awaitRun("d", "r", { timeout: "1 minute" })))
      assert(error._tag === "RunStuck")
      const expected = [
        "still running after 1m",
        "the DAG is not paused",
        "its logical date 2031-01-02T03:04:05.000Z is in the future",
        "HTML",
        "tasks: t queued, u[2] up_for_retry, v none",
        "the pool etl is full: 1 of 1 slots are occupied",
        "a task has been queued for 1m",
        "1 other run(s) of the DAG",
        "/dags/d.py cannot be imported"
      ]
      for (const words of expected) assert.include(error.message, words)
    }))

  it.effect("fails as an infrastructure failure if the run failed without a failed task", () =>
    Effect.gen(function*() {
      const failedWith = (...states: ReadonlyArray<string | null>) =>
        Effect.gen(function*() {
          const { airflow } = yield* connect({
            [get]: respond(200, run("failed")),
            [`${get}/taskInstances?limit=10000`]: respond(200, {
              task_instances: states.map((state) => task(state, { try_number: 0 })),
              total_entries: states.length
            })
          })
          const error = yield* Effect.flip(airflow.verifyDagIdRan("d", "r"))
          assert(error._tag === "RunFailed")
          return error
        })
      for (const states of [[], [null], ["success"], ["skipped", "removed"]]) {
        const error = yield* failedWith(...states)
        assert.isTrue(error.retryable)
        assert.include(error.message, "failed although none of its tasks failed")
        assert.notInclude(error.message, "()")
      }
      assert.isFalse((yield* failedWith("upstream_failed")).retryable)
    }))

  it.effect("ends when the run is deleted, and fails with notFound if it never existed", () =>
    Effect.gen(function*() {
      const gone = problem(404, "DAGRun not found")
      const { airflow } = yield* connect({ [get]: [respond(200, run("running")), gone] })
      assert.strictEqual((yield* inVirtualTime(Effect.flip(airflow.awaitRun("d", "r"))))._tag, "RunVanished")
      const error = yield* inVirtualTime(Effect.flip(airflow.awaitRun("d", "r")))
      assert(error._tag === "AirflowApiError")
      assert.strictEqual(error.kind, "notFound")
    }))

  const wait = "GET /api/v2/dags/d/dagRuns/r/wait?interval=1"
  const get2 = get.replace("v1", "v2")

  it.effect("streams the states uncompressed, because some servers buffer compressed lines", () =>
    Effect.gen(function*() {
      const { airflow, requests, routes } = yield* connect({
        [wait]: respond(200, "{\"state\":\"queued\"}\n{\"state\":\"running\"}\n{\"state\":\"success\"}\n"),
        [get2]: respond(200, run("success"))
      }, { version: "3.1.8" })
      const reported: Array<string> = []
      const onState = (state: string) => Effect.sync(() => void reported.push(state))
      const ended = yield* airflow.awaitRun("d", "r", { via: "stream", onState })
      assert.strictEqual(ended.state, "success")
      assert.deepStrictEqual(reported, ["queued", "running", "success"])
      assert.deepStrictEqual(routes(), [wait, get2])
      assert.strictEqual(requests[0]?.headers["accept-encoding"], "identity")
    }))

  it.effect("falls back to polling if a proxy buffers the stream", () =>
    Effect.gen(function*() {
      const buffered: Responder = (request) =>
        Effect.succeed(HttpClientResponse.fromWeb(request, new Response(new ReadableStream())))
      const { airflow, routes } = yield* connect({ [wait]: buffered, [get2]: respond(200, run("success")) }, {
        version: "3.1.8"
      })
      const options = { via: "stream", timeout: "1 minute" } as const
      assert.strictEqual((yield* inVirtualTime(airflow.awaitRun("d", "r", options))).state, "success")
      assert.deepStrictEqual(routes(), [wait, get2])
    }))

  it.effect("falls back to polling if the stream is cut, refused or not supported", () =>
    Effect.gen(function*() {
      const polled = { [get2]: [respond(200, run("running")), respond(200, run("success"))] as const }
      for (const stream of [respond(200, "{\"state\":\"running\"}\n{\"sta"), html(502), connectionRefused]) {
        const { airflow } = yield* connect({ [wait]: stream, ...polled }, { version: "3.3.2" })
        assert.strictEqual((yield* inVirtualTime(airflow.awaitRun("d", "r", { via: "stream" }))).state, "success")
      }
      const { airflow } = yield* connect(polled, { version: "3.0.6" })
      assert.strictEqual((yield* inVirtualTime(airflow.awaitRun("d", "r", { via: "stream" }))).state, "success")
    }))
})

describe("waiting for a DAG", () => {
  const details = "GET /api/v1/dags/d/details"
  const errors = "GET /api/v1/importErrors?order_by=import_error_id&limit=100&offset=0"
  const none = respond(200, { import_errors: [], total_entries: 0 })
  const tagged = (tag: string) => respond(200, { ...dagRow, tags: [{ name: tag }] })
  const broken = (timestamp: string, stack_trace: string) =>
    respond(200, {
      import_errors: [{ import_error_id: 1, filename: "/dags/d.py", timestamp, stack_trace }],
      total_entries: 1
    })

  it.effect("ends when the live DAG has the tag, in spite of a failed poll", () =>
    Effect.gen(function*() {
      const missing = problem(404, "not found")
      const { airflow } = yield* connect({
        [details]: [missing, html(502), tagged("v1"), tagged("v2")],
        [errors]: none
      })
      assert.deepStrictEqual((yield* inVirtualTime(airflow.awaitDag("d", { tag: "v2" }))).tags, ["v2"])
    }))

  it.effect("fails at its deadline with what it found instead", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({ [details]: tagged("v1"), [errors]: none })
      const error = yield* inVirtualTime(Effect.flip(airflow.awaitDag("d", { tag: "v2", timeout: "1 minute" })))
      assert(error._tag === "DagNotLive")
      assert.include(error.message, "it does not have the tag v2 (its tags: v1)")
    }))

  it.effect("fails at once with the import error of its file, unless it is of an older version", () =>
    Effect.gen(function*() {
      const since = DateTime.unsafeMake("2026-01-01T00:00:00Z")
      const stale = broken("2025-12-31T23:59:59Z", "of the older version")
      const { airflow } = yield* connect({
        [details]: tagged("v1"),
        [errors]: [stale, broken("2026-01-01T00:00:01Z", "SyntaxError")],
        "GET /api/v1/dags/d": respond(200, dagRow)
      })
      const error = yield* inVirtualTime(Effect.flip(airflow.awaitDag("d", { tag: "v2", since })))
      assert(error._tag === "DagImportFailed")
      assert.include(error.message, "SyntaxError")
    }))
})
