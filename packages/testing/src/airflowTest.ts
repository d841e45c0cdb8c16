/**
 * A vitest test in Effect with its own Airflow, whose timeout counts neither getting the Airflow nor giving it back.
 *
 * @since 0.1.0
 */
import type { Lease } from "airflow-resource"
import { AirflowResource, CallSite, PinnedClock } from "airflow-resource"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { LazyArg } from "effect/Function"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { test, type TestAPI, type TestContext } from "vitest"
import * as EffectTest from "./internal/effectTest.js"
import * as Names from "./internal/names.js"
import * as Observation from "./internal/observation.js"
import * as Patience from "./internal/patience.js"
import { AcquireBudgetSpent, BodyTimeout } from "./TestingError.js"

/**
 * Where a test gets its Airflow from, and how long each part of it may take.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E> extends Omit<AirflowResource.AcquireOptions, "testName"> {
  /** Where the Airflow comes from, such as `AirflowResources.layerFromEnv`. */
  readonly layer: Layer.Layer<AirflowResource.Requirements, E>
  /** How long the body may take, in real time [5 seconds]. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * How long getting the Airflow may take, including the queue [20 minutes]. The pool's own acquire timeout applies
   * too.
   */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /** How long giving the Airflow back may take [2 minutes]. */
  readonly releaseTimeout?: Duration.DurationInput | undefined
}

/**
 * Declares a test. A body gets the leased Airflow and vitest's context.
 *
 * @since 0.1.0
 * @category models
 */
export interface Declare<Args extends ReadonlyArray<unknown>> {
  <A, E, LE>(
    name: string,
    body: (
      ...args: [...Args, resource: AirflowResource.AirflowResource, context: TestContext]
    ) => Effect.Effect<A, E, Scope.Scope | AirflowResource.Requirements>,
    options: Options<LE>
  ): void
}

/**
 * {@link airflowTest} and its variants, which are those of vitest.
 *
 * @since 0.1.0
 * @category models
 */
export interface AirflowTest extends Declare<[]> {
  readonly only: AirflowTest
  readonly skip: AirflowTest
  readonly fails: AirflowTest
  readonly skipIf: (condition: unknown) => AirflowTest
  readonly runIf: (condition: unknown) => AirflowTest
  /** Declares a test for each case, which is the first argument of its body. Each has its own Airflow. */
  readonly each: <Case>(cases: ReadonlyArray<Case>) => Declare<[value: Case]>
}

