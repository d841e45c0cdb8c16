import { AstroAccount, AstroApi } from "@airflow-resource/astro"
import { Deployment, DeploymentProvider } from "@airflow-resource/core"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Layer, Option, Redacted, TestClock } from "effect"
import { inspect } from "node:util"

const canary = "canary-5d1f0c"
const id = Deployment.DeploymentId.make("cdeployment0000000000001")
const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

/** What the server does with one request. */
type Reply =
  | {
    readonly status: number
    readonly body?: unknown
    readonly headers?: Record<string, string>
    readonly text?: string
  }
  | "refused"
  | "silence"

const account: Record<string, ReadonlyArray<Reply>> = {
  "GET /organizations": [{ status: 200, body: { organizations: [{ id: "org" }], totalCount: 1 } }],
  "GET /organizations/org/workspaces/ws": [{ status: 200, body: { id: "ws" } }]
}
const deploymentBody = {
  id,
  name: "pool-1",
  status: "HEALTHY",
  astroRuntimeVersion: "13.1.0",
  cloudProvider: "AWS",
  region: "us-east-1",
  isDevelopmentMode: true,
  webServerAirflowApiUrl: "host.astronomer.run/dabcdefg/api/v1",
  somethingNew: { of: "tomorrow" }
}
const path = `/organizations/org/deployments/${id}`
const token = (exp: number) => `e30.${Buffer.from(JSON.stringify({ exp, canary })).toString("base64url")}.${canary}`

/** Responds from a table. The last reply of a route repeats; a request to any other route dies. */
const against = (
  table: Record<string, ReadonlyArray<Reply>>,
  options: {
    readonly token?: string
    readonly organizationId?: string
    readonly checked?: string
    readonly apiUrl?: string
  } = {}
) => {
  const sent: Array<string> = []
  const bodies: Array<unknown> = []
  const http = HttpClient.make((request, url) =>
    Effect.suspend(() => {
      const route = `${request.method} ${url.pathname.replace(/^\/v1/, "")}`
      const replies = { ...account, ...table }[route]
      const count = sent.filter((earlier) => earlier === route).length
      sent.push(route)
      if (request.body._tag === "Uint8Array") bodies.push(JSON.parse(new TextDecoder().decode(request.body.body)))
      const reply = replies?.[Math.min(count, replies.length - 1)]
      if (reply === undefined) return Effect.dieMessage(`${route} is not stubbed`)
      return respond(request, reply)
    })
  )
  const layer = AstroApi.layer({
    apiUrl: options.apiUrl ?? "https://astro.invalid",
    token: Redacted.make(options.token ?? canary),
    workspaceId: "ws",
    organizationId: Option.fromNullable(options.organizationId),
    checked: Option.fromNullable(options.checked)
  }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, http)))
  return { layer, sent, bodies, count: (route: string) => sent.filter((one) => one === route).length }
}

/** Bodies are read by promises, which do not run on the TestClock. */
const settled = Effect.repeatN(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), 300)

const respond = (request: HttpClientRequest.HttpClientRequest, reply: Reply) => {
  if (reply === "silence") return Effect.never
  if (reply === "refused") {
    const cause = new TypeError("fetch failed", { cause: Object.assign(new Error(canary), { code: "ECONNREFUSED" }) })
    return new HttpClientError.RequestError({ request, reason: "Transport", cause })
  }
  const text = reply.text ?? (reply.body === undefined ? null : JSON.stringify(reply.body))
  return Effect.succeed(HttpClientResponse.fromWeb(
    request,
    new Response(reply.status === 204 ? null : text, { status: reply.status, headers: reply.headers ?? {} })
  ))
}

/** Runs a call to its end and advances the clock past every wait. */
const exitOf = <A, E>(
  { layer }: ReturnType<typeof against>,
  call: (provider: typeof DeploymentProvider.DeploymentProvider.Service) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(
      Effect.flatMap(DeploymentProvider.DeploymentProvider, call).pipe(Effect.provide(layer))
    )
    yield* Effect.forEach(Array.from({ length: 12 }), () => TestClock.adjust("1 minutes"))
    return yield* Fiber.await(fiber)
  })

const errorOf = (
  server: ReturnType<typeof against>,
  call: (
    provider: typeof DeploymentProvider.DeploymentProvider.Service
  ) => Effect.Effect<unknown, DeploymentProvider.ProviderError>
) =>
  Effect.map(exitOf(server, call), (exit) => {
    assert(Exit.isFailure(exit))
    const error = Option.getOrThrow(Cause.failureOption(exit.cause))
    for (
      const shown of [inspect(error, { depth: 10 }), JSON.stringify(error), error.message, Cause.pretty(exit.cause)]
    ) {
      assert.notInclude(shown, canary)
    }
    assert.isNotEmpty(error.remedy)
    assert.include(error.message, error.remedy)
    return error
  })

