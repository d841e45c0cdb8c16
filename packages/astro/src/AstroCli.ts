/**
 * The `astro` program: found, checked once, and used as a transport for Astro's API.
 *
 * It gets an `ASTRO_HOME` of its own in which the token lies, so that it asks nothing, opens no browser, and disturbs neither the
 * user's own login nor other processes.
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
import { noFolder } from "./internal/dagFolder.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class AstroCli extends Context.Tag("@airflow-resource/astro/AstroCli")<
  AstroCli,
  {
    /** Finds the program and checks it, once; every later call is answered from memory. */
    readonly program: Effect.Effect<Program, AstroCliError>
    /**
     * Sends every request through `astro api cloud`, with the token of the options whatever the request's own is. A failure is a
     * `RequestError` whose cause is an `AstroCliError`.
     */
    readonly httpClient: HttpClient.HttpClient
    /** Makes a project in an empty folder. */
    readonly devInit: (project: {
      readonly folder: string
      readonly name: string
      readonly runtimeVersion: string
    }) => Effect.Effect<void, AstroCliError>
    /** Puts the DAGs of a folder in place of all that a deployment has, and gives their version. Needs version 1.43. */
    readonly deployDags: (deploy: Deploy) => Effect.Effect<string, AstroCliError>
  }
>() {}

/**
 * The program that was found.
 *
 * @since 0.1.0
 * @category models
 */