/**
 * Runs `body` with a leased Airflow, which is given back afterwards. The timeouts count real time, although the body
 * runs under the test's clock. Fails with {@link BodyTimeout} when the body takes longer, with
 * {@link AcquireBudgetSpent} or an `AcquireError` when no Airflow can be leased, and with `LeaseLost` when the lease is
 * lost during the body.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withAirflow = <A, E, R, LE>(
  testName: string,
  body: (resource: AirflowResource.AirflowResource) => Effect.Effect<A, E, R>,
  options: Options<LE>
): Effect.Effect<
  A,
  E | LE | BodyTimeout | AcquireBudgetSpent | AirflowResource.AcquireError | Lease.LeaseLost,
  Exclude<Exclude<R, Scope.Scope>, AirflowResource.Requirements>
> => Effect.suspend(() => observed(Observation.begin(testName), body, options))

/**
 * Declares a test with its own Airflow. The body runs under TestClock, as in `it.scoped`; the Airflow keeps real time.
 *
 * @example
 * ```ts
 * import { airflowTest } from "@airflow-resource/testing"
 * import { AirflowResources } from "airflow-resource"
 * import { Effect } from "effect"
 *
 * airflowTest("has the DAG", ({ airflow }) =>
 *   Effect.gen(function*() {
 *     yield* airflow.verifyAirflowDagExists("hello_world_dag")
 *   }), { layer: AirflowResources.layerFromEnv, timeout: "30 seconds" })
 *
 * airflowTest.runIf(process.env["CI"]).each(["hello_world_dag", "nightly"])("has %s", (dagId, { airflow }) =>
 *   airflow.awaitDag(dagId), { layer: AirflowResources.layerFromEnv })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const airflowTest: AirflowTest = of(test)

// internal

const defaults = { acquireTimeout: "20 minutes", timeout: "5 seconds", releaseTimeout: "2 minutes" } as const

function of(test: TestAPI): AirflowTest {
  const declare: Declare<[]> = (name, body, options) => {
    const declaredAt = CallSite.callSite()
    test(name, timeouts(options), (context) => run(context, declaredAt, (resource) => body(resource, context), options))
  }
  const each: AirflowTest["each"] = (cases) => (name, body, options) => {
    const declaredAt = CallSite.callSite()
    test.for(cases)(
      name,
      timeouts(options),
      (value, context) => run(context, declaredAt, (resource) => body(value, resource, context), options)
    )
  }
  const variants = {
    each,
    get only() {
      return of(test.only as TestAPI)
    },
    get skip() {
      return of(test.skip as TestAPI)
    },
    get fails() {
      return of(test.fails as TestAPI)
    },
    skipIf: (condition: unknown) => of(test.skipIf(condition) as TestAPI),
    runIf: (condition: unknown) => of(test.runIf(condition) as TestAPI)
  }
  return Object.defineProperties(declare, Object.getOwnPropertyDescriptors(variants)) as AirflowTest
}

/** {@link withAirflow}, which also records what a reporter is told. */
const observed = <A, E, R, LE>(
  observation: Observation.Observation,
  body: (resource: AirflowResource.AirflowResource) => Effect.Effect<A, E, R>,
  options: Options<LE>
) =>
  Effect.gen(function*() {
    const testName = observation.observed.test
    const timeout = Duration.decode(options.timeout ?? defaults.timeout)
    const budget = Duration.decode(options.acquireTimeout ?? defaults.acquireTimeout)
    const after = (duration: Duration.Duration) => PinnedClock.live(Effect.sleep(duration))
    const leased = yield* Deferred.make<void>()
    const patience = yield* Effect.acquireRelease(
      Effect.sync(() => Patience.begin(testName)),
      ({ stop }) => Effect.sync(stop)
    )
    let during = "starting"
    const isTooLate = after(budget).pipe(
      Effect.zipRight(Effect.suspend(() => new AcquireBudgetSpent({ testName, budget, during }))),
      Effect.raceFirst(Effect.zipRight(Deferred.await(leased), Effect.never))
    )
    return yield* AirflowResource.use(
      {
        ...options,
        testName,
        onProgress: (progress) => {
          during = progress.activity
          observation.onProgress(progress)
          patience.onProgress(progress)
          return options.onProgress?.(progress) ?? Effect.void
        }
      },
      (resource) => {
        patience.stop()
        observation.isReady(resource)
        return Deferred.succeed(leased, undefined).pipe(
          Effect.zipRight(
            Effect.raceFirst(body(resource), Effect.zipRight(after(timeout), new BodyTimeout({ timeout })))
          ),
          Effect.ensuring(Effect.sync(observation.ends))
        )
      }
    ).pipe(Effect.raceFirst(isTooLate))
  }).pipe(
    Effect.scoped,
    Effect.provide(PinnedClock.liveLayer(options.layer)),
    Effect.tapErrorCause((cause) => Effect.sync(() => observation.fails(Cause.squash(cause)))),
    Effect.ensuring(Effect.sync(observation.isReleased))
  )

/** Vitest's timeout counts everything. */
const timeouts = <E>(options: Options<E>) => ({
  timeout: Duration.toMillis(
    Duration.sum(
      Duration.sum(options.acquireTimeout ?? defaults.acquireTimeout, options.timeout ?? defaults.timeout),
      options.releaseTimeout ?? defaults.releaseTimeout
    )
  )
})

const run = <A, E, LE>(
  context: TestContext,
  captureStackTrace: LazyArg<string | undefined>,
  body: (
    resource: AirflowResource.AirflowResource
  ) => Effect.Effect<A, E, Scope.Scope | AirflowResource.Requirements>,
  options: Options<LE>
) => {
  const observation = Observation.begin(Names.nameOf(context.task))
  Observation.attach(context.task, observation)
  return EffectTest.run(
    observed(
      observation,
      (resource) =>
        Effect.zipRight(Effect.promise(() => context.annotate(Names.annotationOf(resource))), body(resource)),
      options
    ).pipe(Effect.withSpan("airflowTest", { captureStackTrace })),
    context,
    Duration.toMillis(options.releaseTimeout ?? defaults.releaseTimeout)
  )
}
