/**
 * Who operates deployments. Implemented by `@airflow-resource/astro`, and in memory by {@link layerMemory}.
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

/**
 * What a provider's `ready` found out: what the pool is identified by.
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
 * An API token of one deployment. Its value is shown once, when it is created.
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
 * An environment variable of a deployment. A secret's value is never read back.
 *
 * @example
 * ```ts
 * import type { DeploymentId } from "@airflow-resource/core/Deployment"
 * import { DeploymentProvider } from "@airflow-resource/core/DeploymentProvider"
 * import * as Effect from "effect/Effect"
 * import type * as Redacted from "effect/Redacted"
 *
 * // the others stay as they are
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
 * A new deployment: always a development deployment, since no other kind can hibernate.
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
 * The one error of every provider.
 *
 * - `tokenExpired`, `unauthorized`, `forbidden`, `suspended`: credentials and account; nothing gets better by itself
 * - `workspaceNotFound`, `notFound`: the id is unknown or not visible
 * - `nameTaken`: a deployment of that name exists; adopt it
 * - `unknownRuntime`, `unknownRegion`, `quota`, `notDevelopment`, `invalid`: the request was refused
 * - `unusable`: the program that the provider works with is missing, too old, or another one
 * - `rateLimited`, `unreachable`, `timeout`, `server`, `notJson`: may get better; a write may have arrived all the same
 * - `undecodable`: the answer was not what the API promises
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
    /** What was attempted, in words: "create deployment". */
    operation: Schema.String,
    /** What happened, in the provider's words where it gave any; never a secret. */
    detail: Schema.String,
    /** What to do next. */
    remedy: Schema.String,
    status: Schema.optional(Schema.Number),
    requestId: Schema.optional(Schema.String),
    retryAfter: Schema.optional(Schema.DurationFromSelf)
  }
) {
  override get message(): string {
    return `Could not ${this.operation}: ${this.detail}. ${this.remedy}`
  }
  /** Worth another try for a *read*; a write is looked up first. */
  get retryable(): boolean {
    return ["rateLimited", "unreachable", "timeout", "server", "notJson"].includes(this.kind)
  }
  /** The request may have been carried out although it failed. */
  get ambiguous(): boolean {
    return ["unreachable", "timeout", "server", "notJson", "undecodable"].includes(this.kind)
  }
}

/**
 * Operates deployments by id. Reads are retried within reason; writes are sent once, so that whoever asked can look first.
 *
 * @since 0.1.0
 * @category tags
 */
export class DeploymentProvider extends Context.Tag("@airflow-resource/core/DeploymentProvider")<
  DeploymentProvider,
  {
    /** Checks the credentials and finds the account, once; every later call is answered from memory. */
    readonly ready: Effect.Effect<Account, ProviderError>
    /** Every deployment of the workspace, of all pages. */
    readonly list: Effect.Effect<ReadonlyArray<Deployment>, ProviderError>
    /** Fails with `notFound`. */
    readonly get: (id: DeploymentId) => Effect.Effect<Deployment, ProviderError>
    /** Answers as soon as the creation is accepted. Fails with `nameTaken`. */
    readonly create: (deployment: NewDeployment) => Effect.Effect<Deployment, ProviderError>
    /** Succeeds when it is gone already. */
    readonly delete: (id: DeploymentId) => Effect.Effect<void, ProviderError>
    /** Asks for hibernation; accepted in every status. */
    readonly hibernate: (id: DeploymentId) => Effect.Effect<void, ProviderError>
    /** Asks to be awake; accepted in every status. */
    readonly wake: (id: DeploymentId) => Effect.Effect<void, ProviderError>
    /** Mints a token that may do everything in this deployment's Airflow, and nothing elsewhere. */
    readonly createToken: (
      id: DeploymentId,
      name: string
    ) => Effect.Effect<DeploymentToken & { readonly value: Redacted.Redacted }, ProviderError>
    /** The deployment's own tokens; never those of a workspace or an organization. */
    readonly listTokens: (id: DeploymentId) => Effect.Effect<ReadonlyArray<DeploymentToken>, ProviderError>
    /** Succeeds when it is gone already. */
    readonly deleteToken: (id: DeploymentId, tokenId: string) => Effect.Effect<void, ProviderError>
    /**
     * Sets some of its environment variables, leaves the others as they are, and answers with all of them. A change restarts its Airflow;
     * a deployment that hibernates has it when it wakes. Two callers at once may overwrite each other unless it is one process.
     */
    readonly setVariables: (
      id: DeploymentId,
      variables: Readonly<Record<string, string | Redacted.Redacted>>
    ) => Effect.Effect<ReadonlyArray<DeploymentVariable>, ProviderError>
  }
>() {}

