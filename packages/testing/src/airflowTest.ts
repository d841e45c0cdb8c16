/**
 * A vitest test with its own Airflow, whose timeout counts neither getting the Airflow nor giving it back.
 *
 * @since 0.1.0
 */
import { it } from "@effect/vitest"
import type { Lease } from "airflow-resource"
import { AirflowResource, CallSite, PinnedClock } from "airflow-resource"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { TestContext } from "vitest"

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
 * The body took longer than its timeout.
 *
 * @since 0.1.0
 * @category errors
 */
export class BodyTimeout extends Schema.TaggedError<BodyTimeout>("@airflow-resource/testing/BodyTimeout")(
  "BodyTimeout",
  { timeout: Schema.DurationFromSelf }
) {
  override get message(): string {
    return `airflowTest: the test's body took longer than ${
      Duration.format(this.timeout)
    }, not counting the time to get the Airflow. ` +
      `Allow more with { timeout }.`
  }
}

/**
 * Runs `body` with a leased Airflow, which is given back afterwards. The timeout counts real time, although the body
 * runs under the test's clock. Fails with {@link BodyTimeout} when the body takes longer, with an `AcquireError` when
 * no Airflow can be leased, and with `LeaseLost` when the lease is lost during the body.
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
  E | LE | BodyTimeout | AirflowResource.AcquireError | Lease.LeaseLost,
  Exclude<Exclude<R, Scope.Scope>, AirflowResource.Requirements>
> => {
  const timeout = Duration.decode(options.timeout ?? "5 seconds")
  const limit = PinnedClock.live(Effect.sleep(timeout))
  return AirflowResource.use(
    { ...options, testName },
    (resource) => Effect.raceFirst(body(resource), Effect.zipRight(limit, new BodyTimeout({ timeout })))
  ).pipe(Effect.provide(PinnedClock.liveLayer(options.layer)))
}

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
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const airflowTest = Object.assign(declare(it.effect), {
  only: declare(it.effect.only),
  skip: declare(it.effect.skip),
  fails: declare(it.effect.fails)
})

// internal

function declare(test: typeof it.effect.only) {
  return <A, E, LE>(
    name: string,
    body: (
      resource: AirflowResource.AirflowResource,
      context: TestContext
    ) => Effect.Effect<A, E, Scope.Scope | AirflowResource.Requirements>,
    options: Options<LE>
  ): void => {
    const captureStackTrace = CallSite.callSite()
    const budget = Duration.sum(
      Duration.sum(options.acquireTimeout ?? "20 minutes", options.timeout ?? "5 seconds"),
      options.releaseTimeout ?? "2 minutes"
    )
    test(
      name,
      (context) =>
        withAirflow(`${context.task.file.name} > ${context.task.name}`, (resource) =>
          Effect.zipRight(
            Effect.promise(() =>
              context.annotate(
                `${resource.deploymentName} (${resource.reused}), lease ${resource.leaseId}, ${resource.uiUrl}`
              )
            ),
            body(resource, context)
          ), options).pipe(Effect.withSpan("airflowTest", { captureStackTrace })),
      Duration.toMillis(budget)
    )
  }
}
