/** What installs packages: uv, or pip where there is no uv. */
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import { type Ended, ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Failure from "./failure.js"
import { isComplete, once } from "./once.js"
import type { Python } from "./python.js"

export interface Installer {
  /** Creates an empty environment. */
  readonly create: (folder: string) => Effect.Effect<void, ProviderError>
  /** Installs into it, and keeps the packages that it has where the arguments allow that. `cases` say what a failure means. */
  readonly install: (
    folder: string,
    args: ReadonlyArray<string>,
    cases: ReadonlyArray<Failure.Case>
  ) => Effect.Effect<void, ProviderError>
  /** Arguments for an installation as of the release of a package; none if its date cannot be known. */
  readonly asOf: (
    requirement: string,
    cases: ReadonlyArray<Failure.Case>
  ) => Effect.Effect<ReadonlyArray<string>, ProviderError>
}

/** uv from the PATH, else from PyPI; pip if PyPI has no uv for this machine. */
export const make = <E>(options: {
  readonly home: string
  readonly python: Python
  readonly env: Readonly<Record<string, string>>
  /** What the installation is for, in errors. */
  readonly operation: string
  readonly onProgress: (activity: string) => Effect.Effect<unknown, E>
}): Effect.Effect<Installer, ProviderError | E, ProcessRunner | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const { env, home, onProgress, operation, python } = options
    const { run } = yield* ProcessRunner
    const call = (command: string, args: ReadonlyArray<string>, stdin?: string) =>
      run({ command, args, env, cwd: home, stdin, timeout: "30 minutes" }).pipe(
        Effect.mapError(Failure.ofProcess(operation))
      )
    const check = (call: Effect.Effect<Ended, ProviderError>, cases: ReadonlyArray<Failure.Case>) =>
      Effect.filterOrFail(
        call,
        ({ exitCode }) => exitCode === 0,
        (ended) => Failure.ofOutput(operation, ended, home, cases)
      )
    const createWithVenv = (folder: string) => check(call(python.executable, ["-m", "venv", folder]), [noVenv])
    const newer = (detail: string) => Effect.as(Effect.logWarning(`${detail}: newer packages are installed.`), [])

    const viaUv = (uv: string): Installer => ({
      create: (folder) => check(call(uv, ["venv", "--quiet", "--python", python.executable, folder]), []),
      install: (folder, args, cases) =>
        check(call(uv, ["pip", "install", "--quiet", "--python", pythonOf(folder), ...args]), cases),
      asOf: (requirement, cases) =>
        Effect.flatMap(
          check(call(uv, [...lock, "--python", python.executable], requirement), cases),
          ({ stdout }) =>
            Option.match(Option.flatMap(Option.fromNullable(uploaded.exec(stdout)?.[1]), DateTime.make), {
              onNone: () => newer(`The package index does not say when ${requirement} was released`),
              onSome: (time) => Effect.succeed(["--exclude-newer", DateTime.formatIso(DateTime.add(time, { days: 2 }))])
            })
        )
    })
    const viaPip: Installer = {
      create: createWithVenv,
      install: (folder, args, cases) =>
        check(call(pythonOf(folder), ["-m", "pip", "install", "--quiet", ...args]), cases),
      asOf: (requirement) => newer(`Without uv, the packages as of the release of ${requirement} cannot be found`)
    }

    const found = yield* findUv(options)
    if (Option.isSome(found)) return viaUv(found.value)

    const tools = toolsOf(home)
    const pipInstall = (command: string, ...target: ReadonlyArray<string>) =>
      call(command, [..."-m pip install --quiet --only-binary :all:".split(" "), ...target, `uv==${uvVersion}`])
    const install = Effect.gen(function*() {
      yield* onProgress("installing uv")
      let ended = yield* pipInstall(python.executable, "--target", tools)
      if (/No module named pip/.test(ended.stderr)) {
        yield* createWithVenv(tools)
        ended = yield* pipInstall(pythonOf(tools))
      }
      return yield* check(Effect.succeed(ended), [noUv])
    })
    return yield* once(tools, {
      program: uvProgram,
      make: Effect.asVoid(install),
      onWait: onProgress("waiting for another process that installs uv"),
      onFile: Failure.ofFile(operation, home)
    }).pipe(
      Effect.as(viaUv(`${tools}/${uvProgram}`)),
      Effect.catchIf(
        (error) => error instanceof ProviderError && error.kind === noUv.kind,
        () => Effect.succeed(viaPip)
      )
    )
  })

/** A uv that is there already. */
export const findUv = (
  { env, home }: { readonly home: string; readonly env: Readonly<Record<string, string>> }
): Effect.Effect<Option.Option<string>, never, ProcessRunner | FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const { run } = yield* ProcessRunner
    const onPath = yield* run({ command: "uv", args: ["--version"], env, cwd: "/", timeout: "1 minute" }).pipe(
      Effect.match({ onFailure: () => false, onSuccess: ({ exitCode }) => exitCode === 0 })
    )
    if (onPath) return Option.some("uv")
    const isInstalled = yield* Effect.orElseSucceed(isComplete(toolsOf(home), uvProgram), () => false)
    return isInstalled ? Option.some(`${toolsOf(home)}/${uvProgram}`) : Option.none()
  })

/** Fails as an installation of these requirements would, and changes nothing. `false` if there is no uv yet, which is needed for it. */
export const resolves = (
  options: {
    readonly home: string
    readonly python: Python
    readonly env: Readonly<Record<string, string>>
    readonly operation: string
  },
  requirements: ReadonlyArray<string>,
  cases: ReadonlyArray<Failure.Case>
) =>
  Effect.gen(function*() {
    const { env, home, operation, python } = options
    const uv = yield* findUv(options)
    if (Option.isNone(uv)) return false
    const { run } = yield* ProcessRunner
    const ended = yield* Effect.mapError(
      run({
        command: uv.value,
        args: ["pip", "compile", "-", "--quiet", "--python", python.executable],
        env,
        cwd: "/",
        stdin: requirements.join("\n"),
        timeout: "1 minute"
      }),
      Failure.ofProcess(operation)
    )
    return ended.exitCode === 0 ? true : yield* Failure.ofOutput(operation, ended, home, cases)
  })

/** The interpreter of an environment. */
export const pythonOf = (folder: string): string => `${folder}/bin/python`

// internal

const uvVersion = "0.13.9"
const toolsOf = (home: string) => `${home}/tools/uv-${uvVersion}`
const uvProgram = "bin/uv"

/** Only a lock file says when a package was uploaded. */
const lock = "pip compile - --quiet --no-deps --format pylock.toml".split(" ")
const uploaded = /upload-time = ([\d:TZ.+-]+)/

const noUv: Failure.Case = {
  when: /No matching distribution found/,
  kind: "notFound",
  remedy: "Install uv, and put its folder on the PATH."
}

const noVenv: Failure.Case = {
  when: /ensurepip|No module named venv/,
  kind: "unusable",
  detail: "this Python cannot create environments",
  remedy: "Install uv, or what this Python lacks: on Debian and Ubuntu the package python3-venv."
}
