/**
 * Operates deployments. Implemented by `@airflow-resource/astro`, and in memory by {@link layerMemory}.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { DeploymentSpec, DeploymentStatus } from "./Deployment.js"
import { Deployment, DeploymentId } from "./Deployment.js"
import * as ErrorFields from "./ErrorFields.js"

/**
 * The account that a provider works with. Together with the name prefix, it identifies the pool.
 *
 * @since 0.1.0
 * @category models
 */
export interface Account {
  /** Host of the provider's API. */
  readonly host: string
  readonly organizationId: string
  readonly workspaceId: string
}

/**
 * An API token of one deployment. Its value is only returned by the call that creates it.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeploymentToken {
  readonly id: string
  readonly name: string
  readonly createdAt: number
}

/**
 * An environment variable of a deployment. The value of a secret cannot be read.
 *
 * @example
 * ```ts
 * import type { DeploymentId } from "@airflow-resource/core/Deployment"
 * import { DeploymentProvider } from "@airflow-resource/core/DeploymentProvider"
 * import * as Effect from "effect/Effect"
 * import type * as Redacted from "effect/Redacted"
 *
 * // leaves all other variables unchanged
 * export const prepare = (id: DeploymentId, key: Redacted.Redacted) =>
 *   Effect.flatMap(DeploymentProvider, ({ setVariables }) => setVariables(id, { LOG_LEVEL: "debug", API_KEY: key }))
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export type DeploymentVariable =
  | { readonly key: string; readonly isSecret: false; readonly value: string }
  | { readonly key: string; readonly isSecret: true }

/**
 * A new deployment. It is always a development deployment, because no other kind can hibernate.
 *
 * @since 0.1.0
 * @category models
 */
export interface NewDeployment {
  readonly name: string
  readonly description: string
  readonly spec: DeploymentSpec
}

/**
 * The error of every provider.
 *
 * - `tokenExpired`, `unauthorized`, `forbidden`, `suspended`: a problem with the credentials or the account; a retry does not help
 * - `workspaceNotFound`, `notFound`: the id is unknown or not visible
 * - `nameTaken`: a deployment with that name exists
 * - `unknownRuntime`, `unknownRegion`, `quota`, `notDevelopment`, `invalid`: the request was rejected
 * - `unusable`: the program that the provider uses is missing, too old, or not what its name says
 * - `rateLimited`, `unreachable`, `timeout`, `server`, `notJson`: a retry may help; a write may have been carried out anyway, unless it was
 *   `rateLimited`. `notJson` is a response that something else sent, such as a proxy, a captive portal or a login page
 * - `undecodable`: the response does not match the API's documentation, or does not confirm a write, which may have been carried out anyway
 *
 * @since 0.1.0
 * @category errors
 */
export class ProviderError extends Schema.TaggedError<ProviderError>("@airflow-resource/core/ProviderError")(
  "ProviderError",
  {
    kind: Schema.Literal(
      "tokenExpired",
      "unauthorized",
      "forbidden",
      "suspended",
      "workspaceNotFound",
      "notFound",
      "nameTaken",
      "unknownRuntime",
      "unknownRegion",
      "quota",
      "notDevelopment",
      "invalid",
      "unusable",
      "rateLimited",
      "unreachable",
      "timeout",
      "server",
      "notJson",
      "undecodable"
    ),
    ...ErrorFields.fields,
    ...ErrorFields.responseFields
  }
) {
  override get message(): string {
    return ErrorFields.message(this)
  }
  /** A *read* may be retried. Before a write is retried, check whether it was carried out. */
  get retryable(): boolean {
    return ["rateLimited", "unreachable", "timeout", "server", "notJson"].includes(this.kind)
  }
  /** The request may have been carried out although it failed. */
  get ambiguous(): boolean {
    return ["unreachable", "timeout", "server", "notJson", "undecodable"].includes(this.kind)
  }
}

/**
 * Operates deployments by id. Reads are retried a few times. A write is sent again only if a rate limit rejected it; after any other
 * failure the caller first checks whether it was carried out.
 *
 * @since 0.1.0
 * @category tags
 */