export interface Program {
  readonly path: string
  /** Empty for a build of somebody's own, without a number. */
  readonly version: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Deploy {
  readonly deploymentId: string
  readonly organizationId: string
  /** The lease's own is enough. */
  readonly token: Redacted.Redacted
  /** The folder of the DAGs. */
  readonly dags: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AstroCliOptions extends AstroConfig {
  /** The program's path. Default: the first `astro` on the `PATH`. */
  readonly bin?: string | undefined
  /** Where `PATH`, proxies and certificates are taken from. Default: this process's. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** How long a call may take. Default: 29 seconds, a little less than what a request to Astro's API gets. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * Nothing is looked for before the first call.
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
    // without the scope that is in it too: whose a file is, is said where it is made
    const files = Context.pick(FileSystem.FileSystem, Path.Path)(
      yield* Effect.context<FileSystem.FileSystem | Path.Path>()
    )
    const environment = options.environment ?? globalThis.process?.env ?? {}
    const timeout = options.timeout ?? Duration.seconds(29)

    const homeOf = (account: AstroConfig) =>
      AstroHome.make(account, environment).pipe(
        Effect.provide(files),
        Effect.mapError(() => noFiles("its home cannot be made"))
      )

    const invoke = (
      { bin, place }: Pick<Found, "bin" | "place">,
      args: ReadonlyArray<string>,
      { cwd = place.path, limit = timeout, stdin }: {
        readonly cwd?: string
        readonly limit?: Duration.DurationInput
        readonly stdin?: string | undefined
      } = {}
    ): Effect.Effect<Ended, AstroCliError> =>
      run({ command: bin, args, env: place.env, cwd, stdin, timeout: limit, maxOutput, remedy: install }).pipe(
        Effect.mapError(({ detail, kind, remedy }) =>
          kind === "timedOut"
            ? new AstroCliError({ kind: "hangs", detail, remedy: `Try again, or ${withoutIt}.` })
            : kind === "notFound"
            ? new AstroCliError({ kind, detail: `there is no ${bin}`, remedy })
            : new AstroCliError({ kind: "unusable", detail: `${bin}: ${detail}`, remedy })
        )
      )

    const findIn = (own: Scope.Scope): Effect.Effect<Found, AstroCliError> =>
      Effect.gen(function*() {
        if (Redacted.value(options.token).trim() === "") {
          return yield* new AstroCliError({
            kind: "notLoggedIn",
            detail: "there is no token for it",
            remedy: "Set ASTRO_ACCESS_TOKEN (https://cloud.astronomer.io/token)."
          })
        }
        const bin = yield* Effect.provide(locate(options.bin, environment.PATH ?? ""), files)
        const place = yield* Scope.extend(homeOf(options), own)
        const ended = yield* invoke({ bin, place }, ["version"], { limit: Duration.min(timeout, versionTimeout) })
        const version = CliOutput.version(ended.stdout)
        if (ended.exitCode !== 0 || version === undefined) {
          return yield* new AstroCliError({
            kind: "unusable",
            detail: `${bin} is not Astronomer's: it does not tell its version`,
            remedy: `Set ASTRO_BIN to the path of Astronomer's program, or ${withoutIt}.`
          })
        }
        if (AstroCliVersion.isBefore(version, minimum)) return yield* tooOld(bin, version, minimum)
        return { bin, place, version }
      })
    // a failure leaves no home behind
    const find = Effect.flatMap(Scope.fork(scope, ExecutionStrategy.sequential), (own) =>
      Effect.onError(findIn(own), (cause) => Scope.close(own, Exit.failCause(cause))))
    const gate = yield* Effect.makeSemaphore(1)
    let known = Option.none<Found>()
    const found = gate.withPermits(1)(Effect.suspend(() =>
      Option.match(known, {
        onSome: Effect.succeed,
        onNone: () =>
          Effect.tap(find, (one) => Effect.sync(() => known = Option.some(one)))
      })
    ))

    const problem = (ended: Ended, token = options.token) =>
      new AstroCliError(CliOutput.problem(ended, Redacted.value(token)))

    // each takes 50 MiB, and a core for 30 ms
    const seats = yield* Effect.makeSemaphore(8)
    const send = (call: Call): Effect.Effect<CliOutput.Answer, AstroCliError> =>
      Effect.gen(function*() {
        const headers = Object.entries(call.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`])
        const input = call.body === undefined ? [] : ["--input", "-"]
        const args = ["api", "cloud", call.path, "-X", call.method, "-i", ...headers, ...input]
        const ended = yield* invoke(yield* found, args, { stdin: call.body })
        const answer = ended.isCut || ended.signal !== null ? undefined : CliOutput.parse(ended)
        return answer ?? (yield* problem(ended))
      }).pipe(seats.withPermits(1))

    return AstroCli.of({
      program: pin(Effect.map(found, ({ bin, version }) => ({ path: bin, version }))),
      httpClient: HttpClient.make((request, url) =>
        pin(Effect.flatMap(toCall(options, request, url), (call) =>
          send(call).pipe(Effect.mapBoth({
            onFailure: (cause) => new HttpClientError.RequestError({ request, reason: "Transport", cause }),
            onSuccess: (answer) => toResponse(request, answer)
          }))))
      ),
      devInit: ({ folder, name, runtimeVersion }) =>
        pin(Effect.gen(function*() {
          // without the version it would ask the Internet for the newest
          const args = ["dev", "init", "--name", name, "--runtime-version", runtimeVersion]
          const ended = yield* invoke(yield* found, args, { cwd: folder })
          if (ended.exitCode !== 0 || !CliOutput.isInitialized(ended.stdout)) return yield* problem(ended)
        })),
      deployDags: (deploy) =>
        pin(Effect.scoped(Effect.gen(function*() {
          // without an id it would take any deployment
          if (!/^\w[\w-]*$/.test(deploy.deploymentId)) {
            return yield* new AstroCliError({
              kind: "refused",
              detail: `"${deploy.deploymentId}" is no deployment's id`,
              remedy: "Report this."
            })
          }
          const { bin, version: program } = yield* found
          if (AstroCliVersion.isBefore(program, minimumForDeploys)) {
            return yield* tooOld(bin, program, minimumForDeploys)
          }
          const { organizationId, token } = deploy
          const place = yield* homeOf({ ...options, token, organizationId: Option.some(organizationId) })
          const project = yield* Effect.provide(copyOf(deploy.dags, place), files)
          const args = ["deploy", deploy.deploymentId, "--dags", "--force", "--workspace-id", options.workspaceId]
          const ended = yield* invoke({ bin, place }, args, { cwd: project, limit: deployTimeout })
          const version = ended.exitCode === 0 ? CliOutput.deployed(ended.stdout) : undefined
          return version ?? (yield* problem(ended, token))
        })))
    })
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: AstroCliOptions
): Layer.Layer<AstroCli, never, ProcessRunner | FileSystem.FileSystem | Path.Path> =>
  Layer.scoped(AstroCli, make(options))

/**
 * The transport alone, for `AstroApi`.
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
 * What `.astro/config.yaml` has to say in an `ASTRO_HOME`, so that the program uses this account, asks nothing and logs in nowhere. It
 * holds the token.
 *
 * @since 0.1.0
 * @category accessors
 */
export const configText: (account: AstroConfig) => string = AstroHome.configText

// internal

interface Found {
  readonly bin: string
  readonly place: AstroHome.Home
  readonly version: string
}

interface Call {
  readonly method: string
  /** After `/v1`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

const { minimum, minimumForDeploys } = AstroCliVersion
const maxOutput = 64 * 1024 * 1024
const deployTimeout = Duration.minutes(5)
/** It asks nobody. */
const versionTimeout = Duration.seconds(10)

const tooOld = (bin: string, version: string, needed: AstroCliVersion.Release) =>
  new AstroCliError({
    kind: "tooOld",
    detail: `${bin} is version ${version}, and ${needed.join(".")} is needed`,
    remedy: `Update it (${manual})${needed === minimum ? `, or ${withoutIt}` : ""}.`
  })

const noFiles = (detail: string) =>
  new AstroCliError({
    kind: "unusable",
    detail,
    remedy: "Is the system's folder for temporary files writable and not full?"
  })

/** A project of its own, for the CLI writes its bundle into it. It lies in the home, and goes with it. */
const copyOf = (dags: string, home: AstroHome.Home) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { join } = yield* Path.Path
    const project = join(home.path, "project")
    if (!(yield* Effect.orElseSucceed(fs.exists(dags), () => false))) {
      return yield* new AstroCliError(noFolder(dags))
    }
    return yield* Effect.gen(function*() {
      yield* fs.makeDirectory(join(project, ".astro"), { recursive: true })
      yield* fs.writeFileString(join(project, ".astro", "config.yaml"), "project:\n    name: deploy\n")
      yield* fs.copy(dags, join(project, "dags"))
      return project
    }).pipe(Effect.mapError(() => noFiles("the DAGs cannot be copied")))
  })

const manual = "https://www.astronomer.io/docs/astro/cli/install-cli"
const withoutIt = `go without it by ${CliOutput.byRest}`
const install = `Install it (${manual}), set ASTRO_BIN to its path, or ${withoutIt}.`

/** Another program of that name, a web framework's, is in the `node_modules` of many. */
const locate = (
  given: string | undefined,
  searched: string
): Effect.Effect<string, AstroCliError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if (given !== undefined) return path.resolve(given)
    const isProgram = (file: string) =>
      fs.stat(file).pipe(
        Effect.map(({ mode, type }) => type === "File" && (mode & 0o111) !== 0),
        Effect.orElseSucceed(() => false)
      )
    const folders = searched.split(":").filter((folder) => path.isAbsolute(folder) && !/\/node_modules\//.test(folder))
    const found = yield* Effect.findFirst(folders.map((folder) => path.join(folder, "astro")), isProgram)
    return yield* Option.match(found, {
      onSome: Effect.succeed,
      onNone: () => new AstroCliError({ kind: "notFound", detail: "there is no astro on the PATH", remedy: install })
    })
  })

/** What of a request can be said to the program: the token is in its config, and not in its arguments. */
const toCall = (
  { apiUrl }: AstroConfig,
  request: HttpClientRequest,
  url: URL
): Effect.Effect<Call, HttpClientError.RequestError> => {
  const base = `${AstroHome.trimmed(apiUrl)}/v1/`
  const { body } = request
  if (!url.href.startsWith(base)) {
    return new HttpClientError.RequestError({ request, reason: "InvalidUrl", description: `it is not below ${base}` })
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

const toResponse = (request: HttpClientRequest, { body, headers, status }: CliOutput.Answer) =>
  HttpClientResponse.fromWeb(
    request,
    new Response([204, 205, 304].includes(status) ? null : body, { status, headers: headers.map(([...pair]) => pair) })
  )