const refusal = (status: number, message: string, headers: Record<string, string> = {}): Reply => ({
  status,
  body: { message, requestId: "r1", statusCode: status },
  headers
})
const html: Omit<Exclude<Reply, string>, "status"> = { text: "<html><body>502</body></html>" }
const create = (provider: typeof DeploymentProvider.DeploymentProvider.Service) =>
  provider.create({ name: "pool-1", description: "d", spec })
const creating = (reply: Reply) => against({ "POST /organizations/org/deployments": [reply] })
const reading = (...replies: ReadonlyArray<Reply>) => against({ [`GET ${path}`]: replies })

describe("AstroApi classifies", () => {
  const cases: ReadonlyArray<
    readonly [
      title: string,
      server: () => ReturnType<typeof against>,
      call: (
        provider: typeof DeploymentProvider.DeploymentProvider.Service
      ) => Effect.Effect<unknown, DeploymentProvider.ProviderError>,
      kind: DeploymentProvider.ProviderError["kind"],
      says: RegExp
    ]
  > = [
    [
      "401",
      () => against({ "GET /organizations": [refusal(401, "Invalid authentication")] }),
      ({ ready }) => ready,
      "unauthorized",
      /does not accept this token/
    ],
    [
      "401 of an expired token",
      () => against({ "GET /organizations": [refusal(401, "token is expired")] }),
      ({ ready }) => ready,
      "tokenExpired",
      /cloud\.astronomer\.io\/token/
    ],
    [
      "403",
      () => against({ "GET /organizations": [refusal(403, "Forbidden")] }),
      ({ ready }) => ready,
      "forbidden",
      /Workspace Operator/
    ],
    [
      "a workspace that cannot be seen",
      () => against({ "GET /organizations/org/workspaces/ws": [refusal(404, "not found")] }),
      ({ ready }) => ready,
      "workspaceNotFound",
      /ASTRO_WORKSPACE_ID/
    ],
    [
      "an organization that cannot be seen",
      () => against({}, { organizationId: "other" }),
      ({ ready }) => ready,
      "notFound",
      /other/
    ],
    [
      "no right to mint tokens",
      () => against({ "POST /organizations/org/tokens": [refusal(403, "Forbidden")] }),
      ({ createToken }) => createToken(id, "lease"),
      "forbidden",
      /Workspace Owner/
    ],
    [
      "an unknown runtime",
      () => creating(refusal(400, "Invalid runtime version 99.9.9")),
      create,
      "unknownRuntime",
      /ASTRO_RUNTIME_VERSION/
    ],
    [
      "an unknown region",
      () => creating(refusal(400, "region mars-1 is not supported")),
      create,
      "unknownRegion",
      /ASTRO_REGION/
    ],
    ["a quota", () => creating(refusal(400, "Deployment quota reached")), create, "quota", /AIRFLOW_RESOURCE_MAX/],
    [
      "a name that is taken",
      () => creating(refusal(400, "Invalid request: Deployment name 'pool-1' already exists in this workspace")),
      create,
      "nameTaken",
      /AIRFLOW_RESOURCE_POOL/
    ],
    ["another refusal", () => creating(refusal(400, "description is odd")), create, "invalid", /description is odd/],
    [
      "a new deployment that is not in development mode",
      () =>
        against({
          "POST /organizations/org/deployments": [{
            status: 200,
            body: { ...deploymentBody, isDevelopmentMode: false }
          }],
          [`DELETE ${path}`]: [{ status: 204 }]
        }),
      create,
      "notDevelopment",
      /development.*deleted again/
    ],
    [
      "a new deployment that is not in development mode and cannot be deleted",
      () =>
        against({
          "POST /organizations/org/deployments": [{
            status: 200,
            body: { ...deploymentBody, isDevelopmentMode: false }
          }],
          [`DELETE ${path}`]: [refusal(403, "Forbidden")]
        }),
      create,
      "notDevelopment",
      /Delete pool-1 in Astro's UI/
    ],
    [
      "the hibernation of a deployment that is not in development mode",
      () =>
        against({
          [`POST ${path}/hibernation-override`]: [
            refusal(400, "Invalid request: Hibernation is only available for Deployments in development mode")
          ]
        }),
      ({ hibernate }) => hibernate(id),
      "notDevelopment",
      /use another one/
    ],
    [
      "an organization that is suspended",
      () =>
        against({
          "GET /organizations": [{ status: 200, body: { organizations: [{ id: "org", status: "SUSPENDED" }] } }]
        }),
      ({ ready }) => ready,
      "suspended",
      /org is suspended.*active again/
    ],
    [
      "an organization that was suspended meanwhile",
      () => creating(refusal(403, "Organization is inactive. Please contact Astronomer support.")),
      create,
      "suspended",
      /active again/
    ],
    [
      "an unknown deployment",
      () => reading(refusal(404, "Deployment not found")),
      ({ get }) => get(id),
      "notFound",
      /deleted/
    ],
    ["HTML with a 502", () => reading({ status: 502, ...html }), ({ get }) => get(id), "notJson", /proxy/],
    ["HTML with a 200", () => reading({ status: 200, ...html }), ({ get }) => get(id), "notJson", /proxy/],
    ["no connection", () => reading("refused"), ({ get }) => get(id), "unreachable", /ECONNREFUSED/],
    ["no response", () => reading("silence"), ({ get }) => get(id), "timeout", /30s/],
    [
      "a 404 that is not Astro's",
      () => reading({ status: 404, text: "404 page not found" }),
      ({ get }) => get(id),
      "notJson",
      /captive portal/
    ],
    ["a missing field", () => reading({ status: 200, body: { id } }), ({ get }) => get(id), "undecodable", /name/],
    [
      "invalid JSON",
      () => reading({ status: 200, text: `{"id": "${canary}` }),
      ({ get }) => get(id),
      "notJson",
      /is not JSON/
    ],
    [
      "a lasting rate limit",
      () => reading(refusal(429, "Too many requests")),
      ({ get }) => get(id),
      "rateLimited",
      /fewer processes/
    ]
  ]
  for (const [title, server, call, kind, says] of cases) {
    it.effect(title, () =>
      Effect.map(errorOf(server(), call), (error) => {
        assert.strictEqual(error.kind, kind)
        assert.match(error.message, says)
      }))
  }

  it.effect("an expired token, without a request", () =>
    Effect.gen(function*() {
      const server = against({}, { token: token(0) })
      const error = yield* errorOf(server, ({ ready }) => ready)
      assert.strictEqual(error.kind, "tokenExpired")
      assert.include(error.message, "1970-01-01T00:00:00")
      assert.deepStrictEqual(server.sent, [])
    }))
})

