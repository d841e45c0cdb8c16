/**
 * The main job: a test asks for an Airflow and gets one of its own, until its scope closes.
 *
 * @since 0.1.0
 */
import type { Airflow } from "@airflow-resource/airflow/Airflow"
import type { AirflowApiError } from "@airflow-resource/airflow/AirflowError"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { DeliveryError } from "./DagDelivery.js"
import { DagDelivery } from "./DagDelivery.js"
import type { DeploymentId, DeploymentSpec } from "./Deployment.js"
import type { DeploymentCache } from "./DeploymentCache.js"
import type { LeasedSlot, PoolError, Progress } from "./DeploymentPool.js"
import { DeploymentPool } from "./DeploymentPool.js"
import type { LeaseId, LeaseLost } from "./Lease.js"
import type { ProjectError } from "./ProjectDirectory.js"
import { ProjectDirectory } from "./ProjectDirectory.js"

/**
 * A leased Airflow. The fields up to `airflowInstance` are those of the pytest fixture's dictionary.
 *
 * @since 0.1.0
 * @category models
 */
export interface AirflowResource {
  readonly resourceId: string
  readonly type: "airflow_resource"
  readonly testName: string
  readonly creationTime: DateTime.Utc
  readonly workerPid: number
  /** From asking to having. */
  readonly creationDuration: Duration.Duration
  readonly description: string
  readonly status: "active"
  readonly projectName: string
  /** Where Airflow is, with scheme and without a path of its API. */
  readonly baseUrl: string
  readonly deploymentId: DeploymentId
  readonly deploymentName: string
  /** Ends in `/api/v1` or `/api/v2`, as the server is. */
  readonly apiUrl: string
  readonly apiToken: Redacted.Redacted
  readonly apiHeaders: Redacted.Redacted<{ readonly Authorization: string; readonly "Cache-Control": "no-cache" }>
  readonly username: string
  readonly password: Redacted.Redacted
  readonly createdResources: ReadonlyArray<readonly [deploymentName: string, cache: typeof DeploymentCache.Service]>
  readonly cacheManager: typeof DeploymentCache.Service
  readonly airflowInstance: Airflow

  /** The same as `airflowInstance`. */
  readonly airflow: Airflow
  readonly leaseId: LeaseId
  readonly epoch: number
  /** The token is this lease's own and is deleted with it. */
  readonly fenced: boolean
  /** Why not, where it is not. */
  readonly unfencedReason: Option.Option<string>
  readonly reused: "awake" | "woken" | "created"
  readonly user: "created" | "exists" | "unsupported"
  /** The deployment's page in the provider's dashboard. */
  readonly uiUrl: string
  /** The folder of the local project, removed on release. */
  readonly projectDirectory: string
  /** Never succeeds; fails when the lease is lost. */
  readonly lost: Effect.Effect<never, LeaseLost>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AcquireOptions {
  /** For whom: the test's name, with its file where names repeat. Shown to those who wait. */
  readonly testName: string
  /** Another make than the pool's own. */
  readonly spec?: DeploymentSpec | undefined
  /** The Airflow user; default: the pool's. */
  readonly username?: string | undefined
  readonly password?: Redacted.Redacted | undefined
  /** Asking again under the same key is the same request. */
  readonly key?: string | undefined
  /** Called with every step. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
}

/**
 * @since 0.1.0
 * @category errors
 */
export type AcquireError = PoolError | DeliveryError | ProjectError | AirflowApiError

/**
 * @since 0.1.0
 * @category models
 */
export type Requirements = DeploymentPool | DagDelivery | ProjectDirectory

/**
 * Leases an Airflow until the scope closes. A lost lease interrupts the calling fiber, and the scope's finalizer dies with
 * `LeaseLost`, so that a test that was interrupted says why.
 *
 * @example
 * ```ts
 * import * as AirflowResource from "@airflow-resource/core/AirflowResource"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const { airflow } = yield* AirflowResource.acquire({ testName: "my test" })
 *   const runId = yield* airflow.unpauseAndTriggerAirflowDag("hello_world_dag")
 *   return yield* airflow.verifyDagIdRan("hello_world_dag", runId)
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const acquire = (
  options: AcquireOptions
): Effect.Effect<AirflowResource, AcquireError, Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const { confirm, resource, scope } = yield* lease(options)
    // a process that was stopped may come to its end before it hears that its lease is lost
    yield* Scope.addFinalizerExit(scope, (exit) => Exit.isSuccess(exit) ? Effect.orDie(confirm) : Effect.void)
    yield* Effect.withFiberRuntime<void, never, Scope.Scope>((fiber) =>
      resource.lost.pipe(
        Effect.catchAll((lost) =>
          Effect.zipRight(
            Effect.addFinalizer(() => Effect.die(lost)),
            Fiber.interruptFork(fiber)
          )
        ),
        Effect.interruptible,
        Effect.forkScoped
      )
    )
    return resource
  })

/**
 * Leases an Airflow for the time of `body`, which fails with `LeaseLost` when the lease is lost.
 *
 * @example
 * ```ts
 * import * as AirflowResource from "@airflow-resource/core/AirflowResource"
 *
 * const program = AirflowResource.use(
 *   { testName: "my test" },
 *   ({ airflow }) => airflow.verifyAirflowDagExists("hello_world_dag")
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const use = <A, E, R>(
  options: AcquireOptions,
  body: (resource: AirflowResource) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | AcquireError | LeaseLost, Requirements | Exclude<R, Scope.Scope>> =>
  Effect.scoped(
    Effect.flatMap(
      lease(options),
      ({ confirm, resource }) => Effect.zipLeft(Effect.raceFirst(Effect.scoped(body(resource)), resource.lost), confirm)
    )
  )

// internal

/**
 * A lease ends with the first of three: the caller's scope, a later step that fails, and the pool's own scope, since a layer
 * that is provided inside a test closes before the test's scope does.
 */
const lease = (
  options: AcquireOptions
): Effect.Effect<Leased & { readonly scope: Scope.Scope }, AcquireError, Requirements | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { pinned, scope: pool } = yield* DeploymentPool
      const scope = yield* Scope.fork(pool, ExecutionStrategy.sequential)
      yield* Effect.addFinalizer((exit) => pinned(Scope.close(scope, exit)))
      const leased = yield* restore(assemble(options)).pipe(
        Scope.extend(scope),
        pinned,
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
      return { ...leased, scope }
    })
  )

