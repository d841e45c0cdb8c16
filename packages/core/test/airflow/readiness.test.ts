import { AirflowReadiness } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Fiber, TestClock } from "effect"
import { type Answer, answer, connect, html, refused } from "./server.js"

const health = "GET /api/v1/health"
const dags = "GET /api/v1/dags?only_active=false&limit=100&order_by=dag_id&offset=0"

const healthy = {
  metadatabase: { status: "healthy" },
  scheduler: { status: "healthy", latest_scheduler_heartbeat: "1970-01-01T00:10:00.000000+00:00" },
  triggerer: { status: null, latest_triggerer_heartbeat: null },
  dag_processor: { status: null, latest_dag_processor_heartbeat: null }
}
const well = answer(200, healthy)
const empty = answer(200, { dags: [], total_entries: 0 })

/** Runs the wait in virtual time: its outcome, and when that came. */
const wait = (
  routes: Record<string, Answer | readonly [Answer, ...ReadonlyArray<Answer>]>,
  options?: AirflowReadiness.ReadyOptions
) =>
  Effect.gen(function*() {
    const server = yield* connect(routes)
    const fiber = yield* Effect.fork(
      Effect.all([Effect.either(AirflowReadiness.awaitReady(server.airflow, options)), Clock.currentTimeMillis])
    )
    yield* TestClock.adjust("1 hour")
    const [outcome, at] = yield* Fiber.join(fiber)
    return { outcome, at, routes: server.routes() }
  })

const refusal = (outcome: Effect.Effect.Success<ReturnType<typeof wait>>["outcome"]) => {
  assert(outcome._tag === "Left", "it should not be ready")
  return outcome.left
}

describe("awaitReady", () => {
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

  it.effect("gives up at once on Airflow 3", () =>
    Effect.gen(function*() {
      const removed = answer(404, { error: "/api/v1 has been removed in Airflow 3" })
      const { at, outcome } = yield* wait({ [health]: removed })
      assert.include(refusal(outcome).message, "removed in Airflow 3")
      assert.strictEqual(at, 0)
    }))
})