describe("AstroApi decodes a list row by row:", () => {
  const deployments = (...rows: ReadonlyArray<object>) =>
    against({
      "GET /organizations/org/deployments": [{ status: 200, body: { deployments: rows, totalCount: rows.length } }]
    })
  const tokenRow = {
    id: "t1",
    name: "airflow-resource p l s1 e1",
    scope: "DEPLOYMENT",
    createdAt: "2026-11-29T10:00:00Z",
    roles: [{ entityId: id }]
  }
  const tokens = (...rows: ReadonlyArray<object>) =>
    against({ "GET /organizations/org/tokens": [{ status: 200, body: { tokens: rows, totalCount: rows.length } }] })

  it.effect("a deployment without a status has an unknown one", () =>
    Effect.gen(function*() {
      const { status: _, ...row } = deploymentBody
      const exit = yield* exitOf(deployments(row, { ...deploymentBody, status: null }), ({ list }) => list)
      assert(Exit.isSuccess(exit))
      assert.deepStrictEqual(exit.value.map(({ status }) => status), ["UNKNOWN", "UNKNOWN"])
    }))

  it.effect("a deployment or token that belongs to no pool and cannot be decoded is left out", () =>
    Effect.gen(function*() {
      const found = yield* exitOf(deployments({ id: 1, name: "a user's" }, deploymentBody), ({ list }) => list)
      assert(Exit.isSuccess(found))
      assert.deepStrictEqual(found.value.map(({ name }) => name), ["pool-1"])
      const left = yield* exitOf(
        tokens({ id: "t0", name: "a user's" }, tokenRow),
        ({ listTokens }) => listTokens(Deployment.DeploymentId.make(id))
      )
      assert(Exit.isSuccess(left))
      assert.deepStrictEqual(left.value.map((one) => one.id), ["t1"])
    }))

  it.effect("one that may belong to a pool is an error, because it does exist", () =>
    Effect.gen(function*() {
      const description = "Created for tests. [airflow-resource pool p]"
      const list = yield* errorOf(deployments({ ...deploymentBody, description, name: 1 }), ({ list }) => list)
      assert.strictEqual(list.kind, "undecodable")
      assert.match(list.detail, /name/)
      const { createdAt: _, ...row } = tokenRow
      const left = yield* errorOf(tokens(row), ({ listTokens }) => listTokens(Deployment.DeploymentId.make(id)))
      assert.strictEqual(left.kind, "undecodable")
    }))
})

