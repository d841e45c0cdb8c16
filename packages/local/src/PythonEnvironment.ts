/**
 * An Airflow that is installed into a Python environment of its own. Environments are cached, and shared by all processes of the machine.
 *
 * @since 0.1.0
 */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import { ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import * as AirflowVersion from "./AirflowVersion.js"
import * as Failure from "./internal/environment/failure.js"
import * as Installer from "./internal/environment/installer.js"
import { isComplete, once } from "./internal/environment/once.js"
import * as Python from "./internal/environment/python.js"

/**
 * What an environment is made from. Equal options lead to the same environment.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The folder of all environments, an absolute path. It is created if it is missing. */
  readonly home: string
  /** The version of Airflow, which {@link AirflowVersion.parse} accepts. */
  readonly version: string
  /** A Python's path, or its name on the PATH. `None`: the first on the PATH that this Airflow runs on. */
  readonly python: Option.Option<string>
  /** The text of the project's `requirements.txt`. */
  readonly requirements: Option.Option<string>
  /** For `postgresql`, its drivers are installed too. */
  readonly database: "sqlite" | "postgresql"
  /** Source of `PATH`, proxies, certificates, and the settings of uv and pip [the environment of this process]. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
}

/**
 * An environment that is complete.
 *
 * @since 0.1.0
 * @category models
 */
export interface Environment {
  readonly folder: string
  /** The path of one of its programs, such as `airflow` or `python`. */
  readonly bin: (program: string) => string
  /** The version of Airflow. */
  readonly version: string
  /** The minor version of Python, such as 3.11. */
  readonly python: string
}

/**
 * Installs the environment unless it is there, and returns it. If several processes ask for it at the same time, one installs it and the
 * others wait. `onProgress` gets what is being done, as long as something is.
 *
 * The tested versions get exactly the packages they are tested with, if the Python is 3.11. Other versions get the packages of their
 * release date. What `requirements.txt` adds is the newest that goes with them; Airflow itself keeps its version.
 *
 * @example
 * ```ts
 * import * as PythonEnvironment from "@airflow-resource/local/PythonEnvironment"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * export const airflow = PythonEnvironment.ensure({
 *   home: "/home/me/.cache/airflow-resource/local",
 *   version: "3.3.2",
 *   python: Option.none(),
 *   requirements: Option.some("pandas\n"),
 *   database: "sqlite"
 * }, Console.log).pipe(Effect.map(({ bin }) => bin("airflow")))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const ensure: <E>(
  options: Options,
  onProgress: (activity: string) => Effect.Effect<unknown, E>
) => Effect.Effect<Environment, ProviderError | E, ProcessRunner | FileSystem.FileSystem | Path.Path> = Effect.fn(
  "PythonEnvironment.ensure"
)(function*<E>(options: Options, onProgress: (activity: string) => Effect.Effect<unknown, E>) {
  const plan = yield* makePlan(options)
  yield* once(plan.environment.folder, {
    program,
    make: install(plan, onProgress),
    onWait: onProgress(`waiting for another process that installs Airflow ${options.version}`),
    onFile: Failure.ofFile(operationOf(options), options.home)
  })
  return plan.environment
})

/**
 * The environment that {@link ensure} would return at once, and `None` if it would have to install it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const find: (
  options: Options
) => Effect.Effect<
  Option.Option<Environment>,
  ProviderError,
  ProcessRunner | FileSystem.FileSystem | Path.Path
> = Effect.fn("PythonEnvironment.find")(function*(options) {
  const { environment } = yield* makePlan(options)
  const isThere = yield* Effect.mapError(
    isComplete(environment.folder, program),
    Failure.ofFile(`find Airflow ${options.version}`, options.home)
  )
  return isThere ? Option.some(environment) : Option.none()
})

/**
 * Fails as {@link ensure} would if the package index has no such Airflow, or if the requirements do not go with it, and installs nothing.
 * `false` if that cannot be known yet, because there is no uv on this machine.
 *
 * @since 0.1.0
 * @category accessors
 */
export const resolves: (
  options: Options
) => Effect.Effect<boolean, ProviderError, ProcessRunner | FileSystem.FileSystem | Path.Path> = Effect.fn(
  "PythonEnvironment.resolves"
)(function*(options) {
  const { extras, python } = yield* makePlan(options)
  const [airflow, operation] = [airflowOf(options), operationOf(options)]
  return yield* Installer.resolves(
    { home: options.home, python, env: variables(options.environment), operation },
    [airflow, ...extras],
    [noSuchVersion(airflow), ...(extras.length > 0 ? [unresolvable] : [])]
  )
})

/**
 * A short name for what the environment has besides Airflow: `python3.11`, or `python3.11-1a2b3c4d` with requirements, and with
 * `-postgresql` for that database. Two deployments of
 * the same Airflow version and name run the same code. Installs nothing.
 *
 * @since 0.1.0
 * @category accessors
 */
export const describe: (options: Options) => Effect.Effect<string, ProviderError, ProcessRunner> = Effect.fn(
  "PythonEnvironment.describe"
)(function*(options) {
  const { minor } = yield* findPython(options)
  return [
    `python${minor}`,
    ...linesOf(options.requirements).length > 0 ? [requirementsHash(options, 8)] : [],
    ...options.database === "postgresql" ? [options.database] : []
  ].join("-")
})

// internal

/** Part of every environment's hash: to be raised when environments are made in another way. */
const recipe = 1

/** A link to the Python that the environment was made with, which may have been removed. */
const program = "bin/python"

interface Plan {
  readonly options: Options
  readonly python: Python.Python
  /** The file with the exact packages. */
  readonly pins: Option.Option<string>
  /** What is installed besides Airflow. */
  readonly extras: ReadonlyArray<string>
  readonly environment: Environment
}

const operationOf = ({ version }: Options) => `install Airflow ${version}`

const airflowOf = ({ version }: Options) => `apache-airflow==${version}`

const findPython = (options: Options) => Python.find(options.version, options.python, variables(options.environment))

const makePlan = (options: Options) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { database, home, version } = options
    const python = yield* findPython(options)
    const hasPins = python.minor === "3.11" && AirflowVersion.tested.includes(version)
    // relative to `src` as well as to `dist`
    const pins = hasPins
      ? Option.some(yield* Effect.orDie(path.fromFileUrl(new URL(`../pins/airflow-${version}.txt`, import.meta.url))))
      : Option.none()
    const pinned = yield* Effect.orDie(Effect.transposeMapOption(pins, (file) => fs.readFileString(file)))
    const extras = [
      ...linesOf(options.requirements),
      ...database === "postgresql" ? ["psycopg2-binary", "asyncpg"] : []
    ]
    const hash = sha256([recipe, Option.getOrNull(pinned), extras], 12)
    const folder = path.join(home, "environments", `${version}-py${python.minor}-${hash}`)
    const environment: Environment = {
      folder,
      bin: (name) => path.join(folder, "bin", name),
      version,
      python: python.minor
    }
    return { options, python, pins, extras, environment } satisfies Plan
  })

