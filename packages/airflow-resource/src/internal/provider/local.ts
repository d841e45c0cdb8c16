/** Deployments on this machine: real Airflows from PyPI. */
import type { Keep } from "@airflow-resource/airflow/AirflowReset"
import * as AstroProject from "@airflow-resource/astro/AstroProject"
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as AirflowSettings from "@airflow-resource/local/AirflowSettings"
import * as AirflowVersion from "@airflow-resource/local/AirflowVersion"
import * as LocalDelivery from "@airflow-resource/local/LocalDelivery"
import * as Deployments from "@airflow-resource/local/LocalProvider"
import * as PostgresServer from "@airflow-resource/local/PostgresServer"
import * as PythonEnvironment from "@airflow-resource/local/PythonEnvironment"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as os from "node:os"
import * as path from "node:path"
import * as Forms from "../forms.js"
import type { Variables } from "../variable.js"
import type { ProviderDefinition } from "./definition.js"
import * as LocalChecks from "./localChecks.js"
import { type LocalProvider, plan } from "./localPlan.js"
import type { Parts, Platform } from "./parts.js"

const variables = {
  AIRFLOW_RESOURCE_AIRFLOW_VERSION: {
    meaning:
      "the version of local Airflows, such as `3.1.8`; without it, ASTRO_RUNTIME_VERSION or the project's Dockerfile decides",
    default: AirflowVersion.newest
  },
  AIRFLOW_RESOURCE_PYTHON: {
    meaning: "the Python for local Airflows, a path or a name; without it, the first suitable one on the PATH"
  },
  AIRFLOW_RESOURCE_LOCAL_HOME: {
    meaning: "the folder of local Airflows and their Python environments",
    default: "~/.cache/airflow-resource/local"
  },
  AIRFLOW_RESOURCE_LOCAL_IDLE: {
    meaning: "the time after which a local Airflow that is not used stops by itself, such as `1 hour`",
    default: "15 minutes"
  },
  AIRFLOW_RESOURCE_LOCAL_BROKEN_DAGS: {
    meaning: "whether a DAG file that a local Airflow cannot import fails the lease (`fail`), or not (`allow`)",
    default: "fail",
    values: ["fail", "allow"]
  },
  AIRFLOW_RESOURCE_LOCAL_DATABASE: {
    meaning:
      "a PostgreSQL server on which each local Airflow gets a database of its own, `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`; without it, SQLite"
  }
} as const satisfies Variables

const name = (name: keyof typeof variables): string => name

export const local: ProviderDefinition<LocalProvider> = {
  tag: "Local",
  title: "a real Airflow on this machine",
  variables,
  config: ({ airflowVariables, cache, resolve }) =>
    Config.map(
      Config.all({
        home: Config.orElse(Config.map(Forms.text(name("AIRFLOW_RESOURCE_LOCAL_HOME")), resolve), () => defaultHome),
        idle: Config.withDefault(
          Forms.duration(name("AIRFLOW_RESOURCE_LOCAL_IDLE"), ["1 second", "7 days"]),
          variables.AIRFLOW_RESOURCE_LOCAL_IDLE.default
        ),
        python: Config.option(Forms.text(name("AIRFLOW_RESOURCE_PYTHON"))),
        version: Config.option(
          Config.mapOrFail(Forms.text(name("AIRFLOW_RESOURCE_AIRFLOW_VERSION")), (text) =>
            Either.mapLeft(AirflowVersion.parse(text), ({ detail }) => ConfigError.InvalidData([], detail)))
        ),
        database: Config.option(
          Config.mapOrFail(Forms.text(name("AIRFLOW_RESOURCE_LOCAL_DATABASE")), (text) =>
            Either.mapLeft(PostgresServer.parse(text), (expected) =>
              ConfigError.InvalidData([], expected)))
        ),
        runtime: Config.option(Forms.text("ASTRO_RUNTIME_VERSION")),
        allowBroken: Config.map(
          Config.withDefault(
            Forms.oneOf(
              name("AIRFLOW_RESOURCE_LOCAL_BROKEN_DAGS"),
              variables.AIRFLOW_RESOURCE_LOCAL_BROKEN_DAGS.values
            ),
            variables.AIRFLOW_RESOURCE_LOCAL_BROKEN_DAGS.default
          ),
          (value) =>
            value === "allow"
        ),
        cache
      }),
      (provider) => ({ _tag: "Local", ...provider, root: resolve("."), variables: airflowVariables })
    ),
  deliveries: { local: "Local", none: "None" },
  defaultDelivery: "local",
  defaultMax: 2,
  isShared: true,
  open: (provider) => partsOf(provider),
  checks: ({ project }) => Effect.succeed(LocalChecks.checks(local.config(project)))
}

// internal

const defaultHome = Config.map(
  Config.withDefault(Forms.text("XDG_CACHE_HOME"), path.join(os.homedir(), ".cache")),
  (cache) => path.join(cache, "airflow-resource", "local")
)

const partsOf = (provider: LocalProvider): Effect.Effect<Parts, ProviderError, Platform> =>
  Effect.gen(function*() {
    const { allowBroken, cache, database, home, idle, root, variables } = provider
    const { ignored, options, spec } = yield* plan(provider)
    if (ignored.length > 0) {
      yield* Effect.logWarning(
        `A local Airflow has no image: ${
          ignored.join(", ")
        } cannot be carried out. Install on this machine what the DAGs need.`
      )
    }
    const platform = yield* Effect.context<Platform>()
    return {
      // its supervisor knows when Airflow is ready, and a token ends at the moment at which it is deleted
      pool: { spec, longestPoll: "200 millis", readyPolls: 1, revocationWait: 0, reset: { settle: "1 second" } },
      keep: yield* keptOf(root),
      provider: Deployments.layer({
        home,
        idle,
        workspace: cache,
        environment: {
          spec,
          database: Option.getOrUndefined(database),
          ensure: (onProgress) =>
            PythonEnvironment.ensure(options, onProgress).pipe(
              Effect.map(({ folder }) => folder),
              Effect.provide(platform)
            )
        }
      }),
      projects: AstroProject.layer,
      deploy: (dags) => LocalDelivery.layer({ home, dags, root, variables, allowBroken })
    }
  })

/** What the project's `airflow_settings.yaml` puts into each Airflow. */
const keptOf = (root: string): Effect.Effect<Keep, ProviderError, FileSystem.FileSystem | Path.Path> =>
  AirflowSettings.read(root).pipe(
    Effect.map(({ connections, pools, variables }) => ({
      connections: connections.map(({ id }) => id),
      pools: pools.map(({ name }) => name),
      variables: variables.map(({ key }) => key)
    })),
    Effect.mapError(({ detail, file }) =>
      new ProviderError({
        kind: "invalid",
        operation: `use ${file}`,
        detail,
        remedy: "Correct the file, or remove it."
      })
    )
  )