describe("AstroApi retries", () => {
  it.effect("reads, up to four times", () =>
    Effect.gen(function*() {
      const server = reading(refusal(500, "oh"), { status: 502, ...html }, "refused", {
        status: 200,
        body: deploymentBody
      })
      assert.isTrue(Exit.isSuccess(yield* exitOf(server, ({ get }) => get(id))))
      const hopeless = reading(refusal(500, "oh"))
      assert.strictEqual((yield* errorOf(hopeless, ({ get }) => get(id))).kind, "server")
      assert.strictEqual(hopeless.count(`GET ${path}`), 5)
    }))

  it.effect("a read whose response was cut", () =>
    Effect.gen(function*() {
      const { id: _, ...cut } = deploymentBody
      const server = reading(
        { status: 200, text: JSON.stringify(deploymentBody).slice(0, -5) },
        { status: 200, body: cut },
        { status: 200, text: "" },
        { status: 200, body: deploymentBody }
      )
      assert.isTrue(Exit.isSuccess(yield* exitOf(server, ({ get }) => get(id))))
    }))

  it.effect.each([
    { status: 429, headers: { "retry-after": "90" } },
    { status: 503, headers: { "retry-after": "90" } },
    // by Astro's clock
    {
      status: 503,
      headers: { date: "Sun, 29 Nov 2026 10:00:00 GMT", "retry-after": "Sun, 29 Nov 2026 10:01:30 GMT" }
    }
  ])("no sooner than Astro says: %j", ({ headers, status }) =>
    Effect.gen(function*() {
      const server = reading(refusal(status, "slow down", headers), { status: 200, body: deploymentBody })
      const fiber = yield* Effect.fork(
        Effect.flatMap(DeploymentProvider.DeploymentProvider, ({ get }) => get(id)).pipe(Effect.provide(server.layer))
      )
      yield* settled
      yield* TestClock.adjust("89900 millis")
      yield* settled
      assert.strictEqual(server.count(`GET ${path}`), 1)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).name, "pool-1")
    }))

  it.effect("after a pause, even if Astro asks for none", () =>
    Effect.gen(function*() {
      const server = reading(refusal(503, "slow down", { "retry-after": "0" }), { status: 200, body: deploymentBody })
      yield* Effect.fork(
        Effect.flatMap(DeploymentProvider.DeploymentProvider, ({ get }) => get(id)).pipe(Effect.provide(server.layer))
      )
      for (const [pause, count] of [["400 millis", 1], ["100 millis", 2]] as const) {
        yield* settled
        yield* TestClock.adjust(pause)
        yield* settled
        assert.strictEqual(server.count(`GET ${path}`), count)
      }
    }))

  it.effect("no creation that may have been carried out", () =>
    Effect.forEach(
      [refusal(500, "oh"), { status: 502, ...html }, "refused", "silence"] as const,
      (reply) =>
        Effect.gen(function*() {
          const server = creating(reply)
          // uninterruptible, as in the pool
          const error = yield* errorOf(server, (provider) => Effect.uninterruptible(create(provider)))
          assert.isTrue(error.ambiguous)
          assert.strictEqual(server.count("POST /organizations/org/deployments"), 1)
        })
    ))

  it.effect("a write that the rate limit rejected, when Astro says so", () =>
    Effect.gen(function*() {
      const server = against({
        "POST /organizations/org/deployments": [
          refusal(429, "slow down", { "retry-after": "7" }),
          refusal(429, "slow down"),
          { status: 200, body: deploymentBody }
        ]
      })
      const fiber = yield* Effect.fork(
        Effect.flatMap(DeploymentProvider.DeploymentProvider, create).pipe(Effect.provide(server.layer))
      )
      const posts = () => server.count("POST /organizations/org/deployments")
      for (const [pause, count] of [["6900 millis", 1], ["100 millis", 2], ["1 second", 3]] as const) {
        yield* settled
        yield* TestClock.adjust(pause)
        yield* settled
        assert.strictEqual(posts(), count)
      }
      assert.strictEqual((yield* Fiber.join(fiber)).name, "pool-1")
    }))

  it.effect("no rejected write for longer than the ledger expects", () =>
    Effect.gen(function*() {
      const server = creating(refusal(429, "slow down", { "retry-after": "45" }))
      const error = yield* errorOf(server, create)
      assert.strictEqual(error.kind, "rateLimited")
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(45))
      assert.strictEqual(server.count("POST /organizations/org/deployments"), 1)
    }))
})