export class DeploymentProvider extends Context.Tag("@airflow-resource/core/DeploymentProvider")<
  DeploymentProvider,
  {
    /** Checks the credentials and returns the account. Only the first call sends requests. */
    readonly ready: Effect.Effect<Account, ProviderError>
    /** All deployments of the workspace, without those that cannot be decoded and certainly belong to no pool. */
    readonly list: Effect.Effect<ReadonlyArray<Deployment>, ProviderError>
    /** Fails with `notFound`. */
    readonly get: (id: DeploymentId) => Effect.Effect<Deployment, ProviderError>
    /**
     * Provides what deployments of a spec share, such as an installed Airflow, and reports what it does. Called before a creation. Absent:
     * they share nothing that has to be there first.
     */
    readonly provision?: <E>(
      spec: DeploymentSpec,
      onProgress: (activity: string) => Effect.Effect<unknown, E>
    ) => Effect.Effect<void, ProviderError | E>
    /** Returns as soon as the creation is accepted. Fails with `nameTaken`. */
    readonly create: (deployment: NewDeployment) => Effect.Effect<Deployment, ProviderError>
    /** Succeeds if it does not exist. */
    readonly delete: (id: DeploymentId) => Effect.Effect<void, ProviderError>
    /**
     * Requests hibernation and does not wait for it; accepted in every status. Overrides the deployment's hibernation schedules, and
     * replaces an earlier override. At `until`, in epoch milliseconds, the override ends and the schedules apply again; without it, the
     * override never ends. Astro rounds the time down to a second.
     */
    readonly hibernate: (id: DeploymentId, until?: number) => Effect.Effect<void, ProviderError>
    /** Requests that the deployment wakes and does not wait for it; accepted in every status. An override as well, which never ends. */
    readonly wake: (id: DeploymentId) => Effect.Effect<void, ProviderError>
    /**
     * Removes the override, so that the deployment's hibernation schedules apply again: without any, it wakes. Succeeds if there is no
     * override, or no deployment.
     */
    readonly resumeSchedules: (id: DeploymentId) => Effect.Effect<void, ProviderError>
    /** Mints a token with all rights in this deployment's Airflow, and none elsewhere. */
    readonly createToken: (
      id: DeploymentId,
      name: string
    ) => Effect.Effect<DeploymentToken & { readonly value: Redacted.Redacted }, ProviderError>
    /** The deployment's own tokens, without those of the workspace and the organization. What it leaves out belongs to no pool. */
    readonly listTokens: (id: DeploymentId) => Effect.Effect<ReadonlyArray<DeploymentToken>, ProviderError>
    /** Succeeds if it does not exist. */
    readonly deleteToken: (id: DeploymentId, tokenId: string) => Effect.Effect<void, ProviderError>
    /**
     * Sets some of its environment variables, leaves the others unchanged, and returns all of them. A change restarts an awake Airflow;
     * a hibernating deployment applies it when it wakes. Concurrent calls from several processes may overwrite each other.
     */
    readonly setVariables: (
      id: DeploymentId,
      variables: Readonly<Record<string, string | Redacted.Redacted>>
    ) => Effect.Effect<ReadonlyArray<DeploymentVariable>, ProviderError>
    /** Empties an awake Airflow, and has verified that. If it is absent or fails, the pool empties the Airflow through its API. */
    readonly reset?: (id: DeploymentId) => Effect.Effect<void, ProviderError>
  }
>() {}

/**
 * Options of {@link layerMemory}.
 *
 * @since 0.1.0
 * @category models
 */
export interface MemoryOptions {
  /** How long a creation takes [0]. */
  readonly createTakes?: Duration.DurationInput
  readonly wakeTakes?: Duration.DurationInput
  readonly hibernateTakes?: Duration.DurationInput
}

/**
 * A cloud in memory, with Astro's states, but without hibernation schedules: a deployment without an override is awake. By default creating, waking and hibernating take no time. If they do, it is measured on the
 * clock that the layer is built under.
 *
 * @example
 * ```ts
 * import * as DeploymentProvider from "@airflow-resource/core/DeploymentProvider"
 *
 * export const cloud = DeploymentProvider.layerMemory({ createTakes: "3 minutes" })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory = (options: MemoryOptions = {}): Layer.Layer<DeploymentProvider> =>
  Layer.effect(DeploymentProvider, makeMemory(options))

// internal

/** A secret variable stays secret, as on Astro. */
const secret = (value: string | Redacted.Redacted) => Redacted.isRedacted(value) ? value : Redacted.make(value)

/** What was requested, and when; the status follows from it. */
interface Fact extends NewDeployment {
  readonly id: DeploymentId
  readonly createdAt: number
  /** The last request to hibernate or to wake. */
  readonly power: Power | undefined
  readonly tokens: ReadonlyArray<DeploymentToken>
  readonly variables: Readonly<Record<string, string | Redacted.Redacted>>
}

interface Power {
  readonly asleep: boolean
  readonly since: number
  readonly from: DeploymentStatus
  /** When it ends. */
  readonly until: number | undefined
}

