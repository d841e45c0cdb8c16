/**
 * What Astro has to have before a lease can be made, each looked at by itself: for those who want to know before anything is used.
 * Every look is a read, which changes nothing.
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
 * Where Astro is, and who asks.
 *
 * @since 0.1.0
 * @category models
 */
export type Asker = Pick<AstroConfig, "apiUrl" | "token">

/**
 * @since 0.1.0
 * @category models
 */
export interface Named {
  readonly id: string
  readonly name: string
}

/**
 * The organization of that id, or else the first that the token sees. Fails where it is not active.
 *
 * @since 0.1.0
 * @category accessors
 */
export const organization = (
  account: Asker & Pick<AstroConfig, "organizationId">
): Effect.Effect<Named, ProviderError, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const operation = "find the organization"
    const { organizations } = yield* read(account, operation, "/organizations?limit=100", Organizations)
    const found = Option.match(account.organizationId, {
      onNone: () => organizations[0],
      onSome: (wanted) => organizations.find(({ id }) => id === wanted)
    })
    if (found === undefined) {
      return yield* AstroError.make(operation, {
        kind: "notFound",
        detail: Option.match(account.organizationId, {
          onNone: () => "the token sees no organization",
          onSome: (id) => `the token does not see the organization ${id}`
        }),
        remedy: "Use a token of the organization that the workspace belongs to."
      })
    }
    if (found.status === "SUSPENDED" || found.status === "INACTIVE") {
      return yield* AstroError.suspended(operation, `the organization ${found.id} is ${found.status.toLowerCase()}`)
    }
    return { id: found.id, name: found.name ?? found.id }
  })

/**
 * @since 0.1.0
 * @category accessors
 */
export const workspace = (
  account: Asker & Pick<AstroConfig, "workspaceId">,
  organizationId: string
): Effect.Effect<Named, ProviderError, HttpClient.HttpClient> => {
  const operation = "find the workspace"
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
              "Check ASTRO_WORKSPACE_ID (Astro's UI, Workspace Settings), and that the token is of that workspace.",
            status: 404
          })
          : error
    })
  )
}

/**
 * The runtime versions that a new deployment may have.
 *
 * @since 0.1.0
 * @category accessors
 */
export const runtimeVersions = (
  account: Asker,
  organizationId: string
): Effect.Effect<ReadonlyArray<string>, ProviderError, HttpClient.HttpClient> =>
  Effect.map(
    read(account, "look at the runtime versions", `/organizations/${organizationId}/deployment-options`, Options),
    ({ runtimeReleases }) => runtimeReleases.map(({ version }) => version)
  )

/**
 * The regions of each cloud, as variables name them: `aws`, `us-east-1`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const regions = (
  account: Asker,
  organizationId: string
): Effect.Effect<
  ReadonlyArray<{ readonly cloudProvider: string; readonly region: string }>,
  ProviderError,
  HttpClient.HttpClient
> =>
  // there is no list for shared clusters, only the one of where they and others can be
  Effect.map(
    read(account, "look at the regions", `/organizations/${organizationId}/cluster-options?type=DEDICATED`, Clusters),
    (clouds) =>
      clouds.flatMap(({ provider, regions }) =>
        regions.map(({ name }) => ({ cloudProvider: provider.toLowerCase(), region: name }))
      )
  )

// internal

const read = <A, I>(account: Asker, operation: string, path: string, schema: Schema.Schema<A, I>) =>
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