describe("AstroApi checks the account", () => {
  it.effect("not at all if another process has checked the same configuration", () =>
    Effect.gen(function*() {
      const config = {
        apiUrl: "https://astro.invalid",
        token: Redacted.make(canary),
        workspaceId: "ws",
        organizationId: Option.none()
      }
      const found = { host: "astro.invalid", organizationId: "org", workspaceId: "ws" }
      const checked = yield* AstroAccount.encode(config, found)
      assert.notInclude(checked, canary)
      const server = against({}, { checked })
      assert.deepStrictEqual(yield* exitOf(server, ({ ready }) => ready), Exit.succeed(found))
      assert.deepStrictEqual(server.sent, [])
      const other = against({}, { checked, token: "another" })
      assert.deepStrictEqual(yield* exitOf(other, ({ ready }) => ready), Exit.succeed(found))
      assert.lengthOf(other.sent, 2)
      const late = against({}, { checked, token: token(0) })
      assert.strictEqual((yield* errorOf(late, ({ ready }) => ready)).kind, "tokenExpired")
    }))

  it.effect("once, even for concurrent calls, but again after a failure", () =>
    Effect.gen(function*() {
      const server = against({ "GET /organizations": [refusal(403, "no"), ...(account["GET /organizations"] ?? [])] })
      const exit = yield* exitOf(server, (provider) =>
        Effect.gen(function*() {
          yield* Effect.flip(provider.ready)
          yield* Effect.all(Array.from({ length: 8 }, () => provider.ready), { concurrency: "unbounded" })
        }))
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(server.count("GET /organizations"), 2)
    }))
})

