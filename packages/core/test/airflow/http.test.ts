import type { Airflow } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Redacted, TestClock } from "effect"
import { inspect } from "node:util"
import { type Answer, answer, connect, html, refused, silent, token } from "./server.js"

const problem = (status: number, detail: string | null, title: string | null = "x"): Answer =>
  answer(status, { detail, status, title, type: "https://airflow.apache.org/docs" }, {
    "content-type": "application/problem+json"
  })

/** Virtual time passes until the effect is done. */
const inTime = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust("10 minutes")
    return yield* Fiber.join(fiber)
  })

const run = (state: string) => ({ dag_id: "d", dag_run_id: "r", state, start_date: null, end_date: null })
const version = "GET /api/v1/version"

interface Case {
  readonly title: string
  readonly answer: Answer
  readonly kind: Airflow.AirflowApiError["kind"]
  readonly asked: number
  readonly says: string
}

const cases: ReadonlyArray<Case> = [
  { title: "a refused connection", answer: refused, kind: "unreachable", asked: 4, says: "ECONNREFUSED" },
  { title: "silence", answer: silent, kind: "timeout", asked: 4, says: "15s" },
  { title: "401", answer: problem(401, null, "Unauthorized"), kind: "unauthorized", asked: 1, says: "Unauthorized" },
  { title: "403", answer: problem(403, null, "Forbidden"), kind: "forbidden", asked: 1, says: "Forbidden" },
  { title: "404", answer: problem(404, null, "not found"), kind: "notFound", asked: 1, says: "not found" },
  { title: "409", answer: problem(409, "already exists"), kind: "conflict", asked: 1, says: "already exists" },
  { title: "400", answer: problem(400, "Extra query"), kind: "badRequest", asked: 1, says: "Extra query" },
  { title: "422", answer: answer(422, { detail: [] }), kind: "badRequest", asked: 1, says: "422" },
  { title: "429", answer: answer(429, ""), kind: "rateLimited", asked: 4, says: "429" },
  { title: "a 500 page", answer: html(500), kind: "server", asked: 4, says: "500" },
  { title: "a 502 page", answer: html(502), kind: "gateway", asked: 4, says: "HTML" },
  { title: "503", answer: answer(503, "no upstream"), kind: "gateway", asked: 4, says: "503" },
  { title: "a 404 page, before there is a route", answer: html(404), kind: "gateway", asked: 4, says: "HTML" },
  { title: "a 200 page", answer: html(200), kind: "gateway", asked: 1, says: "HTML" },
  {
    title: "half an answer",
    answer: answer(200, "{\"version\": \"2."),
    kind: "undecodable",
    asked: 1,
    says: "not what"
  },
  { title: "another answer", answer: answer(200, { v: 1 }), kind: "undecodable", asked: 1, says: "not what" },
  {
    title: "a redirection",
    answer: answer(302, "", { location: "/login" }),
    kind: "redirected",
    asked: 1,
    says: "login page"
  },
  {
    title: "Airflow 3",
    answer: answer(404, { error: "/api/v1 has been removed in Airflow 3, please use /api/v2" }),
    kind: "unsupported",
    asked: 1,
    says: "only Airflow 2"
  },
  {
    title: "Airflow 3, to a write",
    answer: answer(405, { detail: "Method Not Allowed" }),
    kind: "unsupported",
    asked: 1,
    says: "only Airflow 2"
  },
  {
    title: "a server that repeats the token",
    answer: problem(400, `what is ${token}?`),
    kind: "badRequest",
    asked: 1,
    says: "<redacted>"
  }
]

describe("what an answer means", () => {
  for (const { answer, asked, kind, says, title } of cases) {
    it.effect(`${title}: ${kind}`, () =>
      Effect.gen(function*() {
        const { airflow, requests } = yield* connect({ [version]: answer })
        const error = yield* inTime(Effect.flip(airflow.version))
        assert.strictEqual(error.kind, kind)
        assert.strictEqual(requests.length, asked)
        assert.include(error.message, says)
        assert.include(error.message, "read Airflow's version")
        const shown = [inspect(error, { depth: 10 }), JSON.stringify(error), error.message, String(error), error.stack]
        assert.notInclude(shown.join("\n"), token)
        assert.notInclude(shown.join("\n"), Buffer.from(token).toString("base64"))
      }))
  }
})

