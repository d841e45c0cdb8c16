/**
 * Operates Airflows on this machine. A deployment is a folder, and while it is awake a supervisor of its own runs its Airflow, independent
 * of the process that woke it.
 *
 * @since 0.1.0
 */
import { Deployment, DeploymentId, type DeploymentSpec, type DeploymentStatus } from "@airflow-resource/core/Deployment"
import { DeploymentProvider, ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as DetachedProcess from "@airflow-resource/core/DetachedProcess"
import * as NetworkFileSystem from "@airflow-resource/core/NetworkFileSystem"
import { ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as DeploymentFolder from "./internal/DeploymentFolder.js"
import * as FileLock from "./internal/FileLock.js"
import * as Identity from "./internal/Identity.js"
import { endLeftovers } from "./internal/leftovers.js"
import * as Order from "./internal/order.js"
import { remove } from "./internal/remove.js"
import type { Message } from "./internal/supervisor/main.js"
import * as Seed from "./internal/supervisor/Seed.js"
import * as LocalHome from "./LocalHome.js"
import * as PostgresServer from "./PostgresServer.js"

/**
 * The Airflow that deployments are created with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Environment {
  readonly spec: DeploymentSpec
  /** Where each deployment gets a database of its own [SQLite, a file in its folder]. */
  readonly database?: PostgresServer.PostgresServer | undefined
  /** Installs it unless it is installed, and returns its folder. */
  readonly ensure: <E>(
    onProgress: (activity: string) => Effect.Effect<unknown, E>
  ) => Effect.Effect<string, ProviderError | E>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The folder of all environments and deployments. */
  readonly home: string
  /** Tells the deployments of one ledger from those of others, which share the home. */
  readonly workspace: string
  readonly environment: Environment
  /** A deployment hibernates by itself after this time without a lease and a request. */
  readonly idle: Duration.DurationInput
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<typeof DeploymentProvider.Service, never, ProcessRunner> =>
  Effect.gen(function*() {
    const runner = yield* ProcessRunner
    const self = yield* Identity.self
    const isAlive = Identity.isAlive(self)
    const { home } = options
    const idle = Duration.toMillis(options.idle)

    const folderOf = (id: DeploymentId) => DeploymentFolder.folderOf(home, id)
    const notFound = (id: DeploymentId) =>
      new ProviderError({
        kind: "notFound",
        operation: `find the deployment ${id}`,
        detail: `there is no folder ${folderOf(id)}`,
        remedy: "Lease again: another deployment is created."
      })
    /** Fails with `notFound`. */
    const find = (id: DeploymentId) =>
      Effect.suspend(() =>
        /^[0-9a-z]+$/.test(id) && Option.isSome(DeploymentFolder.facts.read(folderOf(id)))
          ? Effect.succeed(folderOf(id))
          : notFound(id)
      )

    /** Starts a supervisor. One that finds another at work ends. */
    const supervise = (folder: string) =>
      DetachedProcess.start({
        entry: supervisor,
        args: [folder],
        stdin: JSON.stringify({ idle } satisfies Message),
        log: DeploymentFolder.logOf(folder)
      }).pipe(
        Effect.mapError(({ message }) =>
          new ProviderError({
            kind: "unusable",
            operation: "start the supervisor of a deployment",
            detail: message,
            remedy: "Check that this machine can start more processes."
          })
        )
      )

    const requestPower = (folder: string, request: Omit<DeploymentFolder.Request, "at">) =>
      Effect.gen(function*() {
        if (!request.hibernate) yield* checkMemory
        const before = Option.getOrUndefined(DeploymentFolder.request.read(folder))
        // two requests of one millisecond are two requests
        if (!request.hibernate) renewServer(folder)
        const at = Math.max(yield* Clock.currentTimeMillis, (before?.at ?? 0) + 1)
        DeploymentFolder.request.write(folder, { ...request, at })
        if (!request.hibernate) yield* supervise(folder)
      })

    /** The password may have changed since the deployment was created. */
    const renewServer = (folder: string) => {
      const { database } = options.environment
      const before = Option.getOrUndefined(DeploymentFolder.server.read(folder))
      if (database === undefined || before === undefined) return
      if (PostgresServer.label(database) === PostgresServer.label(before)) {
        DeploymentFolder.server.write(folder, database)
      }
    }

    /** Cleans up after a supervisor that was killed, and wakes what was to hibernate until a time that has passed. */
    const settle = (folder: string) =>
      Effect.gen(function*() {
        const request = DeploymentFolder.request.read(folder)
        const state = DeploymentFolder.state.read(folder)
        if (
          Option.isSome(state) && isRunning(state.value) && !(yield* isAlive(state.value.supervisor)) &&
          (yield* FileLock.tryAcquire(DeploymentFolder.lockOf(folder)))
        ) {
          const ended = yield* endLeftovers(folder, self)
          const problem = "its supervisor has ended without a request"
          yield* Effect.logWarning(
            `The Airflow in ${folder} is not up: ${problem}. Processes that were left: ${ended}.`
          )
          DeploymentFolder.state.write(folder, { ...state.value, phase: "unhealthy", problem, processes: [] })
        }
        const now = yield* Clock.currentTimeMillis
        if (Option.exists(request, ({ hibernate, until = Infinity }) => hibernate && until <= now)) {
          yield* requestPower(folder, { hibernate: false })
        }
      }).pipe(Effect.scoped, Effect.catchTag("LockError", cannot("look after a deployment")))

    const read = (folder: string) =>
      Effect.gen(function*() {
        yield* settle(folder)
        const facts = DeploymentFolder.facts.read(folder)
        if (Option.isNone(facts)) return Option.none()
        const request = DeploymentFolder.request.read(folder)
        const state = DeploymentFolder.state.read(folder)
        const active = Option.isSome(state) && state.value.phase !== "hibernated" &&
          (yield* isAlive(state.value.supervisor))
        const now = yield* Clock.currentTimeMillis
        const isAsleep = DeploymentFolder.isAsleep(request, now)
        const requestedAt = Option.match(request, { onNone: () => 0, onSome: ({ at }) => at })
        const until = Option.flatMapNullable(request, ({ until }) => until)
        const { description, environmentName, id, name, version } = facts.value
        const { port, problem, uiUrl } = Option.getOrElse(state, () => ({ port: 1, problem: undefined, uiUrl: "" }))
        const status = statusOf({ isAsleep, age: now - requestedAt, requestedAt, state, active })
        return Option.some(
          new Deployment({
            id: DeploymentId.make(id),
            name,
            description,
            status,
            hibernationRequested: isAsleep,
            ...(isAsleep && Option.isSome(until) ? { overrideUntil: until.value } : {}),
            spec: { runtimeVersion: version, cloudProvider: "local", region: environmentName },
            isDevelopment: true,
            airflowUrl: `http://127.0.0.1:${port}`,
            uiUrl: uiUrl === "" ? `file://${folder}` : uiUrl,
            ...(problem === undefined || status !== "UNHEALTHY" ? {} : { problem })
          })
        )
      }).pipe(refused("read a deployment"))

    const list = Effect.gen(function*() {
      const own = DeploymentFolder.all(home).filter((folder) =>
        Option.exists(DeploymentFolder.facts.read(folder), ({ workspace }) => workspace === options.workspace)
      )
      return (yield* Effect.forEach(own, read)).flatMap(Option.toArray)
    }).pipe(refused("list the deployments"))

    const get = (id: DeploymentId) =>
      find(id).pipe(
        Effect.flatMap(read),
        Effect.flatMap(Option.match({ onNone: () => notFound(id), onSome: Effect.succeed }))
      )

    return {
      ready: Effect.suspend(() => {
        const deployments = DeploymentFolder.deploymentsOf(home)
        fs.mkdirSync(deployments, { recursive: true, mode: 0o700 })
        const network = NetworkFileSystem.of(deployments)
        return network === undefined
          ? Effect.succeed({ host: os.hostname(), organizationId: home, workspaceId: options.workspace })
          : new ProviderError({
            kind: "unusable",
            operation: "use the home of local Airflows",
            detail: `${home} is on ${network}, where locks may not work`,
            remedy: "Set AIRFLOW_RESOURCE_LOCAL_HOME to a folder on a local disk."
          })
      }).pipe(refused("use the home of local Airflows")),
      list,
      get,
      provision: (_spec, onProgress) =>
        Effect.gen(function*() {
          const { database, ensure, spec } = options.environment
          if (database !== undefined) yield* PostgresServer.check(database, spec.runtimeVersion)
          const folder = yield* ensure(onProgress)
          if (database !== undefined) return
          if (!Seed.exists(folder)) yield* onProgress("starting Airflow for the first time")
          yield* Seed.ensure(folder, spec.runtimeVersion, runner).pipe(
            Effect.catchTags({
              AirflowFailed: cannot("start Airflow for the first time"),
              LockError: cannot("start Airflow for the first time"),
              ProcessError: cannot("start Airflow for the first time"),
              SqlError: cannot("keep Airflow's first database")
            })
          )
        }),
      create: ({ description, name, spec }) =>
        Effect.gen(function*() {
          yield* checkMemory
          fs.mkdirSync(DeploymentFolder.deploymentsOf(home), { recursive: true, mode: 0o700 })
          yield* FileLock.acquire(DeploymentFolder.namesLockOf(home))
          // under the lock: an environment without a deployment may be pruned
          const environment = yield* options.environment.ensure(() => Effect.void)
          const taken = DeploymentFolder.all(home).some((folder) =>
            Option.exists(
              DeploymentFolder.facts.read(folder),
              (facts) => facts.name === name && facts.workspace === options.workspace
            )
          )
          if (taken) {
            return yield* new ProviderError({
              kind: "nameTaken",
              operation: `create the deployment ${name}`,
              detail: "there is one with that name",
              remedy: "Choose another AIRFLOW_RESOURCE_POOL, or remove the other deployment."
            })
          }
          const createdAt = yield* Clock.currentTimeMillis
          const id = `d${randomBytes(8).toString("hex")}`
          const [folder, temporary] = [DeploymentFolder.folderOf(home, id), DeploymentFolder.unfinishedOf(home, id)]
          for (const part of ["dags", "tokens", "logs"]) {
            fs.mkdirSync(path.join(temporary, part), { recursive: true, mode: 0o700 })
          }
          DeploymentFolder.request.write(temporary, { hibernate: false, at: createdAt })
          DeploymentFolder.facts.write(temporary, {
            id,
            workspace: options.workspace,
            name,
            description,
            version: spec.runtimeVersion,
            environmentName: spec.region,
            environment,
            createdAt,
            username: `airflow-${randomBytes(3).toString("hex")}`,
            password: randomBytes(32).toString("hex"),
            secret: randomBytes(32).toString("hex"),
            fernetKey: `${randomBytes(32).toString("base64url")}=`
          })
          // its supervisor creates the database, so that there is none without a folder
          const { database } = options.environment
          if (database !== undefined) DeploymentFolder.server.write(temporary, database)
          fs.renameSync(temporary, folder)
          yield* supervise(folder)
          return yield* get(DeploymentId.make(id))
        }).pipe(
          Effect.scoped,
          Effect.catchTag("LockError", cannot("create a deployment")),
          refused("create a deployment")
        ),
      delete: (id) =>
        Effect.gen(function*() {
          const folder = folderOf(id)
          if (!/^[0-9a-z]+$/.test(id) || !fs.existsSync(folder)) return
          renewServer(folder)
          // without its facts it does not exist any more, for its supervisor as well
          DeploymentFolder.facts.remove(folder)
          yield* FileLock.acquire(DeploymentFolder.lockOf(folder))
          yield* remove(folder, self)
        }).pipe(
          Effect.scoped,
          Effect.catchTag("LockError", cannot("delete a deployment")),
          refused("delete a deployment")
        ),
      hibernate: (id, until) =>
        Effect.flatMap(find(id), (folder) =>
          requestPower(folder, {
            hibernate: true,
            ...(until === undefined ? {} : { until: Math.floor(until / 1000) * 1000 })
          })).pipe(refused("hibernate a deployment")),
      wake: (id) =>
        Effect.flatMap(find(id), (folder) => requestPower(folder, { hibernate: false })).pipe(
          refused("wake a deployment")
        ),
      resumeSchedules: (id) =>
        Effect.flatMap(
          Effect.option(find(id)),
          Option.match({
            onNone: () => Effect.void,
            onSome: (folder) => requestPower(folder, { hibernate: false })
          })
        ).pipe(refused("wake a deployment")),
      createToken: (id, name) =>
        Effect.zipWith(find(id), Clock.currentTimeMillis, (folder, createdAt) => {
          const token = { id: randomBytes(8).toString("hex"), name, createdAt }
          const secret = randomBytes(32).toString("hex")
          DeploymentFolder.token(token.id).write(folder, {
            ...token,
            hash: createHash("sha256").update(secret).digest("hex"),
            owner: self
          })
          return { ...token, value: Redacted.make(`${token.id}.${secret}`) }
        }).pipe(refused("create a token")),
      listTokens: (id) =>
        Effect.map(
          find(id),
          (folder) => DeploymentFolder.tokens(folder).map(({ createdAt, id, name }) => ({ id, name, createdAt }))
        ).pipe(
          refused("list the tokens")
        ),
      deleteToken: (id, tokenId) =>
        Effect.map(
          Effect.option(find(id)),
          Option.map((folder) => {
            if (/^[0-9a-f]+$/.test(tokenId)) DeploymentFolder.token(tokenId).remove(folder)
          })
        ).pipe(Effect.asVoid, refused("delete a token")),
      setVariables: (id, variables) =>
        Effect.gen(function*() {
          const folder = yield* find(id)
          yield* FileLock.acquire(DeploymentFolder.variablesLockOf(folder))
          const before = Option.getOrElse(DeploymentFolder.variables.read(folder), () =>
            ({}) as DeploymentFolder.Variables)
          const all = Record.union(
            before,
            Record.map(variables, (value) =>
              Redacted.isRedacted(value)
                ? { value: Redacted.value(value), isSecret: true }
                : { value, isSecret: false }),
            (old, { isSecret, value }) => ({ value, isSecret: isSecret || old.isSecret })
          )
          DeploymentFolder.variables.write(folder, all)
          return Object.entries(all).map(([key, { isSecret, value }]) =>
            isSecret ? { key, isSecret } as const : { key, isSecret, value } as const
          )
        }).pipe(
          Effect.scoped,
          Effect.catchTag("LockError", cannot("set variables")),
          refused("set variables")
        ),
      reset: (id) =>
        Effect.flatMap(
          find(id),
          (folder) =>
            Effect.mapError(Order.give(folder, "reset"), ({ detail, isRefused, log }) =>
              new ProviderError({
                kind: isRefused ? "server" : "unreachable",
                operation: `reset the deployment ${id}`,
                detail,
                remedy: `See ${log}.`
              }))
        )
    }
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<DeploymentProvider, never, ProcessRunner> =>
  Layer.effect(DeploymentProvider, make(options))

// internal

const supervisor = new URL(
  import.meta.url.endsWith(".ts") ? "./internal/supervisor/main.ts" : "./internal/supervisor/main.js",
  import.meta.url
)

/** How long a supervisor may take until it says something, in milliseconds. */
const longestStart = 60_000

/** Whether it has processes, unless they were killed. */
const isRunning = ({ phase, processes }: DeploymentFolder.State): boolean =>
  phase !== "hibernated" && (phase !== "unhealthy" || processes.length > 0)

const statusOf = (
  { active, age, isAsleep, requestedAt, state }: {
    readonly active: boolean
    readonly isAsleep: boolean
    readonly requestedAt: number
    /** Milliseconds since the request. */
    readonly age: number
    readonly state: Option.Option<DeploymentFolder.State>
  }
): DeploymentStatus => {
  if (Option.isSome(state)) {
    const { phase, requestedAt: served } = state.value
    if (phase === "unhealthy" && served === requestedAt) return "UNHEALTHY"
    if (active) return phase === "healthy" ? "HEALTHY" : "DEPLOYING"
  }
  if (isAsleep) return "HIBERNATING"
  if (age > longestStart) return "UNHEALTHY"
  return Option.isSome(state) ? "DEPLOYING" : "CREATING"
}

const gibibyte = 1024 ** 3

/** An Airflow needs half of this while it idles, and more when it runs tasks. */
const checkMemory = Effect.flatMap(
  LocalHome.availableMemory,
  (available) =>
    Option.isNone(available) || available.value >= gibibyte ? Effect.void : new ProviderError({
      kind: "quota",
      operation: "start another Airflow on this machine",
      detail: `it needs 1 GiB of free memory, and ${(available.value / gibibyte).toFixed(1)} GiB are free`,
      remedy: "End other programs, or set AIRFLOW_RESOURCE_MAX to a smaller number."
    })
)

const cannot = (operation: string) => ({ message }: { readonly message: string }) =>
  new ProviderError({ kind: "unusable", operation, detail: message, remedy: "Read the lines above for the cause." })

/** What the file system refuses is thrown. */
const refused =
  (operation: string) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | ProviderError, R> =>
    Effect.catchAllDefect(self, (defect) => {
      const code = defect instanceof Error ? (defect as NodeJS.ErrnoException).code : undefined
      if (code === undefined) return Effect.die(defect)
      const isFull = code === "ENOSPC" || code === "EDQUOT"
      return new ProviderError({
        kind: isFull ? "quota" : "unusable",
        operation,
        detail: (defect as Error).message,
        remedy: isFull
          ? "Free space on this disk, or set AIRFLOW_RESOURCE_LOCAL_HOME to a folder on another one."
          : "Set AIRFLOW_RESOURCE_LOCAL_HOME to a folder that this user may write to."
      })
    })
