/** Deploys DAGs through Astro's API: creates the deploy, uploads the bundle to the URL that Astro returns, finalizes the deploy. */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { AstroConfig } from "../AstroConfig.js"
import * as AstroError from "./astroError.js"
import { missingFolder } from "./dagFolder.js"
import * as Transport from "./transport.js"

/** The DAG folder does not exist, is empty, or cannot be read. */
export class DagsMissing extends Data.TaggedError("DagsMissing")<{
  readonly kind: "refused"
  readonly detail: string
  readonly remedy: string
}> {}

/** Returns the version of the DAGs. */
export const dags = (
  deploy: Pick<AstroConfig, "apiUrl" | "rates" | "token"> & {
    readonly organizationId: string
    readonly deploymentId: string
    readonly dags: string
  }
): Effect.Effect<
  string,
  ProviderError | DagsMissing,
  HttpClient.HttpClient | FileSystem.FileSystem | Scope.Scope
> =>
  Effect.gen(function*() {
    const call = yield* Transport.make(deploy)
    const bundle = yield* bundleOf(deploy.dags)
    const path = `/organizations/${deploy.organizationId}/deployments/${
      encodeURIComponent(deploy.deploymentId)
    }/deploys`
    const { dagsUploadUrl, id } = yield* call.write(
      "POST",
      operation,
      path,
      { type: "DAG_ONLY", description: "" },
      NewDeploy
    )
    const dagTarballVersion = yield* upload(dagsUploadUrl, bundle)
    yield* call.write("POST", operation, `${path}/${id}/finalize`, { dagTarballVersion })
    return dagTarballVersion
  })

// internal

const operation = "deploy the DAGs"

const NewDeploy = Schema.Struct({ id: Schema.String, dagsUploadUrl: Schema.String })

/** The folder as `dags/` in a tar.gz, as the astro CLI packs it. */
const bundleOf = (folder: string): Effect.Effect<Uint8Array, DagsMissing, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const entries = yield* Effect.mapError(fs.readDirectory(folder), () => new DagsMissing(missingFolder(folder)))
    if (entries.length === 0) {
      return yield* new DagsMissing({ ...missingFolder(folder), detail: `the DAG folder ${folder} is empty` })
    }
    return yield* Effect.tryPromise({
      // loaded only here, because other ways to deploy do not need it
      try: async () => {
        const tar = await import("tar")
        return await tar.create({ gzip: true, cwd: folder, prefix: "dags", portable: true }, entries).concat()
      },
      catch: () =>
        new DagsMissing({ ...missingFolder(folder), detail: `the DAG folder ${folder} could not be read completely` })
    })
  })

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
