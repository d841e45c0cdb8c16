/** What a lease of a local Airflow needs. */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as NetworkFileSystem from "@airflow-resource/core/NetworkFileSystem"
import * as AirflowSettings from "@airflow-resource/local/AirflowSettings"
import * as LocalHome from "@airflow-resource/local/LocalHome"
import * as PostgresServer from "@airflow-resource/local/PostgresServer"
import * as PythonEnvironment from "@airflow-resource/local/PythonEnvironment"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Verdict from "../doctor/verdict.js"
import { type LocalProvider, type Plan, plan } from "./localPlan.js"

export const checks = (config: Config.Config<LocalProvider>): Verdict.Checks => {
  const planned = (
    onError: (error: ProviderError) => Verdict.Verdict,
    check: (plan: Plan, provider: LocalProvider) => Verdict.Check
  ) =>
    Verdict.given(config, (provider) =>
      Effect.matchEffect(plan(provider), {
        onFailure: (error) => Effect.succeed(onError(error)),
        onSuccess: (plan) => check(plan, provider)
      }))
  const unknown = () => Verdict.skip("not checked before it is known which Airflow is needed")
  return {
    Airflow: planned(Verdict.failed, airflow),
    image: planned(
      unknown,
      ({ ignored }) =>
        Effect.succeed(
          ignored.length === 0
            ? Verdict.pass("the project needs none")
            : Verdict.warn(
              `${ignored.join(", ")} cannot be carried out on this machine`,
              "Install on this machine what the DAGs need."
            )
        )
    ),
    database: planned(unknown, database),
    home: Verdict.given(config, ({ home }) => Effect.sync(() => homeVerdict(home))),
    settings: Verdict.given(config, settings),
    memory
  }
}

// internal

const gibibyte = 1024 ** 3
const shown = (bytes: number) => `${(bytes / gibibyte).toFixed(1)} GiB`

const airflow = ({ options, spec: { region, runtimeVersion } }: Plan): Verdict.Check =>
  Effect.matchEffect(PythonEnvironment.find(options), {
    onFailure: (error) => Effect.succeed(Verdict.failed(error)),
    onSuccess: Option.match({
      onNone: () =>
        Effect.match(PythonEnvironment.resolves(options), {
          onFailure: Verdict.failed,
          onSuccess: (resolves) =>
            Verdict.pass(
              `${runtimeVersion} for ${region}; the first lease installs it` +
                (resolves ? "" : ", if the package index has all that it needs: without uv, that was not checked")
            )
        }),
      onSome: () => Effect.succeed(Verdict.pass(`${runtimeVersion} for ${region}`))
    })
  })

const settings = ({ root }: LocalProvider): Verdict.Check =>
  Effect.match(AirflowSettings.read(root), {
    onFailure: ({ detail, file }) => Verdict.fail(`${file}: ${detail}`, "Correct it, or remove it."),
    onSuccess: ({ connections, pools, variables }) =>
      Verdict.pass(
        `airflow_settings.yaml has ${connections.length} connections, ${variables.length} variables, ${pools.length} pools`
      )
  })

const database = ({ options }: Plan, { database }: LocalProvider): Verdict.Check =>
  Option.match(database, {
    onNone: () => Effect.succeed(Verdict.pass("SQLite")),
    onSome: (server) =>
      Effect.match(PostgresServer.check(server, options.version), {
        onFailure: Verdict.failed,
        onSuccess: (version) => Verdict.pass(`PostgreSQL ${version} at ${server.host}:${server.port}`)
      })
  })

const homeVerdict = (home: string): Verdict.Verdict => {
  const existing = nearest(home)
  try {
    fs.accessSync(existing, fs.constants.W_OK)
  } catch {
    return Verdict.fail(
      `${home}: ${existing} is not writable`,
      "Set AIRFLOW_RESOURCE_LOCAL_HOME to a folder that this user may write to."
    )
  }
  const network = NetworkFileSystem.of(existing)
  if (network !== undefined) {
    return Verdict.fail(
      `${home} is on ${network}, where locks may not work`,
      "Set AIRFLOW_RESOURCE_LOCAL_HOME to a folder on a local disk."
    )
  }
  const { bavail, bsize } = fs.statfsSync(existing)
  const free = bavail * bsize
  return free < gibibyte
    ? Verdict.fail(
      `${home}: ${shown(free)} are free, and an Airflow needs 1 GiB`,
      "Free space on this disk, or set AIRFLOW_RESOURCE_LOCAL_HOME to a folder on another one."
    )
    : Verdict.pass(`${home}; ${shown(free)} are free`)
}

/** The folder itself, or the lowest one above it that exists. */
const nearest = (folder: string): string => fs.existsSync(folder) ? folder : nearest(path.dirname(folder))

const memory = Effect.map(
  LocalHome.availableMemory,
  Option.match({
    onNone: () => Verdict.skip("this Node does not know how much memory is free on macOS"),
    onSome: (free) =>
      free < gibibyte
        ? Verdict.fail(`${shown(free)} are free, and each local Airflow needs 1 GiB`, "End other programs.")
        : Verdict.pass(`${shown(free)} are free`)
  })
)
