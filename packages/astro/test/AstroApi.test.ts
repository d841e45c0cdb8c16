import { AstroApi } from "@airflow-resource/astro"
import { Deployment, DeploymentProvider } from "@airflow-resource/core"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Option, Redacted, TestClock } from "effect"
import { inspect } from "node:util"

const canary = "canary-5d1f0c"
const id = Deployment.DeploymentId.make("cdeployment0000000000001")
const make = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

type Answer =
  | {
    readonly status: number
    readonly body?: unknown
    readonly headers?: Record<string, string>
    readonly text?: string
  }
  | "refused"
  | "silence"

const account: Record<string, ReadonlyArray<Answer>> = {
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

/** Answers by a table, the last answer again and again; a route that is not in it dies. */
const against = (
  table: Record<string, ReadonlyArray<Answer>>,
  options: { readonly token?: string; readonly organizationId?: string } = {}
) => {
  const sent: Array<string> = []
  const http = HttpClient.make((request, url) =>
    Effect.suspend(() => {
      const route = `${request.method} ${url.pathname.replace(/^\/v1/, "")}`
      const answers = { ...account, ...table }[route]
      const count = sent.filter((earlier) => earlier === route).length
      sent.push(route)
      const answer = answers?.[Math.min(count, answers.length - 1)]
      if (answer === undefined) return Effect.dieMessage(`${route} is not stubbed`)
      return respond(request, answer)
    })
  )
  const layer = AstroApi.layer({
    apiUrl: "https://astro.invalid",
    token: Redacted.make(options.token ?? canary),
    workspaceId: "ws",
    organizationId: Option.fromNullable(options.organizationId)
  }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, http)))
  return { layer, sent, count: (route: string) => sent.filter((one) => one === route).length }
}

const respond = (request: HttpClientRequest.HttpClientRequest, answer: Answer) => {
  if (answer === "silence") return Effect.never
  if (answer === "refused") {
    const cause = new TypeError("fetch failed", { cause: Object.assign(new Error(canary), { code: "ECONNREFUSED" }) })
    return new HttpClientError.RequestError({ request, reason: "Transport", cause })
  }
  const text = answer.text ?? (answer.body === undefined ? null : JSON.stringify(answer.body))
  return Effect.succeed(HttpClientResponse.fromWeb(
    request,
    new Response(answer.status === 204 ? null : text, { status: answer.status, headers: answer.headers ?? {} })
  ))
}

/** Runs a call to its end, moving the clock as far as any wait may go. */
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

const refusal = (status: number, message: string, headers: Record<string, string> = {}): Answer => ({
  status,
  body: { message, requestId: "r1", statusCode: status },
  headers
})
const html: Omit<Exclude<Answer, string>, "status"> = { text: "<html><body>502</body></html>" }
const create = (provider: typeof DeploymentProvider.DeploymentProvider.Service) =>
  provider.create({ name: "pool-1", description: "d", make })
const creating = (answer: Answer) => against({ "POST /organizations/org/deployments": [answer] })
const reading = (...answers: ReadonlyArray<Answer>) => against({ [`GET ${path}`]: answers })

describe("AstroApi names what is wrong", () => {
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
      "no right to make tokens",
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
      "no development deployment",
      () => creating({ status: 200, body: { ...deploymentBody, isDevelopmentMode: false } }),
      create,
      "invalid",
      /development/
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
    ["no answer", () => reading("silence"), ({ get }) => get(id), "timeout", /30s/],
    ["a missing field", () => reading({ status: 200, body: { id } }), ({ get }) => get(id), "undecodable", /name/],
    [
      "no JSON",
      () => reading({ status: 200, text: `{"id": "${canary}` }),
      ({ get }) => get(id),
      "undecodable",
      /Update/
    ],
    [
      "a rate limit that stays",
      () => reading(refusal(429, "Too many requests")),
      ({ get }) => get(id),
      "rateLimited",
      /Fewer processes/
    ]
  ]
  for (const [title, server, call, kind, says] of cases) {
    it.effect(title, () =>
      Effect.map(errorOf(server(), call), (error) => {
        assert.strictEqual(error.kind, kind)
        assert.match(error.message, says)
      }))
  }

  it.effect("a token that has expired, without asking", () =>
    Effect.gen(function*() {
      const server = against({}, { token: token(-60) })
      const error = yield* errorOf(server, ({ ready }) => ready)
      assert.strictEqual(error.kind, "tokenExpired")
      assert.include(error.message, "1969-12-31T23:59:00")
      assert.deepStrictEqual(server.sent, [])
    }))
})

describe("AstroApi repeats", () => {
  it.effect("what is read, up to four times", () =>
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

  it.effect("no creation that may have arrived", () =>
    Effect.forEach(
      [refusal(500, "oh"), { status: 502, ...html }, "refused", "silence"] as const,
      (answer) =>
        Effect.gen(function*() {
          const server = creating(answer)
          assert.isTrue((yield* errorOf(server, create)).ambiguous)
          assert.strictEqual(server.count("POST /organizations/org/deployments"), 1)
        })
    ))

  it.effect("what the rate limit kept out, as late as it says", () =>
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

  it.effect("no check of the account that went well, however many ask at once", () =>
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

  it.effect("a status of tomorrow as UNKNOWN, and HEALTHY that is about to sleep as not awake", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* url({ status: "DREAMING" })).status, "UNKNOWN")
      const override = { isActive: true, isHibernating: true }
      const sleepy = yield* url({ scalingSpec: { hibernationSpec: { override } } })
      assert.strictEqual(sleepy.status, "HEALTHY")
      assert.isFalse(sleepy.isAwake)
    }))
})
