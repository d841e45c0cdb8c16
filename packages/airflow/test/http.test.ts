import { AirflowApi, type AirflowError } from "@airflow-resource/airflow"
import { FetchHttpClient, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Redacted, TestClock } from "effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { inspect } from "node:util"
import { gzipSync } from "node:zlib"
import {
  connect,
  connectionRefused,
  dagRow,
  html,
  inVirtualTime,
  noResponse,
  problem,
  type Request,
  respond,
  type Responder,
  serve,
  token
} from "./server.js"

const dag = "GET /api/v1/dags/d"

interface Case {
  readonly title: string
  readonly responder: Responder
  readonly kind: AirflowError.AirflowApiError["kind"]
  readonly attempts: number
  readonly says: string
}

const cases: ReadonlyArray<Case> = [
  {
    title: "a refused connection",
    responder: connectionRefused,
    kind: "unreachable",
    attempts: 4,
    says: "ECONNREFUSED"
  },
  { title: "no response", responder: noResponse, kind: "timeout", attempts: 4, says: "15s" },
  {
    title: "401",
    responder: problem(401, null, "Unauthorized"),
    kind: "unauthorized",
    attempts: 1,
    says: "Unauthorized"
  },
  { title: "403", responder: problem(403, null, "Forbidden"), kind: "forbidden", attempts: 1, says: "Forbidden" },
  { title: "404", responder: problem(404, null, "not found"), kind: "notFound", attempts: 1, says: "not found" },
  { title: "409", responder: problem(409, "already exists"), kind: "conflict", attempts: 1, says: "already exists" },
  { title: "400", responder: problem(400, "Extra query"), kind: "badRequest", attempts: 1, says: "Extra query" },
  { title: "422", responder: respond(422, { detail: [] }), kind: "badRequest", attempts: 1, says: "422" },
  { title: "429", responder: respond(429, ""), kind: "rateLimited", attempts: 4, says: "429" },
  { title: "a 500 page", responder: html(500), kind: "server", attempts: 4, says: "500" },
  { title: "a 502 page", responder: html(502), kind: "gateway", attempts: 4, says: "HTML" },
  { title: "503", responder: respond(503, "no upstream"), kind: "gateway", attempts: 4, says: "503" },
  {
    title: "a 404 page of a proxy that has no route yet",
    responder: html(404),
    kind: "gateway",
    attempts: 4,
    says: "HTML"
  },
  { title: "a 200 page", responder: html(200), kind: "gateway", attempts: 1, says: "HTML" },
  {
    title: "an incomplete response",
    responder: respond(200, "{\"version\": \"2."),
    kind: "undecodable",
    attempts: 4,
    says: "not what"
  },
  {
    title: "an unexpected response",
    responder: respond(200, { v: 1 }),
    kind: "undecodable",
    attempts: 4,
    says: "not what"
  },
  {
    title: "a redirect",
    responder: respond(302, "", { location: "/login" }),
    kind: "redirected",
    attempts: 1,
    says: "login page"
  },
  {
    title: "an Airflow that has been upgraded meanwhile",
    responder: respond(404, { error: "/api/v1 has been removed in Airflow 3, please use /api/v2" }),
    kind: "unsupported",
    attempts: 1,
    says: "connect again"
  },
  {
    title: "a method that does not exist",
    responder: respond(405, { detail: "Method Not Allowed" }),
    kind: "unsupported",
    attempts: 1,
    says: "does not support it"
  },
  {
    title: "a missing field, reported by Airflow 3",
    responder: respond(422, {
      detail: [{ type: "missing", loc: ["body", "logical_date"], msg: "Field required", input: {} }]
    }),
    kind: "badRequest",
    attempts: 1,
    says: "body.logical_date: Field required"
  },
  {
    title: "a conflict in the database of Airflow 3",
    responder: respond(409, {
      detail: { reason: "Unique constraint violation", statement: "INSERT INTO x", orig_error: "y" }
    }),
    kind: "conflict",
    attempts: 1,
    says: "Unique constraint violation"
  },
  {
    title: "a locked database",
    responder: respond(500, { detail: { reason: "Database error", statement: "hidden", orig_error: "hidden" } }),
    kind: "server",
    attempts: 4,
    says: "Database error"
  },
  { title: "500 as text", responder: respond(500, "Internal Server Error"), kind: "server", attempts: 4, says: "500" },
  {
    title: "a response that contains the token",
    responder: problem(400, `what is ${token}?`),
    kind: "badRequest",
    attempts: 1,
    says: "<redacted>"
  }
]

