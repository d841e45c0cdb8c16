/**
 * Astro's REST API as a provider of deployments.
 *
 * @since 0.1.0
 */
import { Deployment, DeploymentId, DeploymentStatus } from "@airflow-resource/core/Deployment"
import type { DeploymentToken, DeploymentVariable } from "@airflow-resource/core/DeploymentProvider"
import {
  type Account,
  DeploymentProvider,
  type NewDeployment,
  type ProviderError
} from "@airflow-resource/core/DeploymentProvider"
import * as PinnedClock from "@airflow-resource/core/PinnedClock"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as AstroAccount from "./AstroAccount.js"
import type { AstroConfig } from "./AstroConfig.js"
import * as AstroCredentials from "./AstroCredentials.js"
import * as AstroPrerequisites from "./AstroPrerequisites.js"
import * as AstroError from "./internal/astroError.js"
import * as Transport from "./internal/transport.js"

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: AstroConfig
): Effect.Effect<typeof DeploymentProvider.Service, never, HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    const call = yield* Transport.make(options)

    const http = yield* HttpClient.HttpClient
    const findAccount = Effect.gen(function*() {
      yield* checkExpiry(options.token)
      const checked = yield* AstroAccount.decode(options)
      if (Option.isSome(checked)) return checked.value
      const { id } = yield* AstroPrerequisites.organization(options)
      yield* AstroPrerequisites.workspace(options, id)
      return AstroAccount.accountOf(options, id)
    }).pipe(Effect.provideService(HttpClient.HttpClient, http))
    const gate = yield* Effect.makeSemaphore(1)
    let account = Option.none<Account>()
    const ready = gate.withPermits(1)(Effect.suspend(() =>
      Option.match(account, {
        onSome: Effect.succeed,
        onNone: () => Effect.tap(findAccount, (found) => Effect.sync(() => account = Option.some(found)))
      })
    ))

    // the list as a whole is read and written: between the two nobody else may
    const oneAtATime = (yield* Effect.makeSemaphore(1)).withPermits(1)

    const at = (path: string) => Effect.map(ready, ({ organizationId }) => `/organizations/${organizationId}${path}`)
    const deployment = (id: DeploymentId) => at(`/deployments/${encodeURIComponent(id)}`)
    const toDeployment = fromAstro(options.workspaceId)

    const pages = <A>(path: string, page: (url: string) => Effect.Effect<Page<A>, ProviderError>) => {
      const from = (offset: number): Effect.Effect<ReadonlyArray<A>, ProviderError> =>
        Effect.flatMap(page(`${path}&limit=${pageSize}&offset=${offset}`), ({ items, total }) => {
          const seen = offset + items.length
          return items.length === 0 || seen >= total || seen >= pageSize * maxPages
            ? Effect.succeed(items)
            : Effect.map(from(seen), (rest) => [...items, ...rest])
        })
      return from(0)
    }

    const setHibernating = (operation: string, id: DeploymentId, isHibernating: boolean) =>
      Effect.flatMap(
        deployment(id),
        (path) => call.write("POST", operation, `${path}/hibernation-override`, { isHibernating })
      ).pipe(
        // already as it should be
        Effect.catchIf((error) => error.kind === "invalid" && /already/i.test(error.detail), () => Effect.void)
      )

    return DeploymentProvider.of({
      ready: pin(ready),
      list: pin(Effect.flatMap(
        at(`/deployments?workspaceIds=${encodeURIComponent(options.workspaceId)}`),
        (path) =>
          pages(
            path,
            (url) =>
              Effect.map(call.read("list deployments", url, Deployments), ({ deployments, totalCount }) => ({
                items: deployments.map(toDeployment),
                total: totalCount
              }))
          )
      )),
      get: (id) =>
        pin(
          Effect.flatMap(deployment(id), (path) =>
            Effect.map(call.read(`read the deployment ${id}`, path, AstroDeployment), toDeployment))
        ),
      create: (request) =>
        pin(Effect.gen(function*() {
          const operation = `create the deployment ${request.name}`
          const body = newDeployment(options.workspaceId, request)
          const created = yield* call.write("POST", operation, yield* at("/deployments"), body, AstroDeployment)
          if (created.isDevelopmentMode !== true) {
            const deleted = yield* Effect.option(
              call.write("DELETE", `delete the deployment ${created.id}`, yield* deployment(created.id))
            )
            return yield* AstroError.make(operation, {
              kind: "notDevelopment",
              detail: `it is no development deployment, and only those can hibernate`,
              remedy: Option.match(deleted, {
                onNone: () => `Delete ${request.name} in Astro's UI, for it costs, and ask`,
                onSome: () => "It was deleted again. Ask"
              }) + " Astronomer why development mode is not available."
            })
          }
          return toDeployment(created)
        })),
      delete: (id) =>
        pin(Effect.flatMap(deployment(id), (path) => gone(call.write("DELETE", `delete the deployment ${id}`, path)))),
      hibernate: (id) => pin(setHibernating(`hibernate the deployment ${id}`, id, true)),
      wake: (id) => pin(setHibernating(`wake the deployment ${id}`, id, false)),
      createToken: (id, name) =>
        pin(Effect.gen(function*() {
          const body = {
            name,
            description: "A lease's own token, deleted when the lease ends.",
            role: "DEPLOYMENT_ADMIN",
            scope: "DEPLOYMENT",
            entityId: id,
            tokenExpiryPeriodInDays: 1
          }
          const operation = "make a deployment token"
          const token = yield* call.write("POST", operation, yield* at("/tokens"), body, NewToken)
          return { ...toToken(token), value: token.token }
        })),
      listTokens: (id) =>
        pin(
          Effect.flatMap(
            at(`/tokens?deploymentId=${encodeURIComponent(id)}`),
            (path) =>
              pages(path, (url) =>
                Effect.map(call.read("list deployment tokens", url, Tokens), ({ tokens, totalCount }) => ({
                  items: tokens,
                  total: totalCount
                })))
          ).pipe(Effect.map((tokens) =>
            // the list names tokens of the workspace and the organization too
            tokens.filter(({ roles, scope }) =>
              scope === "DEPLOYMENT" && (roles === undefined || roles.some(({ entityId }) =>
                entityId === id
              ))
            ).map(toToken)
          ))
        ),
      deleteToken: (_, tokenId) =>
        pin(
          Effect.flatMap(at(`/tokens/${encodeURIComponent(tokenId)}`), (path) =>
            gone(call.write("DELETE", "delete a deployment token", path)))
        ),
      setVariables: (id, variables) =>
        pin(oneAtATime(Effect.gen(function*() {
          const path = yield* deployment(id)
          const now = yield* call.read(`read the deployment ${id}`, path, Configuration)
          const known = now.environmentVariables ?? []
          if (Object.entries(variables).every((entry) => known.some(isSame(entry)))) return known.map(toVariable)
          const body = withVariables(now, variables)
          const operation = `set variables of the deployment ${id}`
          const changed = yield* call.write("POST", operation, path, body, Configuration)
          return (changed.environmentVariables ?? []).map(toVariable)
        })))
    })
  })

