/**
 * What has to exist on Astro before a lease is possible, as separate checks. Each is a read and changes nothing.
 *
 * @since 0.1.0
 */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { AstroConfig } from "./AstroConfig.js"
import * as AstroError from "./internal/astroError.js"
import * as Transport from "./internal/transport.js"

/**
 * Where Astro's API is, and the token for it.
 *
 * @since 0.1.0
 * @category models
 */
export type Connection = Pick<AstroConfig, "apiUrl" | "token">

/**
 * An organization or a workspace.
 *
 * @since 0.1.0
 * @category models
 */
export interface Named {
  readonly id: string
  readonly name: string
}

/**
 * The organization with the given id; without an id, the first that the token sees. Fails if it is not active.
 *
 * @since 0.1.0
 * @category accessors
 */
export const organization = (
  account: Connection & Pick<AstroConfig, "organizationId">
): Effect.Effect<Named, ProviderError, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const operation = "find the organization"
    const { organizations } = yield* read(account, operation, "/organizations?limit=100", Organizations)
    const organization = Option.match(account.organizationId, {
      onNone: () => organizations[0],
      onSome: (organizationId) => organizations.find(({ id }) => id === organizationId)
    })
    if (organization === undefined) {
      return yield* AstroError.make(operation, {
        kind: "notFound",
        detail: Option.match(account.organizationId, {
          onNone: () => "the token sees no organization",
          onSome: (id) => `the token does not see the organization ${id}`
        }),
        remedy: "Use a token of the organization that the workspace belongs to."
      })
    }
    const { id, name = id, status } = organization
    if (status === "SUSPENDED" || status === "INACTIVE") {
      return yield* AstroError.suspended(operation, `the organization ${id} is ${status.toLowerCase()}`)
    }
    return { id, name }
  })

/**
 * The workspace of the account. Fails with `workspaceNotFound` if the token does not see it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const workspace = (
  account: Connection & Pick<AstroConfig, "workspaceId">,
  organizationId: string
): Effect.Effect<Named, ProviderError, HttpClient.HttpClient> => {
  const operation = "get the workspace"
  const path = `/organizations/${organizationId}/workspaces/${encodeURIComponent(account.workspaceId)}`
  return read(account, operation, path, Workspace).pipe(
    Effect.mapBoth({
      onSuccess: ({ id, name }) => ({ id, name: name ?? id }),
      onFailure: (error) =>
        error.kind === "notFound"
          ? AstroError.make(operation, {
            kind: "workspaceNotFound",
            detail: `the token does not see the workspace ${account.workspaceId}`,
            remedy:
              "Check ASTRO_WORKSPACE_ID (Astro's UI, Workspace Settings), and that the token belongs to that workspace.",
            status: 404
          })
          : error
    })
  )
}

/**
 * The Astro Runtime versions that a new deployment may use.
 *
 * @since 0.1.0
 * @category accessors
 */
export const runtimeVersions = (
  account: Connection,
  organizationId: string
): Effect.Effect<ReadonlyArray<string>, ProviderError, HttpClient.HttpClient> =>
  Effect.map(
    read(account, "list the runtime versions", `/organizations/${organizationId}/deployment-options`, Options),
    ({ runtimeReleases }) => runtimeReleases.map(({ version }) => version)
  )

/**
 * The regions of each cloud, in the spelling of `ASTRO_CLOUD_PROVIDER` and `ASTRO_REGION`: `aws`, `us-east-1`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const regions = (
  account: Connection,
  organizationId: string
): Effect.Effect<
  ReadonlyArray<{ readonly cloudProvider: string; readonly region: string }>,
  ProviderError,
  HttpClient.HttpClient
> =>
  // Astro has no list for shared clusters; the list for dedicated clusters includes their regions
  Effect.map(
    read(account, "list the regions", `/organizations/${organizationId}/cluster-options?type=DEDICATED`, Clusters),
    (clouds) =>
      clouds.flatMap(({ provider, regions }) =>
        regions.map(({ name }) => ({ cloudProvider: provider.toLowerCase(), region: name }))
      )
  )

// internal

const read = <A, I>(account: Connection, operation: string, path: string, schema: Schema.Schema<A, I>) =>
  Effect.scoped(Effect.flatMap(Transport.make(account), (transport) => transport.read(operation, path, schema)))

const Workspace = Schema.Struct({ id: Schema.String, name: Schema.optional(Schema.String) })

const Organizations = Schema.Struct({
  organizations: Schema.Array(
    Schema.Struct({ ...Workspace.fields, status: Schema.optional(Schema.String) })
  )
})

const Options = Schema.Struct({ runtimeReleases: Schema.Array(Schema.Struct({ version: Schema.String })) })

const Clusters = Schema.Array(Schema.Struct({
  provider: Schema.String,
  regions: Schema.Array(Schema.Struct({ name: Schema.String }))
}))