describe("the kind of error", () => {
  for (const { attempts, kind, responder, says, title } of cases) {
    it.effect(`${title}: ${kind}`, () =>
      Effect.gen(function*() {
        const { airflow, requests } = yield* connect({ [dag]: responder })
        // uninterruptible, like a finalizer
        const error = yield* inVirtualTime(Effect.flip(Effect.uninterruptible(airflow.dag("d"))))
        assert.strictEqual(error.kind, kind)
        assert.strictEqual(requests.length, attempts)
        assert.include(error.message, says)
        assert.include(error.message, "read the DAG d")
        assert.deepInclude(error, { request: "GET https://airflow.test/dx/api/v1/dags/d", attempts })
        const shown = [inspect(error, { depth: 10 }), JSON.stringify(error), error.message, String(error), error.stack]
        assert.notInclude(shown.join("\n"), token)
        assert.notInclude(shown.join("\n"), Buffer.from(token).toString("base64"))
      }))
  }
})

describe("requests", () => {
  const variable = { key: "a/b", value: "1" }

  it.effect("have credentials, an accept header, a content type only with a body, and no tracing headers", () =>
    Effect.gen(function*() {
      const server = yield* serve({
        "DELETE /api/v1/variables/a%2Fb": respond(204, undefined),
        "POST /api/v1/variables": respond(200, variable)
      })
      const airflow = yield* server.client
      assert.strictEqual(airflow.apiUrl, "https://airflow.test/dx/api/v1")
      assert.deepStrictEqual(airflow.version, { full: "2.11.2", major: 2, minor: 11, patch: 2 })
      yield* airflow.variables.delete("a/b")
      yield* airflow.variables.put(variable)
      for (const { headers } of server.requests) {
        assert.strictEqual(headers["authorization"], `Bearer ${token}`)
        assert.strictEqual(headers["accept"], "application/json")
        assert.notProperty(headers, "traceparent")
        assert.notProperty(headers, "b3")
      }
      assert.deepStrictEqual(server.routes(), [
        "GET /api/v2/version",
        "GET /api/v1/version",
        "DELETE /api/v1/variables/a%2Fb",
        "POST /api/v1/variables"
      ])
      assert.deepStrictEqual(server.requests.slice(2).map(({ headers }) => headers["content-type"]), [
        undefined,
        "application/json"
      ])
    }).pipe(Effect.withSpan("a test's own span")))

  it.effect.each([
    { status: 429, headers: { "retry-after": "20" } },
    { status: 503, headers: { "retry-after": "Thu, 01 Jan 1970 00:00:20 GMT" } },
    // by the server's clock
    {
      status: 503,
      headers: { date: "Sun, 29 Nov 2026 10:00:00 GMT", "retry-after": "Sun, 29 Nov 2026 10:00:20 GMT" }
    }
  ])("are retried no sooner than the server asks for: %j", ({ headers, status }) =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({ [dag]: [respond(status, "", headers), respond(200, dagRow)] })
      const waited = Effect.zipRight(airflow.dag("d"), Clock.currentTimeMillis)
      assert.strictEqual(yield* inVirtualTime(waited), 20_000)
    }))

  it.effect("that read are sent again if the response was cut", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        [dag]: [respond(200, JSON.stringify(dagRow).slice(0, -5)), respond(200, dagRow)]
      })
      assert.strictEqual((yield* inVirtualTime(airflow.dag("d"))).dagId, "d")
    }))

  it.effect("are not sent for a name of dots, which would address something else", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({})
      for (const id of [".", ".."]) {
        assert.strictEqual((yield* Effect.flip(airflow.variables.delete(id))).kind, "badRequest")
        assert.strictEqual((yield* Effect.flip(airflow.dag(id))).kind, "badRequest")
      }
    }))

  it.effect("that write are retried only if they may be repeated safely", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        "POST /api/v1/users": respond(502, ""),
        "DELETE /api/v1/pools/p": [respond(502, ""), problem(404, "gone")]
      })
      const user = { username: "u", password: Redacted.make("p") }
      assert.strictEqual((yield* inVirtualTime(Effect.flip(airflow.users.create(user)))).kind, "gateway")
      yield* inVirtualTime(airflow.pools.delete("p"))
      assert.deepStrictEqual(routes(), ["POST /api/v1/users", "DELETE /api/v1/pools/p", "DELETE /api/v1/pools/p"])
    }))

  it.effect("for a list continue after the rows received, and return no row twice", () =>
    Effect.gen(function*() {
      const at = (offset: number) => `GET /api/v1/variables?order_by=id&limit=100&offset=${offset}`
      const rows = (...keys: ReadonlyArray<string>) => keys.map((key) => ({ key, value: key }))
      const { airflow } = yield* connect({
        [at(0)]: respond(200, { variables: rows("a", "b"), total_entries: 5 }),
        // a row was added in front meanwhile
        [at(2)]: respond(200, { variables: rows("b", "c"), total_entries: 6 }),
        [at(4)]: respond(200, { variables: [], total_entries: 6 })
      })
      assert.deepStrictEqual((yield* airflow.variables.list).map(({ key }) => key), ["a", "b", "c"])
    }))

  it.effect("to pause all DAGs continue on the next page", () =>
    Effect.gen(function*() {
      const path = "PATCH /api/v1/dags?only_active=false&dag_id_pattern=~&limit=100"
      const dags = Array.from(
        { length: 100 },
        (_, index) => ({ dag_id: `d${index}`, is_paused: true, is_active: true })
      )
      const { airflow, requests } = yield* connect({
        [`${path}&offset=0`]: respond(200, { dags, total_entries: 101 }),
        [`${path}&offset=100`]: respond(200, { dags: dags.slice(0, 1), total_entries: 101 })
      })
      yield* airflow.pauseAll
      assert.deepStrictEqual(requests.map(({ body }) => body), [{ is_paused: true }, { is_paused: true }])
    }))
})