describe("AstroApi accepts a write only by its documented response", () => {
  const overridden = (isHibernating: boolean) => ({
    ...deploymentBody,
    scalingSpec: { hibernationSpec: { override: { isActive: true, isHibernating } } }
  })
  const writes: ReadonlyArray<
    readonly [
      title: string,
      route: string,
      documented: 200 | 204,
      call: (
        provider: typeof DeploymentProvider.DeploymentProvider.Service
      ) => Effect.Effect<unknown, DeploymentProvider.ProviderError>,
      /** The deployment if the write was not carried out. */
      before?: object
    ]
  > = [
    ["a hibernation", `POST ${path}/hibernation-override`, 200, ({ hibernate }) => hibernate(id), deploymentBody],
    ["a wake", `POST ${path}/hibernation-override`, 200, ({ wake }) => wake(id), overridden(true)],
    ["a creation", "POST /organizations/org/deployments", 200, create],
    [
      "the end of an override",
      `DELETE ${path}/hibernation-override`,
      204,
      ({ resumeSchedules }) => resumeSchedules(id)
    ],
    ["a deletion", `DELETE ${path}`, 204, (provider) => provider.delete(id)],
    ["a new token", "POST /organizations/org/tokens", 200, ({ createToken }) => createToken(id, "lease")],
    ["the deletion of a token", "DELETE /organizations/org/tokens/t1", 204, ({ deleteToken }) => deleteToken(id, "t1")],
    ["variables", `POST ${path}`, 200, ({ setVariables }) => setVariables(id, { A: "1" }), deploymentBody]
  ]
  const undocumented: ReadonlyArray<readonly [title: string, reply: Exclude<Reply, string>, says: RegExp]> = [
    ["an HTML page", { status: 200, ...html }, /an HTML page/],
    ["nothing", { status: 200 }, /is empty \(status 200\)/],
    ["text", { status: 200, text: "OK" }, /is not JSON/],
    ["other JSON", { status: 200, body: { error: "log in first" } }, /is not what its API documents|does not confirm/],
    ["a list of deployments", { status: 200, body: { deployments: [] } }, /is not what its API documents|not confirm/],
    [
      "a redirect",
      { status: 302, headers: { location: `https://login.invalid/?token=${canary}` } },
      /is a redirect to https:\/\/login\.invalid, which was not followed \(status 302\)/
    ],
    [
      "a redirect to another path",
      { status: 301, headers: { location: `/login?token=${canary}` } },
      /is a redirect to another path of the same server, which was not followed \(status 301\)/
    ],
    ["202", { status: 202, body: { message: "accepted" } }, /is not what its API documents \(status 202\)/],
    ["a 404 that is not Astro's", { status: 404, text: "404 page not found" }, /is not JSON \(status 404\)/],
    ["a 404 with a page", { status: 404, ...html }, /an HTML page/],
    ["a 407", { status: 407 }, /is empty \(status 407\)/]
  ]
  for (const [title, route, documented, call, before] of writes) {
    const other: typeof undocumented[number] = documented === 200
      ? ["204", { status: 204 }, /is empty \(status 204\)/]
      : ["the deployment", { status: 200, body: deploymentBody }, /is not what its API documents \(status 200\)/]
    it.effect(title, () =>
      Effect.forEach([...undocumented, other], ([what, reply, says]) =>
        Effect.gen(function*() {
          const server = against({ [`GET ${path}`]: [{ status: 200, body: before }], [route]: [reply] })
          const error = yield* errorOf(server, call)
          assert.match(error.message, says, what)
          assert.match(error.remedy, /proxy, a captive portal or a login page/, what)
          assert.isTrue(error.ambiguous, what)
          assert.strictEqual(server.count(route), 1, what)
        })))
  }

  for (const isHibernating of [true, false]) {
    const call: (typeof writes)[number][3] = ({ hibernate, wake }) => isHibernating ? hibernate(id) : wake(id)
    const responding = (reply: Reply, read: Reply) =>
      against({ [`POST ${path}/hibernation-override`]: [reply], [`GET ${path}`]: [read] })
    const unconfirmed: ReadonlyArray<Reply> = [
      { status: 200, body: {} },
      { status: 200, body: { isHibernating: !isHibernating } },
      refusal(400, "Invalid request: Deployment is already hibernating, or awake")
    ]

    it.effect(`isHibernating: ${isHibernating} is confirmed by a read if the response does not say so`, () =>
      Effect.forEach(unconfirmed, (reply) =>
        Effect.gen(function*() {
          const confirmed = responding(reply, { status: 200, body: overridden(isHibernating) })
          assert.deepStrictEqual(yield* exitOf(confirmed, call), Exit.void)
          assert.strictEqual(confirmed.count(`GET ${path}`), 1)
          yield* errorOf(responding(reply, { status: 200, body: overridden(!isHibernating) }), call)
          yield* errorOf(responding(reply, { status: 200, ...html }), call)
        })))

    it.effect(`isHibernating: ${isHibernating} may have been carried out if the read fails, whatever it says`, () =>
      Effect.gen(function*() {
        const server = responding({ status: 200, body: {} }, refusal(403, "Forbidden"))
        assert.isTrue((yield* errorOf(server, call)).ambiguous)
      }))
  }

  it.effect("a hibernation until a time, which is sent in UTC", () =>
    Effect.gen(function*() {
      const server = against({
        [`POST ${path}/hibernation-override`]: [{ status: 200, body: { isHibernating: true } }]
      })
      yield* exitOf(
        server,
        ({ hibernate }) => Effect.zipRight(hibernate(id, Date.UTC(2027, 0, 1) + 999), hibernate(id))
      )
      assert.deepStrictEqual(server.bodies, [
        { isHibernating: true, overrideUntil: "2027-01-01T00:00:00Z" },
        { isHibernating: true }
      ])
    }))

  it.effect("a new deployment, only under the name that was requested; another one is not deleted", () =>
    Effect.gen(function*() {
      const server = creating({ status: 200, body: { ...deploymentBody, name: "mine", isDevelopmentMode: false } })
      const error = yield* errorOf(server, create)
      assert.isTrue(error.ambiguous)
      assert.match(error.detail, /"name"/)
      assert.deepStrictEqual(server.sent.filter((route) => route.startsWith("DELETE")), [])
    }))
})

