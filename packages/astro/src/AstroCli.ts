/**
 * The `astro` program: finds it, checks it once, and uses it as a transport for Astro's API.
 *
 * The program runs with its own `ASTRO_HOME`, whose config contains the token. It therefore never prompts, opens no browser, and does
 * not affect the user's own login or other processes.
 *
 * @since 0.1.0
 */
import * as PinnedClock from "@airflow-resource/core/PinnedClock"
import { type Ended, ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { AstroCliError } from "./AstroCliError.js"
import * as AstroCliVersion from "./AstroCliVersion.js"
import type { AstroConfig } from "./AstroConfig.js"
import * as AstroHome from "./internal/astroHome.js"
import * as CliOutput from "./internal/cliOutput.js"
import * as DagFolder from "./internal/dagFolder.js"
import { withoutTrailingSlash } from "./internal/url.js"

/**
 * The astro CLI, for one account.
 *
 * @since 0.1.0
 * @category tags
 */
export class AstroCli extends Context.Tag("@airflow-resource/astro/AstroCli")<
  AstroCli,
  {
    /** Finds and checks the program. Once that succeeds, later calls return the same result. */
    readonly program: Effect.Effect<Program, AstroCliError>
    /**
     * Sends every request through `astro api cloud`. Uses the token of the options and ignores the request's. If the program fails, the
     * request fails with a `RequestError` whose cause is an `AstroCliError`.
     */
    readonly httpClient: HttpClient.HttpClient
    /** Creates a project in an empty folder. */
    readonly devInit: (project: {
      readonly folder: string
      readonly name: string
      readonly runtimeVersion: string
    }) => Effect.Effect<void, AstroCliError>
    /**
     * Replaces all DAGs of a deployment with those of a folder, and returns their version. Requires a program of
     * `AstroCliVersion.minimumForDeploys` or newer.
     */
    readonly deployDags: (deploy: Deploy) => Effect.Effect<string, AstroCliError>
  }
>() {}

/**
 * The astro CLI that is used.
 *
 * @since 0.1.0
 * @category models
 */
export interface Program {
  readonly path: string
  /** Empty for a build from source, which has no version number. */
  readonly version: string
}

/**
 * A deploy of DAGs to one deployment.
 *
 * @since 0.1.0
 * @category models
 */
export interface Deploy {
  readonly deploymentId: string
  readonly organizationId: string
  /** The lease's own token is sufficient. */
  readonly token: Redacted.Redacted
  /** Path of the folder that holds the DAGs. */
  readonly dags: string
}

/**
 * What the layer needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface AstroCliOptions extends AstroConfig {
  /** The program's path. Default: the first `astro` on the `PATH`. */
  readonly bin?: string | undefined
  /** Source of `PATH`, proxies and certificates. Default: the environment of this process. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** Limit for one call. Default: 29 seconds, slightly less than the limit of a request to Astro's API. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * See {@link layer}. Runs on the clock under which it is built.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: AstroCliOptions
): Effect.Effect<
  typeof AstroCli.Service,
  never,
  ProcessRunner | FileSystem.FileSystem | Path.Path | Scope.Scope
> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    const { run } = yield* ProcessRunner
    const scope = yield* Effect.scope
    // without this context's scope, so that each folder is created in an explicit scope
    const files = Context.pick(FileSystem.FileSystem, Path.Path)(
      yield* Effect.context<FileSystem.FileSystem | Path.Path>()
    )
    const environment = options.environment ?? globalThis.process?.env ?? {}
    const timeout = options.timeout ?? Duration.seconds(29)

    const homeOf = (account: AstroConfig) =>
      AstroHome.make(account, environment).pipe(
        Effect.provide(files),
        Effect.mapError(() => noFiles("its home folder cannot be created"))
      )

    const invoke = (
      { bin, home }: Pick<Installation, "bin" | "home">,
      args: ReadonlyArray<string>,
      { cwd = home.path, limit = timeout, stdin }: {
        readonly cwd?: string
        readonly limit?: Duration.DurationInput
        readonly stdin?: string | undefined
      } = {}
    ): Effect.Effect<Ended, AstroCliError> =>
      run({ command: bin, args, env: home.env, cwd, stdin, timeout: limit, maxOutput, remedy: install }).pipe(
        Effect.mapError(({ detail, kind, remedy }) =>
          kind === "timedOut"
            ? new AstroCliError({ kind: "hangs", detail, remedy: `Try again, or ${useRest}.` })
            : kind === "notFound"
            ? new AstroCliError({ kind, detail: `there is no ${bin}`, remedy })
            : new AstroCliError({ kind: "unusable", detail: `${bin}: ${detail}`, remedy })
        )
      )

    const findIn = (homeScope: Scope.Scope): Effect.Effect<Installation, AstroCliError> =>
      Effect.gen(function*() {
        if (Redacted.value(options.token).trim() === "") {
          return yield* new AstroCliError({
            kind: "notLoggedIn",
            detail: "it has no token",
            remedy: "Set ASTRO_ACCESS_TOKEN (https://cloud.astronomer.io/token)."
          })
        }
        const bin = yield* Effect.provide(locate(options.bin, environment.PATH ?? ""), files)
        const home = yield* Scope.extend(homeOf(options), homeScope)
        const ended = yield* invoke({ bin, home }, ["version"], { limit: Duration.min(timeout, versionTimeout) })
        const version = CliOutput.version(ended.stdout)
        if (ended.exitCode !== 0 || version === undefined) {
          return yield* new AstroCliError({
            kind: "unusable",
            detail: `${bin} is not Astronomer's program: it does not print a version of the astro CLI`,
            remedy: `Set ASTRO_BIN to the path of Astronomer's program, or ${useRest}.`
          })
        }
        if (AstroCliVersion.isBefore(version, AstroCliVersion.minimum)) {
          return yield* tooOld(bin, version, AstroCliVersion.minimum)
        }
        return { bin, home, version }
      })
    // a failure deletes the home folder
    const find = Effect.flatMap(Scope.fork(scope, ExecutionStrategy.sequential), (homeScope) =>
      Effect.onError(findIn(homeScope), (cause) => Scope.close(homeScope, Exit.failCause(cause))))
    const gate = yield* Effect.makeSemaphore(1)
    let known = Option.none<Installation>()
    const installation = gate.withPermits(1)(Effect.suspend(() =>
      Option.match(known, {
        onSome: Effect.succeed,
        onNone: () =>
          Effect.tap(find, (found) => Effect.sync(() => known = Option.some(found)))
      })
    ))

    const problem = (ended: Ended, token = options.token) =>
      new AstroCliError(CliOutput.problem(ended, Redacted.value(token)))

    // limits the load: each process takes 50 MiB and one core for 30 ms
    const processes = yield* Effect.makeSemaphore(8)
    const send = (call: Call): Effect.Effect<CliOutput.Response, AstroCliError> =>
      Effect.gen(function*() {
        const headers = Object.entries(call.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`])
        const input = call.body === undefined ? [] : ["--input", "-"]
        const args = ["api", "cloud", call.path, "-X", call.method, "-i", ...headers, ...input]
        const ended = yield* invoke(yield* installation, args, { stdin: call.body })
        const response = ended.isCut || ended.signal !== null ? undefined : CliOutput.response(ended)
        return response ?? (yield* problem(ended))
      }).pipe(processes.withPermits(1))

    return traced({
      program: Effect.map(installation, ({ bin, version }) => ({ path: bin, version })),
      httpClient: HttpClient.make((request, url) =>
        pin(Effect.flatMap(toCall(options, request, url), (call) =>
          send(call).pipe(Effect.mapBoth({
            onFailure: (cause) => new HttpClientError.RequestError({ request, reason: "Transport", cause }),
            onSuccess: (response) => toHttpResponse(request, response)
          }))))
      ),
      devInit: ({ folder, name, runtimeVersion }) =>
        Effect.gen(function*() {
          // without the version the program would request the newest one from the Internet
          const args = ["dev", "init", "--name", name, "--runtime-version", runtimeVersion]
          const ended = yield* invoke(yield* installation, args, { cwd: folder })
          if (ended.exitCode !== 0 || !CliOutput.isInitialized(ended.stdout)) return yield* problem(ended)
        }),
      deployDags: (deploy) =>
        Effect.scoped(Effect.gen(function*() {
          // without an id the program would choose a deployment itself
          if (!/^\w[\w-]*$/.test(deploy.deploymentId)) {
            return yield* new AstroCliError({
              kind: "refused",
              detail: `"${deploy.deploymentId}" is not the id of a deployment`,
              remedy: CliOutput.reportBug
            })
          }
          const { bin, version: cliVersion } = yield* installation
          if (AstroCliVersion.isBefore(cliVersion, AstroCliVersion.minimumForDeploys)) {
            return yield* tooOld(bin, cliVersion, AstroCliVersion.minimumForDeploys)
          }
          const { organizationId, token } = deploy
          const home = yield* homeOf({ ...options, token, organizationId: Option.some(organizationId) })
          const project = yield* Effect.provide(projectWith(deploy.dags, home), files)
          const args = ["deploy", deploy.deploymentId, "--dags", "--force", "--workspace-id", options.workspaceId]
          const ended = yield* invoke({ bin, home }, args, { cwd: project, limit: deployTimeout })
          const version = ended.exitCode === 0 ? CliOutput.deployedVersion(ended.stdout) : undefined
          return version ?? (yield* problem(ended, token))
        }))
    }, pin)
  })

/**
 * Provides the astro CLI for one account. Finds the program at the first call, not when the layer is built. Each operation is a span, such as `AstroCli.deployDags`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: AstroCliOptions
): Layer.Layer<AstroCli, never, ProcessRunner | FileSystem.FileSystem | Path.Path> =>
  Layer.scoped(AstroCli, make(options))

/**
 * Only the transport, for `AstroApi`.
 *
 * @example
 * ```ts
 * import * as AstroApi from "@airflow-resource/astro/AstroApi"
 * import * as AstroCli from "@airflow-resource/astro/AstroCli"
 * import type { AstroConfig } from "@airflow-resource/astro/AstroConfig"
 * import * as Layer from "effect/Layer"
 *
 * export const provider = (config: AstroConfig) =>
 *   AstroApi.layer(config).pipe(
 *     Layer.provide(AstroCli.layerHttpClient),
 *     Layer.provide(AstroCli.layer(config))
 *   )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClient: Layer.Layer<HttpClient.HttpClient, never, AstroCli> = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(AstroCli, ({ httpClient }) => httpClient)
)

/**
 * The content of `.astro/config.yaml` in an `ASTRO_HOME` with which the program uses this account, without a prompt or a login. It
 * contains the token.
 *
 * @since 0.1.0
 * @category accessors
 */
export const configText: (account: AstroConfig) => string = AstroHome.configText

// internal

/** One span for each operation. `httpClient` has the usual spans of an `HttpClient`. `pin` sets the clock. */
const traced = (
  { deployDags, devInit, httpClient, program }: typeof AstroCli.Service,
  pin: <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>
): typeof AstroCli.Service => {
  const span =
    (operation: string, attributes: Readonly<Record<string, string>> = {}) =>
    <A>(self: Effect.Effect<A, AstroCliError>) => pin(Effect.withSpan(self, `AstroCli.${operation}`, { attributes }))
  return AstroCli.of({
    program: program.pipe(span("program")),
    httpClient,
    devInit: (project) =>
      devInit(project).pipe(span("devInit", { "project.name": project.name, "project.folder": project.folder })),
    deployDags: (deploy) =>
      deployDags(deploy).pipe(
        span("deployDags", { "deployment.id": deploy.deploymentId, "dag.folder": deploy.dags })
      )
  })
}

interface Installation {
  readonly bin: string
  readonly home: AstroHome.Home
  readonly version: string
}

interface Call {
  readonly method: string
  /** Without the leading `/v1`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

const maxOutput = 64 * 1024 * 1024
const deployTimeout = Duration.minutes(5)
/** Short, because `astro version` sends no request. */
const versionTimeout = Duration.seconds(10)

const tooOld = (bin: string, version: string, needed: AstroCliVersion.Release) =>
  new AstroCliError({
    kind: "tooOld",
    detail: `${bin} is version ${version}, but ${needed.join(".")} or newer is needed`,
    remedy: `Update it (${manual})${needed === AstroCliVersion.minimum ? `, or ${useRest}` : ""}.`
  })

const noFiles = (detail: string) =>
  new AstroCliError({
    kind: "unusable",
    detail,
    remedy: "Check that the system's folder for temporary files is writable and not full."
  })

/**
 * Copies the DAGs into a temporary project, because the CLI writes its bundle into the project. The project is inside the home folder
 * and is deleted with it.
 */
const projectWith = (dags: string, home: AstroHome.Home) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { join } = yield* Path.Path
    const project = join(home.path, "project")
    yield* Effect.gen(function*() {
      yield* fs.makeDirectory(join(project, ".astro"), { recursive: true })
      yield* fs.writeFileString(join(project, ".astro", "config.yaml"), "project:\n    name: deploy\n")
    }).pipe(Effect.mapError(() => noFiles("the DAGs cannot be copied")))
    yield* Effect.flatMap(DagFolder.open(dags), (folder) => DagFolder.copy(folder, join(project, "dags"))).pipe(
      Effect.mapError(({ detail, kind, remedy }) => new AstroCliError({ kind, detail, remedy }))
    )
    return project
  })

