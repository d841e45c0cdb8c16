/**
 * Who operates deployments. Implemented by `@airflow-resource/astro`, and in memory by {@link layerMemory}.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Deployment, DeploymentId, Make } from "./Deployment.js"

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
 * A new deployment: always a development deployment, since no other kind can hibernate.
 *
 * @since 0.1.0
 * @category models
 */
export interface NewDeployment {
  readonly name: string
  readonly description: string
  readonly make: Make
}

/**
 * The one error of every provider.
 *
 * - `tokenExpired`, `unauthorized`, `forbidden`: credentials; nothing gets better by itself
 * - `workspaceNotFound`, `notFound`: the id is unknown or not visible
 * - `nameTaken`: a deployment of that name exists; adopt it
 * - `unknownRuntime`, `unknownRegion`, `quota`, `invalid`: the request was refused
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
      "workspaceNotFound",
      "notFound",
      "nameTaken",
      "unknownRuntime",
      "unknownRegion",
      "quota",
      "invalid",
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
 * @since 0.1.0
 * @category refinements
 */
export const isProviderError = (u: unknown): u is ProviderError => Predicate.isTagged(u, "ProviderError")

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
