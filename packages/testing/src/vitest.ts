/**
 * Plain vitest, without Effect: a `test` whose fixtures are a leased Airflow and a client with promises.
 *
 * @since 0.1.0
 */
import { Airflow, type AirflowPromise } from "airflow-resource"
import * as Duration from "effect/Duration"
import { test as base, type TestAPI, type TestContext } from "vitest"
import * as BodyTimeout from "./internal/bodyTimeout.js"
import * as Hold from "./internal/hold.js"
import * as Names from "./internal/names.js"
import * as Observation from "./internal/observation.js"
import * as Worker from "./internal/worker.js"

/**
 * What a test can use. A test that uses none of them leases no Airflow.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fixtures {
  /** The client of the leased Airflow. */
  readonly airflow: AirflowPromise.AirflowPromise
  /** The lease itself: `deploymentName`, `baseUrl`, `apiToken`, `uiUrl`, `leaseId`, `reused`, … */
  readonly lease: Airflow.Lease
}

/**
 * Options of {@link makeTest}. Defaults in brackets.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Airflow.Source, Pick<Airflow.Options, "spec" | "username" | "password"> {
  /** `test`: each test has an Airflow of its own. `file`: the tests of a file share one, which is not emptied between them [`test`]. */
  readonly scope?: "test" | "file" | undefined
  /** How long getting the Airflow may take, including the queue. The pool's own acquire timeout applies too [20 minutes]. */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /** How long a test waits until its Airflow is given back. What takes longer goes on, and does not fail the test [2 minutes]. */
  readonly releaseTimeout?: Duration.DurationInput | undefined
}

/**
 * Vitest's `test` with the {@link Fixtures}.
 *
 * The timeout of a test, its own or vitest's `testTimeout`, counts its body alone. What a test does with its Airflow
 * after its end fails with `LeaseEnded`. A lease that is lost fails the test at once, with `LeaseLost`. A retry gets a
 * lease of its own.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeTest = (
  { acquireTimeout = "20 minutes", layer, releaseTimeout = "2 minutes", scope = "test", ...request }: Options = {}
): TestAPI<Fixtures> => {
  const budgets = { acquireTimeout: Duration.decode(acquireTimeout), releaseTimeout: Duration.decode(releaseTimeout) }
  // one pool for all tests of a worker
  let airflows: Airflow.Airflows | undefined
  const begin = (testName: string) =>
    Hold.begin(airflows ??= Airflow.open({ layer }), { ...request, ...budgets, testName })
  // oxlint-disable-next-line no-empty-pattern
  const pool = async ({}: object, use: Use<void>) => {
    await use()
    const opened = airflows
    airflows = undefined
    await opened?.close()
  }
  const ofTest = async ({ annotate, onTestFinished, task }: TestContext, use: Use<Airflow.Lease>) => {
    const { end, lease, observation } = begin(Names.nameOf(task))
    Observation.attach(task, observation)
    // in case that vitest gives up before there is a lease
    onTestFinished(() => end().catch(() => {}), Duration.toMillis(budgets.releaseTimeout) + 10_000)
    const leased = await lease
    if (!Hold.isFailed(leased)) await annotate(Names.annotationOf(leased))
    await use(leased)
    await end()
  }
  // oxlint-disable-next-line no-empty-pattern
  const ofFile = async ({}: object, use: Use<Airflow.Lease>) => {
    const { end, lease } = begin(Worker.fileOfTests())
    await use(await lease)
    await end()
  }
  const airflow = async ({ lease }: Pick<Fixtures, "lease">, use: Use<AirflowPromise.AirflowPromise>) => {
    await use(Hold.isFailed(lease) ? lease as never : lease.airflow)
  }

  const test = base.extend<Fixtures & { readonly airflowPool: void }>({
    // in vitest 3, a fixture of a file cannot use one of the worker
    airflowPool: [pool, { scope: "worker", auto: true }],
    lease: scope === "file" ? [ofFile, { scope }] : [ofTest, { scope }],
    airflow: [airflow, { scope }]
  })
  return BodyTimeout.withBodyTimeout(test, {
    besides: Duration.toMillis(Duration.sum(budgets.acquireTimeout, budgets.releaseTimeout)),
    check: (context) => {
      const lease: unknown = Reflect.get(context, "lease")
      const observation = Hold.observationOf(lease)
      // only a test knows its file
      if (scope === "file" && observation !== undefined) Observation.attach(context.task.file, observation)
      Hold.check(lease)
    },
    lost: (context) => Hold.lost(Reflect.get(context, "lease"))
  })
}

/**
 * Vitest's `test` with an Airflow from the environment for each test.
 *
 * @example
 * ```ts
 * import { test } from "@airflow-resource/testing/vitest"
 * import { expect } from "vitest"
 *
 * test("greets", async ({ airflow }) => {
 *   const run = await airflow.runDag("hello_world_dag", { timeout: "1 minute" })
 *   expect(await airflow.xcom("hello_world_dag", run.runId, "hello")).toContain("Hello")
 * }, 60_000)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const test: TestAPI<Fixtures> = makeTest()

// internal

type Use<A> = (value: A) => Promise<void>
