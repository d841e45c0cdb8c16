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
  options: { readonly token?: string; readonly organizationId?: string; readonly checked?: string } = {}
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
    apiUrl: "https://astro.invalid",
    token: Redacted.make(options.token ?? canary),
    workspaceId: "ws",
    organizationId: Option.fromNullable(options.organizationId),
    checked: Option.fromNullable(options.checked)
  }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, http)))
  return { layer, sent, bodies, count: (route: string) => sent.filter((one) => one === route).length }
}

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
      /ASTRO_ACCESS_TOKEN/
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
    ["a missing field", () => reading({ status: 200, body: { id } }), ({ get }) => get(id), "undecodable", /name/],
    [
      "invalid JSON",
      () => reading({ status: 200, text: `{"id": "${canary}` }),
      ({ get }) => get(id),
      "undecodable",
      /Update/
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
      yield* TestClock.adjust("6900 millis")
      assert.strictEqual(posts(), 1)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(posts(), 2)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(posts(), 3)
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
          [`POST ${path}/hibernation-override`]: [{ status: 200, body: {} }],
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
      const server = against({
        [`GET ${path}`]: [{ status: 200, body: configuration }],
        [`POST ${path}`]: [{ status: 200, body: configuration }]
      })
      yield* exitOf(server, ({ setVariables }) =>
        setVariables(id, { OLD: "new", KEY: Redacted.make("hush"), HIDDEN: "x" }))
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

  it.effect("an unknown status as UNKNOWN, and HEALTHY with a requested hibernation as not awake", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* url({ status: "DREAMING" })).status, "UNKNOWN")
      const override = { isActive: true, isHibernating: true }
      const sleepy = yield* url({ scalingSpec: { hibernationSpec: { override } } })
      assert.strictEqual(sleepy.status, "HEALTHY")
      assert.isFalse(sleepy.isAwake)
    }))
})