describe("a server that sends too much", () => {
  const mebibyte = new Uint8Array(1024 * 1024).fill(120)
  /** An endless body, and how much of it was read. */
  const endless = (status = 200) => {
    const read = { chunks: 0, isCancelled: false }
    const responder: Responder = (request) =>
      Effect.sync(() => {
        const body = new ReadableStream({
          pull: (controller) => {
            read.chunks += 1
            controller.enqueue(mebibyte)
          },
          cancel: () => {
            read.isCancelled = true
          }
        })
        return HttpClientResponse.fromWeb(request, new Response(body, { status }))
      })
    return { read, responder }
  }

  it.effect("is not read to its end, once", () =>
    Effect.gen(function*() {
      const { read, responder } = endless()
      const { airflow } = yield* connect({ [dag]: responder })
      const error = yield* Effect.flip(airflow.dag("d"))
      assert.deepInclude(error, { kind: "tooLarge", attempts: 1, retryable: false })
      assert.include(error.message, "a response of more than 32 MiB")
      assert.isBelow(read.chunks, 40)
      assert.isTrue(read.isCancelled)
    }))

  it.effect("as the explanation of an error is read up to its limit", () =>
    Effect.gen(function*() {
      const { read, responder } = endless(400)
      const { airflow } = yield* connect({ [dag]: responder })
      assert.deepInclude(yield* Effect.flip(airflow.dag("d")), { kind: "badRequest", status: 400 })
      assert.isBelow(read.chunks, 4)
      assert.isTrue(read.isCancelled)
    }))

  it.effect("as a log is an error, and as the states of a run ends", () =>
    Effect.gen(function*() {
      const task = { dag_id: "d", dag_run_id: "r", task_id: "t", state: "success", try_number: 1 }
      const run = "GET /api/v2/dags/d/dagRuns/r"
      const [log, states] = [endless(), endless()]
      const { airflow } = yield* connect({
        [run]: respond(200, { dag_id: "d", dag_run_id: "r", state: "success" }),
        [`${run}/taskInstances?order_by=id&limit=100&offset=0`]: respond(200, {
          task_instances: [task],
          total_entries: 1
        }),
        [`${run}/taskInstances/t/logs/1?full_content=true`]: log.responder,
        [`${run}/wait?interval=1`]: states.responder
      }, { version: "3.3.2" })
      const error = yield* Effect.flip(airflow.taskLog("d", "r", "t"))
      assert.strictEqual(error._tag === "AirflowApiError" ? error.kind : error._tag, "tooLarge")
      assert.strictEqual((yield* airflow.awaitRun("d", "r", { via: "stream" })).state, "success")
      assert.isBelow(log.read.chunks, 140)
      assert.isBelow(states.read.chunks, 10)
    }))

  it.effect("lists of any length are read up to a number of pages", () =>
    Effect.gen(function*() {
      const pages = Object.fromEntries(
        Array.from({ length: 1001 }, (_, page) => [
          `GET /api/v1/variables?order_by=id&limit=100&offset=${page}`,
          respond(200, { variables: [{ key: String(page), value: "" }], total_entries: 1e12 })
        ])
      )
      const { airflow, routes } = yield* connect(pages)
      const error = yield* Effect.flip(airflow.variables.list)
      assert.deepInclude(error, { kind: "tooLarge", retryable: false })
      assert.include(error.message, "a list of more than 1000 pages")
      assert.strictEqual(routes().length, 1000)
    }))

  it.scopedLive("counts what it sent after it is decompressed", () =>
    Effect.gen(function*() {
      const bomb = gzipSync(Buffer.alloc(100 * 1024 * 1024, 120))
      const server = createServer((_request, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(bomb)
      })
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => void server.close())
      )
      const { port } = server.address() as AddressInfo
      const error = yield* Effect.flip(
        Effect.flatMap(AirflowApi.AirflowApi, ({ connect }) =>
          connect({
            baseUrl: `http://127.0.0.1:${port}`,
            credentials: { _tag: "Bearer", token: Redacted.make(token) }
          })).pipe(Effect.provide(Layer.provide(AirflowApi.layer, FetchHttpClient.layer)))
      )
      assert.strictEqual(error.kind, "tooLarge")
    }))
})

