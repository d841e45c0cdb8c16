/**
 * What a token for Astro claims, and what Astro reports about it. This module does not verify signatures, so claims are not proofs.
 *
 * @since 0.1.0
 */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { AstroConfig } from "./AstroConfig.js"
import * as Transport from "./internal/transport.js"

/**
 * What a token belongs to. `opaque`: the token is not in Astro's format, so only Astro knows. `truncated`: the beginning of a token in
 * Astro's format.
 *
 * @since 0.1.0
 * @category models
 */
export type Kind = "user" | "organization" | "workspace" | "deployment" | "opaque" | "truncated"

/**
 * The claims of a token.
 *
 * @since 0.1.0
 * @category models
 */
export interface Claims {
  readonly kind: Kind
  /** Milliseconds since 1970. `None` if the token claims no expiry. */
  readonly expiresAt: Option.Option<number>
  readonly apiTokenId: Option.Option<string>
  readonly organizationId: Option.Option<string>
  readonly workspaceId: Option.Option<string>
}

/**
 * Reads the claims of any token. A claim of the wrong type counts as missing.
 *
 * @example
 * ```ts
 * import * as AstroCredentials from "@airflow-resource/astro/AstroCredentials"
 * import * as Option from "effect/Option"
 * import type * as Redacted from "effect/Redacted"
 *
 * export const hasExpired = (token: Redacted.Redacted, now: number) =>
 *   Option.exists(AstroCredentials.claims(token).expiresAt, (end) => end <= now)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const claims = (token: Redacted.Redacted): Claims => {
  const payload = Schema.decodeOption(Payload)(Redacted.value(token).split(".")[1] ?? "")
  const fields = Option.getOrElse(payload, (): Record<string, unknown> => ({}))
  const permissions = Array.isArray(fields.permissions) ? fields.permissions.filter(Predicate.isString) : []
  // a permission has the form "workspaceId:clx…"
  const permission = (name: string) =>
    Option.fromNullable(permissions.filter((text) => text.startsWith(`${name}:`)).at(-1)?.slice(name.length + 1))
  const apiTokenId = Option.orElse(
    Option.liftPredicate(Predicate.isString)(fields.apiTokenId),
    () => permission("apiTokenId")
  )
  const workspaceId = permission("workspaceId")
  return {
    kind: isTruncated(Redacted.value(token))
      ? "truncated"
      : Option.isNone(payload)
      ? "opaque"
      : Option.isNone(apiTokenId)
      ? "user"
      : Option.isSome(permission("deploymentId"))
      ? "deployment"
      : Option.isSome(workspaceId)
      ? "workspace"
      : "organization",
    expiresAt: Option.map(Option.liftPredicate(isTime)(fields.exp), (seconds) => seconds * 1000),
    apiTokenId,
    organizationId: permission("organizationId"),
    workspaceId
  }
}

/**
 * What a token may do in a workspace.
 *
 * - `owner`: everything that a lease needs, including minting its token
 * - `operator`: everything except minting tokens
 * - `none`: cannot create deployments
 * - `unknown`: Astro reports no workspace role for this token
 *
 * @since 0.1.0
 * @category models
 */
export interface Rights {
  readonly level: "owner" | "operator" | "none" | "unknown"
  /** In Astro's spelling. */
  readonly roles: ReadonlyArray<string>
}

/**
 * Gets the token's rights in the workspace from Astro. One read. Fails with `ProviderError`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const rights = (
  account: Pick<AstroConfig, "apiUrl" | "token" | "workspaceId">,
  organizationId: string
): Effect.Effect<Rights, ProviderError, HttpClient.HttpClient> =>
  Effect.scoped(Effect.gen(function*() {
    const { apiTokenId, kind } = claims(account.token)
    if (kind === "opaque" || kind === "truncated") return unknown
    const { read } = yield* Transport.make(account)
    const operation = "get the token's roles"
    const roles = Option.match(apiTokenId, {
      onSome: (id) =>
        Effect.map(
          read(operation, `/organizations/${organizationId}/tokens/${encodeURIComponent(id)}`, ApiToken),
          ({ roles, scope }) => roles ?? (scope === "DEPLOYMENT" ? [{ role: "DEPLOYMENT_ADMIN", entityId: "" }] : [])
        ),
      onNone: () =>
        Effect.map(read(operation, "/users/self", User), ({ roles }) =>
          roles.map(({ role, scope }) => ({ role, entityId: scope?.entityId })))
    })
    return rightsOf(yield* roles, account.workspaceId)
  })).pipe(
    // a token that cannot read its own roles may still have an operator's rights
    Effect.catchIf(({ kind }) =>
      kind === "forbidden" || kind === "notFound", () => Effect.succeed(unknown))
  )

// internal

/** All tokens in Astro's format begin like this: they are JSON in Base64. The end of the last part can be missing unnoticed. */
const isTruncated = (token: string) => token.startsWith("eyJ") && !token.split(".")[2]

const Payload = Schema.compose(
  Schema.StringFromBase64Url,
  Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
)

/** Seconds since 1970, within the range of a Date. */
const isTime = (value: unknown): value is number => Predicate.isNumber(value) && value >= 0 && value <= 8.64e12

const ApiToken = Schema.Struct({
  scope: Schema.optional(Schema.String),
  roles: Schema.optional(Schema.Array(Schema.Struct({ role: Schema.String, entityId: Schema.String })))
})

const User = Schema.Struct({
  roles: Schema.optionalWith(
    Schema.Array(Schema.Struct({
      role: Schema.String,
      scope: Schema.optional(Schema.Struct({ entityId: Schema.optional(Schema.String) }))
    })),
    { default: () => [] }
  )
})

const unknown: Rights = { level: "unknown", roles: [] }

const rightsOf = (
  all: ReadonlyArray<{ readonly role: string; readonly entityId: string | undefined }>,
  workspaceId: string
): Rights => {
  const roles = all.flatMap(({ entityId, role }) =>
    role.startsWith("WORKSPACE_") && entityId !== workspaceId ? [] : [role]
  )
  const has = (...names: ReadonlyArray<string>) => names.some((name) => roles.includes(name))
  const level = has("ORGANIZATION_OWNER", "WORKSPACE_OWNER")
    ? "owner"
    : has("WORKSPACE_OPERATOR")
    ? "operator"
    : has("WORKSPACE_AUTHOR", "WORKSPACE_MEMBER", "WORKSPACE_ACCESSOR", "DEPLOYMENT_ADMIN")
    ? "none"
    : "unknown"
  return { level, roles }
}