describe("AstroApi stays below Astro's rate limits", () => {
  for (
    const [method, limit, call] of [
      ["GET", 25, ({ get }) => get(id)],
      ["POST", 10, ({ wake }) => wake(id)],
      ["DELETE", 5, (provider) => provider.delete(id)]
    ] as ReadonlyArray<
      readonly [
        string,
        number,
        (provider: typeof DeploymentProvider.DeploymentProvider.Service) => Effect.Effect<unknown, unknown>
      ]
    >
  ) {
    it.effect(`for ${method}, in every second`, () =>
      Effect.gen(function*() {
        const server = against({
          [`GET ${path}`]: [{ status: 200, body: deploymentBody }],
          [`POST ${path}/hibernation-override`]: [{ status: 200, body: { isHibernating: false } }],
          [`DELETE ${path}`]: [{ status: 204 }]
        })
        const count = () => server.sent.filter((route) => route.startsWith(method) && route.includes(path)).length
        yield* Effect.fork(
          Effect.flatMap(DeploymentProvider.DeploymentProvider, (provider) =>
            Effect.zipRight(
              provider.ready,
              Effect.all(Array.from({ length: 60 }, () => call(provider)), { concurrency: "unbounded" })
            )).pipe(Effect.provide(server.layer))
        )
        const counts: Array<number> = []
        for (let tenth = 0; tenth < 50; tenth++) {
          counts.push(count())
          yield* TestClock.adjust("100 millis")
        }
        const inASecond = counts.flatMap((sent, at) => at < 10 ? [] : [sent - (counts[at - 10] ?? 0)])
        assert.isBelow(Math.max(count() === 0 ? Infinity : 0, counts[9] ?? 0, ...inASecond), limit)
        assert.isAbove(counts[40] ?? 0, counts[20] ?? 0, "and continues")
      }))
  }
})

describe("AstroApi sets variables", () => {
  const configuration = {
    ...deploymentBody,
    type: "STANDARD",
    workspaceId: "ws",
    executor: "CELERY",
    schedulerSize: "SMALL",
    description: "the marker",
    contactEmails: [],
    isCicdEnforced: false,
    isDagDeployEnabled: true,
    isHighAvailability: false,
    scalingSpec: { hibernationSpec: { override: { isHibernating: true } } },
    workerQueues: [{ id: "q", name: "default", isDefault: true, astroMachine: "A5", podCpu: "1", somethingNew: 1 }],
    environmentVariables: [
      { key: "KEPT", isSecret: false, value: "1", updatedAt: "2026-01-01T00:00:00Z" },
      { key: "HIDDEN", isSecret: true },
      { key: "OLD", isSecret: false, value: "old" }
    ]
  }

  it.effect("and leaves everything else as it is", () =>
    Effect.gen(function*() {
      const changed = [
        { key: "KEPT", isSecret: false, value: "1", updatedAt: "2026-01-01T00:00:00Z" },
        { key: "OLD", isSecret: false, value: "new" },
        { key: "KEY", isSecret: true },
        { key: "HIDDEN", isSecret: true }
      ]
      const server = against({
        [`GET ${path}`]: [{ status: 200, body: configuration }],
        [`POST ${path}`]: [{ status: 200, body: { ...configuration, environmentVariables: changed } }]
      })
      const exit = yield* exitOf(server, ({ setVariables }) =>
        setVariables(id, { OLD: "new", KEY: Redacted.make("hush"), HIDDEN: "x" }))
      assert.isTrue(Exit.isSuccess(exit))
      assert.deepStrictEqual(server.bodies, [{
        type: "STANDARD",
        name: "pool-1",
        description: "the marker",
        workspaceId: "ws",
        executor: "CELERY",
        schedulerSize: "SMALL",
        contactEmails: [],
        isCicdEnforced: false,
        isDagDeployEnabled: true,
        isHighAvailability: false,
        isDevelopmentMode: true,
        workerQueues: [{ id: "q", name: "default", isDefault: true, astroMachine: "A5" }],
        environmentVariables: [
          { key: "KEPT", isSecret: false, value: "1" },
          { key: "OLD", isSecret: false, value: "new" },
          { key: "KEY", isSecret: true, value: "hush" },
          { key: "HIDDEN", isSecret: true, value: "x" }
        ]
      }])
    }))

  it.effect("only if the response contains them: a redirected POST is a read, which returns the old ones", () =>
    Effect.gen(function*() {
      const server = against({
        [`GET ${path}`]: [{ status: 200, body: configuration }],
        [`POST ${path}`]: [{ status: 200, body: configuration }]
      })
      for (const variables of [{ OLD: "new" }, { ADDED: "" }, { OLD: Redacted.make("hush") }]) {
        const error = yield* errorOf(server, ({ setVariables }) => setVariables(id, variables))
        assert.isTrue(error.ambiguous)
        assert.match(error.message, /does not confirm that the variables were set.*captive portal/)
      }
    }))

  it.effect("not at all if nothing would change, to avoid a restart", () =>
    Effect.gen(function*() {
      const server = reading({ status: 200, body: configuration })
      const exit = yield* exitOf(server, ({ setVariables }) => setVariables(id, { OLD: "old" }))
      assert.deepStrictEqual(
        exit,
        Exit.succeed([
          { key: "KEPT", isSecret: false, value: "1" },
          { key: "HIDDEN", isSecret: true },
          { key: "OLD", isSecret: false, value: "old" }
        ])
      )
    }))
})