/**
 * Reads are repeated while that may help, up to four times; writes are sent once, but for those that Astro's rate limit kept out. All of
 * it keeps below Astro's limits for a token.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: AstroConfig): Layer.Layer<DeploymentProvider, never, HttpClient.HttpClient> =>
  Layer.scoped(DeploymentProvider, make(options))

// internal

const pageSize = 1000
const maxPages = 100

interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly total: number
}

// only what is used; whatever else there is, and whatever is added, is ignored

const AstroDeployment = Schema.Struct({
  id: DeploymentId,
  name: Schema.String,
  description: Schema.optional(Schema.NullOr(Schema.String)),
  status: Schema.String,
  runtimeVersion: Schema.optional(Schema.String),
  astroRuntimeVersion: Schema.optional(Schema.String),
  cloudProvider: Schema.optional(Schema.String),
  region: Schema.optional(Schema.String),
  isDevelopmentMode: Schema.optional(Schema.Boolean),
  apiUrl: Schema.optional(Schema.String),
  webServerAirflowApiUrl: Schema.optional(Schema.String),
  dagTarballVersion: Schema.optional(Schema.NullOr(Schema.String)),
  scalingSpec: Schema.optional(Schema.NullOr(Schema.Struct({
    hibernationSpec: Schema.optional(Schema.NullOr(Schema.Struct({
      override: Schema.optional(Schema.NullOr(Schema.Struct({
        isActive: Schema.optional(Schema.Boolean),
        isHibernating: Schema.optional(Schema.NullOr(Schema.Boolean))
      })))
    })))
  })))
})
const Deployments = Schema.Struct({ deployments: Schema.Array(AstroDeployment), totalCount: Schema.Number })

const Variable = Schema.Struct({
  key: Schema.String,
  isSecret: Schema.Boolean,
  value: Schema.optional(Schema.NullOr(Schema.String))
})

/** As a whole: an update replaces it. */
const Configuration = Schema.Struct(
  {
    environmentVariables: Schema.optional(Schema.NullOr(Schema.Array(Variable))),
    workerQueues: Schema.optional(
      Schema.NullOr(Schema.Array(Schema.Record({ key: Schema.String, value: Schema.Unknown })))
    )
  },
  { key: Schema.String, value: Schema.Unknown }
)