describe("numbers", () => {
  const xcomOf = (version: string) =>
    `GET /api/v${version.startsWith("2") ? 1 : 2}/dags/d/dagRuns/r/taskInstances/t/xcomEntries/return_value?` +
    (version.startsWith("2") ? "stringify=false" : "map_index=-1")

  for (const version of ["2.11.2", "3.3.2"]) {
    it.effect(`of XComs and conf are exact on ${version}`, () =>
      Effect.gen(function*() {
        const body = `{"key": "return_value", "value": [1152921504606846976, -9007199254740993, 9007199254740991,
          123456789012345678901234567890, NaN, Infinity, -Infinity, 0.1, 1e22, 1234567890123456.5,
          "1152921504606846976, NaN \\" 9007199254740993", {"1152921504606846976": {"NaN": 1}}, "Infinity"]}`
        const post = `POST /api/v${version.startsWith("2") ? 1 : 2}/dags/d/dagRuns`
        const run = `{"dag_id": "d", "dag_run_id": "r", "state": "queued", "conf": {"id": 1152921504606846976}}`
        const { airflow, texts } = yield* connect(
          { [xcomOf(version)]: respond(200, body), [post]: respond(200, run) },
          {
            version
          }
        )
        assert.deepStrictEqual(yield* airflow.xcom("d", "r", "t"), [
          1152921504606846976n,
          -9007199254740993n,
          9007199254740991,
          123456789012345678901234567890n,
          NaN,
          Infinity,
          -Infinity,
          0.1,
          1e22,
          1234567890123456.5,
          "1152921504606846976, NaN \" 9007199254740993",
          { "1152921504606846976": { NaN: 1 } },
          "Infinity"
        ])
        const { conf } = yield* airflow.trigger("d", { unpause: false, conf: { id: 2n ** 60n, text: "1n" } })
        assert.deepStrictEqual(conf, { id: 2n ** 60n })
        assert.include(texts().at(-1), "\"conf\":{\"id\":1152921504606846976,\"text\":\"1n\"}")
      }))
  }
})