describe("a token that is cut off", () => {
  it.effect("is not sent, and named", () =>
    Effect.gen(function*() {
      const whole = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjk5OTk5OTk5OTl9.c2ln"
      for (const part of [whole.slice(0, 10), whole.slice(0, 30), whole.slice(0, -5), whole.slice(0, -4)]) {
        const server = against({}, { token: part })
        const exit = yield* exitOf(server, ({ ready }) => ready)
        const error = Exit.isFailure(exit) ? Option.getOrThrow(Cause.failureOption(exit.cause)) : undefined
        assert.strictEqual(error?.kind, "unauthorized")
        assert.match(error?.message ?? "", /cut off.*Copy it again, completely.*ASTRO_ACCESS_TOKEN/)
        assert.notInclude(error?.message ?? "", part)
        assert.deepStrictEqual(server.sent, [])
      }
      assert.isTrue(Exit.isSuccess(yield* exitOf(against({}, { token: whole }), ({ ready }) => ready)))
    }))
})

describe("AstroApi reads", () => {
  const url = (fields: object) =>
    Effect.map(
      exitOf(reading({ status: 200, body: { ...deploymentBody, ...fields } }), ({ get }) => get(id)),
      (exit) => {
        assert(Exit.isSuccess(exit))
        return exit.value
      }
    )

  it.effect("an Airflow's URL in every form", () =>
    Effect.gen(function*() {
      const expected = "https://host.astronomer.run/dabcdefg"
      for (const form of ["/api/v1", "/api/v2", "?orgId=org_1", "/home", "/", ""]) {
        const webServerAirflowApiUrl = `host.astronomer.run/dabcdefg${form}`
        assert.strictEqual((yield* url({ webServerAirflowApiUrl })).airflowUrl, expected)
      }
      assert.strictEqual((yield* url({ apiUrl: "http://127.0.0.1:1/d1/api/v1" })).airflowUrl, "http://127.0.0.1:1/d1")
    }))

  it.effect("the page of a deployment only on Astro itself, and elsewhere its Airflow", () =>
    Effect.gen(function*() {
      const uiUrl = (apiUrl: string) =>
        Effect.map(
          exitOf(
            against({ [`GET ${path}`]: [{ status: 200, body: deploymentBody }] }, { apiUrl }),
            ({ get }) => get(id)
          ),
          (exit) => Exit.isSuccess(exit) ? exit.value.uiUrl : undefined
        )
      assert.strictEqual(yield* uiUrl("https://api.astronomer.io"), `https://cloud.astronomer.io/ws/deployments/${id}`)
      const onStage = `https://cloud.astronomer-stage.io/ws/deployments/${id}`
      assert.strictEqual(yield* uiUrl("https://api.astronomer-stage.io/"), onStage)
      assert.strictEqual(yield* uiUrl("http://127.0.0.1:8080"), "https://host.astronomer.run/dabcdefg")
    }))

  it.effect("the end of the override, if it is in force", () =>
    Effect.gen(function*() {
      const at = Date.UTC(2027, 0, 1)
      const read = (override: object) =>
        Effect.map(
          url({ scalingSpec: { hibernationSpec: { override } } }),
          ({ hibernationRequested, overrideUntil }) => [hibernationRequested, overrideUntil]
        )
      for (const overrideUntil of ["2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000Z", "2027-01-01T01:00:00+01:00"]) {
        assert.deepStrictEqual(yield* read({ isActive: true, isHibernating: true, overrideUntil }), [true, at])
        assert.deepStrictEqual(yield* read({ isActive: true, isHibernating: false, overrideUntil }), [false, at])
        assert.deepStrictEqual(yield* read({ isActive: false, isHibernating: true, overrideUntil }), [false, undefined])
      }
      for (const overrideUntil of [undefined, null, "", "soon"]) {
        assert.deepStrictEqual(yield* read({ isActive: true, isHibernating: true, overrideUntil }), [true, undefined])
      }
    }))

  it.effect("an unknown status as UNKNOWN, and HEALTHY with a requested hibernation as not awake", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* url({ status: "DREAMING" })).status, "UNKNOWN")
      const override = { isActive: true, isHibernating: true }
      const sleepy = yield* url({ scalingSpec: { hibernationSpec: { override } } })
      assert.strictEqual(sleepy.status, "HEALTHY")
      assert.isFalse(sleepy.isAwake)
    }))
})
