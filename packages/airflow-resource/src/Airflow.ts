/**
 * Leases for code that does not use Effect.
 *
 * @since 0.1.0
 */
import * as AirflowPromise from "@airflow-resource/airflow/AirflowPromise"
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as Plain from "@airflow-resource/airflow/Plain"
import * as AirflowResource from "@airflow-resource/core/AirflowResource"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as RcMap from "effect/RcMap"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as AirflowResources from "./AirflowResources.js"

/**
 * What is leased, and for which test.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Plain.Argument<AirflowResource.AcquireOptions> {
  /** Gives up the wait for an Airflow, and rejects once what was begun is given back [no limit but the pool's]. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Where Airflows come from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Source {
  /** [`AirflowResources.layerFromEnv`] */
  readonly layer?: Layer.Layer<AirflowResource.Requirements, unknown> | undefined
}

/**
 * A leased Airflow: the facts of `AirflowResource.AirflowResource`, and a client with promises. The secrets `apiToken`,
 * `apiHeaders` and `password` are not enumerable, so that nothing prints them by accident.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lease extends
  Plain.Plain<
    Omit<AirflowResource.AirflowResource, "airflow" | "airflowInstance" | "cacheManager" | "createdResources">
  >,
  AsyncDisposable
{
  /** Fails with {@link LeaseEnded} after the release, and with `LeaseLost` when the lease is lost. */
  readonly airflow: AirflowPromise.AirflowPromise
  /** Gives the Airflow back. Rejects if the lease was lost. Until this is done, the process stays alive. */
  readonly release: () => Promise<void>
}

/**
 * A pool that stays open between leases.
 *
 * @since 0.1.0
 * @category models
 */
export interface Airflows extends AsyncDisposable {
  readonly lease: (options: Options) => Promise<Lease>
  /** Gives back what is still leased, and closes the pool. */
  readonly close: () => Promise<void>
}

/**
 * The client of a lease was called after the lease had ended, or a call had not ended by then.
 *
 * @since 0.1.0
 * @category errors
 */
export class LeaseEnded extends Schema.TaggedError<LeaseEnded>("airflow-resource/LeaseEnded")("LeaseEnded", {
  testName: Schema.String,
  deploymentName: Schema.String
}) {
  override get message(): string {
    return `The lease of ${this.deploymentName} for "${this.testName}" has ended: nothing is sent to this Airflow any ` +
      `more, because another test may use it. Await every call before the test or the lease ends. ` +
      `If the test has timed out, allow more time.`
  }
  readonly retryable = false
}

/**
 * Leases an Airflow. `await using` gives it back at the end of the block, {@link Lease.release} at any time. If the
 * process ends before that, however it ends, the reaper gives it back.
 *
 * @example
 * ```ts
 * import { Airflow } from "airflow-resource"
 *
 * await using lease = await Airflow.lease({ testName: "greets" })
 * const { runId } = await lease.airflow.runDag("hello_world_dag", { timeout: "2 minutes" })
 * const { text } = await lease.airflow.taskLog("hello_world_dag", runId, "hello")
 * process.stdout.write(text)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const lease = ({ layer = AirflowResources.layerFromEnv, ...options }: Options & Source): Promise<Lease> =>
  Plain.run(Effect.flatMap(begin(options, poolOf(layer)), ({ leased }) => leased), lease)

/**
 * Opens a pool for several leases. It connects with the first one.
 *
 * @example
 * ```ts
 * import { Airflow } from "airflow-resource"
 *
 * await using airflows = Airflow.open()
 * for (const testName of ["first", "second"]) {
 *   await using lease = await airflows.lease({ testName })
 *   await lease.airflow.variables.put({ key: "greeting", value: testName })
 * }
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = ({ layer = AirflowResources.layerFromEnv }: Source = {}): Airflows => {
  const scope = Effect.runSync(Scope.make())
  const lives = new Set<Life>()
  let state: "unopened" | "open" | "closed" = "unopened"
  const pool = Effect.suspend(() =>
    state === "closed" ? Effect.dieMessage("This pool is closed: open another one with Airflow.open().") : poolOf(layer)
  ).pipe(
    // only now: if the pool cannot be opened, the next lease tries again
    Effect.tap(() => {
      if (state !== "unopened") return Effect.void
      state = "open"
      return Scope.extend(poolOf(layer), scope)
    })
  )
  const lease = (options: Options): Promise<Lease> => {
    const life = Effect.runSync(begin(options, pool))
    lives.add(life)
    Effect.runFork(Effect.ensuring(life.over, Effect.sync(() => lives.delete(life))))
    return Plain.run(life.leased, lease)
  }
  const close = () => {
    state = "closed"
    return Effect.runPromise(
      Effect.zipRight(
        Effect.forEach(lives, ({ end }) => end, { concurrency: "unbounded", discard: true }),
        Scope.close(scope, Exit.void)
      )
    )
  }
  return { lease, close, [Symbol.asyncDispose]: close }
}

// internal

/** A lease, from the request to the end of its release. */
interface Life {
  /** Waits for the Airflow. */
  readonly leased: Effect.Effect<Lease, unknown>
  /** Waits for the end of the release. */
  readonly over: Effect.Effect<void, unknown>
  /** Ends it at whatever step it is, and waits. */
  readonly end: Effect.Effect<void>
}

