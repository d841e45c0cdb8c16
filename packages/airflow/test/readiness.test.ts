import { type Airflow, AirflowReadiness } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Fiber, TestClock } from "effect"
import { connectionRefused, html, type Options, respond, type Routes, serve } from "./server.js"

const health = "GET /api/v1/health"
const dags = "GET /api/v1/dags?limit=1"

const healthy = {
  metadatabase: { status: "healthy" },
  scheduler: { status: "healthy", latest_scheduler_heartbeat: "1970-01-01T00:10:00.000000+00:00" },
  triggerer: { status: null, latest_triggerer_heartbeat: null },
  dag_processor: { status: null, latest_dag_processor_heartbeat: null }
}
const healthyProcessor = { status: "healthy", latest_dag_processor_heartbeat: "1970-01-01T00:10:00Z" }
const ok = respond(200, healthy)
const empty = respond(200, { dags: [], total_entries: 0 })

/** Runs the wait in virtual time. Returns its outcome and when it ended. */
const wait = (routes: Routes, ready?: Airflow.ReadyOptions, options?: Options) =>
  Effect.gen(function*() {
    const server = yield* serve(routes, options)
    const connected = AirflowReadiness.awaitConnected("https://airflow.test/dx", server.client, ready)
    const fiber = yield* Effect.fork(Effect.all([Effect.either(connected), Clock.currentTimeMillis]))
    yield* TestClock.adjust("1 hour")
    const [outcome, at] = yield* Fiber.join(fiber)
    return { outcome, at, routes: server.routes().filter((route) => !route.endsWith("/version")) }
  })

const notReady = (outcome: Effect.Effect.Success<ReturnType<typeof wait>>["outcome"]) => {
  assert(outcome._tag === "Left", "it is ready")
  return outcome.left
}

