/** The Airflow of a deployment while it is awake: its run, its resets and its deliveries. */
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import * as AirflowSettings from "../../AirflowSettings.js"
import * as DeploymentFolder from "../DeploymentFolder.js"
import * as Processes from "../Processes.js"
import type { Database } from "./Database.js"
import * as Delivery from "./Delivery.js"
import type { Orders, Target } from "./Ingress.js"
import * as Parts from "./Parts.js"
import * as QuietRestore from "./QuietRestore.js"
import * as Settings from "./settings.js"
import * as SqliteDatabase from "./SqliteDatabase.js"
import * as taskFiles from "./taskFiles.js"

export interface Airflow {
  /** `undefined` while it is not up. */
  readonly target: () => Target | undefined
  readonly orders: Orders
  /** Starts it, and keeps it running until it is interrupted or a part has ended too often. */
  readonly run: Effect.Effect<never, { readonly message: string }>
}

export interface Options {
  readonly folder: string
  readonly facts: DeploymentFolder.Facts
  /** Called with the processes that must not outlive the supervisor, whenever they change. */
  readonly onStarted: (processes: DeploymentFolder.State["processes"]) => Effect.Effect<void>
  /** Called with the address of its pages when it is ready. */
  readonly onHealthy: (url: string) => Effect.Effect<void>
}

export const make = ({ facts, folder, onHealthy, onStarted }: Options): Effect.Effect<Airflow> =>
  Effect.gen(function*() {
    const database = yield* databaseOf(folder, facts)
    const oneAtATime = (yield* Effect.makeSemaphore(1)).withPermits(1)
    let current: Running | undefined
    let usesZygote = true
    /** Why it does not run, and is not going to. */
    let failure: { readonly message: string } | undefined
    /** Whether this run has been healthy. */
    let isStarted = false

    const once = Effect.gen(function*() {
      isStarted = false
      const airflow: Parts.Options = {
        ...facts,
        home: folder,
        dagsFolder: path.join(folder, "dags"),
        user: { username: facts.username, password: facts.password, role: "Admin" },
        database: database.settings
      }
      yield* Effect.provide(database.prepare(airflow), ProcessRunner.layer)
      let processes: DeploymentFolder.State["processes"] = []
      const delivered = Option.getOrElse(DeploymentFolder.delivered.read(folder), () => nothing).variables
      const variables = {
        ...delivered,
        ...Record.map(
          Option.getOrElse(DeploymentFolder.variables.read(folder), () => ({})),
          ({ value }) => value
        )
      }
      const parts = yield* Parts.start({
        ...airflow,
        // Airflow has read some settings once and for all when the zygote has imported it
        zygote: usesZygote && !Object.keys(variables).some((name) => name.startsWith("AIRFLOW__")),
        variables,
        onStarted: (pids) =>
          Effect.gen(function*() {
            processes = yield* Effect.forEach(Object.entries(pids), ([name, pid]) =>
              Effect.map(Processes.startedAt(pid), (startedAt = "") => ({ name, pid, startedAt })))
            yield* onStarted(processes)
          })
      })
      // with what Airflow writes whenever it starts
      yield* database.take
      const restart = yield* Deferred.make<void>()
      isStarted = true
      current = {
        parts,
        restart,
        processes: () => processes,
        variables: JSON.stringify(delivered),
        hasOldPlugins: false
      }
      yield* Effect.logInfo(`Airflow ${facts.version} is healthy: ${parts.url}`)
      yield* onHealthy(parts.url)
      yield* Effect.raceFirst(parts.failed, Deferred.await(restart))
    }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => void (current = undefined))))

    const running = Effect.suspend(() => current === undefined ? Effect.fail(notUp) : Effect.succeed(current))

    /** Kills it, restores its database, and starts it again. */
    const restart = Effect.flatMap(running, (before) =>
      Effect.zipRight(
        Deferred.succeed(before.restart, undefined),
        Effect.repeat(
          Effect.suspend(() =>
            failure === undefined ? Effect.succeed(current) : new Parts.AirflowFailed({ message: failure.message })
          ),
          {
            until: (now) => now !== undefined && now !== before,
            schedule: Schedule.spaced("50 millis")
          }
        )
      ))

    const quietRestore = ({ processes }: Running) =>
      QuietRestore.restore({
        database,
        home: folder,
        sessions: processes(),
        isAlive: Effect.map(
          Effect.filter(processes(), Processes.isSame),
          (alive) => alive.length === processes().length
        )
      })

    const restore = Effect.gen(function*() {
      const now = yield* running
      const result = yield* Effect.either(Effect.flatMap(
        database.differences,
        (tables) => tables.length === 0 ? Effect.succeed("restored" as const) : quietRestore(now)
      ))
      if (result._tag === "Right" && result.right === "restored") return
      yield* Effect.logWarning(
        `The deployment is restarted, because a reset left ${
          result._tag === "Left"
            ? result.left.message
            : result.right === "restored"
            ? "nothing"
            : result.right.dirty.join(", ")
        }.`
      )
      yield* restart
    })

    const reset = Effect.zipRight(restore, Effect.sync(() => taskFiles.deleteAll(folder)))

    const deliver = (body: unknown) =>
      Effect.gen(function*() {
        const { dags, root, ...order } = yield* Schema.decodeUnknown(Order)(body)
        const now = yield* running
        const before = Option.getOrElse(DeploymentFolder.delivered.read(folder), () => nothing)
        const isSame = (key: keyof typeof order) => JSON.stringify(before[key]) === JSON.stringify(order[key])
        // whatever happens until it is
        DeploymentFolder.delivered.write(folder, { ...before, variables: order.variables, isLive: false })
        const { hasNewPlugins, isChanged } = yield* Effect.tapError(
          Delivery.copy(folder, { dags, root }),
          () => Effect.sync(() => void (now.hasOldPlugins = true))
        )
        if (hasNewPlugins) now.hasOldPlugins = true
        const isOutdated = now.hasOldPlugins || now.variables !== JSON.stringify(order.variables)
        if (before.isLive && !isChanged && !isOutdated && isSame("settings") && isSame("allowBroken")) {
          DeploymentFolder.delivered.write(folder, { ...order, isLive: true })
          return
        }
        if (isOutdated) {
          // the next start does without variables with which there is none
          yield* Effect.tapError(
            restart,
            () => Effect.sync(() => DeploymentFolder.delivered.write(folder, { ...before, isLive: false }))
          )
        }
        const copiedAt = yield* Clock.currentTimeMillis
        const { parts } = yield* running
        yield* Delivery.awaitLive({
          allowBroken: order.allowBroken,
          copiedAt,
          database,
          recipe: parts.recipe,
          home: folder,
          deleteDag: deleteDag(parts)
        })
        if (!before.isLive || !isSame("settings")) yield* Settings.apply(parts, before.settings, order.settings)
        yield* database.take
        // a DAG that is not paused at its creation has begun to run
        yield* restore
        DeploymentFolder.delivered.write(folder, { ...order, isLive: true })
      })

    return {
      target: () => current?.parts,
      orders: { reset: () => oneAtATime(reset), deliver: (body) => oneAtATime(deliver(body)) },
      run: Effect.retry(once, {
        times: 2,
        while: ({ message }) => {
          // everything works without one
          const tryWithout = usesZygote && !isStarted
          if (tryWithout) usesZygote = false
          // a port may have been taken between its choice and its use
          const tryAgain = tryWithout || /address already in use/i.test(message)
          return Effect.as(tryAgain ? Effect.logWarning(`Airflow is started again: ${message}`) : Effect.void, tryAgain)
        }
      }).pipe(
        Effect.forever,
        Effect.tapError((error) => Effect.sync(() => void (failure = error)))
      )
    }
  })

