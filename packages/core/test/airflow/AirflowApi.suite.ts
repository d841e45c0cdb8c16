import type { Airflow } from "@airflow-resource/core"
import { AirflowReset } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Option, Redacted, type Scope } from "effect"

/**
 * What every Airflow must have for the suite: `hello_world_dag` with a task `hello` that prints "Hello World from Airflow",
 * `failing_dag` whose task `boom` fails before its task `after`, and `slow_dag` whose task `sleep` outlives the test.
 */
export const dagIds = ["failing_dag", "hello_world_dag", "slow_dag"]

const hello = "hello_world_dag"

/** Every Airflow keeps these promises. A test may find what another one left, unless it has emptied the Airflow itself. */
export const suite = (name: string, connect: Effect.Effect<Airflow.Airflow, unknown, Scope.Scope>) =>
  describe(name, () => {
    const test = (title: string, body: (airflow: Airflow.Airflow) => Effect.Effect<void, unknown>) =>
      it.scopedLive(title, () => Effect.flatMap(connect, body), 120_000)

    const kindOf = <A>(call: Effect.Effect<A, { readonly _tag: string; readonly kind?: string }>) =>
      Effect.map(Effect.flip(call), (error) => error.kind ?? error._tag)

    /** Polls until something is so; fails after a minute. */
    const until = <A, E>(look: Effect.Effect<A, E>, isSo: (value: A) => boolean) =>
      look.pipe(
        Effect.tap((value) => isSo(value) ? Effect.void : Effect.sleep("200 millis")),
        Effect.repeat({ until: isSo }),
        Effect.timeoutFail({ duration: "1 minute", onTimeout: () => "it never came true" })
      )

    test("is ready, healthy and of a version", (airflow) =>
      Effect.gen(function*() {
        yield* airflow.waitForAirflowToBeReady({ timeout: "1 minute" })
        assert.match(yield* airflow.version, /^2\.\d+\.\d+/)
        assert.strictEqual(airflow.apiUrl, `${airflow.baseUrl}/api/v1`)
        const health = yield* airflow.health
        assert.deepInclude(health, { metadatabase: "healthy", dagProcessor: Option.none() })
        assert.strictEqual(health.scheduler.status, "healthy")
        assert.isTrue(Option.isSome(health.scheduler.heartbeat))
        assert.deepStrictEqual(yield* airflow.importErrors, [])
      }))

    test("lists the DAGs, and knows which are paused", (airflow) =>
      Effect.gen(function*() {
        yield* airflow.pauseAll
        const dags = yield* airflow.dags
        assert.includeMembers(dags.map(({ dagId }) => dagId), dagIds)
        assert.isTrue(dags.every(({ isActive, isPaused }) => isActive && isPaused))
        yield* airflow.setPaused(hello, false)
        assert.isFalse((yield* airflow.dag(hello)).isPaused)
        yield* airflow.setPaused(hello, true)
        assert.isTrue((yield* airflow.dag(hello)).isPaused)
        assert.isTrue(yield* airflow.verifyAirflowDagExists(hello))
        assert.isFalse(yield* airflow.verifyAirflowDagExists("no_such_dag"))
      }))

    test("pauses every DAG in one go", (airflow) =>
      Effect.gen(function*() {
        yield* Effect.forEach(dagIds, (dagId) => airflow.setPaused(dagId, false))
        yield* airflow.pauseAll
        assert.isTrue((yield* airflow.dags).every(({ isPaused }) => isPaused))
      }))

    test("runs a DAG and reads its log, by the fixture's methods", (airflow) =>
      Effect.gen(function*() {
        const runId = yield* airflow.unpauseAndTriggerAirflowDag(hello, { conf: { answer: 42 } })
        const run = yield* airflow.verifyDagIdRan(hello, runId, { timeout: "1 minute" })
        assert.deepInclude(run, { dagId: hello, runId, state: "success" })
        const [startedAt, endedAt] = [Option.getOrThrow(run.startedAt), Option.getOrThrow(run.endedAt)]
        assert.isTrue(DateTime.greaterThanOrEqualTo(endedAt, startedAt))
        assert.deepStrictEqual(yield* airflow.run(hello, runId), run)
        assert.deepStrictEqual(yield* airflow.checkDagTaskInstances(hello, runId), [
          { taskId: "hello", mapIndex: -1, state: "success", tryNumber: 1 }
        ])
        assert.include(yield* airflow.getTaskInstanceLogs(hello, runId, "hello"), "Hello World from Airflow")
        yield* airflow.setPaused(hello, true)
      }))

    test("makes one run of a trigger that is repeated", (airflow) =>
      Effect.gen(function*() {
        const { runId } = yield* airflow.trigger(hello)
        const again = yield* airflow.trigger(hello, { runId })
        assert.strictEqual(again.runId, runId)
        const other = yield* airflow.trigger(hello)
        assert.notStrictEqual(other.runId, runId)
        const ids = (yield* airflow.runs(hello)).map((run) => run.runId)
        assert.strictEqual(ids.filter((id) => id === runId).length, 1)
        assert.includeMembers((yield* airflow.runs()).map((run) => run.runId), [runId, other.runId])
        yield* airflow.deleteRun(hello, runId)
        yield* airflow.deleteRun(hello, runId)
        assert.strictEqual(yield* kindOf(airflow.run(hello, runId)), "notFound")
      }))

    test("refuses to run what cannot be run", (airflow) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* kindOf(airflow.trigger("no_such_dag")), "notFound")
        assert.strictEqual(yield* kindOf(airflow.trigger(hello, { runId: "a b/c" })), "badRequest")
      }))

    test("says that a run is stuck because its DAG is paused", (airflow) =>
      Effect.gen(function*() {
        yield* airflow.setPaused(hello, true)
        const { runId } = yield* airflow.trigger(hello)
        const stuck = yield* Effect.flip(airflow.awaitRun(hello, runId, { timeout: "1 second" }))
        assert(stuck._tag === "RunStuck")
        assert.strictEqual(stuck.state, "queued")
        assert.include(stuck.message, "paused: unpause it")
        yield* airflow.setPaused(hello, false)
        assert.strictEqual((yield* airflow.awaitRun(hello, runId, { timeout: "1 minute" })).state, "success")
        yield* airflow.setPaused(hello, true)
      }))

    test("tells a failed run: a value to some, a failure that names the tasks to others", (airflow) =>
      Effect.gen(function*() {
        const runId = yield* airflow.unpauseAndTriggerAirflowDag("failing_dag")
        assert.strictEqual((yield* airflow.awaitRun("failing_dag", runId, { timeout: "1 minute" })).state, "failed")
        const failed = yield* Effect.flip(airflow.verifyDagIdRan("failing_dag", runId))
        assert(failed._tag === "RunFailed")
        assert.sameDeepMembers([...failed.tasks], [
          { taskId: "boom", state: "failed" },
          { taskId: "after", state: "upstream_failed" }
        ])
        assert.include(yield* airflow.taskLog("failing_dag", runId, "boom"), "boom goes the task")
        yield* airflow.setPaused("failing_dag", true)
      }))

    test("ends a running run by hand, and its task with it", (airflow) =>
      Effect.gen(function*() {
        const runId = yield* airflow.unpauseAndTriggerAirflowDag("slow_dag")
        yield* until(
          airflow.taskInstances("slow_dag", runId),
          (tasks) => tasks.some(({ state }) => state === "running")
        )
        assert.strictEqual((yield* airflow.run("slow_dag", runId)).state, "running")
        yield* airflow.setRunState("slow_dag", runId, "failed")
        const run = yield* airflow.run("slow_dag", runId)
        assert.strictEqual(run.state, "failed")
        assert.isTrue(Option.isSome(run.endedAt))
        assert.deepStrictEqual((yield* airflow.taskInstances("slow_dag", runId)).map(({ state }) => state), ["failed"])
        yield* airflow.setPaused("slow_dag", true)
        yield* airflow.deleteRun("slow_dag", runId)
      }))

    test("names what is not there", (airflow) =>
      Effect.gen(function*() {
        const missing = yield* Effect.flip(airflow.dag("no_such_dag"))
        assert.deepInclude(missing, { kind: "notFound", retryable: false })
        assert.include(missing.message, "no_such_dag")
        assert.strictEqual(yield* kindOf(airflow.setPaused("no_such_dag", true)), "notFound")
        assert.strictEqual(yield* kindOf(airflow.run(hello, "no_such_run")), "notFound")
        assert.strictEqual(yield* kindOf(airflow.awaitRun(hello, "no_such_run")), "notFound")
        assert.strictEqual(yield* kindOf(airflow.taskInstances(hello, "no_such_run")), "notFound")
        assert.strictEqual(yield* kindOf(airflow.setRunState(hello, "no_such_run", "failed")), "notFound")
        assert.strictEqual(yield* kindOf(airflow.taskLog(hello, "no_such_run", "hello")), "notFound")
        assert.deepStrictEqual(yield* airflow.runs("no_such_dag"), [])
      }))

    test("keeps variables under any name", (airflow) =>
      Effect.gen(function*() {
        const keys = ["plain", "with space", "a/b", "100%", "a+b?c=d&e#f", "über"]
        yield* Effect.forEach(keys, (key) => airflow.setVariable(key, "1"))
        yield* airflow.setVariable("plain", "2")
        assert.includeMembers([...(yield* airflow.variables)], keys)
        yield* Effect.forEach(keys, (key) => airflow.deleteVariable(key))
        yield* airflow.deleteVariable("plain")
        const left = yield* airflow.variables
        assert.deepStrictEqual(left.filter((key) => keys.includes(key)), [])
      }))

    test("keeps connections", (airflow) =>
      Effect.gen(function*() {
        const connection = { id: "suite_http", type: "http", host: "localhost", password: Redacted.make("s3cret") }
        yield* airflow.createConnection(connection)
        assert.include(yield* airflow.connections, "suite_http")
        assert.strictEqual(yield* kindOf(airflow.createConnection(connection)), "conflict")
        yield* airflow.deleteConnection("suite_http")
        yield* airflow.deleteConnection("suite_http")
        assert.notInclude(yield* airflow.connections, "suite_http")
      }))

    test("keeps pools, and never loses the default one", (airflow) =>
      Effect.gen(function*() {
        yield* airflow.createPool({ name: "suite pool", slots: 2 })
        assert.strictEqual(yield* kindOf(airflow.createPool({ name: "suite pool", slots: 2 })), "conflict")
        yield* airflow.setPoolSlots("suite pool", 5)
        assert.deepInclude(yield* airflow.pools, { name: "suite pool", slots: 5 })
        yield* airflow.deletePool("suite pool")
        yield* airflow.deletePool("suite pool")
        assert.strictEqual(yield* kindOf(airflow.deletePool("default_pool")), "badRequest")
        assert.deepStrictEqual((yield* airflow.pools).map(({ name }) => name), ["default_pool"])
      }))

    test("creates a user once, where it manages users", (airflow) =>
      Effect.gen(function*() {
        const user = { username: "suite_user", password: Redacted.make("not-a-secret") }
        const first = yield* airflow.createUser(user)
        assert.strictEqual(yield* airflow.createUser(user), first === "created" ? "exists" : first)
      }))

    test("is empty again after a reset", (airflow) =>
      Effect.gen(function*() {
        yield* airflow.unpauseAndTriggerAirflowDag("slow_dag")
        const ended = yield* airflow.unpauseAndTriggerAirflowDag(hello)
        yield* airflow.awaitRun(hello, ended, { timeout: "1 minute" })
        yield* airflow.trigger("failing_dag")
        yield* airflow.setVariable("left/behind", "1")
        yield* airflow.createConnection({ id: "left_behind", type: "http" })
        yield* airflow.createPool({ name: "left_behind", slots: 1 })
        yield* airflow.setPoolSlots("default_pool", 7)
        const dirt = yield* AirflowReset.verify(airflow)
        const expected: ReadonlyArray<AirflowReset.Leftover> = [
          { kind: "unpaused DAG", name: "slow_dag" },
          { kind: "unpaused DAG", name: hello },
          { kind: "run", name: `${hello}/${ended}` },
          { kind: "variable", name: "left/behind" },
          { kind: "connection", name: "left_behind" },
          { kind: "pool", name: "left_behind" },
          { kind: "slots of", name: "default_pool" }
        ]
        for (const leftover of expected) assert.deepInclude(dirt, leftover)
        assert.isAtLeast(dirt.filter(({ kind }) => kind === "run").length, 3)
        assert.sameDeepMembers([...(yield* AirflowReset.reset(airflow))], [...dirt])
        assert.deepStrictEqual(yield* AirflowReset.verify(airflow), [])
        assert.deepStrictEqual(yield* AirflowReset.reset(airflow), [])
        assert.deepStrictEqual(yield* airflow.pools, [{ name: "default_pool", slots: 128 }])
        assert.deepStrictEqual(yield* airflow.runs(), [])
      }))
  })
