/** What the supervisor of a deployment does, from the request to wake it until the request to hibernate. There is one at a time. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as DeploymentFolder from "../DeploymentFolder.js"
import * as FileLock from "../FileLock.js"
import * as Identity from "../Identity.js"
import { endLeftovers } from "../leftovers.js"
import * as Airflow from "./Airflow.js"
import * as Ingress from "./Ingress.js"
import * as Logs from "./logs.js"
import * as taskFiles from "./taskFiles.js"

/** What its supervisor needs to know besides the deployment's folder. */
export interface Options {
  readonly folder: string
  /** It hibernates the deployment after this time without a live token, an order and a request. */
  readonly idle: Duration.Duration
}

/** Why a supervisor ends. */
export type End = "hibernated" | "deleted" | "another supervisor is active"

/** Keeps the deployment awake as long as it is requested. */
export const run = (options: Options) =>
  Effect.gen(function*() {
    const { folder } = options
    const isActive = yield* FileLock.acquire(DeploymentFolder.lockOf(folder)).pipe(
      // the last supervisor may still be about to end
      Effect.timeoutOption("60 seconds")
    )
    if (Option.isNone(isActive)) return "another supervisor is active" as const
    while (true) {
      const facts = DeploymentFolder.facts.read(folder)
      if (Option.isNone(facts)) return "deleted"
      if (
        DeploymentFolder.isAsleep(DeploymentFolder.request.read(folder), yield* Clock.currentTimeMillis)
      ) return "hibernated"
      yield* Effect.scoped(awake(options, facts.value))
    }
  }).pipe(Effect.scoped)

// internal

/** One stretch of being awake: ends when hibernation is requested, or when the deployment is deleted. */
const awake = ({ folder, idle }: Options, facts: DeploymentFolder.Facts) =>
  Effect.gen(function*() {
    const self = yield* Identity.self
    yield* endLeftovers(folder, self)
    const isAfterRest = Option.exists(
      DeploymentFolder.state.read(folder),
      ({ phase, problem }) => phase === "hibernated" && problem === undefined
    )
    // after any other end, they may tell of its cause
    if (isAfterRest) Logs.deleteAll(folder)
    taskFiles.deleteAll(folder)
    const requestedAt = requestTime(folder)
    let state: DeploymentFolder.State = {
      supervisor: self,
      requestedAt,
      phase: "starting",
      port: 1,
      key: randomBytes(32).toString("hex"),
      uiUrl: "",
      processes: []
    }
    const record = (changed: Partial<DeploymentFolder.State>) =>
      Effect.sync(() => {
        state = { ...state, ...changed }
        if (fs.existsSync(folder)) DeploymentFolder.state.write(folder, state)
      })
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        Effect.ignore(Effect.try(() => taskFiles.deleteAll(folder))),
        record({ phase: "hibernated", processes: [] })
      )
    )
    const use = { open: 0, last: performance.now() }
    const airflow = yield* Airflow.make({
      folder,
      facts,
      onStarted: (processes) => record({ processes }),
      onHealthy: (uiUrl) => {
        // nothing could use it before
        use.last = performance.now()
        return record({ phase: "healthy", uiUrl })
      }
    })
    const port = yield* Ingress.make({
      folder,
      key: state.key,
      target: airflow.target,
      orders: airflow.orders,
      onRequest: (change) => {
        use.open += change
        use.last = performance.now()
      }
    })
    yield* record({ port })
    const run = airflow.run.pipe(
      // the file system throws
      Effect.catchAllDefect((defect) => Effect.fail({ message: String(defect) })),
      Effect.catchAll(({ message }) =>
        Effect.logError(message).pipe(
          // without a launcher, there is nothing else that ends them
          Effect.zipRight(endLeftovers(folder, self)),
          Effect.zipRight(record({ phase: "unhealthy", problem: message, processes: [] })),
          Effect.zipRight(Effect.never)
        )
      )
    )
    const isUsed = Effect.gen(function*() {
      if (state.phase === "starting") return true
      if (use.open > 0 || performance.now() - use.last < Duration.toMillis(idle)) return true
      const owners = DeploymentFolder.tokens(folder).map(({ owner }) => owner)
      return (yield* Effect.filter(owners, Identity.isAlive(self))).length > 0
    })
    const isOver = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      if (Option.isNone(DeploymentFolder.facts.read(folder))) return true
      if (!(yield* isUsed)) {
        yield* Effect.logInfo(`The deployment was not used for ${Duration.format(idle)}, and hibernates.`)
        DeploymentFolder.request.write(folder, { hibernate: true, at: now })
      }
      return DeploymentFolder.isAsleep(DeploymentFolder.request.read(folder), now) ||
        // an unhealthy one is started again once that is requested
        state.phase === "unhealthy" && requestTime(folder) !== requestedAt
    }).pipe(Effect.repeat({ until: (isOver) => isOver, schedule: Schedule.spaced("250 millis") }))
    yield* Effect.raceFirst(run, isOver)
  })

const requestTime = (folder: string) =>
  Option.match(DeploymentFolder.request.read(folder), { onNone: () => 0, onSome: ({ at }) => at })