interface Leased extends Pick<LeasedSlot, "confirm"> {
  readonly resource: AirflowResource
}

const assemble = (
  options: AcquireOptions
): Effect.Effect<Leased, AcquireError, Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const pool = yield* DeploymentPool
    const delivery = yield* DagDelivery
    const projects = yield* ProjectDirectory
    const askedAt = yield* DateTime.now
    const make = options.spec ?? pool.options.spec
    const projectName = `airflow_test_${slug(options.testName)}_${DateTime.toEpochMillis(askedAt)}`

    const [slot, project] = yield* Effect.all([
      pool.acquire({ ...options, label: options.testName }),
      projects.make({ name: projectName, runtimeVersion: make.runtimeVersion })
    ], { concurrency: "unbounded" })

    const username = options.username ?? pool.options.username ?? "airflow"
    const password = options.password ?? pool.options.password ?? Redacted.make("airflow")
    const onStep = (activity: string) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) => options.onProgress?.({ at, activity }) ?? Effect.void)
    yield* onStep("making the user and delivering")
    const [user, delivered] = yield* Effect.raceFirst(
      Effect.all([
        slot.airflow.users.create({ username, password }),
        delivery.deliver({
          deploymentId: slot.deployment.id,
          deploymentName: slot.deployment.name,
          accessToken: slot.token,
          leaseId: slot.leaseId,
          label: options.testName,
          onWait: onStep
        })
      ], { concurrency: "unbounded" }),
      slot.lost
    )
    yield* onStep("ready")
    const readyAt = yield* DateTime.now

    const resource = printable({
      resourceId: slot.leaseId,
      type: "airflow_resource",
      testName: options.testName,
      creationTime: askedAt,
      workerPid: pool.cache.owner.pid,
      creationDuration: DateTime.distanceDuration(askedAt, readyAt),
      description: `An Airflow resource for ${options.testName}`,
      status: "active",
      projectName,
      baseUrl: slot.airflow.baseUrl,
      deploymentId: slot.deployment.id,
      deploymentName: slot.deployment.name,
      apiUrl: slot.airflow.apiUrl,
      apiToken: slot.token,
      apiHeaders: Redacted.make({
        Authorization: `Bearer ${Redacted.value(slot.token)}`,
        "Cache-Control": "no-cache" as const
      }),
      username,
      password,
      createdResources: [[slot.deployment.name, pool.cache]],
      cacheManager: pool.cache,
      airflowInstance: slot.airflow,
      airflow: slot.airflow,
      leaseId: slot.leaseId,
      epoch: slot.epoch,
      fenced: slot.unfenced._tag === "None",
      unfencedReason: slot.unfenced,
      reused: slot.reused,
      user,
      uiUrl: slot.deployment.uiUrl,
      projectDirectory: project.path,
      lost: Effect.raceFirst(slot.lost, delivered.lost)
    })
    return { resource, confirm: slot.confirm }
  })

/** A failed assertion prints what it compares: the facts, and not the services behind them with all that they hold. */
const printable = (resource: AirflowResource): AirflowResource =>
  Object.defineProperty(resource, "toJSON", {
    value: () => {
      const {
        airflow: _airflow,
        airflowInstance: _instance,
        cacheManager: _cache,
        createdResources,
        lost: _lost,
        ...facts
      } = resource
      return { ...facts, createdResources: createdResources.map(([name]) => name) }
    }
  })

const slug = (text: string) =>
  text.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "").slice(0, 40) || "test"