describe("awaitConnected", () => {
  it.effect("polls twice, with credentials too", () =>
    Effect.gen(function*() {
      const { outcome, routes } = yield* wait({ [health]: ok, [dags]: empty })
      assert.strictEqual(outcome._tag, "Right")
      assert.deepStrictEqual(routes, [health, dags, health, dags])
    }))

  it.effect("waits through whatever a proxy responds while Airflow starts", () =>
    Effect.gen(function*() {
      const { outcome, routes } = yield* wait({
        [health]: [
          connectionRefused,
          html(404),
          html(502),
          respond(503, "no upstream"),
          respond(504, ""),
          html(200),
          respond(302, "", { location: "/login" }),
          respond(404, { detail: "no such host", status: 404 }),
          respond(200, { ...healthy, scheduler: { status: "unhealthy", latest_scheduler_heartbeat: null } }),
          ok
        ],
        [dags]: [respond(401, { title: "Unauthorized", detail: null }), respond(403, { title: "Forbidden" }), empty]
      })
      assert.strictEqual(outcome._tag, "Right")
      assert.strictEqual(routes.filter((route) => route === dags).length, 4)
    }))

  it.effect("starts to count again after a failed poll", () =>
    Effect.gen(function*() {
      const { routes } = yield* wait({ [health]: [ok, html(200), ok], [dags]: empty })
      assert.deepStrictEqual(routes, [health, dags, health, health, dags, health, dags])
    }))

  it.effect("does not accept a heartbeat from before the start", () =>
    Effect.gen(function*() {
      const beat = (at: string) =>
        respond(200, { ...healthy, scheduler: { status: "healthy", latest_scheduler_heartbeat: at } })
      const since = DateTime.unsafeMake("1970-01-01T00:10:00Z")
      const fresh = yield* wait({ [health]: [beat("1970-01-01T00:09:00+00:00"), ok], [dags]: empty }, { since })
      assert.strictEqual(fresh.outcome._tag, "Right")
      const stale = yield* wait({ [health]: beat("1970-01-01T00:09:29+00:00"), [dags]: empty }, { since })
      assert.include(notReady(stale.outcome).message, "no heartbeat since 1970-01-01T00:10:00.000Z")
    }))

  it.effect("waits for each component to be healthy", () =>
    Effect.gen(function*() {
      for (
        const [component, words] of [
          [{ metadatabase: { status: "unhealthy" } }, "metadatabase is unhealthy"],
          [{ scheduler: { status: null, latest_scheduler_heartbeat: null } }, "scheduler is unknown"],
          [{ dag_processor: { status: "unhealthy" } }, "DAG processor is unhealthy"]
        ] as const
      ) {
        const { outcome } = yield* wait({ [health]: respond(200, { ...healthy, ...component }), [dags]: empty })
        assert.include(notReady(outcome).message, words)
      }
      const older = { metadatabase: healthy.metadatabase, scheduler: healthy.scheduler }
      assert.strictEqual((yield* wait({ [health]: respond(200, older), [dags]: empty })).outcome._tag, "Right")
    }))

  it.effect("fails at its deadline with the last distinct problems", () =>
    Effect.gen(function*() {
      const { at, outcome } = yield* wait({ [health]: [connectionRefused, html(502)] }, { timeout: "2 minutes" })
      const error = notReady(outcome)
      assert.strictEqual(at, 120_000)
      assert.deepStrictEqual([error._tag, Duration.toMillis(error.waited)], ["AirflowNotReady", 120_000])
      assert.deepStrictEqual([...error.problems], [
        "the response is an HTML page instead of JSON (status 502)"
      ])
      assert.include(error.message, "scheduler's logs")
      const silent = yield* wait({ [health]: () => Effect.never }, { timeout: "5 seconds" })
      assert.deepStrictEqual([...notReady(silent.outcome).problems], ["no response"])
    }))

  it.effect("fails early if credentials keep being rejected", () =>
    Effect.gen(function*() {
      const forbidden = respond(403, { title: "Forbidden", detail: null })
      const { at, outcome } = yield* wait({ [health]: ok, [dags]: forbidden }, { timeout: "10 minutes" })
      const { message } = notReady(outcome)
      assert.include(message, "Forbidden")
      assert.include(message, "It rejects the credentials: check the token")
      assert.notInclude(message, "scheduler")
      assert.isAtLeast(at, 30_000)
      assert.isAtMost(at, 40_000)
    }))

  it.effect("waits until Airflow reports its version", () =>
    Effect.gen(function*() {
      const v2 = { version: "3.1.8", git_version: null }
      const removed = respond(404, { error: "/api/v1 has been removed in Airflow 3, please use its upgraded version" })
      const { outcome } = yield* wait({
        "GET /api/v2/version": [connectionRefused, html(404), html(404), respond(200, v2)],
        // the proxy had no route for the first request, and a moment later it had one for the second
        "GET /api/v1/version": [html(404), removed],
        "GET /api/v2/monitor/health": respond(200, { ...healthy, dag_processor: healthyProcessor }),
        "GET /api/v2/dags?limit=1": empty
      })
      assert(outcome._tag === "Right")
      assert.strictEqual(outcome.right.apiUrl, "https://airflow.test/dx/api/v2")
      assert.deepStrictEqual(outcome.right.version, { full: "3.1.8", major: 3, minor: 1, patch: 8 })
    }))

  it.effect("waits for the DAG processor of Airflow 3, which is not reported at first", () =>
    Effect.gen(function*() {
      const route = "GET /api/v2/monitor/health"
      const up = respond(200, { ...healthy, dag_processor: healthyProcessor })
      const rest = { "GET /api/v2/dags?limit=1": empty }
      const late = yield* wait({ [route]: [ok, ok, up], ...rest }, {}, { version: "3.3.2" })
      assert.strictEqual(late.routes.filter((request) => request === route).length, 4)
      const never = yield* wait({ [route]: ok, ...rest }, { timeout: "1 minute" }, { version: "3.3.2" })
      assert.include(notReady(never.outcome).message, "DAG processor is not up yet")
    }))

  it.effect("waits for a triggerer only if one is needed", () =>
    Effect.gen(function*() {
      const needed = yield* wait({ [health]: ok, [dags]: empty }, { needsTriggerer: true })
      assert.include(notReady(needed.outcome).message, "triggerer is not up yet")
      const triggerer = { status: "healthy", latest_triggerer_heartbeat: null }
      const routes = { [health]: respond(200, { ...healthy, triggerer }), [dags]: empty }
      assert.strictEqual((yield* wait(routes, { needsTriggerer: true })).outcome._tag, "Right")
    }))

  it.effect("ignores a DAG processor that no longer runs, if told to", () =>
    Effect.gen(function*() {
      const retired = respond(200, { ...healthy, dag_processor: { status: "unhealthy" } })
      const { outcome } = yield* wait({ [health]: retired, [dags]: empty }, { ignoreDagProcessor: true })
      assert.strictEqual(outcome._tag, "Right")
    }))

  it.effect("fails at once if the version of Airflow is not supported", () =>
    Effect.gen(function*() {
      const { at, outcome } = yield* wait({ "GET /api/v2/version": respond(200, { version: "4.0.0" }) })
      assert.include(notReady(outcome).message, "the version is \"4.0.0\"")
      assert.strictEqual(at, 0)
    }))
})
