/**
 * The main entry point: leases a test an Airflow that no other test uses, until the scope closes.
 *
 * @since 0.1.0
 */
import type { Airflow } from "@airflow-resource/airflow/Airflow"
import type { AirflowApiError } from "@airflow-resource/airflow/AirflowError"
import { callSite } from "@airflow-resource/airflow/CallSite"
import * as Polling from "@airflow-resource/airflow/Polling"
import * as RetryAfter from "@airflow-resource/airflow/RetryAfter"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { LazyArg } from "effect/Function"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import type { CacheError } from "./CacheError.js"
import type { DeliveryError } from "./DagDelivery.js"
import { DagDelivery } from "./DagDelivery.js"
import type { DeploymentId, DeploymentSpec } from "./Deployment.js"
import type { DeploymentCache } from "./DeploymentCache.js"
import { defaults, DeploymentPool } from "./DeploymentPool.js"
import type { LeaseId, LeaseLost } from "./Lease.js"
import type { LeasedSlot, Progress } from "./LeasedSlot.js"
import type { PoolError } from "./PoolError.js"
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
  /** How long it took to get the lease. */
  readonly creationDuration: Duration.Duration
  readonly description: string
  readonly status: "active"
  readonly projectName: string
  /** The URL of Airflow, with scheme and without the path of its API. */
  readonly baseUrl: string
  readonly deploymentId: DeploymentId
  readonly deploymentName: string
  /** Ends in `/api/v1` for Airflow 2 and in `/api/v2` for Airflow 3. */
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
  /** The token is this lease's own, and is revoked with it. */
  readonly fenced: boolean
  /** Why the lease is unfenced, if it is. */
  readonly unfencedReason: Option.Option<string>
  readonly reused: "awake" | "woken" | "created"
  readonly user: "created" | "exists" | "unsupported"
  /** The deployment's page in the provider's dashboard. */
  readonly uiUrl: string
  /** The folder of the local project, deleted on release. */
  readonly projectDirectory: string
  /** Never succeeds; fails when the lease is lost. */
  readonly lost: Effect.Effect<never, LeaseLost>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AcquireOptions {
  /** The test's name, with its file if names repeat. Shown to processes that wait for the deployment. */
  readonly testName: string
  /** The spec that the deployment must have [the pool's]. */
  readonly spec?: DeploymentSpec | undefined
  /** The Airflow user [the pool's]. */
  readonly username?: string | undefined
  readonly password?: Redacted.Redacted | undefined
  /** Requests with the same key are one request, and get one lease at most [a new key]. */
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
 * Leases an Airflow until the scope closes. When the lease is lost, the calling fiber is interrupted, and the scope's finalizer dies with
 * `LeaseLost`, so that the interrupted test says why.
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
): Effect.Effect<AirflowResource, AcquireError, Requirements | Scope.Scope> => {
  const captureStackTrace = callSite()
  return Effect.gen(function*() {
    const { resource } = yield* lease(options, captureStackTrace, ({ confirm }) =>
      // a process that was paused may reach the end of its test before it notices that the lease is lost
      Effect.addFinalizer((exit) => Exit.isSuccess(exit) ? Effect.orDie(confirm) : Effect.void))
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
}

/**
 * Leases an Airflow while `body` runs. Fails with `LeaseLost` when the lease is lost.
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
      lease(options, callSite()),
      ({ confirm, resource, span }) =>
        Effect.raceFirst(Effect.withParentSpan(Effect.scoped(body(resource)), span), resource.lost).pipe(
          Effect.zipLeft(confirm)
        )
    )
  )

// internal

interface Leased extends Pick<LeasedSlot, "confirm"> {
  readonly resource: AirflowResource
  /** Open for the whole lease, so that everything that the lease does is one trace. */
  readonly span: Tracer.Span
}

const lease = (
  options: AcquireOptions,
  captureStackTrace: LazyArg<string | undefined>,
  onLeased: (leased: Leased) => Effect.Effect<void, never, Scope.Scope> = () => Effect.void
): Effect.Effect<Leased, AcquireError, Requirements | Scope.Scope> =>
  Effect.flatMap(requirements(captureStackTrace), ({ scoped }) =>
    scoped(Effect.gen(function*() {
      const span = yield* Effect.makeSpanScoped("AirflowResource", {
        attributes: { "test.name": options.testName },
        captureStackTrace
      })
      const leased = yield* Effect.withParentSpan(assemble(options, span), span)
      yield* onLeased(leased)
      return leased
    })))

/** Tests often run without a check of their types, which would say that there is no layer. */
const requirements = (captureStackTrace: LazyArg<string | undefined>) =>
  Effect.contextWithEffect((context: Context.Context<Requirements>) => {
    const keys = [DeploymentPool.key, DagDelivery.key, ProjectDirectory.key]
    const missing = keys.filter((key) => !context.unsafeMap.has(key))
    return missing.length === 0
      ? Effect.succeed(Context.get(context, DeploymentPool))
      : Effect.withSpan(
        Effect.die(
          new Error(
            `The test has no layer that provides ${missing.join(", ")}. ` +
              "Provide one, such as AirflowResources.layerFromEnv: Effect.provide(AirflowResources.layerFromEnv)."
          )
        ),
        "AirflowResource",
        { captureStackTrace }
      )
  })

const assemble = (
  options: AcquireOptions,
  span: Tracer.Span
): Effect.Effect<Leased, AcquireError, Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const pool = yield* DeploymentPool
    const delivery = yield* DagDelivery
    const projects = yield* ProjectDirectory
    const requestedAt = yield* DateTime.now
    const { runtimeVersion } = options.spec ?? pool.options.spec
    const projectName = `airflow_test_${slug(options.testName)}_${DateTime.toEpochMillis(requestedAt)}`

    const lock = Option.getOrUndefined(yield* delivery.lock)
    const [slot, project] = yield* Effect.all([
      pool.acquire({ ...options, label: options.testName, lock }),
      projects.make({ name: projectName, runtimeVersion })
    ], { concurrency: "unbounded" })

    const username = options.username ?? pool.options.username ?? defaults.username
    const password = options.password ?? pool.options.password ?? Redacted.make("airflow")
    const facts = {
      "lease.id": slot.leaseId,
      epoch: slot.epoch,
      fenced: slot.unfenced._tag === "None",
      "deployment.id": slot.deployment.id,
      "deployment.name": slot.deployment.name
    }
    for (const [name, value] of Object.entries(facts)) span.attribute(name, value)
    const onStep = (activity: string, shown?: string) =>
      Effect.annotateLogs(slot.report(activity, shown), { ...facts, "process.id": pool.cache.owner.pid })
    const delivered = delivery.deliver({
      deploymentId: slot.deployment.id,
      deploymentName: slot.deployment.name,
      accessToken: slot.token,
      leaseId: slot.leaseId,
      onWait: (reason) => onStep(reason)
    })
    yield* onStep("delivering DAGs and creating the user")
    // one after the other: a delivery may restart Airflow
    const user = yield* Effect.raceFirst(
      Effect.zipRight(
        lock === undefined ? delivered : Effect.retry(slot.writeUnderLock(delivered), deliveryRetries),
        Effect.retry(slot.airflow.users.create({ username, password }), userRetries)
      ),
      slot.lost
    )
    yield* onStep("ready", "in use")
    const readyAt = yield* DateTime.now

    const resource = printable({
      resourceId: slot.leaseId,
      type: "airflow_resource",
      testName: options.testName,
      creationTime: requestedAt,
      workerPid: pool.cache.owner.pid,
      creationDuration: DateTime.distanceDuration(requestedAt, readyAt),
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
      fenced: facts.fenced,
      unfencedReason: slot.unfenced,
      reused: slot.reused,
      user,
      uiUrl: slot.deployment.uiUrl,
      projectDirectory: project.path,
      lost: slot.lost
    })
    return { resource, confirm: slot.confirm, span }
  })

