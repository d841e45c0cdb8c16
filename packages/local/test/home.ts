/** Homes of real Airflows that end with their tests. The Python environment is shared, and stays. */
import { DagDelivery, type Deployment, type DeploymentProvider } from "@airflow-resource/core"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import {
  AirflowVersion,
  LocalDelivery,
  LocalProvider,
  type PostgresServer,
  PythonEnvironment
} from "@airflow-resource/local"
import { NodeContext } from "@effect/platform-node"
import { type Duration, Effect, Layer, Option, Redacted, Schedule } from "effect"
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { text } from "node:stream/consumers"
import * as DeploymentFolder from "../src/internal/DeploymentFolder.js"
import * as Processes from "../src/internal/Processes.js"

export type Provider = typeof DeploymentProvider.DeploymentProvider.Service

export const version = process.env["LOCAL_AIRFLOW_VERSION"] ?? AirflowVersion.newest

export const major = AirflowVersion.major(version)

/** The part of Airflow that serves its API. */
export const webserver = major === 2 ? "webserver" : "api-server"

/** For one step of an Airflow, on a machine that is much slower. */
export const patience: Duration.DurationInput = "5 minutes"

const options: PythonEnvironment.Options = {
  home: path.join(process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache"), "airflow-resource", "local"),
  version,
  python: Option.none(),
  requirements: Option.none(),
  database: "sqlite"
}

const platform = Layer.merge(ProcessRunner.layer, NodeContext.layer)

export const spec: Effect.Effect<Deployment.DeploymentSpec, unknown> = Effect.map(
  PythonEnvironment.describe(options),
  (region): Deployment.DeploymentSpec => ({ runtimeVersion: version, cloudProvider: "local", region })
).pipe(Effect.provide(platform))

/** An empty home. With it end the deployments in it, whatever has become of them. */
export const make = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "local-"))),
  (home) =>
    Effect.gen(function*() {
      const folders = foldersOf(home)
      yield* Effect.forEach(folders, (folder) =>
        Effect.sync(() => DeploymentFolder.facts.remove(folder)).pipe(
          Effect.zipRight(Effect.timeoutOption(isDown(folder), patience)),
          Effect.zipRight(endAll(folder))
        ))
      yield* Effect.sync(() => fs.rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }))
    }).pipe(Effect.orDie)
)

/** For a composition that has environments and deployments in one home. */
export const shareEnvironments = (home: string) => {
  for (const name of ["environments", "tools"]) {
    fs.mkdirSync(path.join(options.home, name), { recursive: true })
    fs.symlinkSync(path.join(options.home, name), path.join(home, name))
  }
}

/** A provider over the home, with its environment installed. */
export const provider = (
  home: string,
  { database, idle = "1 hour", pythonOf = (folder) => folder, workspace = "tests" }: {
    readonly database?: PostgresServer.PostgresServer
    readonly idle?: Duration.DurationInput
    readonly workspace?: string
    /** The Python environment that takes the place of the installed one. */
    readonly pythonOf?: (folder: string) => string
  } = {}
): Effect.Effect<Provider, unknown> =>
  Effect.gen(function*() {
    const wanted = { ...options, database: database === undefined ? "sqlite" : "postgresql" } as const
    const environment: LocalProvider.Environment = {
      spec: yield* spec,
      database,
      ensure: () =>
        Effect.map(PythonEnvironment.ensure(wanted, () => Effect.void), ({ folder }) => pythonOf(folder)).pipe(
          Effect.provide(platform)
        )
    }
    const provider = yield* LocalProvider.make({ home, workspace, environment, idle })
    yield* provider.provision?.(environment.spec, () => Effect.void) ?? Effect.void
    return provider
  }).pipe(Effect.provide(platform))

export const foldersOf = (home: string): ReadonlyArray<string> =>
  DeploymentFolder.names(path.join(home, "deployments")).map((name) => path.join(home, "deployments", name))

export const folderOf = (home: string, { id }: Deployment.Deployment): string => path.join(home, "deployments", id)