describe("put", () => {
  it.effect("creates or replaces an item, and retries after a server error", () =>
    Effect.gen(function*() {
      const { airflow, requests } = yield* connect({
        "POST /api/v2/variables": [respond(500, "Internal Server Error"), respond(409, { detail: "exists" })],
        "PATCH /api/v2/variables/k": respond(200, {}),
        "POST /api/v2/pools": respond(409, { detail: { reason: "Unique constraint violation" } }),
        "PATCH /api/v2/pools/p?update_mask=slots&update_mask=description&update_mask=include_deferred": respond(
          200,
          {}
        ),
        "PATCH /api/v2/pools/default_pool?update_mask=slots&update_mask=include_deferred": respond(200, {}),
        "POST /api/v2/connections": [respond(409, { detail: "exists" }), respond(201, {})],
        "DELETE /api/v2/connections/c": respond(204, undefined)
      }, { version: "3.2.2" })
      yield* inVirtualTime(airflow.variables.put({ key: "k", value: "1" }))
      yield* airflow.pools.put({ name: "p", slots: 2, description: "two" })
      yield* airflow.pools.put({ name: "default_pool", slots: 3 })
      yield* airflow.connections.put({ id: "c", type: "http", extra: { a: 1 }, password: Redacted.make("s") })
      const body = (route: string) => requests.find((request) => request.route.startsWith(route))?.body
      assert.deepStrictEqual(body("PATCH /api/v2/variables/k"), { key: "k", value: "1", description: null })
      assert.deepStrictEqual(body("PATCH /api/v2/pools/p"), {
        pool: "p",
        slots: 2,
        description: "two",
        include_deferred: false
      })
      assert.deepStrictEqual(body("PATCH /api/v2/pools/default_pool"), { slots: 3, include_deferred: false })
      assert.deepStrictEqual(body("POST /api/v2/connections"), {
        connection_id: "c",
        conn_type: "http",
        extra: "{\"a\":1}",
        password: "s"
      })
    }))
})

describe("credentials", () => {
  const encoded = (claims: unknown) => Buffer.from(JSON.stringify(claims)).toString("base64url")
  const jwt = (exp: number, name = "x") => `e30.${encoded({ exp })}.${name}`
  const issued = (value: string) => respond(201, { access_token: value })
  const password = { _tag: "Password", username: "u", password: Redacted.make("p") } as const
  const login = "POST /auth/token"
  const v3 = "GET /api/v2/dags/d"
  const sent = (requests: ReadonlyArray<Request>, route: string) =>
    requests.filter((request) => request.route === route).map(({ headers }) => headers["authorization"])

  it.effect("by password are exchanged for one token, which is renewed before it expires", () =>
    Effect.gen(function*() {
      const [first, second] = [jwt(3600, "a"), jwt(7200, "b")]
      const server = yield* serve({ [login]: [issued(first), issued(second)], [v3]: respond(200, dagRow) }, {
        version: "3.1.8",
        credentials: password
      })
      const airflow = yield* server.client
      yield* airflow.dag("d")
      yield* TestClock.adjust("50 minutes")
      yield* airflow.dag("d")
      yield* TestClock.adjust("6 minutes")
      yield* airflow.dag("d")
      assert.deepStrictEqual(sent(server.requests, v3), [`Bearer ${first}`, `Bearer ${first}`, `Bearer ${second}`])
      assert.deepStrictEqual(server.requests.find(({ route }) => route === login)?.body, {
        username: "u",
        password: "p"
      })
      assert.deepStrictEqual(sent(server.requests, login), [undefined, undefined])
    }))

  it.effect("by password are renewed once when a restarted server rejects its tokens", () =>
    Effect.gen(function*() {
      const [first, second] = [jwt(9e9, "a"), jwt(9e9, "b")]
      const unknown = respond(403, { detail: "Invalid JWT token" })
      const server = yield* serve({
        [login]: [issued(first), issued(second)],
        [v3]: [unknown, respond(200, dagRow), unknown]
      }, { version: "3.3.2", credentials: password })
      const airflow = yield* server.client
      yield* airflow.dag("d")
      assert.deepStrictEqual(sent(server.requests, v3), [`Bearer ${first}`, `Bearer ${second}`])
      const error = yield* Effect.flip(airflow.dag("d"))
      assert.strictEqual(error.kind, "forbidden")
      assert.strictEqual(sent(server.requests, v3).length, 4)
    }))

  it.effect("by password are sent as Basic to Airflow 2, which issues no tokens", () =>
    Effect.gen(function*() {
      const { airflow, requests } = yield* connect({ [login]: html(404), [dag]: respond(200, dagRow) }, {
        credentials: password
      })
      yield* airflow.dag("d")
      assert.deepStrictEqual(sent(requests, dag), [`Basic ${Buffer.from("u:p").toString("base64")}`])
    }))

  it.effect("that are wrong fail as unauthorized", () =>
    Effect.gen(function*() {
      const server = yield* serve({ [login]: respond(401, { detail: "Invalid credentials" }) }, {
        version: "3.1.8",
        credentials: password
      })
      const error = yield* Effect.flip(server.client)
      assert.deepInclude(error, { kind: "unauthorized", operation: "log in as u" })
    }))

  it.effect("of the caller are read before each request and not shown", () =>
    Effect.gen(function*() {
      let reads = 0
      const headers = Effect.sync(() => ({ "x-key": Redacted.make(`canary-of-the-caller-${++reads}`) }))
      const server = yield* serve({ [dag]: problem(400, "no canary-of-the-caller-3 here") }, {
        credentials: { _tag: "Custom", headers }
      })
      const error = yield* Effect.flip(Effect.flatMap(server.client, (airflow) => airflow.dag("d")))
      assert.deepStrictEqual(server.requests.map(({ headers }) => headers["x-key"]?.slice(-1)), ["1", "2", "3"])
      assert.include(error.message, "<redacted>")
    }))
})

