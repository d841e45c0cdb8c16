/**
 * `npm run check:openapi PATH…`: requests every response of every route of the emulated Astro API that the OpenAPI document at PATH
 * describes, and checks each against the document (https://api.astronomer.io/spec/v1.0, /spec/platform/v1beta1, /spec/iam/v1beta1).
 */
import { Emulator } from "@airflow-resource/emulator"
import { Console, Effect, type Redacted } from "effect"
import * as fs from "node:fs"
import { routes } from "../../packages/emulator/src/internal/astro/Routes.js"
import { send, until } from "../../packages/emulator/test/client.js"
import * as OpenApi from "./openapi.js"

interface Request {
  readonly emulator: Emulator.Service
  /** Relative to the organization, or to the API if it starts with a slash. */
  readonly path: string
  readonly body?: unknown
  readonly token?: Redacted.Redacted | undefined
}

const call = (method: string, { body, emulator, path, token }: Request, base = "/v1") => {
  const below = path.startsWith("/") ? path : `/organizations/${emulator.organizationId}/${path}`
  return send(method, `${emulator.astroApiUrl}${base}${below.replace(/\/$/, "")}`, { token, body })
}

const apis = { "/v1": routes.v1, "/platform/v1beta1": routes.platform, "/iam/v1beta1": routes.iam }

/** What a new deployment needs before version 1. */
const complete = {
  type: "STANDARD",
  astroRuntimeVersion: "13.1.0",
  executor: "CELERY",
  schedulerSize: "SMALL",
  isCicdEnforced: false,
  isDagDeployEnabled: true,
  isHighAvailability: false,
  defaultTaskPodCpu: "0.25",
  defaultTaskPodMemory: "0.5Gi",
  resourceQuotaCpu: "10",
  resourceQuotaMemory: "20Gi"
}

/** Deployments in every state, tokens, and everything else that the requests need. */
const stage = Effect.gen(function*() {
  // changes take effect at once, except that a wake and an update do not end
  const durations = {
    create: 0,
    hibernate: 0,
    wakeHibernating: 0,
    wake: "1 hour",
    update: "1 hour",
    deploy: 0
  } as const
  const emulator = yield* Emulator.make({ durations, maxDeployments: 11 })
  const invisible = yield* Emulator.make({ organization: "INVISIBLE" })
  const suspended = yield* Emulator.make({ organization: "SUSPENDED" })
  const flaky = yield* Emulator.make({ durations, quirks: { blips: "1 second", hostFlips: 1 } })
  const at = (path: string, body?: unknown, of = emulator, token = of.astroToken): Request => ({
    emulator: of,
    path,
    body,
    token
  })
  const make = (name: string, fields: object = {}, of = emulator) => {
    const body = { name, workspaceId: of.workspaceId, isDevelopmentMode: true, description: "", ...fields }
    return Effect.map(call("POST", at("deployments", body, of)), ({ json }) => json)
  }
  const override = (id: string, isHibernating: boolean) =>
    call("POST", at(`deployments/${id}/hibernation-override`, { isHibernating }))
  const schedules = [{ hibernateAtCron: "0 20 * * *", wakeAtCron: "0 6 * * *", isEnabled: true, description: "nights" }]
  const full = {
    workloadIdentity: "arn:aws:iam::123:role/x",
    contactEmails: ["a@example.org"],
    environmentVariables: [{ key: "A", value: "1", isSecret: false }, { key: "B", value: "2", isSecret: true }],
    scalingSpec: {
      hibernationSpec: { schedules, override: { isHibernating: true, overrideUntil: "2099-01-01T00:00:00Z" } }
    }
  }
  const [healthy, asleep, waking, changed, rich, doomed] = [
    yield* make("healthy"),
    yield* make("asleep"),
    yield* make("waking"),
    yield* make("changed"),
    yield* make("rich", full),
    yield* make("doomed")
  ]
  const kubernetes = yield* make("kubernetes", { executor: "KUBERNETES", astroRuntimeVersion: "3.1-12" })
  const production = yield* make("production", { isDevelopmentMode: false })
  yield* emulator.neverHealthy(true)
  const creating = yield* make("creating")
  yield* override(asleep.id, true)
  yield* override(waking.id, true)
  yield* override(waking.id, false)
  const environmentVariables = [{ key: "A", value: "1", isSecret: false }]
  yield* call("POST", at(`deployments/${changed.id}`, { ...changed, environmentVariables }))
  const deploy = (yield* call("POST", at(`deployments/${healthy.id}/deploys`, { type: "DAG_ONLY" }))).json
  const { headers } = yield* send("PUT", deploy.dagsUploadUrl, { body: "a bundle" })
  const patient = yield* make("patient", {}, flaky)
  const token = (fields: object) => Effect.map(call("POST", at("tokens", fields)), ({ json }) => json)
  const workspace = { scope: "WORKSPACE", entityId: emulator.workspaceId }
  return {
    at,
    emulator,
    invisible,
    suspended,
    flaky,
    patient,
    member: yield* emulator.mintAstroToken({ rights: "member" }),
    deployments: { healthy, asleep, waking, changed, rich, kubernetes, production, creating },
    doomed,
    schedules,
    deploy,
    dagTarballVersion: headers.get("x-ms-version-id"),
    workspace,
    deploymentToken: yield* token({
      name: "d",
      role: "DEPLOYMENT_ADMIN",
      scope: "DEPLOYMENT",
      entityId: healthy.id,
      tokenExpiryPeriodInDays: 1
    }),
    workspaceToken: yield* token({ name: "w", role: "WORKSPACE_AUTHOR", ...workspace })
  }
})

