import { Deployment, DeploymentProvider } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, type Scope } from "effect"
import * as Cli from "./cli.js"

const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

type Service = typeof DeploymentProvider.DeploymentProvider.Service

interface Refusal {
  readonly title: string
  readonly kind: DeploymentProvider.ProviderError["kind"]
  readonly remedy: RegExp
  readonly emulator?: Emulator.Options
  /** Wrong configuration for the provider. */
  readonly wrong?: (emulator: Emulator.Service) => Effect.Effect<Partial<Emulator.Service>>
  readonly call: (
    provider: Service,
    emulator: Emulator.Service
  ) => Effect.Effect<unknown, DeploymentProvider.ProviderError>
}

const ready: Refusal["call"] = (provider) => provider.ready
const create = (provider: Service, changed: Partial<Deployment.DeploymentSpec> = {}, name = "one") =>
  provider.create({ name, description: "", spec: { ...spec, ...changed } })
const refusing =
  (then: Parameters<Emulator.Service["faults"]["next"]>[0]["then"]): Refusal["call"] => (provider, { faults }) =>
    Effect.zipRight(faults.next({ match: { method: "POST" }, then }), create(provider))

const refusals: ReadonlyArray<Refusal> = [
  {
    title: "an unknown runtime",
    kind: "unknownRuntime",
    remedy: /ASTRO_RUNTIME_VERSION/,
    call: (provider) => create(provider, { runtimeVersion: "99.9.9" })
  },
  {
    title: "a region that is not offered",
    kind: "unknownRegion",
    remedy: /ASTRO_REGION/,
    call: (provider) => create(provider, { region: "mars-1" })
  },
  {
    title: "one deployment too many",
    kind: "quota",
    remedy: /AIRFLOW_RESOURCE_MAX/,
    emulator: { maxDeployments: 1 },
    call: (provider) => Effect.zipRight(create(provider), create(provider, {}, "two"))
  },
  {
    title: "a name that is taken",
    kind: "nameTaken",
    remedy: /AIRFLOW_RESOURCE_POOL/,
    call: (provider) => Effect.zipRight(create(provider), create(provider))
  },
  {
    title: "the hibernation of a deployment that is not in development mode",
    kind: "notDevelopment",
    remedy: /development mode/,
    call: (provider, { astroToken, organizationId, url, workspaceId }) =>
      Effect.promise(async () => {
        const response = await fetch(`${url}/v1/organizations/${organizationId}/deployments`, {
          method: "POST",
          headers: { authorization: `Bearer ${Redacted.value(astroToken)}` },
          body: JSON.stringify({ name: "one", workspaceId })
        })
        const { id }: { readonly id: Deployment.DeploymentId } = await response.json() as never
        return id
      }).pipe(Effect.flatMap(provider.hibernate))
  },
  {
    title: "a workspace that the token does not see",
    kind: "workspaceNotFound",
    remedy: /ASTRO_WORKSPACE_ID/,
    wrong: () => Effect.succeed({ workspaceId: "cother0000000000000000000" }),
    call: ready
  },
  {
    title: "a token that sees no organization",
    kind: "notFound",
    remedy: /token of the organization/,
    emulator: { organization: "INVISIBLE" },
    call: ready
  },
  {
    title: "a token that has expired",
    kind: "tokenExpired",
    remedy: /cloud\.astronomer\.io\/token/,
    wrong: ({ mintAstroToken }) => Effect.map(mintAstroToken({ expiresIn: 0 }), (astroToken) => ({ astroToken })),
    call: ready
  },
  {
    title: "a malformed token",
    kind: "tokenExpired",
    remedy: /ASTRO_ACCESS_TOKEN/,
    wrong: () => Effect.succeed({ astroToken: Redacted.make("none") }),
    call: ready
  },
  {
    title: "a token without the right to mint tokens",
    kind: "forbidden",
    remedy: /Workspace Owner/,
    emulator: { tokenRights: "operator" },
    call: (provider) => Effect.flatMap(create(provider), ({ id }) => provider.createToken(id, "lease"))
  },
  {
    title: "a token that may only read",
    kind: "forbidden",
    remedy: /Workspace Operator/,
    emulator: { tokenRights: "member" },
    call: (provider) => create(provider)
  },
  {
    title: "a suspended organization",
    kind: "suspended",
    remedy: /support/,
    emulator: { organization: "SUSPENDED" },
    call: ready
  },
  {
    title: "an unknown deployment",
    kind: "notFound",
    remedy: /deleted/,
    call: (provider) => provider.wake(Deployment.DeploymentId.make("c00000000000000000000none"))
  },
  {
    title: "a rate limit",
    kind: "rateLimited",
    remedy: /fewer processes/,
    call: refusing({ _tag: "Status", status: 429, body: { message: "slow" }, headers: { "Retry-After": "45" } })
  },
  {
    title: "a refusal by a gateway",
    kind: "notJson",
    remedy: /HTTPS_PROXY/,
    call: refusing({ _tag: "Html", status: 502 })
  },
  {
    title: "a failure of Astro",
    kind: "server",
    remedy: /cloudstatus/,
    call: refusing({ _tag: "Status", status: 500, body: { message: "oh", requestId: "r1", statusCode: 500 } })
  }
]

/** A refusal by Astro is the same error through the astro CLI (at `bin`, or the first on the PATH) as through REST. */
export const suite = (name: string, bin: Effect.Effect<string | undefined, never, Scope.Scope>) =>
  describe(`${name} reports the same error as REST for`, () => {
    for (const { call, emulator: options, kind, remedy, title, wrong } of refusals) {
      it.scopedLive(title, () =>
        Effect.gen(function*() {
          const program = yield* bin
          const errorBy = (services: (emulator: Emulator.Service) => ReturnType<typeof Cli.rest>) =>
            Effect.scoped(Effect.gen(function*() {
              const emulator = yield* Emulator.make(options)
              const account = { ...emulator, ...(wrong === undefined ? {} : yield* wrong(emulator)) }
              const error = yield* Effect.flatMap(DeploymentProvider.DeploymentProvider, (provider) =>
                call(provider, emulator))
                .pipe(
                  Effect.flip,
                  Effect.provide(services(account))
                )
              assert.notInclude(JSON.stringify(error), Redacted.value(account.astroToken))
              return error
            }))
          const rest = yield* errorBy(Cli.rest)
          assert.strictEqual(rest.kind, kind)
          assert.match(rest.remedy, remedy)
          const cli = yield* errorBy((emulator) =>
            Cli.services(emulator, program)
          )
          assert.deepStrictEqual(comparable(cli), comparable(rest))
        }))
    }
  })

/** Without times and request ids, which differ between emulators. */
const comparable = ({ detail, requestId: _, ...rest }: DeploymentProvider.ProviderError) => ({
  ...rest,
  detail: detail.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/, "TIME")
})