/** Creates a deployment, and waits until it is awake. */
export const create = (provider: Provider, name = "one") =>
  Effect.gen(function*() {
    const created = yield* provider.create({ name, description: "of a test", spec: yield* spec })
    return yield* awake(provider, created.id)
  })

export const awake = (provider: Provider, id: Deployment.DeploymentId) => inStatus(provider, id, "HEALTHY")

export const inStatus = (provider: Provider, id: Deployment.DeploymentId, status: Deployment.DeploymentStatus) =>
  until(Effect.filterOrFail(provider.get(id), (deployment) => deployment.status === status))

export const stateOf = (folder: string): DeploymentFolder.State =>
  Option.getOrThrow(DeploymentFolder.state.read(folder))

/** Delivers a project, without a lease. */
export const deliver = (options: LocalDelivery.Options, { id, name }: Deployment.Deployment) =>
  Effect.flatMap(DagDelivery.DagDelivery, ({ deliver }) =>
    deliver({
      deploymentId: id,
      deploymentName: name,
      accessToken: Redacted.make("not used"),
      leaseId: "not used",
      onWait: () => Effect.void
    })).pipe(Effect.provide(Layer.provide(LocalDelivery.layer(options), NodeContext.layer)))

/** The process of a deployment with this name: `supervisor`, `launcher`, or a part of Airflow. */
export const processOf = (folder: string, name: string): Processes.ProcessId => {
  const { processes, supervisor } = stateOf(folder)
  const found = name === "supervisor" ? supervisor : processes.find((process) => process.name === name)
  if (found === undefined) throw new Error(`there is no ${name}`)
  return found
}

export const kill = (folder: string, ...names: ReadonlyArray<string>) =>
  Effect.suspend(() =>
    Effect.forEach(names.map((name) => processOf(folder, name)), (process) => Processes.kill(process, "SIGKILL"))
  )

/** The processes that the state of a deployment names, and all that belongs to their sessions. */
export const processesOf = (folder: string): Effect.Effect<ReadonlyArray<Processes.Process>> =>
  Effect.gen(function*() {
    const state = Option.getOrUndefined(DeploymentFolder.state.read(folder))
    if (state === undefined) return []
    const all = yield* Processes.list
    return [
      ...Processes.membersOf(all, state.processes),
      ...all.filter(({ pid, startedAt }) => pid === state.supervisor.pid && startedAt === state.supervisor.startedAt)
    ]
  })

/** Polls. Fails with the last reason after {@link patience}. */
export const until = <A, E>(poll: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.retry(poll, Schedule.upTo(Schedule.spaced("50 millis"), patience))

/** Polls until it is true. */
export const holds = (what: string, condition: Effect.Effect<boolean, unknown>): Effect.Effect<void, unknown> =>
  until(Effect.filterOrFail(condition, (is) => is, () => `it does not hold that ${what}`))

/** What is sent to an ingress, or to Airflow itself. */
export interface Request {
  readonly token?: Redacted.Redacted
  readonly method?: string
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: string
}

/** Sends a request with any header, on a connection of its own. */
export const request = (url: string, { body, headers, method = "GET", token }: Request = {}) =>
  Effect.async<{ readonly status: number; readonly retryAfter: string | undefined; readonly text: string }, Error>(
    (resume) => {
      const fail = (error: Error) => resume(Effect.fail(error))
      const sent = http.request(url, {
        method,
        agent: false,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers
        }
      }, (response) => {
        text(response).then((text) =>
          resume(
            Effect.succeed({ status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"], text })
          ), fail)
      })
      sent.on("error", fail)
      sent.end(body)
      return Effect.sync(() => sent.destroy())
    }
  ).pipe(Effect.timeout(patience))

// internal

const isDown = (folder: string) =>
  holds(`${folder} has no process`, Effect.map(processesOf(folder), (all) => all.length === 0))

/** What a test that has failed may have left. */
const endAll = (folder: string) =>
  Effect.flatMap(processesOf(folder), (all) => Effect.forEach(all, (one) => Processes.kill(one, "SIGKILL")))