const manual = "https://www.astronomer.io/docs/astro/cli/install-cli"
const { useRest } = CliOutput
const install = `Install it (${manual}), set ASTRO_BIN to its path, or ${useRest}.`

/** Skips `node_modules`, where a web framework installs a program of the same name. */
const locate = (
  bin: string | undefined,
  searchPath: string
): Effect.Effect<string, AstroCliError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if (bin !== undefined) return path.resolve(bin)
    const isProgram = (file: string) =>
      fs.stat(file).pipe(
        Effect.map(({ mode, type }) => type === "File" && (mode & 0o111) !== 0),
        Effect.orElseSucceed(() => false)
      )
    const folders = searchPath.split(":").filter((folder) =>
      path.isAbsolute(folder) && !/\/node_modules\//.test(folder)
    )
    const found = yield* Effect.findFirst(folders.map((folder) => path.join(folder, "astro")), isProgram)
    return yield* Option.match(found, {
      onSome: Effect.succeed,
      onNone: () => new AstroCliError({ kind: "notFound", detail: "there is no astro on the PATH", remedy: install })
    })
  })

/** Converts a request to a call of the program. Without the token, which is in the program's config and never in its arguments. */
const toCall = (
  { apiUrl }: AstroConfig,
  request: HttpClientRequest,
  url: URL
): Effect.Effect<Call, HttpClientError.RequestError> => {
  const base = `${withoutTrailingSlash(apiUrl)}/v1/`
  const { body } = request
  if (!url.href.startsWith(base)) {
    return new HttpClientError.RequestError({
      request,
      reason: "InvalidUrl",
      description: `its URL is not below ${base}`
    })
  }
  if (body._tag !== "Empty" && body._tag !== "Uint8Array") {
    return new HttpClientError.RequestError({ request, reason: "Encode", description: "only JSON can be sent" })
  }
  return Effect.succeed({
    method: request.method,
    path: url.href.slice(base.length - 1),
    headers: Object.fromEntries(Object.entries(request.headers).filter(([name]) => name.startsWith("x-"))),
    body: body._tag === "Empty" ? undefined : new TextDecoder().decode(body.body)
  })
}

const toHttpResponse = (request: HttpClientRequest, { body, headers, status }: CliOutput.Response) =>
  HttpClientResponse.fromWeb(
    request,
    new Response([204, 205, 304].includes(status) ? null : body, { status, headers: headers.map(([...pair]) => pair) })
  )
