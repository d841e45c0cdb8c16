import { AirflowApi, AirflowReadiness, AirflowReset } from "@airflow-resource/airflow"
import { Emulator, type Faults } from "@airflow-resource/emulator"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "@effect/platform"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { dags, kindOf, suite, until } from "./AirflowApi.suite.js"

const speed = 1000

/** Creates a deployment with plain HTTP: the suite must not depend on the astro package. */
const deploy = (emulator: Emulator.Service, astroRuntimeVersion: string) =>
  Effect.gen(function*() {
    const response = yield* HttpClientRequest.post(
      `${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}/deployments`
    ).pipe(
      HttpClientRequest.bearerToken(emulator.astroToken),
      HttpClientRequest.bodyUnsafeJson({
        name: "suite",
        workspaceId: emulator.workspaceId,
        isDevelopmentMode: true,
        astroRuntimeVersion,
        cloudProvider: "AWS",
        region: "us-east-1"
      }),
      HttpClient.execute
    )
    const { webServerAirflowApiUrl } = (yield* response.json) as { readonly webServerAirflowApiUrl: string }
    return webServerAirflowApiUrl.replace(/^(?!https?:)/, "http://").replace(/\/api\/v\d$/, "")
  })

const start = (runtime: string) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed, dags: dags(`${5 * speed} seconds`) })
    const baseUrl = yield* deploy(emulator, runtime)
    const { connect } = yield* AirflowApi.AirflowApi
    const connecting = connect({ baseUrl, credentials: { _tag: "Bearer", token: emulator.astroToken } })
    const airflow = yield* AirflowReadiness.awaitConnected(baseUrl, connecting, { timeout: "30 seconds" })
    return { airflow, emulator }
  }).pipe(Effect.provide(Layer.provideMerge(AirflowApi.layer, FetchHttpClient.layer)))

for (
  const [runtime, version] of [
    ["13.5.0", "2.11.2"],
    ["3.0-9", "3.0.6"],
    ["3.1-12", "3.1.8"],
    ["3.2-5", "3.2.2"],
    ["3.3-3", "3.3.2"]
  ] as const
) {
  describe(`AirflowApi against the emulated runtime ${runtime}`, () => {
    // as on a real server, each test finds what earlier tests have left behind
    const scope = Effect.runSync(Scope.make())
    const started = Effect.runSync(Effect.cached(Scope.extend(start(runtime), scope)))
    const connect = Effect.map(started, ({ airflow }) => airflow)
    afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

    suite(`Airflow ${version}`, connect, { version, users: version.startsWith("2.") ? "created" : "unsupported" })

    it.scopedLive("reads all pages of a long list, and deletes everything on them", () =>
      Effect.gen(function*() {
        const airflow = yield* connect
        yield* AirflowReset.reset(airflow)
        const keys = Array.from({ length: 205 }, (_, index) => `page_${index}`)
        yield* Effect.forEach(keys, (key) => airflow.variables.put({ key, value: "1" }), { concurrency: 8 })
        assert.sameMembers((yield* airflow.variables.list).map(({ key }) => key), keys)
        assert.strictEqual((yield* AirflowReset.reset(airflow)).deleted.length, 205)
        assert.deepStrictEqual(yield* airflow.variables.list, [])
      }))

    it.scopedLive("retries after an incomplete response, and does not trigger twice", () =>
      Effect.gen(function*() {
        const { airflow, emulator } = yield* started
        const cut = (path: RegExp, method = "GET") =>
          emulator.faults.next({ match: { path, method }, then: { _tag: "Cut" } })
        yield* cut(/dags\/hello_world_dag$/)
        assert.isTrue(yield* airflow.verifyAirflowDagExists("hello_world_dag"))
        const before = (yield* airflow.runs("hello_world_dag")).length
        yield* cut(/dagRuns$/, "POST")
        const { runId } = yield* airflow.trigger("hello_world_dag")
        const runs = yield* airflow.runs("hello_world_dag")
        assert.strictEqual(runs.length, before + 1)
        assert.include(runs.map((run) => run.runId), runId)
        yield* cut(/logs\/1/)
        yield* airflow.awaitRun("hello_world_dag", runId)
        assert.include(yield* airflow.getTaskInstanceLogs("hello_world_dag", runId, "hello"), "Hello World")
        assert.strictEqual(yield* emulator.faults.pending, 0)
      }))

    it.scopedLive(
      "reports each state at once, although some servers buffer compressed lines",
      () =>
        Effect.gen(function*() {
          const airflow = yield* connect
          const { runId } = yield* airflow.trigger("slow_dag")
          const reported: Array<string> = []
          const onState = (state: string) =>
            airflow.run("slow_dag", runId).pipe(
              Effect.orDie,
              Effect.map((now) => void reported.push(`${state} while ${now.state}`))
            )
          yield* airflow.awaitRun("slow_dag", runId, { via: "stream", onState })
          assert.include(reported, "running while running")
          assert.strictEqual(reported.at(-1), "success while success")
        })
    )

    it.scopedLive("falls back to polling if the stream is cut or refused", () =>
      Effect.gen(function*() {
        const { airflow, emulator } = yield* started
        const outcomes: ReadonlyArray<Faults.Outcome> = [{ _tag: "Cut" }, { _tag: "DropBefore" }, {
          _tag: "Html",
          status: 502
        }]
        for (const then of outcomes) {
          yield* emulator.faults.next({ match: { path: /\/wait\?/ }, then })
          const run = yield* airflow.runDag("hello_world_dag", { via: "stream" })
          assert.strictEqual(run.state, "success")
          // before 3.1 there is no stream that could break
          assert.strictEqual(yield* emulator.faults.pending, version < "3.1" ? 1 : 0)
          yield* emulator.faults.clear
        }
      }))

    it.scopedLive(
      "fails with RunVanished if the DAG is deleted while it waits for a run",
      () =>
        Effect.gen(function*() {
          const airflow = yield* connect
          const { runId } = yield* airflow.trigger("slow_dag")
          const started = yield* Deferred.make<void>()
          const onState = (state: string) => state === "running" ? Deferred.succeed(started, undefined) : Effect.void
          const waiting = yield* Effect.fork(Effect.flip(airflow.awaitRun("slow_dag", runId, { onState })))
          yield* Deferred.await(started)
          yield* until(
            airflow.taskInstances("slow_dag", runId),
            (tasks) => tasks.some(({ state }) => state === "running")
          )
          assert.strictEqual(yield* kindOf(airflow.deleteDag("slow_dag")), "conflict")
          yield* Effect.forEach(yield* airflow.runs("slow_dag"), (run) => airflow.deleteRun("slow_dag", run.runId))
          yield* airflow.deleteDag("slow_dag")
          assert.strictEqual((yield* Fiber.join(waiting))._tag, "RunVanished")
        })
    )
  })
}