const TokenFields = {
  id: Schema.String,
  name: Schema.String,
  scope: Schema.String,
  createdAt: Schema.DateTimeUtc,
  roles: Schema.optional(Schema.Array(Schema.Struct({ entityId: Schema.String })))
}
const Token = Schema.Struct(TokenFields)
const NewToken = Schema.Struct({ ...TokenFields, token: Schema.Redacted(Schema.String) })
const Tokens = Schema.Struct({ tokens: Schema.Array(Token), totalCount: Schema.Number })

const toToken = ({ createdAt, id, name }: typeof Token.Type): DeploymentToken => ({
  id,
  name,
  createdAt: DateTime.toEpochMillis(createdAt)
})

const fromAstro = (workspaceId: string) => (astro: typeof AstroDeployment.Type): Deployment => {
  const override = astro.scalingSpec?.hibernationSpec?.override
  return new Deployment({
    id: astro.id,
    name: astro.name,
    description: astro.description ?? "",
    status: Schema.is(DeploymentStatus)(astro.status) ? astro.status : "UNKNOWN",
    isDevelopment: astro.isDevelopmentMode === true,
    hibernationRequested: override?.isHibernating === true && override.isActive !== false,
    spec: {
      runtimeVersion: astro.astroRuntimeVersion ?? astro.runtimeVersion ?? "unknown",
      cloudProvider: cloudOf(astro.cloudProvider),
      region: astro.region ?? "unknown"
    },
    dagVersion: astro.dagTarballVersion ?? undefined,
    airflowUrl: airflowUrl(astro.apiUrl ?? astro.webServerAirflowApiUrl ?? ""),
    uiUrl: `https://cloud.astronomer.io/${workspaceId}/deployments/${astro.id}`
  })
}

const cloudOf = (text: string | undefined) => {
  const lower = (text ?? "").toLowerCase()
  return lower === "gcp" || lower === "azure" ? lower : "aws"
}