/**
 * Options of {@link layerMemory}.
 *
 * @since 0.1.0
 * @category models
 */
export interface MemoryOptions {
  /** How long a creation takes. Default: no time. */
  readonly createTakes?: Duration.DurationInput
  readonly wakeTakes?: Duration.DurationInput
  readonly hibernateTakes?: Duration.DurationInput
}

/**
 * A cloud in memory, with Astro's states. Creating, waking and hibernating take no time unless they are given some, on the
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

/** Once a secret, always a secret, as on Astro. */
const secret = (value: string | Redacted.Redacted) => Redacted.isRedacted(value) ? value : Redacted.make(value)

/** What was asked for, and when; the status follows from it. */
interface Fact extends NewDeployment {
  readonly id: DeploymentId
  readonly createdAt: number
  /** The last request to sleep or to wake. */
  readonly power: { readonly asleep: boolean; readonly since: number; readonly from: DeploymentStatus } | undefined
  readonly tokens: ReadonlyArray<DeploymentToken>
  readonly variables: Readonly<Record<string, string | Redacted.Redacted>>
}

const makeMemory = (options: MemoryOptions): Effect.Effect<typeof DeploymentProvider.Service> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const [createTakes, wakeTakes, hibernateTakes] = [options.createTakes, options.wakeTakes, options.hibernateTakes]
      .map(
        (time) => Duration.toMillis(time ?? 0)
      ) as [number, number, number]
    const facts = new Map<DeploymentId, Fact>()
    let count = 0

    const statusOf = ({ createdAt, power }: Fact): DeploymentStatus => {
      if (now() < createdAt + createTakes) return "CREATING"
      if (power === undefined) return "HEALTHY"
      const settled = Math.max(power.since, createdAt + createTakes) + (power.asleep ? hibernateTakes : wakeTakes)
      if (power.asleep) return now() < settled ? "HEALTHY" : "HIBERNATING"
      return power.from === "HEALTHY" || now() >= settled ? "HEALTHY" : "DEPLOYING"
    }
    const view = (fact: Fact) =>
      new Deployment({
        id: fact.id,
        name: fact.name,
        description: fact.description,
        status: statusOf(fact),
        hibernationRequested: fact.power?.asleep === true,
        spec: fact.spec,
        isDevelopment: true,
        airflowUrl: `memory://${fact.id}`,
        uiUrl: `memory://cloud/${fact.id}`
      })
    const refuse = (kind: ProviderError["kind"], operation: string, detail: string) =>
      new ProviderError({ kind, operation, detail, remedy: "This cloud is in memory." })
    const find = (id: DeploymentId, operation: string) =>
      Effect.suspend(() => {
        const fact = facts.get(id)
        return fact === undefined ? refuse("notFound", operation, `there is no deployment ${id}`) : Effect.succeed(fact)
      })
    const change = (id: DeploymentId, operation: string, f: (fact: Fact) => Fact) =>
      Effect.map(find(id, operation), (fact) => {
        const changed = f(fact)
        facts.set(id, changed)
        return changed
      })
    const setAsleep = (id: DeploymentId, asleep: boolean) =>
      change(id, asleep ? "hibernate" : "wake", (fact) => ({
        ...fact,
        power: fact.power?.asleep === asleep ? fact.power : { asleep, since: now(), from: statusOf(fact) }
      }))

    return DeploymentProvider.of({
      ready: Effect.succeed({ host: "memory", organizationId: "organization", workspaceId: "workspace" }),
      list: Effect.sync(() => Array.from(facts.values(), view)),
      get: (id) => Effect.map(find(id, "read the deployment"), view),
      create: (deployment) =>
        Effect.suspend(() => {
          if (Array.from(facts.values()).some(({ name }) => name === deployment.name)) {
            return refuse("nameTaken", `create ${deployment.name}`, "a deployment of that name exists")
          }
          const id = DeploymentId.make(`deployment-${++count}`)
          const fact: Fact = { ...deployment, id, createdAt: now(), power: undefined, tokens: [], variables: {} }
          facts.set(id, fact)
          return Effect.succeed(view(fact))
        }),
      delete: (id) => Effect.sync(() => void facts.delete(id)),
      hibernate: (id) => Effect.asVoid(setAsleep(id, true)),
      wake: (id) => Effect.asVoid(setAsleep(id, false)),
      createToken: (id, name) =>
        Effect.suspend(() => {
          const token = { id: `token-${++count}`, name, createdAt: now() }
          return Effect.as(
            change(id, "make a token", (fact) => ({ ...fact, tokens: [...fact.tokens, token] })),
            { ...token, value: Redacted.make(`secret-${token.id}`) }
          )
        }),
      listTokens: (id) => Effect.map(find(id, "list tokens"), ({ tokens }) => tokens),
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
