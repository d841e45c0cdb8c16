import { type Airflow, AirflowReadiness } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Fiber, TestClock } from "effect"
import { answer, html, type Options, refused, type Routes, serve } from "./server.js"

const health = "GET /api/v1/health"
const dags = "GET /api/v1/dags?limit=1"

const healthy = {
  metadatabase: { status: "healthy" },
  scheduler: { status: "healthy", latest_scheduler_heartbeat: "1970-01-01T00:10:00.000000+00:00" },
  triggerer: { status: null, latest_triggerer_heartbeat: null },
  dag_processor: { status: null, latest_dag_processor_heartbeat: null }
}
const healthyProcessor = { status: "healthy", latest_dag_processor_heartbeat: "1970-01-01T00:10:00Z" }
const well = answer(200, healthy)
const empty = answer(200, { dags: [], total_entries: 0 })

/** Runs the wait in virtual time: its outcome, and when that came. */
const wait = (routes: Routes, ready?: Airflow.ReadyOptions, options?: Options) =>
  Effect.gen(function*() {
    const server = yield* serve(routes, options)
    const connected = AirflowReadiness.awaitConnected("https://airflow.test/dx", server.client, ready)
    const fiber = yield* Effect.fork(Effect.all([Effect.either(connected), Clock.currentTimeMillis]))
    yield* TestClock.adjust("1 hour")
    const [outcome, at] = yield* Fiber.join(fiber)
    return { outcome, at, routes: server.routes().filter((route) => !route.endsWith("/version")) }
  })

const refusal = (outcome: Effect.Effect.Success<ReturnType<typeof wait>>["outcome"]) => {
  assert(outcome._tag === "Left", "it should not be ready")
  return outcome.left
}