describe("requests", () => {
  it.effect("are bare: our credentials, what is accepted, a content type only with a body, no tracing", () =>
    Effect.gen(function*() {
      const { airflow, requests } = yield* connect({
        "GET /api/v1/version": answer(200, { version: "2.11.2", git_version: null }),
        "DELETE /api/v1/variables/a%2Fb": answer(204, undefined),
        "POST /api/v1/variables": answer(200, { key: "a/b" })
      })
      assert.strictEqual(airflow.apiUrl, "https://airflow.test/dx/api/v1")
      assert.strictEqual(yield* airflow.version, "2.11.2")
      yield* airflow.deleteVariable("a/b")
      yield* airflow.setVariable("a/b", "1")
      for (const { headers } of requests) {
        assert.strictEqual(headers["authorization"], `Bearer ${token}`)
        assert.strictEqual(headers["accept"], "application/json")
        assert.notProperty(headers, "traceparent")
        assert.notProperty(headers, "b3")
      }
      assert.deepStrictEqual(requests.map(({ headers }) => headers["content-type"]), [
        undefined,
        undefined,
        "application/json"
      ])
    }).pipe(Effect.withSpan("a test's own span")))

  it.effect("wait as long as a server asks for", () =>
    Effect.gen(function*() {
      const limited = answer(429, "", { "retry-after": "20" })
      const { airflow } = yield* connect({ [version]: [limited, answer(200, { version: "2.11.2" })] })
      const waited = Effect.zipRight(airflow.version, Clock.currentTimeMillis)
      assert.strictEqual(yield* inTime(waited), 20_000)
    }))

  it.effect("are not sent for a name of dots, which would ask for something else", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({})
      for (const id of [".", ".."]) {
        assert.strictEqual((yield* Effect.flip(airflow.deleteVariable(id))).kind, "badRequest")
        assert.strictEqual((yield* Effect.flip(airflow.dag(id))).kind, "badRequest")
      }
    }))

  it.effect("that write are sent once, unless they end the same", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        "POST /api/v1/pools": answer(502, ""),
        "DELETE /api/v1/pools/p": [answer(502, ""), problem(404, "gone")]
      })
      assert.strictEqual((yield* inTime(Effect.flip(airflow.createPool({ name: "p", slots: 1 })))).kind, "gateway")
      yield* inTime(airflow.deletePool("p"))
      assert.deepStrictEqual(routes(), ["POST /api/v1/pools", "DELETE /api/v1/pools/p", "DELETE /api/v1/pools/p"])
    }))

  it.effect("for a list go on by what came, and count nothing twice", () =>
    Effect.gen(function*() {
      const at = (offset: number) => `GET /api/v1/variables?limit=100&order_by=id&offset=${offset}`
      const { airflow } = yield* connect({
        [at(0)]: answer(200, { variables: [{ key: "a" }, { key: "b" }], total_entries: 5 }),
        // one was added in front meanwhile
        [at(2)]: answer(200, { variables: [{ key: "b" }, { key: "c" }], total_entries: 6 }),
        [at(4)]: answer(200, { variables: [], total_entries: 6 })
      })
      assert.deepStrictEqual(yield* airflow.variables, ["a", "b", "c"])
    }))

  it.effect("to pause all go on where one call does not reach", () =>
    Effect.gen(function*() {
      const path = "PATCH /api/v1/dags?dag_id_pattern=~&only_active=false&limit=100"
      const dags = Array.from(
        { length: 100 },
        (_, index) => ({ dag_id: `d${index}`, is_paused: true, is_active: true })
      )
      const { airflow, requests } = yield* connect({
        [path]: answer(200, { dags, total_entries: 101 }),
        [`${path}&offset=100`]: answer(200, { dags: dags.slice(0, 1), total_entries: 101 })
      })
      yield* airflow.pauseAll
      assert.deepStrictEqual(requests.map(({ body }) => body), [{ is_paused: true }, { is_paused: true }])
    }))
})

