/** Deploys DAGs through Astro's API: creates the deploy, uploads the bundle to the URL that Astro returns, finalizes the deploy. */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Stats } from "node:fs"
import type { AstroConfig } from "../AstroConfig.js"
import * as AstroError from "./astroError.js"
import * as DagFolder from "./dagFolder.js"
import * as Transport from "./transport.js"

/** Returns the version of the DAGs. */
export const dags = (
  deploy: Pick<AstroConfig, "apiUrl" | "rates" | "token"> & {
    readonly organizationId: string
    readonly deploymentId: string
    readonly dags: string
  }
): Effect.Effect<
  string,
  ProviderError | DagFolder.DagFolderUnusable,
  HttpClient.HttpClient | Scope.Scope
> =>
  Effect.gen(function*() {
    const call = yield* Transport.make(deploy)
    const bundle = yield* bundleOf(deploy.dags)
    const path = `/organizations/${deploy.organizationId}/deployments/${
      encodeURIComponent(deploy.deploymentId)
    }/deploys`
    const { dagsUploadUrl, id } = yield* call.post(
      operation,
      path,
      { type: "DAG_ONLY", description: "" },
      NewDeploy
    )
    const dagTarballVersion = yield* upload(dagsUploadUrl, bundle)
    const Finalized = Schema.Struct({ id: Schema.Literal(id) })
    yield* call.post(operation, `${path}/${id}/finalize`, { dagTarballVersion }, Finalized)
    return dagTarballVersion
  })

// internal

const operation = "deploy the DAGs"

const NewDeploy = Schema.Struct({ id: Schema.String, dagsUploadUrl: Schema.String })

/** The folder as `dags/` in a tar.gz, as the astro CLI packs it. */
const bundleOf = (dags: string): Effect.Effect<Uint8Array, DagFolder.DagFolderUnusable> =>
  Effect.gen(function*() {
    const { names, path } = yield* DagFolder.open(dags)
    let size = 0
    const bundle = yield* Effect.tryPromise({
      // loaded only here, because other ways to deploy do not need it
      try: async () => {
        const { Pack } = await import("tar")
        // not `create`, which reads `@name` as an archive and packs what is in it
        const pack = new Pack({
          gzip: true,
          cwd: path,
          prefix: "dags",
          portable: true,
          // names are below the folder; without this, the start of `c:name` would be cut off
          preservePaths: true,
          strict: true,
          filter: (path, found) => {
            // it may also be an archive's entry, which cannot occur here
            const stats = found as Stats
            if (!DagFolder.isDelivered(path, stats)) return false
            size += stats.size
            return size <= maxSize
          }
        })
        for (const name of names) pack.add(name)
        pack.end()
        return await pack.concat()
      },
      catch: (error) => DagFolder.incomplete(dags, "read", error)
    })
    // the bundle is in memory
    return size <= maxSize
      ? bundle
      : yield* DagFolder.unusable(
        dags,
        `holds more than ${maxSize / 2 ** 20} MiB`,
        "Keep data elsewhere, or set AIRFLOW_DAG_PATH to a folder with nothing but DAGs."
      )
  })

const maxSize = 512 * 2 ** 20

const uploadTimeout = Duration.minutes(2)

/** Returns the version, which the storage assigns. The URL grants write access, so it never appears in an error. */
const upload = (url: string, bundle: Uint8Array): Effect.Effect<string, ProviderError, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const http = HttpClient.withTracerPropagation(yield* HttpClient.HttpClient, false)
    const { headers, status } = yield* HttpClient.retryTransient(http, { times: 3 }).execute(
      HttpClientRequest.put(url, { headers: { "x-ms-blob-type": "BlockBlob" } }).pipe(
        HttpClientRequest.bodyUint8Array(bundle, "application/octet-stream")
      )
    )
    const version = headers["x-ms-version-id"]
    if (status === 201 && version !== undefined) return version
    return yield* notUploaded(`the storage responded with status ${status}`)
  }).pipe(
    Effect.timeoutFail({
      duration: uploadTimeout,
      onTimeout: () => notUploaded(`the storage did not respond within ${Duration.format(uploadTimeout)}`)
    }),
    Effect.catchTags({
      RequestError: () => notUploaded("the storage could not be reached"),
      ResponseError: () => notUploaded("the storage's response could not be read")
    }),
    Effect.withTracerEnabled(false)
  )

const notUploaded = (detail: string) =>
  AstroError.make(operation, {
    kind: "unreachable",
    detail: `the upload failed: ${detail}`,
    remedy: "Try again. A firewall must also allow Astro's storage (*.blob.core.windows.net)."
  })