// internal

/** The one that the deployment was created with. */
const databaseOf = (folder: string, facts: DeploymentFolder.Facts): Effect.Effect<Database> =>
  Option.match(DeploymentFolder.server.read(folder), {
    onNone: () => Effect.succeed(SqliteDatabase.make(folder, facts)),
    // loaded here, because most do without
    onSome: (server) =>
      Effect.map(
        Effect.promise(() => import("./PostgresDatabase.js")),
        ({ make }) => make({ folder, facts, server })
      )
  })

interface Running {
  readonly parts: Parts.Running
  /** Ends this run, so that the next one begins. */
  readonly restart: Deferred.Deferred<void>
  readonly processes: () => DeploymentFolder.State["processes"]
  /** The delivered variables that it was started with, as JSON. */
  readonly variables: string
  /** Plugins have changed since it was started. */
  hasOldPlugins: boolean
}

/** What a client sends to deliver a project. */
export const Order = Schema.Struct({
  dags: Schema.String,
  root: Schema.String,
  ...DeploymentFolder.Delivered.omit("isLive").fields
})

const nothing: typeof DeploymentFolder.Delivered.Type = {
  allowBroken: false,
  variables: {},
  settings: AirflowSettings.none,
  isLive: false
}

const notUp = new Parts.AirflowFailed({ message: "Airflow is not up." })

const deleteDag = ({ authorization, recipe, url }: Parts.Running) => (dagId: string) =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(`${url}${recipe.api}/dags/${encodeURIComponent(dagId)}`, {
        method: "DELETE",
        headers: { authorization },
        signal
      })
      if (!response.ok && response.status !== 404) throw new Error(`${response.status} ${await response.text()}`)
    },
    catch: (cause) =>
      new Delivery.NotLive({ message: `The DAG ${dagId}, whose file is gone, cannot be deleted: ${String(cause)}` })
  })
