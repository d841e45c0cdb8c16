/**
 * Astro's REST API as a provider of deployments.
 *
 * @since 0.1.0
 */
import { Deployment, DeploymentId, DeploymentStatus } from "@airflow-resource/core/Deployment"
import type { DeploymentToken } from "@airflow-resource/core/DeploymentProvider"
import {
  type Account,
  DeploymentProvider,
  type NewDeployment,
  type ProviderError
} from "@airflow-resource/core/DeploymentProvider"
import * as PinnedClock from "@airflow-resource/core/PinnedClock"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { AstroConfig } from "./AstroConfig.js"
import * as AstroError from "./internal/astroError.js"

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: AstroConfig
): Effect.Effect<typeof DeploymentProvider.Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    const call = transport(yield* HttpClient.HttpClient, options)

    const findAccount: Effect.Effect<Account, ProviderError> = Effect.gen(function*() {
      yield* checkExpiry(options.token)
      const { organizations } = yield* call.read("find the organization", "/organizations?limit=100", Organizations)
      const organizationId = Option.getOrElse(options.organizationId, () => organizations[0]?.id)
      if (organizationId === undefined || !organizations.some(({ id }) => id === organizationId)) {
        return yield* AstroError.make("find the organization", {
          kind: "notFound",
          detail: Option.match(options.organizationId, {
            onNone: () => "the token sees no organization",
            onSome: (id) => `the token does not see the organization ${id}`
          }),
          remedy: "Use a token of the organization that the workspace belongs to."
        })
      }
      const workspace = `/organizations/${organizationId}/workspaces/${encodeURIComponent(options.workspaceId)}`
      yield* call.read("find the workspace", workspace, Schema.Struct({ id: Schema.String })).pipe(
        Effect.catchIf((error) => error.kind === "notFound", () =>
          AstroError.make("find the workspace", {
            kind: "workspaceNotFound",
            detail: `the token does not see the workspace ${options.workspaceId}`,
            remedy:
              "Check ASTRO_WORKSPACE_ID (Astro's UI, Workspace Settings), and that the token is of that workspace.",
            status: 404
          }))
      )
      return { host: new URL(options.apiUrl).host, organizationId, workspaceId: options.workspaceId }
    })
    const gate = yield* Effect.makeSemaphore(1)
    let account = Option.none<Account>()
    const ready = gate.withPermits(1)(Effect.suspend(() =>
      Option.match(account, {
        onSome: Effect.succeed,
        onNone: () => Effect.tap(findAccount, (found) => Effect.sync(() => account = Option.some(found)))
      })
    ))

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
          pages(path, (url) =>
            Effect.map(call.read("list deployments", url, Deployments), ({ deployments, totalCount }) => ({
              items: deployments.map(toDeployment),
              total: totalCount
            })))
      )),
      get: (id) =>
        pin(Effect.flatMap(deployment(id), (path) =>
          Effect.map(call.read(`read the deployment ${id}`, path, AstroDeployment), toDeployment))),
      create: (request) =>
        pin(Effect.gen(function*() {
          const operation = `create the deployment ${request.name}`
          const body = newDeployment(options.workspaceId, request)
          const created = yield* call.write("POST", operation, yield* at("/deployments"), body, AstroDeployment)
          if (created.isDevelopmentMode !== true) {
            return yield* AstroError.make(operation, {
              kind: "invalid",
              detail: `it is no development deployment, and only those can hibernate`,
              remedy: `Delete ${request.name} in Astro's UI, and ask Astronomer why development mode is not available.`
            })
          }
          return toDeployment(created)
        })),
      delete: (id) =>
        pin(Effect.flatMap(deployment(id), (path) =>
          gone(call.write("DELETE", `delete the deployment ${id}`, path)))),
      hibernate: (id) =>
        pin(setHibernating(`hibernate the deployment ${id}`, id, true)),
      wake: (id) =>
        pin(setHibernating(`wake the deployment ${id}`, id, false)),
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
        pin(Effect.flatMap(at(`/tokens/${encodeURIComponent(tokenId)}`), (path) =>
          gone(call.write("DELETE", "delete a deployment token", path))))
    })
  })

