/** Which Airflow a project gets on this machine. */
import type { DeploymentSpec } from "@airflow-resource/core/Deployment"
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as AirflowVersion from "@airflow-resource/local/AirflowVersion"
import * as PostgresServer from "@airflow-resource/local/PostgresServer"
import * as PythonEnvironment from "@airflow-resource/local/PythonEnvironment"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as path from "node:path"
import type { Platform } from "./parts.js"

/** Airflows on this machine. */
export interface LocalProvider {
  readonly _tag: "Local"
  /** The folder of all environments and deployments. */
  readonly home: string
  readonly idle: Duration.DurationInput
  /** `None`: the first on the PATH that the Airflow runs on. */
  readonly python: Option.Option<string>
  readonly version: Option.Option<string>
  /** The Astro runtime whose Airflow is used, unless a version is given. */
  readonly runtime: Option.Option<string>
  /** `None`: SQLite. */
  readonly database: Option.Option<PostgresServer.PostgresServer>
  readonly allowBroken: boolean
  /** The project's root. */
  readonly root: string
  /** The ledger's file: each ledger has deployments of its own. */
  readonly cache: string
  /** Environment variables for Airflow's processes. */
  readonly variables: Readonly<Record<string, Redacted.Redacted>>
}

/** Which Airflow the project gets. */
export interface Plan {
  readonly options: PythonEnvironment.Options
  readonly spec: DeploymentSpec
  /** What the project says that only an image could do. */
  readonly ignored: ReadonlyArray<string>
}

export const plan = (
  { database, home, python, root, runtime, version }: LocalProvider
): Effect.Effect<Plan, ProviderError, Platform> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const read = (file: string) =>
      Effect.map(Effect.option(fs.readFileString(path.join(root, file))), Option.filter((text) => text.trim() !== ""))
    const dockerfile = Option.map(yield* read("Dockerfile"), AirflowVersion.ofDockerfile)
    const ofRuntime = Option.orElse(runtime, () => Option.flatMapNullable(dockerfile, ({ runtime }) => runtime))
    const options: PythonEnvironment.Options = {
      home,
      version: yield* Option.match(version, {
        onSome: Either.right,
        onNone: () =>
          Option.match(ofRuntime, {
            onSome: AirflowVersion.ofRuntime,
            onNone: () => Either.right(AirflowVersion.newest)
          })
      }),
      python: Option.orElse(
        python,
        () => Option.map(Option.flatMapNullable(dockerfile, ({ python }) => python), (minor) => `python${minor}`)
      ),
      requirements: yield* read("requirements.txt"),
      database: Option.isSome(database) ? "postgresql" : "sqlite"
    }
    const environment = yield* PythonEnvironment.describe(options)
    return {
      options,
      spec: {
        runtimeVersion: options.version,
        cloudProvider: "local",
        region: [environment, ...Option.toArray(Option.map(database, PostgresServer.label))].join("-")
      },
      ignored: [
        ...Option.match(yield* read("packages.txt"), { onNone: () => [], onSome: () => ["packages.txt"] }),
        ...Option.match(dockerfile, { onNone: () => [], onSome: ({ steps }) => steps }).map(({ instruction, line }) =>
          `${instruction} in line ${line} of the Dockerfile`
        )
      ]
    }
  })