describe("a trigger", () => {
  const post = "POST /api/v1/dags/d/dagRuns"
  const get = "GET /api/v1/dags/d/dagRuns/r"

  it.effect("whose answer was lost is looked up, not repeated", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({ [post]: silent, [get]: answer(200, run("queued")) })
      const found = yield* inTime(airflow.trigger("d", { runId: "r" }))
      assert.strictEqual(found.state, "queued")
      assert.deepStrictEqual(routes(), [post, get])
    }))

  it.effect("that never arrived is repeated under the same id", () =>
    Effect.gen(function*() {
      const { airflow, requests, routes } = yield* connect({
        [post]: [html(502), answer(200, run("queued"))],
        [get]: problem(404, "DAGRun not found")
      })
      yield* inTime(airflow.trigger("d", { runId: "r", conf: { k: 1 } }))
      assert.deepStrictEqual(routes(), [post, get, post])
      assert.deepStrictEqual(requests.flatMap(({ body }) => body === undefined ? [] : [body]), [
        { dag_run_id: "r", conf: { k: 1 } },
        { dag_run_id: "r", conf: { k: 1 } }
      ])
    }))

  it.effect("that is there already is found", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({ [post]: problem(409, "exists"), [get]: answer(200, run("running")) })
      assert.strictEqual((yield* airflow.trigger("d", { runId: "r" })).state, "running")
    }))

  it.effect("that cannot be sent fails with what happened to it", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({ [post]: html(503), [get]: problem(404, "DAGRun not found") })
      const error = yield* inTime(Effect.flip(airflow.trigger("d", { runId: "r" })))
      assert.deepInclude(error, { kind: "gateway", status: 503 })
      assert.strictEqual(routes().filter((route) => route === post).length, 3)
    }))
})

describe("a wait for a run", () => {
  it.effect("outlives a webserver that restarts", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        "GET /api/v1/dags/d/dagRuns/r": [
          answer(200, run("running")),
          ...Array.from({ length: 12 }, () => refused),
          answer(200, run("success"))
        ]
      })
      assert.strictEqual((yield* inTime(airflow.awaitRun("d", "r"))).state, "success")
    }))

  it.effect("says what it can when it is over", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        "GET /api/v1/dags/d/dagRuns/r": answer(200, run("running")),
        "GET /api/v1/dags/d": answer(200, { dag_id: "d", is_paused: false, is_active: true, tags: [] }),
        "GET /api/v1/health": html(502),
        "GET /api/v1/dags/d/dagRuns/r/taskInstances?limit=10000": answer(200, {
          task_instances: [{ task_id: "t", map_index: -1, state: "up_for_retry", try_number: 1 }]
        })
      })
      const error = yield* inTime(Effect.flip(airflow.awaitRun("d", "r", { timeout: "1 minute" })))
      assert(error._tag === "RunStuck")
      for (const words of ["waited 1m", "not paused", "HTML", "t up_for_retry"]) assert.include(error.message, words)
    }))
})

describe("a task's log", () => {
  it.effect("is asked for as text, of the last try, until it has arrived", () =>
    Effect.gen(function*() {
      const path = "/api/v1/dags/d/dagRuns/r/taskInstances/t"
      const log = `GET ${path}/2/logs/3?full_content=true`
      const marker =
        "host\n INFO - ::group::Log message source details\n*** Could not read served logs\n INFO - ::endgroup::\n"
      const { airflow, requests } = yield* connect({
        [`GET ${path}/2`]: answer(200, { task_id: "t", map_index: 2, state: "success", try_number: 3 }),
        [`GET ${path}/logs/3?full_content=true&map_index=2`]: [
          answer(200, marker),
          answer(200, `${marker}[x] INFO - hi\n`)
        ]
      })
      assert.include(yield* inTime(airflow.taskLog("d", "r", "t", { mapIndex: 2 })), "INFO - hi")
      assert.strictEqual(requests.length, 3, log)
      assert.strictEqual(requests[2]?.headers["accept"], "text/plain")
    }))
})

describe("a user", () => {
  const user = { username: "u", password: Redacted.make("p") }

  it.effect("is created, exists, or is none of Airflow's business", () =>
    Effect.gen(function*() {
      const outcomes: ReadonlyArray<readonly [Answer, string]> = [
        [answer(200, {}), "created"],
        [problem(409, "Username `u` already exists"), "exists"],
        [problem(404, "no route"), "unsupported"],
        [problem(403, null, "Forbidden"), "unsupported"],
        [answer(405, { detail: "Method Not Allowed" }), "unsupported"]
      ]
      for (const [given, outcome] of outcomes) {
        const { airflow } = yield* connect({ "POST /api/v1/users": given })
        assert.strictEqual(yield* airflow.createUser(user), outcome)
      }
      const { airflow } = yield* connect({ "POST /api/v1/users": problem(400, "Unknown roles") })
      assert.strictEqual((yield* Effect.flip(airflow.createUser(user))).kind, "badRequest")
    }))
})