const makeMemory = (options: MemoryOptions): Effect.Effect<typeof DeploymentProvider.Service> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const createTakes = Duration.toMillis(options.createTakes ?? 0)
    const wakeTakes = Duration.toMillis(options.wakeTakes ?? 0)
    const hibernateTakes = Duration.toMillis(options.hibernateTakes ?? 0)
    const facts = new Map<DeploymentId, Fact>()
    let count = 0

    const statusAt = (fact: Fact, at: number): DeploymentStatus => {
      const created = fact.createdAt + createTakes
      if (at < created) return "CREATING"
      const power = powerAt(fact, at)
      if (power === undefined) return "HEALTHY"
      const settled = Math.max(power.since, created) + (power.asleep ? hibernateTakes : wakeTakes)
      if (power.asleep) return at < settled ? "HEALTHY" : "HIBERNATING"
      return power.from === "HEALTHY" || at >= settled ? "HEALTHY" : "DEPLOYING"
    }
    /** When a request to hibernate ends, the deployment wakes. */
    const powerAt = (fact: Fact, at: number): Power | undefined => {
      const { power } = fact
      if (power?.until === undefined || at < power.until) return power
      const since = Math.max(power.since, power.until)
      const from = statusAt({ ...fact, power: { ...power, until: undefined } }, since)
      return { asleep: false, since, from, until: undefined }
    }
    const view = (fact: Fact) => {
      const power = powerAt(fact, now())
      return new Deployment({
        id: fact.id,
        name: fact.name,
        description: fact.description,
        status: statusAt(fact, now()),
        hibernationRequested: power?.asleep === true,
        overrideUntil: power?.until,
        spec: fact.spec,
        isDevelopment: true,
        airflowUrl: `memory://${fact.id}`,
        uiUrl: `memory://cloud/${fact.id}`
      })
    }
    const refuse = (kind: ProviderError["kind"], operation: string, detail: string) =>
      new ProviderError({ kind, operation, detail, remedy: "This cloud is in memory." })
    const getFact = (id: DeploymentId, operation: string) =>
      Effect.suspend(() => {
        const fact = facts.get(id)
        return fact === undefined ? refuse("notFound", operation, `there is no deployment ${id}`) : Effect.succeed(fact)
      })
    const change = (id: DeploymentId, operation: string, f: (fact: Fact) => Fact) =>
      Effect.map(getFact(id, operation), (fact) => {
        const changed = f(fact)
        facts.set(id, changed)
        return changed
      })
    const setAsleep = (id: DeploymentId, asleep: boolean, until?: number) =>
      change(id, asleep ? "hibernate" : "wake", (fact) => {
        const power = powerAt(fact, now())
        const begun = power?.asleep === asleep ? power : { asleep, since: now(), from: statusAt(fact, now()) }
        return { ...fact, power: { ...begun, until } }
      })

    return DeploymentProvider.of({
      ready: Effect.succeed({ host: "memory", organizationId: "organization", workspaceId: "workspace" }),
      list: Effect.sync(() => Array.from(facts.values(), view)),
      get: (id) => Effect.map(getFact(id, "read the deployment"), view),
      create: (deployment) =>
        Effect.suspend(() => {
          if (Array.from(facts.values()).some(({ name }) => name === deployment.name)) {
            return refuse("nameTaken", `create ${deployment.name}`, "a deployment with that name exists")
          }
          const id = DeploymentId.make(`deployment-${++count}`)
          const fact: Fact = { ...deployment, id, createdAt: now(), power: undefined, tokens: [], variables: {} }
          facts.set(id, fact)
          return Effect.succeed(view(fact))
        }),
      delete: (id) => Effect.sync(() => void facts.delete(id)),
      hibernate: (id, until) => Effect.asVoid(setAsleep(id, true, until)),
      wake: (id) => Effect.asVoid(setAsleep(id, false)),
      resumeSchedules: (id) => Effect.ignore(setAsleep(id, false)),
      createToken: (id, name) =>
        Effect.suspend(() => {
          const token = { id: `token-${++count}`, name, createdAt: now() }
          return Effect.as(
            change(id, "mint a token", (fact) => ({ ...fact, tokens: [...fact.tokens, token] })),
            { ...token, value: Redacted.make(`secret-${token.id}`) }
          )
        }),
      listTokens: (id) => Effect.map(getFact(id, "list tokens"), ({ tokens }) => tokens),
      deleteToken: (id, tokenId) =>
        Effect.ignore(change(id, "delete a token", (fact) => ({
          ...fact,
          tokens: fact.tokens.filter((token) => token.id !== tokenId)
        }))),
      setVariables: (id, variables) =>
        Effect.map(
          change(id, "set variables", (fact) => ({
            ...fact,
            variables: {
              ...fact.variables,
              ...Record.map(variables, (value, key) => Redacted.isRedacted(fact.variables[key]) ? secret(value) : value)
            }
          })),
          (fact) =>
            Object.entries(fact.variables).map(([key, value]) =>
              Redacted.isRedacted(value) ? { key, isSecret: true } : { key, isSecret: false, value }
            )
        )
    })
  })