type Stage = Effect.Effect.Success<typeof stage>

/** Requests by route and expected status. 401 is added, and 403 for routes of an organization. */
const table = (
  {
    at,
    dagTarballVersion,
    deploy,
    deploymentToken,
    deployments,
    doomed,
    emulator,
    flaky,
    invisible,
    member,
    patient,
    schedules,
    suspended,
    workspace,
    workspaceToken
  }: Stage,
  isV1: boolean
): Record<string, Record<number, ReadonlyArray<Request>>> => {
  const { asleep, healthy, production, rich } = deployments
  const one = `deployments/${healthy.id}`
  const forbidden = (path: string, body?: unknown) => at(path, body, emulator, member)
  const create = (fields: object, of = emulator) =>
    at(
      "deployments",
      { ...(isV1 ? {} : complete), name: "new", workspaceId: of.workspaceId, isDevelopmentMode: true, ...fields },
      of
    )
  const update = (fields: object) => at(one, { ...healthy, ...fields })
  const mint = ({ scope, ...fields }: { readonly scope: string } & Record<string, unknown>) =>
    at("tokens", { ...fields, [isV1 ? "scope" : "type"]: scope })
  const role = { entityType: "WORKSPACE", entityId: emulator.workspaceId, role: "WORKSPACE_AUTHOR" }
  const everyRole = [
    role,
    { entityType: "ORGANIZATION", entityId: emulator.organizationId, role: "ORGANIZATION_MEMBER" },
    { entityType: "DEPLOYMENT", entityId: healthy.id, role: "DEPLOYMENT_ADMIN" }
  ]
  return {
    "GET organizations": {
      200: [
        at("/organizations"),
        at("/organizations", undefined, suspended),
        at("/organizations", undefined, invisible)
      ],
      400: [at("/organizations?limit=1001")]
    },
    "GET organizations/:o": { 200: [at("")] },
    "GET organizations/:o/workspaces": { 200: [at("workspaces")], 400: [at("workspaces?offset=-1")] },
    "GET organizations/:o/workspaces/:w": {
      200: [at(`workspaces/${emulator.workspaceId}`)],
      404: [at("workspaces/none")]
    },
    "GET organizations/:o/deployment-options": { 200: [at("deployment-options")] },
    "GET organizations/:o/cluster-options": {
      200: [at("cluster-options?type=DEDICATED"), at("cluster-options?type=DEDICATED&provider=GCP")],
      400: [at("cluster-options")]
    },
    "GET organizations/:o/clusters": { 200: [at("clusters")] },
    "GET organizations/:o/clusters/:c": { 404: [at("clusters/none")] },
    "POST organizations/:o/deployments/:d/deploys": {
      200: [
        at(`deployments/${production.id}/deploys`, {
          type: "DAG_ONLY",
          description: "d",
          git: { provider: "GITHUB", commitSha: "abc" }
        })
      ],
      400: [
        at(`${one}/deploys`, { type: "IMAGE_ONLY" }),
        at(`deployments/${asleep.id}/deploys`, { type: "DAG_ONLY" })
      ],
      403: [forbidden(`${one}/deploys`, { type: "DAG_ONLY" })],
      404: [at("deployments/none/deploys", { type: "DAG_ONLY" })]
    },
    "POST organizations/:o/deployments/:d/deploys/:y/finalize": {
      200: [at(`${one}/deploys/${deploy.id}/finalize`, { dagTarballVersion })],
      400: [
        at(`${one}/deploys/${deploy.id}/finalize`, { dagTarballVersion: "none" }),
        at(`${one}/deploys/none/finalize`, { dagTarballVersion })
      ],
      403: [forbidden(`${one}/deploys/${deploy.id}/finalize`, { dagTarballVersion })]
    },
    "GET organizations/:o/deployments": {
      200: [at("deployments"), at("deployments?limit=2&offset=1&sorts=name:desc"), at("deployments", undefined, flaky)],
      400: [at("deployments?limit=-1")]
    },
    "POST organizations/:o/deployments": {
      200: [create({}), create({ name: "asleep at once", scalingSpec: { hibernationSpec: { schedules } } })],
      400: [
        create({ name: "" }),
        create({ name: "healthy" }),
        create({ workspaceId: "none" }),
        create({ name: "x", type: "HYBRID" }),
        create({ name: "x", astroRuntimeVersion: "1.2.3" }),
        create({ name: "x", region: "mars" }),
        create({ name: "x", isDevelopmentMode: false, scalingSpec: { hibernationSpec: {} } }),
        create({ name: "x", isHighAvailability: true }),
        create({ name: "x", environmentVariables: [{}] }),
        create({}, suspended),
        create({ name: "one too many" })
      ],
      403: [forbidden("deployments", { name: "x", workspaceId: emulator.workspaceId })]
    },
    "GET organizations/:o/deployments/:d": {
      200: [
        ...Object.values(deployments).map(({ id }) => at(`deployments/${id}`)),
        at(`deployments/${patient.id}`, undefined, flaky),
        at(`deployments/${patient.id}`, undefined, flaky)
      ],
      404: [at("deployments/none")]
    },
    "POST organizations/:o/deployments/:d": {
      200: [
        update({ description: "changed" }),
        update({ executor: "KUBERNETES" }),
        at(`deployments/${rich.id}`, { ...rich, scalingSpec: {} })
      ],
      400: [
        update({ name: "" }),
        update({ name: "asleep" }),
        at(`deployments/${production.id}`, { ...production, isDevelopmentMode: true })
      ],
      403: [forbidden(one, healthy)],
      404: [at("deployments/none", healthy)]
    },
    "POST organizations/:o/deployments/:d/hibernation-override": {
      200: [
        at(`${one}/hibernation-override`, { isHibernating: true }),
        at(`${one}/hibernation-override`, { isHibernating: false, overrideUntil: "2099-01-01T00:00:00Z" }),
        at(`${one}/hibernation-override`, { isHibernating: null })
      ],
      400: [
        at(`${one}/hibernation-override`, {}),
        at(`${one}/hibernation-override`, { isHibernating: true, overrideUntil: "soon" }),
        at(`deployments/${production.id}/hibernation-override`, { isHibernating: true })
      ],
      403: [forbidden(`${one}/hibernation-override`, { isHibernating: true })],
      404: [at("deployments/none/hibernation-override", { isHibernating: true })]
    },
    "DELETE organizations/:o/deployments/:d/hibernation-override": {
      204: [at(`${one}/hibernation-override`)],
      403: [forbidden(`${one}/hibernation-override`)],
      404: [at("deployments/none/hibernation-override")]
    },
    "GET organizations/:o/deployments/:d/logs": {
      200: [at(`${one}/logs?sources=worker&limit=5`)],
      400: [at(`${one}/logs`), at("deployments/none/logs?sources=worker")]
    },
    "GET organizations/:o/deployments/:d/deploys": {
      200: [at(`${one}/deploys`)],
      400: [at(`${one}/deploys?limit=-1`)],
      404: [at("deployments/none/deploys")]
    },
    "GET organizations/:o/deployments/:d/deploys/:y": {
      200: [at(`${one}/deploys/${deploy.id}`)],
      404: [at(`${one}/deploys/none`)]
    },
    "GET organizations/:o/tokens": {
      200: [at("tokens"), at(`tokens?deploymentId=${healthy.id}`), at(`tokens?workspaceId=${emulator.workspaceId}`)],
      400: [at("tokens?limit=-1")],
      404: [at("tokens?deploymentId=none")]
    },
    "POST organizations/:o/tokens": {
      200: [
        mint({ name: "t", role: "ORGANIZATION_MEMBER", scope: "ORGANIZATION", description: "d" }),
        mint({ name: "t", role: "WORKSPACE_OWNER", ...workspace, tokenExpiryPeriodInDays: 3650 })
      ],
      400: [
        at("tokens", { name: "t" }),
        mint({ name: "t", role: "KING", ...workspace }),
        mint({ name: "t", role: "WORKSPACE_OWNER", ...workspace, tokenExpiryPeriodInDays: 0 })
      ],
      403: [forbidden("tokens", { name: "t", role: "WORKSPACE_OWNER", ...workspace })],
      404: [mint({ name: "t", role: "DEPLOYMENT_ADMIN", scope: "DEPLOYMENT", entityId: "none" })]
    },
    "GET organizations/:o/tokens/:t": {
      200: [at(`tokens/${deploymentToken.id}`), at(`tokens/${workspaceToken.id}`)],
      404: [at("tokens/none")]
    },
    "POST organizations/:o/tokens/:t": {
      200: [at(`tokens/${workspaceToken.id}`, { name: "renamed", description: "d" })],
      400: [at(`tokens/${workspaceToken.id}`, {})],
      403: [forbidden(`tokens/${workspaceToken.id}`, { name: "renamed" })],
      404: [at("tokens/none", { name: "renamed" })]
    },
    "POST organizations/:o/tokens/:t/roles": {
      200: [
        at(`tokens/${workspaceToken.id}/roles`, { roles: everyRole }),
        at(`tokens/${workspaceToken.id}/roles`, { roles: [role] })
      ],
      400: [at(`tokens/${workspaceToken.id}/roles`, { roles: [] })],
      403: [forbidden(`tokens/${workspaceToken.id}/roles`, { roles: [role] })],
      404: [at("tokens/none/roles", { roles: [role] })]
    },
    "POST organizations/:o/tokens/:t/rotate": {
      200: [at(`tokens/${deploymentToken.id}/rotate`)],
      403: [forbidden(`tokens/${deploymentToken.id}/rotate`)],
      404: [at("tokens/none/rotate")]
    },
    "DELETE organizations/:o/tokens/:t": {
      204: [at(`tokens/${deploymentToken.id}`)],
      403: [forbidden(`tokens/${workspaceToken.id}`)],
      404: [at(`tokens/${deploymentToken.id}`)]
    },
    "GET users/self": { 200: [at("/users/self?createIfNotExist=true")] },
    "DELETE organizations/:o/deployments/:d": {
      204: [at(`deployments/${doomed.id}`)],
      403: [forbidden(one)],
      404: [at(`deployments/${doomed.id}`)]
    }
  }
}

