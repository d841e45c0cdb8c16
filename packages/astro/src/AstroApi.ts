/**
 * A `DeploymentProvider` over Astro's REST API.
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
import { cloudDomain } from "./internal/url.js"

/**
 * See {@link layer}. Runs on the clock under which it is built.
 *
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
      yield* checkToken(options.token)
      const checked = yield* AstroAccount.decode(options)
      if (Option.isSome(checked)) return checked.value
      const { id } = yield* AstroPrerequisites.organization(options)
      yield* AstroPrerequisites.workspace(options, id)
      return AstroAccount.accountOf(options, id)
    }).pipe(Effect.provideService(HttpClient.HttpClient, http))
    const gate = yield* Effect.makeSemaphore(1)
    let knownAccount = Option.none<Account>()
    const ready = gate.withPermits(1)(Effect.suspend(() =>
      Option.match(knownAccount, {
        onSome: Effect.succeed,
        onNone: () => Effect.tap(findAccount, (account) => Effect.sync(() => knownAccount = Option.some(account)))
      })
    ))

    // an update reads the whole list of variables and writes it back, so updates must not overlap
    const oneAtATime = (yield* Effect.makeSemaphore(1)).withPermits(1)

    const organizationPath = (path: string) =>
      Effect.map(ready, ({ organizationId }) => `/organizations/${organizationId}${path}`)
    const deploymentPath = (id: DeploymentId) => organizationPath(`/deployments/${encodeURIComponent(id)}`)
    const toDeployment = fromAstro(options)

    const pages = <A>(path: string, page: (url: string) => Effect.Effect<Page<A>, ProviderError>) => {
      const from = (offset: number): Effect.Effect<ReadonlyArray<A>, ProviderError> =>
        Effect.flatMap(page(`${path}&limit=${pageSize}&offset=${offset}`), ({ items, total }) => {
          const next = offset + items.length
          return items.length === 0 || next >= total || next >= pageSize * maxPages
            ? Effect.succeed(items)
            : Effect.map(from(next), (rest) => [...items, ...rest])
        })
      return from(0)
    }

    const getDeployment = (id: DeploymentId) =>
      Effect.flatMap(
        deploymentPath(id),
        (path) => Effect.map(call.read(`get the deployment ${id}`, path, AstroDeployment), toDeployment)
      )

    const setHibernating = (operation: string, id: DeploymentId, isHibernating: boolean, until?: number) => {
      /** Reads the deployment to find out whether the override is in force. Fails with `error` if that is not certain. */
      const confirm = (error: ProviderError) =>
        getDeployment(id).pipe(
          Effect.filterOrFail(({ hibernationRequested }) => hibernationRequested === isHibernating),
          Effect.mapBoth({ onFailure: () => error, onSuccess: () => undefined })
        )
      return Effect.flatMap(
        deploymentPath(id),
        (path) =>
          call.post(operation, `${path}/hibernation-override`, {
            isHibernating,
            ...(until === undefined ? {} : { overrideUntil: inSeconds(until) })
          }, Override)
      ).pipe(
        Effect.flatMap((override) =>
          override.isHibernating === isHibernating
            ? Effect.void
            : confirm(AstroError.unconfirmed(operation, `the deployment is to ${isHibernating ? "hibernate" : "wake"}`))
        ),
        Effect.catchIf((error) => error.kind === "invalid" && /already/i.test(error.detail), confirm)
      )
    }

    return traced({
      ready,
      list: Effect.flatMap(
        organizationPath(`/deployments?workspaceIds=${encodeURIComponent(options.workspaceId)}`),
        (path) =>
          pages(
            path,
            (url) =>
              Effect.map(call.read("list deployments", url, Deployments), ({ deployments, totalCount }) => ({
                items: deployments,
                total: totalCount
              }))
          )
      ).pipe(
        Effect.flatMap(eachRow("list deployments", AstroDeployment)),
        Effect.map((all) => all.map(toDeployment))
      ),
      get: getDeployment,
      create: (request) =>
        Effect.gen(function*() {
          const operation = `create the deployment ${request.name}`
          const body = newDeployment(options.workspaceId, request)
          const path = yield* organizationPath("/deployments")
          const created = yield* call.post(operation, path, body, deploymentNamed(request.name))
          if (created.isDevelopmentMode !== true) {
            const deleted = yield* Effect.option(
              call.delete(`delete the deployment ${created.id}`, yield* deploymentPath(created.id))
            )
            return yield* AstroError.make(operation, {
              kind: "notDevelopment",
              detail: "Astro did not create it as a development deployment, and only those can hibernate",
              remedy: Option.match(deleted, {
                onNone: () => `Delete ${request.name} in Astro's UI, because it costs money.`,
                onSome: () => "The deployment was deleted again."
              }) + " Ask Astronomer why development mode is not available."
            })
          }
          return toDeployment(created)
        }),
      delete: (id) =>
        Effect.flatMap(
          deploymentPath(id),
          (path) => ignoreNotFound(call.delete(`delete the deployment ${id}`, path))
        ),
      hibernate: (id, until) => setHibernating(`hibernate the deployment ${id}`, id, true, until),
      wake: (id) => setHibernating(`wake the deployment ${id}`, id, false),
      resumeSchedules: (id) =>
        Effect.flatMap(
          deploymentPath(id),
          (path) =>
            ignoreNotFound(call.delete(`resume the schedules of the deployment ${id}`, `${path}/hibernation-override`))
        ),
      createToken: (id, name) =>
        Effect.gen(function*() {
          const body = {
            name,
            description: "A lease's own token, deleted when the lease ends.",
            role: "DEPLOYMENT_ADMIN",
            scope: "DEPLOYMENT",
            entityId: id,
            tokenExpiryPeriodInDays: 1
          }
          const path = yield* organizationPath("/tokens")
          const token = yield* call.post("mint a deployment token", path, body, NewToken)
          return { ...toToken(token), value: token.token }
        }),
      listTokens: (id) =>
        Effect.flatMap(
          organizationPath(`/tokens?deploymentId=${encodeURIComponent(id)}`),
          (path) =>
            pages(path, (url) =>
              Effect.map(call.read("list deployment tokens", url, Tokens), ({ tokens, totalCount }) => ({
                items: tokens,
                total: totalCount
              })))
        ).pipe(
          Effect.flatMap(eachRow("list deployment tokens", Token)),
          Effect.map((tokens) =>
            // the list includes tokens of the workspace and of the organization
            tokens.filter(({ roles, scope }) =>
              scope === "DEPLOYMENT" && (roles === undefined || roles.some(({ entityId }) =>
                entityId === id
              ))
            ).map(toToken)
          )
        ),
      deleteToken: (_, tokenId) =>
        Effect.flatMap(
          organizationPath(`/tokens/${encodeURIComponent(tokenId)}`),
          (path) => ignoreNotFound(call.delete("delete a deployment token", path))
        ),
      setVariables: (id, variables) =>
        oneAtATime(Effect.gen(function*() {
          const path = yield* deploymentPath(id)
          const current = yield* call.read(`get the deployment ${id}`, path, Configuration)
          const existing = current.environmentVariables ?? []
          if (Object.entries(variables).every((entry) => existing.some(isSame(entry)))) return existing.map(toVariable)
          const body = withVariables(current, variables)
          const operation = `set variables of the deployment ${id}`
          const changed = yield* call.post(operation, path, body, Configuration)
          const returned = changed.environmentVariables ?? []
          if (!body.environmentVariables.every((sent) => returned.some(isSet(sent)))) {
            return yield* AstroError.unconfirmed(operation, "the variables were set")
          }
          return returned.map(toVariable)
        }))
    }, pin)
  })