/**
 * Reads are repeated while that may help, up to four times; writes are sent once, but for those that Astro's rate limit kept out.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: AstroConfig): Layer.Layer<DeploymentProvider, never, HttpClient.HttpClient> =>
  Layer.effect(DeploymentProvider, make(options))

// internal

const pageSize = 1000
const maxPages = 100
const requestTimeout = Duration.seconds(30)

interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly total: number
}

// only what is used; whatever else there is, and whatever is added, is ignored

const Organizations = Schema.Struct({ organizations: Schema.Array(Schema.Struct({ id: Schema.String })) })

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
    make: {
      runtimeVersion: astro.astroRuntimeVersion ?? astro.runtimeVersion ?? "unknown",
      cloudProvider: cloudOf(astro.cloudProvider),
      region: astro.region ?? "unknown"
    },
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
const newDeployment = (workspaceId: string, { description, make, name }: NewDeployment) => ({
  name,
  description,
  workspaceId,
  type: "STANDARD",
  cloudProvider: make.cloudProvider.toUpperCase(),
  region: make.region,
  astroRuntimeVersion: make.runtimeVersion,
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

const gone = (self: Effect.Effect<void, ProviderError>) =>
  Effect.catchIf(self, (error) => error.kind === "notFound", () => Effect.void)

/** A token that has expired is not worth a request; what is no JWT is left to Astro to judge. */
const checkExpiry = (token: Redacted.Redacted): Effect.Effect<void, ProviderError> =>
  Effect.gen(function*() {
    const payload = Redacted.value(token).split(".")[1] ?? ""
    const claims = Either.getOrElse(Schema.decodeEither(Claims)(payload), () => ({ exp: undefined }))
    if (claims.exp === undefined || claims.exp * 1000 > (yield* Clock.currentTimeMillis)) return
    return yield* AstroError.tokenExpired(
      `the token expired at ${DateTime.formatIso(DateTime.unsafeMake(claims.exp * 1000))}`
    )
  })

const Claims = Schema.compose(
  Schema.StringFromBase64Url,
  Schema.parseJson(Schema.Struct({ exp: Schema.optional(Schema.Number) }))
)

const transport = (http: HttpClient.HttpClient, { apiUrl, token }: AstroConfig) => {
  const client = HttpClient.withTracerPropagation(http, false)
  const send = (operation: string, request: HttpClientRequest.HttpClientRequest) =>
    client.execute(request.pipe(
      HttpClientRequest.prependUrl(`${apiUrl.replace(/\/+$/, "")}/v1`),
      HttpClientRequest.bearerToken(token),
      HttpClientRequest.acceptJson,
      HttpClientRequest.setHeader("x-api-version", "1.0"),
      HttpClientRequest.setHeader("x-astro-client-identifier", "airflow-resource")
    )).pipe(
      Effect.flatMap((response) =>
        Effect.map(response.text, (text) => ({ status: response.status, headers: response.headers, text }))
      ),
      Effect.timeoutOption(requestTimeout),
      Effect.mapError((error) => AstroError.fromTransport(operation, error)),
      Effect.flatMap(
        Option.match({ onNone: () => AstroError.timedOut(operation, requestTimeout), onSome: Effect.succeed })
      ),
      Effect.flatMap((answer) => AstroError.orAnswer(operation, answer)),
      Effect.withTracerEnabled(false)
    )
  const decoded = <A, I>(operation: string, schema: Schema.Schema<A, I>) => (text: string) =>
    Effect.mapError(
      Schema.decode(Schema.parseJson(schema))(text),
      (error) => AstroError.undecodable(operation, text, error)
    )
  const again = (which: (error: ProviderError) => boolean) => <A>(self: Effect.Effect<A, ProviderError>) => {
    const attempt = (left: number): Effect.Effect<A, ProviderError> =>
      Effect.catchIf(
        self,
        (error) => left > 0 && which(error),
        (error) => Effect.zipRight(Effect.sleep(AstroError.pauseBefore(error, retries - left)), attempt(left - 1))
      )
    return attempt(retries)
  }
  return {
    read: <A, I>(operation: string, path: string, schema: Schema.Schema<A, I>) =>
      send(operation, HttpClientRequest.get(path)).pipe(
        Effect.flatMap(decoded(operation, schema)),
        again((error) => error.retryable)
      ),
    write: <A = void, I = unknown>(
      method: "POST" | "DELETE",
      operation: string,
      path: string,
      body?: unknown,
      schema?: Schema.Schema<A, I>
    ): Effect.Effect<A, ProviderError> =>
      Effect.suspend(() =>
        send(
          operation,
          body === undefined
            ? HttpClientRequest.make(method)(path)
            : HttpClientRequest.bodyUnsafeJson(HttpClientRequest.make(method)(path), body)
        )
      ).pipe(
        // what the rate limit kept out was not carried out; everything else may have been
        again((error) => error.kind === "rateLimited"),
        Effect.flatMap((text) =>
          schema === undefined ? Effect.void as Effect.Effect<A> : decoded(operation, schema)(text)
        )
      )
  }
}

const retries = 4