const validate = (path: string) =>
  Effect.gen(function*() {
    const openApi = OpenApi.load(path)
    const { base } = openApi
    const set = yield* stage
    const problems: Array<string> = []
    let responses = 0
    const statuses = new Set<unknown>()
    const check = (operation: string, expected: number, request: Request) =>
      Effect.map(call(operation.split(" ")[0] ?? "", request, base), (response) => {
        responses += 1
        statuses.add(response.json?.status)
        const wrong = response.status === expected
          ? openApi.disagreements(operation, response)
          : [`the status is not ${expected}: ${response.text.slice(0, 200)}`]
        problems.push(...wrong.map((words) => `${operation} ${response.status}: ${words}`))
      })

    const known = (apis[base as keyof typeof apis] ?? []).map(({ method, pattern }) => `${method} ${pattern.join("/")}`)
    const all = table(set, base === "/v1")
    const driven = Object.fromEntries(Object.entries(all).filter(([name]) => known.includes(name)))
    const everywhere = Object.values(apis).flat().map(({ method, pattern }) => `${method} ${pattern.join("/")}`)
    problems.push(...known.filter((operation) => !(operation in driven)).map((name) => `${name} was not requested`))
    problems.push(...Object.keys(all).filter((name) => !everywhere.includes(name)).map((name) => `${name} is no route`))
    if (known.length === 0) problems.push(`the document describes ${base}, which the emulator does not have`)
    // a new deployment is UNHEALTHY for a second, then UNKNOWN for a second
    const reading = "GET organizations/:o/deployments/:d"
    const hasDeployments = known.includes(reading)
    for (const status of hasDeployments ? ["UNHEALTHY", "UNKNOWN"] : []) {
      const request = set.at(`deployments/${set.patient.id}`, undefined, set.flaky)
      yield* until(call("GET", request), ({ json }) => json.status === status)
      yield* check(reading, 200, request)
    }
    for (const [operation, states] of Object.entries(driven)) {
      for (const [status, requests] of Object.entries(states)) {
        yield* Effect.forEach(requests, (request) => check(operation, Number(status), request), { discard: true })
      }
      const [first] = Object.values(states).flat()
      if (first === undefined) continue
      yield* check(operation, 401, { ...first, token: undefined })
      if (operation.includes(":o")) {
        const { astroToken: token, organizationId } = set.invisible
        yield* check(operation, 403, { ...first, emulator: { ...set.invisible, organizationId }, token })
      }
    }
    const unseen = ["CREATING", "DEPLOYING", "HEALTHY", "UNHEALTHY", "UNKNOWN", "HIBERNATING"]
      .filter((status) => hasDeployments && !statuses.has(status))
    problems.push(...unseen.map((status) => `no deployment was ${status}`))
    // responses that the document does not declare must have the shape of its errors
    const limited = yield* Emulator.make({ quirks: { rateLimits: { perSecond: { GET: 0.001 } } } })
    yield* call("GET", set.at("", undefined, limited))
    const strays = [
      [429, "GET", set.at("", undefined, limited)],
      [404, "GET", set.at("nothing")],
      [405, "PUT", set.at(hasDeployments ? "deployments" : "tokens", {})]
    ] as const
    for (const [status, method, request] of strays) {
      const response = yield* call(method, request, base)
      responses += 1
      const wrong = response.status === status ? openApi.error(response) : [`the status is ${response.status}`]
      problems.push(...wrong.map((words) => `${method} ${request.path} ${status}: ${words}`))
    }
    yield* Console.log(`${responses} responses of ${known.length} routes checked against ${openApi.title}`)
    yield* Effect.forEach([...new Set(problems)], (problem) => Console.error(problem), { discard: true })
    return problems.length === 0
  }).pipe(Effect.scoped)

const paths = process.argv.slice(2)
if (paths.length === 0 || !paths.every((path) => fs.existsSync(path))) {
  process.stderr.write("Usage: npm run check:openapi PATH_OF_OPENAPI_YAML…\n")
  process.exitCode = 2
} else {
  const valid = await Effect.runPromise(Effect.forEach(paths, validate))
  process.exitCode = valid.every(Boolean) ? 0 : 1
}