/**
 * Provides `DeploymentProvider` over Astro's REST API. Retries a failed read up to four times if a retry may help. Sends a write once;
 * only a write that Astro's rate limit rejected is sent again. Limits its own rate so that it stays below Astro's limits for a token.
 * Each operation is a span, such as `AstroApi.create`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: AstroConfig): Layer.Layer<DeploymentProvider, never, HttpClient.HttpClient> =>
  Layer.scoped(DeploymentProvider, make(options))

// internal

/** One span for each operation, which includes its requests and retries. `pin` sets the clock. */
const traced = (
  provider: typeof DeploymentProvider.Service,
  pin: <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>
): typeof DeploymentProvider.Service => {
  const span =
    (operation: string, attributes: Readonly<Record<string, unknown>> = {}) =>
    <A>(self: Effect.Effect<A, ProviderError>) => pin(Effect.withSpan(self, `AstroApi.${operation}`, { attributes }))
  return DeploymentProvider.of({
    ready: provider.ready.pipe(span("ready")),
    list: provider.list.pipe(span("list")),
    get: (id) => provider.get(id).pipe(span("get", { "deployment.id": id })),
    create: (deployment) =>
      provider.create(deployment).pipe(
        Effect.tap(({ id }) => Effect.annotateCurrentSpan("deployment.id", id)),
        span("create", { "deployment.name": deployment.name })
      ),
    delete: (id) => provider.delete(id).pipe(span("delete", { "deployment.id": id })),
    hibernate: (id, until) => provider.hibernate(id, until).pipe(span("hibernate", { "deployment.id": id })),
    wake: (id) => provider.wake(id).pipe(span("wake", { "deployment.id": id })),
    resumeSchedules: (id) => provider.resumeSchedules(id).pipe(span("resumeSchedules", { "deployment.id": id })),
    createToken: (id, name) =>
      provider.createToken(id, name).pipe(
        Effect.tap((token) => Effect.annotateCurrentSpan("token.id", token.id)),
        span("createToken", { "deployment.id": id, "token.name": name })
      ),
    listTokens: (id) => provider.listTokens(id).pipe(span("listTokens", { "deployment.id": id })),
    deleteToken: (id, tokenId) =>
      provider.deleteToken(id, tokenId).pipe(span("deleteToken", { "deployment.id": id, "token.id": tokenId })),
    setVariables: (id, variables) =>
      provider.setVariables(id, variables).pipe(
        span("setVariables", { "deployment.id": id, "variable.keys": Object.keys(variables) })
      )
  })
}