/** Astro gives it with and without scheme, with the API's path, and sometimes with a query. */
const airflowUrl = (text: string) => {
  const bare = text.replace(/[?#].*$/, "").replace(/\/+$/, "").replace(/\/(home|api\/v\d+)$/, "")
  return bare === "" || /^https?:\/\//.test(bare) ? bare : `https://${bare}`
}

/** Everything is said explicitly: defaults differ between versions of the API. */
const newDeployment = (workspaceId: string, { description, name, spec }: NewDeployment) => ({
  name,
  description,
  workspaceId,
  type: "STANDARD",
  cloudProvider: spec.cloudProvider.toUpperCase(),
  region: spec.region,
  astroRuntimeVersion: spec.runtimeVersion,
  executor: "CELERY",
  isDevelopmentMode: true,
  isHighAvailability: false,
  isCicdEnforced: false,
  isDagDeployEnabled: true,
  schedulerSize: "SMALL",
  defaultTaskPodCpu: "0.25",
  defaultTaskPodMemory: "0.5Gi",
  resourceQuotaCpu: "10",
  resourceQuotaMemory: "20Gi",
  workerQueues: [{
    name: "default",
    isDefault: true,
    astroMachine: "A5",
    minWorkerCount: 0,
    maxWorkerCount: 10,
    workerConcurrency: 5
  }]
})

const toVariable = ({ isSecret, key, value }: typeof Variable.Type): DeploymentVariable =>
  isSecret ? { key, isSecret } : { key, isSecret, value: value ?? "" }

/** Of a secret's value nothing is known. */
const isSame = ([key, value]: [string, string | Redacted.Redacted]) => (known: typeof Variable.Type) =>
  known.key === key && !known.isSecret && known.value === value

/** An update with everything as it is but these variables: what it leaves out may be lost, save for secrets' values. */
const withVariables = (
  now: typeof Configuration.Type,
  variables: Readonly<Record<string, string | Redacted.Redacted>>
) => {
  const known = now.environmentVariables ?? []
  const kept = known.filter(({ key }) => variables[key] === undefined)
  return {
    ...pick(now, updatable),
    ...(now.workerQueues ? { workerQueues: now.workerQueues.map((queue) => pick(queue, updatableOfQueue)) } : {}),
    environmentVariables: [
      ...kept.map(({ isSecret, key, value }) => isSecret ? { key, isSecret } : { key, isSecret, value }),
      ...Object.entries(variables).map(([key, value]) => ({
        key,
        isSecret: Redacted.isRedacted(value) || known.some((one) => one.key === key && one.isSecret),
        value: Redacted.isRedacted(value) ? Redacted.value(value) : value
      }))
    ]
  }
}

const pick = (from: Readonly<Record<string, unknown>>, names: ReadonlyArray<string>) =>
  Object.fromEntries(
    names.flatMap((name) => from[name] === undefined || from[name] === null ? [] : [[name, from[name]]])
  )

// hibernation and workload identities stay as they are when they are left out
const updatable = ["type", "name", "description", "workspaceId", "executor", "schedulerSize", "contactEmails"].concat(
  ["isCicdEnforced", "isDagDeployEnabled", "isHighAvailability", "isDevelopmentMode"],
  ["defaultTaskPodCpu", "defaultTaskPodMemory", "resourceQuotaCpu", "resourceQuotaMemory"]
)
const updatableOfQueue = ["id", "name", "isDefault", "astroMachine", "minWorkerCount", "maxWorkerCount"].concat(
  ["workerConcurrency", "podEphemeralStorage"]
)

const gone = (self: Effect.Effect<void, ProviderError>) =>
  Effect.catchIf(self, (error) => error.kind === "notFound", () => Effect.void)

/** A token that has expired is not worth a request. */
const checkExpiry = (token: Redacted.Redacted): Effect.Effect<void, ProviderError> =>
  Effect.flatMap(
    Clock.currentTimeMillis,
    (now) =>
      Option.match(Option.filter(AstroCredentials.claims(token).expiresAt, (end) => end <= now), {
        onNone: () => Effect.void,
        onSome: (end) => AstroError.tokenExpired(`the token expired at ${DateTime.formatIso(DateTime.unsafeMake(end))}`)
      })
  )