/** A user that was created although the response was lost exists then. */
const userRetries = {
  times: 3,
  schedule: Polling.backoff,
  while: ({ retryable }: { readonly retryable: boolean }) => retryable
}

/** A delivery under a lock is sent again here, and not by itself, because each attempt has to be announced (counterexample 26). */
const deliveryRetries = {
  times: 4,
  schedule: RetryAfter.respected(Polling.backoff),
  while: (error: DeliveryError | CacheError | LeaseLost) =>
    error._tag === "DeliveryError" && error.retryable &&
    Duration.lessThanOrEqualTo(error.retryAfter ?? Duration.zero, "1 minute")
}

/**
 * Without this, a failed assertion on the resource, or a failure with it, would also print its services, and everything
 * that they refer to. Test runners copy the enumerable members of what a test fails with.
 */
const printable = (resource: AirflowResource): AirflowResource => {
  const hidden = { enumerable: false }
  return Object.defineProperties(resource, {
    airflow: hidden,
    airflowInstance: hidden,
    cacheManager: hidden,
    createdResources: hidden,
    lost: hidden,
    toJSON: { value: () => ({ ...resource, createdResources: resource.createdResources.map(([name]) => name) }) }
  })
}

const slug = (text: string) =>
  text.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "").slice(0, 40) || "test"