type Layers = Layer.Layer<AirflowResource.Requirements, unknown>

/** The pools of this process, each while it is in use: two of them over one ledger would block each other. */
const pools = Effect.runSync(
  Scope.extend(
    RcMap.make({ lookup: (layer: Layers) => Layer.build(PinnedClock.liveLayer(layer)) }),
    Effect.runSync(Scope.make())
  )
)

const poolOf = (layer: Layers) => RcMap.get(pools, layer)

/** Without Effect, nothing but warnings is of interest. They go to stderr: stdout is the program's. */
const quietly = Effect.provide(Layer.merge(
  Logger.minimumLogLevel(LogLevel.Warning),
  Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))
))

const begin = (
  { onProgress, password, signal, ...options }: Options,
  pool: Effect.Effect<Context.Context<AirflowResource.Requirements>, unknown, Scope.Scope>
): Effect.Effect<Life> =>
  Effect.gen(function*() {
    const leased = yield* Deferred.make<Lease, unknown>()
    const released = yield* Deferred.make<void>()
    const ended = yield* Deferred.make<never, unknown>()
    const request: AirflowResource.AcquireOptions = {
      ...options,
      password: typeof password === "string" ? Redacted.make(password) : password,
      onProgress: onProgress && ((progress) => Effect.promise(async () => onProgress(Plain.from(progress))))
    }
    const use = (resource: AirflowResource.AirflowResource) => {
      const { deploymentName, lost, testName } = resource
      const release = (): Promise<void> =>
        Plain.run(Effect.zipRight(Deferred.succeed(released, undefined), over), release)
      return Deferred.succeed(leased, plain(resource, release, ended)).pipe(
        Effect.zipRight(Effect.raceFirst(
          Deferred.await(released),
          Effect.tapError(lost, (lost) => Deferred.fail(ended, lost))
        )),
        Effect.ensuring(Deferred.fail(ended, new LeaseEnded({ testName, deploymentName })))
      )
    }
    const fiber: Fiber.RuntimeFiber<void, unknown> = yield* pool.pipe(
      Effect.flatMap((services) => Effect.provide(AirflowResource.use(request, use), services)),
      Effect.scoped,
      Effect.onError((cause) => Deferred.failCause(leased, cause)),
      quietly,
      Effect.forkDaemon
    )
    const over = Fiber.join(fiber)
    return {
      over,
      leased: Effect.raceFirst(Deferred.await(leased), aborted(signal)).pipe(
        Effect.onError(() => Fiber.interrupt(fiber))
      ),
      end: Effect.gen(function*() {
        yield* Deferred.succeed(released, undefined)
        yield* (yield* Deferred.isDone(leased)) ? Fiber.await(fiber) : Fiber.interrupt(fiber)
      })
    }
  })

const plain = (
  resource: AirflowResource.AirflowResource,
  release: () => Promise<void>,
  ended: Deferred.Deferred<never, unknown>
): Lease => {
  // what else there is of a resource is not enumerable
  const facts = Plain.from({ ...resource, lost: resource.lost }, { ended })
  const hidden = (value: unknown) => ({ value, enumerable: false })
  return Object.defineProperties(facts, {
    airflow: hidden(AirflowPromise.make(resource.airflow, { ended })),
    release: hidden(release),
    [Symbol.asyncDispose]: hidden(release)
  }) as unknown as Lease
}

const aborted = (signal: AbortSignal | undefined): Effect.Effect<never, unknown> =>
  signal === undefined ? Effect.never : Effect.async((resume) => {
    const abort = () => resume(Effect.fail(signal.reason))
    if (signal.aborted) return abort()
    signal.addEventListener("abort", abort, { once: true })
    return Effect.sync(() => signal.removeEventListener("abort", abort))
  })
