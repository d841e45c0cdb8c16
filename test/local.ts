/** Projects that lease real local Airflows, in homes that end with their tests. */
import { NodeContext } from "@effect/platform-node"
import { AirflowResources, type DeploymentPool, Settings } from "airflow-resource"
import { Effect, Record, Redacted } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as DeploymentFolder from "../packages/local/src/internal/DeploymentFolder.js"
import * as Home from "../packages/local/test/home.js"

export interface Scene {
  readonly home: string
  readonly project: string
  readonly env: Readonly<Record<string, string>> & { readonly AIRFLOW_RESOURCE_CACHE: string }
  readonly layer: (options?: Partial<DeploymentPool.PoolOptions>) => ReturnType<typeof AirflowResources.layer>
}

/** A project with DAG files of its own, and an empty home that has the shared environments. */
export const make = ({ env: changed = {}, variables = {} }: {
  readonly env?: Readonly<Record<string, string>>
  /** What the project's `.env` sets for Airflow. */
  readonly variables?: Readonly<Record<string, string>>
} = {}) =>
  Effect.gen(function*() {
    const home = yield* Home.make
    yield* Home.provider(home)
    Home.shareEnvironments(home)
    const project = path.join(home, "project")
    fs.mkdirSync(path.join(project, "dags"), { recursive: true })
    const env = {
      PATH: process.env["PATH"] ?? "",
      AIRFLOW_RESOURCE_PROVIDER: "local",
      AIRFLOW_RESOURCE_AIRFLOW_VERSION: Home.version,
      AIRFLOW_RESOURCE_LOCAL_HOME: home,
      AIRFLOW_RESOURCE_CACHE: path.join(project, "cluster_cache.db"),
      AIRFLOW_RESOURCE_MAX: "1",
      AIRFLOW_RESOURCE_REAPER: "off",
      ...changed
    }
    const settings = yield* Settings.fromVariables(env, project).pipe(Effect.provide(NodeContext.layer))
    if (settings.provider._tag !== "Local") return yield* Effect.dieMessage("another provider")
    const provider = { ...settings.provider, variables: Record.map(variables, (value) => Redacted.make(value)) }
    const layer = (options?: Partial<DeploymentPool.PoolOptions>) =>
      AirflowResources.layer({ ...settings, provider }, options)
    return { home, project, env, layer } satisfies Scene
  })

/** Writes a DAG file. */
export const write = ({ project }: Scene, file: string, text: string) =>
  Effect.sync(() => fs.writeFileSync(path.join(project, "dags", file), text))

/** Fails while a process of the scene's deployments runs that belongs to their Airflows, or a token exists. */
export const isAsleep = ({ home }: Pick<Scene, "home">) =>
  Effect.forEach(Home.foldersOf(home), (folder) =>
    Home.until(
      Effect.filterOrFail(
        Home.processesOf(folder),
        (left) => left.length === 0 && DeploymentFolder.tokens(folder).length === 0,
        (left) => `${folder} is not asleep: ${left.map(({ pid, title }) => `${pid} ${title}`).join(", ")}`
      )
    ))