describe("awaitConnected", () => {
  it.effect("looks twice, with our credentials too", () =>
    Effect.gen(function*() {
      const { outcome, routes } = yield* wait({ [health]: well, [dags]: empty })
      assert.strictEqual(outcome._tag, "Right")
      assert.deepStrictEqual(routes, [health, dags, health, dags])
    }))

  it.effect("sits out whatever an ingress answers while Airflow wakes", () =>
    Effect.gen(function*() {
      const { outcome, routes } = yield* wait({
        [health]: [
          refused,
          html(404),
          html(502),
          answer(503, "no upstream"),
          answer(504, ""),
          html(200),
          answer(302, "", { location: "/login" }),
          answer(404, { detail: "no such host", status: 404 }),
          answer(200, { ...healthy, scheduler: { status: "unhealthy", latest_scheduler_heartbeat: null } }),
          well
        ],
        [dags]: [answer(401, { title: "Unauthorized", detail: null }), answer(403, { title: "Forbidden" }), empty]
      })
      assert.strictEqual(outcome._tag, "Right")
      assert.strictEqual(routes.filter((route) => route === dags).length, 4)
    }))

  it.effect("starts to count again after a stumble", () =>
    Effect.gen(function*() {
      const { routes } = yield* wait({ [health]: [well, html(200), well], [dags]: empty })
      assert.deepStrictEqual(routes, [health, dags, health, health, dags, health, dags])
    }))

  it.effect("is not content with a heartbeat from before the wake", () =>
    Effect.gen(function*() {
      const beat = (at: string) =>
        answer(200, { ...healthy, scheduler: { status: "healthy", latest_scheduler_heartbeat: at } })
      const since = DateTime.unsafeMake("1970-01-01T00:10:00Z")
      const fresh = yield* wait({ [health]: [beat("1970-01-01T00:09:00+00:00"), well], [dags]: empty }, { since })
      assert.strictEqual(fresh.outcome._tag, "Right")
      const stale = yield* wait({ [health]: beat("1970-01-01T00:09:29+00:00"), [dags]: empty }, { since })
      assert.include(refusal(stale.outcome).message, "from before the deployment was woken")
    }))

  it.effect("takes an unhealthy part for what it is", () =>
    Effect.gen(function*() {
      for (
        const [part, words] of [
          [{ metadatabase: { status: "unhealthy" } }, "metadatabase is unhealthy"],
          [{ scheduler: { status: null, latest_scheduler_heartbeat: null } }, "scheduler is unknown"],
          [{ dag_processor: { status: "unhealthy" } }, "DAG processor is unhealthy"]
        ] as const
      ) {
        const { outcome } = yield* wait({ [health]: answer(200, { ...healthy, ...part }), [dags]: empty })
        assert.include(refusal(outcome).message, words)
      }
      const older = { metadatabase: healthy.metadatabase, scheduler: healthy.scheduler }
      assert.strictEqual((yield* wait({ [health]: answer(200, older), [dags]: empty })).outcome._tag, "Right")
    }))

  it.effect("ends at its deadline, with the last different answers", () =>
    Effect.gen(function*() {
      const { at, outcome } = yield* wait({ [health]: [refused, html(502)] }, { timeout: "2 minutes" })
      const error = refusal(outcome)
      assert.strictEqual(at, 120_000)
      assert.deepStrictEqual([error._tag, Duration.toMillis(error.waited)], ["AirflowNotReady", 120_000])
      assert.deepStrictEqual([...error.answers], ["an HTML page came where JSON was due (status 502)"])
      const silent = yield* wait({ [health]: () => Effect.never }, { timeout: "5 seconds" })
      assert.deepStrictEqual([...refusal(silent.outcome).answers], ["nothing"])
    }))

  it.effect("gives up early on credentials that stay refused", () =>
    Effect.gen(function*() {
      const forbidden = answer(403, { title: "Forbidden", detail: null })
      const { at, outcome } = yield* wait({ [health]: well, [dags]: forbidden }, { timeout: "10 minutes" })
      assert.include(refusal(outcome).message, "Forbidden")
      assert.isAtLeast(at, 30_000)
      assert.isAtMost(at, 40_000)
    }))

  it.effect("waits until it can be told which Airflow it is", () =>
    Effect.gen(function*() {
      const v2 = { version: "3.1.8", git_version: null }
      const removed = answer(404, { error: "/api/v1 has been removed in Airflow 3, please use its upgraded version" })
      const { outcome } = yield* wait({
        "GET /api/v2/version": [refused, html(404), html(404), answer(200, v2)],
        // the ingress had no route to the first question, and a moment later it had one to the second
        "GET /api/v1/version": [html(404), removed],
        "GET /api/v2/monitor/health": answer(200, { ...healthy, dag_processor: healthyProcessor }),
        "GET /api/v2/dags?limit=1": empty
      })
      assert(outcome._tag === "Right")
      assert.strictEqual(outcome.right.apiUrl, "https://airflow.test/dx/api/v2")
      assert.deepStrictEqual(outcome.right.version, { full: "3.1.8", major: 3, minor: 1, patch: 8 })
    }))

  it.effect("waits for the DAG processor of Airflow 3, which says nothing at first", () =>
    Effect.gen(function*() {
      const route = "GET /api/v2/monitor/health"
      const up = answer(200, { ...healthy, dag_processor: healthyProcessor })
      const rest = { "GET /api/v2/dags?limit=1": empty }
      const late = yield* wait({ [route]: [well, well, up], ...rest }, {}, { version: "3.3.2" })
      assert.strictEqual(late.routes.filter((seen) => seen === route).length, 4)
      const never = yield* wait({ [route]: well, ...rest }, { timeout: "1 minute" }, { version: "3.3.2" })
      assert.include(refusal(never.outcome).message, "DAG processor is not up yet")
    }))

  it.effect("asks for a triggerer only where one is needed", () =>
    Effect.gen(function*() {
      const needed = yield* wait({ [health]: well, [dags]: empty }, { needsTriggerer: true })
      assert.include(refusal(needed.outcome).message, "triggerer is not up yet")
      const triggerer = { status: "healthy", latest_triggerer_heartbeat: null }
      const routes = { [health]: answer(200, { ...healthy, triggerer }), [dags]: empty }
      assert.strictEqual((yield* wait(routes, { needsTriggerer: true })).outcome._tag, "Right")
    }))

  it.effect("may be told to let a retired DAG processor be", () =>
    Effect.gen(function*() {
      const retired = answer(200, { ...healthy, dag_processor: { status: "unhealthy" } })
      const { outcome } = yield* wait({ [health]: retired, [dags]: empty }, { ignoreDagProcessor: true })
      assert.strictEqual(outcome._tag, "Right")
    }))

  it.effect("gives up at once on an Airflow that nobody here speaks to", () =>
    Effect.gen(function*() {
      const { at, outcome } = yield* wait({ "GET /api/v2/version": answer(200, { version: "4.0.0" }) })
      assert.include(refusal(outcome).message, "it is \"4.0.0\"")
      assert.strictEqual(at, 0)
    }))
})