describe("a user", () => {
  const user = { username: "u", password: Redacted.make("p") }

  it.effect("is created, exists, or is not managed by Airflow", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [Responder, string]> = [
        [respond(200, {}), "created"],
        [problem(409, "Username `u` already exists"), "exists"],
        [problem(404, "no route"), "unsupported"],
        [problem(403, null, "Forbidden"), "unsupported"],
        [respond(405, { detail: "Method Not Allowed" }), "unsupported"]
      ]
      for (const [responder, outcome] of cases) {
        const { airflow } = yield* connect({
          "POST /api/v1/users": responder,
          "GET /api/v1/users/u": respond(200, { username: "u", email: "u@example.com" })
        })
        assert.strictEqual(yield* airflow.users.create(user), outcome)
      }
      const { airflow } = yield* connect({ "POST /api/v1/users": problem(400, "Unknown roles") })
      assert.strictEqual((yield* Effect.flip(airflow.users.create(user))).kind, "badRequest")
    }))

  it.effect("does not exist because another user has its e-mail", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        "POST /api/v1/users": problem(409, "The email `u@example.com` is already taken."),
        "GET /api/v1/users/u": problem(404, "not found")
      })
      const error = yield* Effect.flip(airflow.users.create(user))
      assert.deepInclude(error, { kind: "conflict", detail: "The email `u@example.com` is already taken." })
    }))

  it.effect("may have any name that a path can contain", () =>
    Effect.gen(function*() {
      const { airflow, requests } = yield* connect({
        "POST /api/v1/users": respond(200, {}),
        "GET /api/v1/users/vi%20ewer%20%C3%BC": respond(200, { username: "vi ewer ü", email: "x" })
      })
      yield* airflow.users.create({ ...user, username: "vi ewer ü" })
      assert.deepInclude(requests[0]?.body, { username: "vi ewer ü", email: "vi%20ewer%20%C3%BC@example.com" })
      assert.strictEqual((yield* airflow.users.get("vi ewer ü")).username, "vi ewer ü")
      assert.strictEqual(
        (yield* Effect.flip(airflow.users.create({ ...user, username: "vi/ewer" }))).kind,
        "badRequest"
      )
    }))

  it.effect("is managed where Airflow 3 keeps its users, if it manages any", () =>
    Effect.gen(function*() {
      const path = "/auth/fab/v1/users"
      const { airflow } = yield* connect({
        [`POST ${path}`]: respond(200, {}),
        [`GET ${path}/u`]: respond(200, { username: "u", email: "u@example.com", roles: [{ name: "Admin" }] }),
        [`DELETE ${path}/u`]: [respond(204, undefined), respond(404, { detail: "gone" })]
      }, { version: "3.2.2" })
      assert.strictEqual(yield* airflow.users.create(user), "created")
      assert.deepStrictEqual(yield* airflow.users.get("u"), { username: "u", email: "u@example.com", roles: ["Admin"] })
      yield* airflow.users.delete("u")
      yield* airflow.users.delete("u")
      const simple = yield* connect({
        [`POST ${path}`]: respond(405, { detail: "Method Not Allowed" }),
        // the page of every unknown path
        [`GET ${path}/u`]: html(200),
        [`DELETE ${path}/u`]: respond(405, { detail: "Method Not Allowed" })
      }, { version: "3.2.2" })
      assert.strictEqual(yield* simple.airflow.users.create(user), "unsupported")
      assert.strictEqual((yield* Effect.flip(simple.airflow.users.get("u"))).kind, "unsupported")
      assert.strictEqual((yield* Effect.flip(simple.airflow.users.delete("u"))).kind, "unsupported")
    }))
})