const install = <E>(plan: Plan, onProgress: (activity: string) => Effect.Effect<unknown, E>) =>
  Effect.gen(function*() {
    const { environment, extras, options, python } = plan
    const { home, version } = options
    const { folder } = environment
    const env = variables(options.environment)
    const operation = operationOf(options)
    const installer = yield* Installer.make({ home, python, env, operation, onProgress })
    yield* onProgress(`installing Airflow ${version} for Python ${python.minor}`)
    yield* installer.create(folder)
    const airflow = airflowOf(options)
    const missing = [noSuchVersion(airflow)]
    const packages = yield* Option.match(plan.pins, {
      onNone: () => Effect.map(installer.asOf(airflow, missing), (date) => [airflow, ...date]),
      onSome: (file) => Effect.succeed(["-r", file])
    })
    yield* installer.install(folder, packages, missing)
    if (extras.length > 0) {
      yield* onProgress("installing further requirements")
      const fs = yield* FileSystem.FileSystem
      const file = `${folder}/requirements.txt`
      yield* Effect.mapError(
        // it may contain the password of a package index
        fs.writeFileString(file, extras.map((line) => `${line}\n`).join(""), { mode: 0o600 }),
        Failure.ofFile(operation, home)
      )
      yield* installer.install(folder, [airflow, "-r", file], [unresolvable])
    }
    yield* onProgress(`compiling Airflow ${version}`)
    const { run } = yield* ProcessRunner
    const compiled = yield* Effect.mapError(
      run({
        command: Installer.pythonOf(folder),
        args: ["-m", "compileall", "-q", "-j", "2", `${folder}/lib`],
        env,
        cwd: folder,
        timeout: "30 minutes"
      }),
      Failure.ofProcess(operation)
    )
    // its exit code says nothing: some packages have files that are only templates of Python, and cannot be compiled
    if (Failure.isFull(compiled)) return yield* Failure.ofOutput(operation, compiled, home, [])
  })

const noSuchVersion = (airflow: string): Failure.Case => ({
  when: /there is no version of|No matching distribution found for/,
  kind: "unknownRuntime",
  detail: `the package index has no ${airflow}`,
  remedy: `Set AIRFLOW_RESOURCE_AIRFLOW_VERSION to a version that exists, such as ${AirflowVersion.newest}.`
})

const unresolvable: Failure.Case = {
  when: /^/,
  kind: "invalid",
  remedy: "Change requirements.txt so that it goes with this Airflow."
}

/** Without comments and blank lines. */
const linesOf = (requirements: Option.Option<string>): ReadonlyArray<string> =>
  Option.getOrElse(requirements, () => "").split("\n")
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "")

const requirementsHash = ({ requirements }: Options, length: number) => sha256(linesOf(requirements), length)

const sha256 = (value: unknown, length: number) =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, length)

/**
 * What the programs get of the environment. Without what changes Python's own behaviour, such as `PYTHONPATH`, or that compiled files
 * are not written.
 */
const inherited =
  /^(PATH|HOME|USER|LANG|LC_ALL|TMPDIR|NETRC|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|(HTTPS?|ALL|NO)_PROXY|(PIP|UV|XDG|PYENV|ASDF|MISE)_\w+)$/i

const variables = (
  environment: Readonly<Record<string, string | undefined>> = globalThis.process.env
): Readonly<Record<string, string>> => ({
  ...Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      inherited.test(name) && value !== undefined ? [[name, value]] : []
    )
  ),
  // these would install somewhere else
  PIP_REQUIRE_VIRTUALENV: "0",
  PIP_USER: "0",
  UV_SYSTEM_PYTHON: "0",
  NO_COLOR: "1"
})
