import type { AirflowError } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Redacted, TestClock } from "effect"
import { inspect } from "node:util"
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
    attempts: 1,
    says: "not what"
  },
  {
    title: "an unexpected response",
    responder: respond(200, { v: 1 }),
    kind: "undecodable",
    attempts: 1,
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

  it.effect("are retried no sooner than the server asks for", () =>
    Effect.gen(function*() {
      const limited = respond(429, "", { "retry-after": "20" })
      const { airflow } = yield* connect({ [dag]: [limited, respond(200, dagRow)] })
      const waited = Effect.zipRight(airflow.dag("d"), Clock.currentTimeMillis)
      assert.strictEqual(yield* inVirtualTime(waited), 20_000)
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
        const { airflow } = yield* connect({ "POST /api/v1/users": responder })
        assert.strictEqual(yield* airflow.users.create(user), outcome)
      }
      const { airflow } = yield* connect({ "POST /api/v1/users": problem(400, "Unknown roles") })
      assert.strictEqual((yield* Effect.flip(airflow.users.create(user))).kind, "badRequest")
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