const pageSize = 1000
const maxPages = 100

interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly total: number
}

/**
 * Decodes a list row by row. A row that cannot be decoded is left out, unless it may belong to a pool: taken for absent, it would be created
 * again, or its token would stay valid. Names of tokens and descriptions of deployments say `airflow-resource`.
 */
const eachRow = <A, I>(operation: string, schema: Schema.Schema<A, I>) => (rows: ReadonlyArray<unknown>) =>
  Effect.map(
    Effect.forEach(rows, (row) =>
      Effect.catchAll(Effect.asSome(Schema.decodeUnknown(schema)(row)), (problem) => {
        const text = JSON.stringify(row)
        const error = AstroError.undecodable(operation, text, problem)
        return text.includes("airflow-resource")
          ? error
          : Effect.as(Effect.logDebug(`Left out what does not belong to a pool. ${error.message}`), Option.none<A>())
      })),
    (decoded) => decoded.flatMap(Option.toArray)
  )

// only the fields that are used; all others are ignored, including those that Astro adds later

const Override = Schema.Struct({
  isActive: Schema.optional(Schema.Boolean),
  isHibernating: Schema.optional(Schema.NullOr(Schema.Boolean)),
  overrideUntil: Schema.optional(Schema.NullOr(Schema.String))
})

const AstroDeployment = Schema.Struct({
  id: DeploymentId,
  name: Schema.String,
  description: Schema.optional(Schema.NullOr(Schema.String)),
  status: Schema.optional(Schema.NullOr(Schema.String)),
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
      override: Schema.optional(Schema.NullOr(Override))
    })))
  })))
})
/** With another name it is not the one that was requested, and must not be touched. */
const deploymentNamed = (name: string) => Schema.Struct({ ...AstroDeployment.fields, name: Schema.Literal(name) })
const Deployments = Schema.Struct({ deployments: Schema.Array(Schema.Unknown), totalCount: Schema.Number })

const Variable = Schema.Struct({
  key: Schema.String,
  isSecret: Schema.Boolean,
  value: Schema.optional(Schema.NullOr(Schema.String))
})

/** With all of its fields, because an update replaces the whole configuration. */
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
const Tokens = Schema.Struct({ tokens: Schema.Array(Schema.Unknown), totalCount: Schema.Number })

const toToken = ({ createdAt, id, name }: typeof Token.Type): DeploymentToken => ({
  id,
  name,
  createdAt: DateTime.toEpochMillis(createdAt)
})

const fromAstro = ({ apiUrl, workspaceId }: AstroConfig) => (astro: typeof AstroDeployment.Type): Deployment => {
  const { hibernationSpec } = astro.scalingSpec ?? {}
  const override = hibernationSpec?.override?.isActive === false ? undefined : hibernationSpec?.override
  return new Deployment({
    id: astro.id,
    name: astro.name,
    description: astro.description ?? "",
    status: Schema.is(DeploymentStatus)(astro.status) ? astro.status : "UNKNOWN",
    isDevelopment: astro.isDevelopmentMode === true,
    hibernationRequested: override?.isHibernating === true,
    overrideUntil: DateTime.make(override?.overrideUntil ?? "").pipe(
      Option.map(DateTime.toEpochMillis),
      Option.getOrUndefined
    ),
    spec: {
      runtimeVersion: astro.astroRuntimeVersion ?? astro.runtimeVersion ?? "unknown",
      cloudProvider: cloudOf(astro.cloudProvider),
      region: astro.region ?? "unknown"
    },
    dagVersion: astro.dagTarballVersion ?? undefined,
    airflowUrl: airflowUrl(astro.apiUrl ?? astro.webServerAirflowApiUrl ?? ""),
    uiUrl: Option.match(cloudDomain(apiUrl), {
      onNone: () => airflowUrl(astro.apiUrl ?? astro.webServerAirflowApiUrl ?? ""),
      onSome: (domain) => `https://cloud.${domain}/${workspaceId}/deployments/${astro.id}`
    })
  })
}

/** Astro documents times without milliseconds for requests. */
const inSeconds = (millis: number) => DateTime.formatIso(DateTime.unsafeMake(millis)).replace(/\.\d+Z$/, "Z")

const cloudOf = (text: string | undefined) => {
  const lower = (text ?? "").toLowerCase()
  return lower === "gcp" || lower === "azure" ? lower : "aws"
}

/** Astro returns the URL with or without a scheme, with a path such as `/home` or `/api/v2`, and sometimes with a query. */
const airflowUrl = (text: string) => {
  const bare = text.replace(/[?#].*$/, "").replace(/\/+$/, "").replace(/\/(home|api\/v\d+)$/, "")
  return bare === "" || /^https?:\/\//.test(bare) ? bare : `https://${bare}`
}

/** Sets every field explicitly, because defaults differ between versions of the API. */
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

/** Always false for a secret, because Astro does not return its value. */
const isSame = ([key, value]: [string, string | Redacted.Redacted]) => (existing: typeof Variable.Type) =>
  existing.key === key && !existing.isSecret && existing.value === value

/** Whether Astro returns a variable as it was sent. */
const isSet = (sent: typeof Variable.Type) => (returned: typeof Variable.Type) =>
  returned.key === sent.key && returned.isSecret === sent.isSecret &&
  (sent.isSecret || (returned.value ?? "") === (sent.value ?? ""))

/**
 * An update that changes these variables only. It contains everything else as it is, because Astro may reset what an update omits. Only
 * the values of secrets can be omitted.
 */
const withVariables = (
  current: typeof Configuration.Type,
  variables: Readonly<Record<string, string | Redacted.Redacted>>
) => {
  const existing = current.environmentVariables ?? []
  const kept = existing.filter(({ key }) => variables[key] === undefined)
  return {
    ...pick(current, updatable),
    ...(current.workerQueues
      ? { workerQueues: current.workerQueues.map((queue) => pick(queue, updatableOfQueue)) }
      : {}),
    environmentVariables: [
      ...kept.map(({ isSecret, key, value }) => isSecret ? { key, isSecret } : { key, isSecret, value }),
      ...Object.entries(variables).map(([key, value]) => ({
        key,
        isSecret: Redacted.isRedacted(value) || existing.some((variable) => variable.key === key && variable.isSecret),
        value: Redacted.isRedacted(value) ? Redacted.value(value) : value
      }))
    ]
  }
}

const pick = (from: Readonly<Record<string, unknown>>, names: ReadonlyArray<string>) =>
  Object.fromEntries(
    names.flatMap((name) => from[name] === undefined || from[name] === null ? [] : [[name, from[name]]])
  )

// an update that omits hibernation and workload identities does not change them
const updatable = ["type", "name", "description", "workspaceId", "executor", "schedulerSize", "contactEmails"].concat(
  ["isCicdEnforced", "isDagDeployEnabled", "isHighAvailability", "isDevelopmentMode"],
  ["defaultTaskPodCpu", "defaultTaskPodMemory", "resourceQuotaCpu", "resourceQuotaMemory"]
)
const updatableOfQueue = ["id", "name", "isDefault", "astroMachine", "minWorkerCount", "maxWorkerCount"].concat(
  ["workerConcurrency", "podEphemeralStorage"]
)

const ignoreNotFound = (self: Effect.Effect<void, ProviderError>) =>
  Effect.catchIf(self, (error) => error.kind === "notFound", () => Effect.void)

/** Sends no request with a token that has expired. */
const checkToken = (token: Redacted.Redacted): Effect.Effect<void, ProviderError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const { expiresAt, kind } = AstroCredentials.claims(token)
    if (kind === "truncated") return AstroError.tokenTruncated
    return Option.match(Option.filter(expiresAt, (end) => end <= now), {
      onNone: () => Effect.void,
      onSome: (end) => AstroError.tokenExpired(`the token expired at ${DateTime.formatIso(DateTime.unsafeMake(end))}`)
    })
  })
