import type { Airflow } from "@airflow-resource/airflow"
import { AirflowReset } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, DateTime, Deferred, type Duration, Effect, Fiber, Option, Redacted, type Scope, Stream } from "effect"
import { randomUUID } from "node:crypto"

/**
 * The DAGs that every Airflow must have for the suite, for those who take them as data. Real ones have them as files of the same
 * names, whose slow_dag ticks as often as `conf` says; here it ticks four times, and takes `slow` for that.
 */
export const dags = (slow: Duration.DurationInput) =>
  [
    {
      dagId: "hello_world_dag",
      tags: ["marker-v1"],
      tasks: [{
        taskId: "hello",
        log: "Hello World from Airflow",
        xcom: { return_value: "Hello World from Airflow" }
      }]
    },
    {
      dagId: "failing_dag",
      tasks: [
        {
          taskId: "boom",
          log: "about to fail",
          tries: 2,
          outcome: "failed",
          error: { type: "ValueError", value: "boom" }
        },
        { taskId: "after", log: "never reached", upstream: ["boom"] }
      ]
    },
    {
      dagId: "slow_dag",
      tasks: [{ taskId: "sleep", duration: slow, log: "tick 0\ntick 1\ntick 2\ntick 3\ndone sleeping" }]
    },
    {
      dagId: "mapped_dag",
      tasks: [
        {
          taskId: "double",
          log: "doubling",
          mapped: [1, 2, 3].map((x) => ({ log: `doubling ${x}`, xcom: { return_value: 2 * x } }))
        },
        { taskId: "total", log: "total 12", xcom: { return_value: 12 }, upstream: ["double"] }
      ]
    },
    {
      dagId: "xcom_dag",
      tasks: [
        {
          taskId: "push",
          log: "pushing",
          xcom: {
            plain: "text",
            list: [1, "two", null, true],
            return_value: { a: 1, b: [true, null], c: "it's" }
          }
        },
        { taskId: "pull", log: "pulled", xcom: { return_value: 2 }, upstream: ["push"] }
      ]
    },
    { dagId: "xcom_slash_dag", tasks: [{ taskId: "push", log: "pushing", xcom: { "with/slash": 1.5 } }] },
    {
      dagId: "odd.id-dag_1",
      params: { count: { type: "integer", default: 1 } },
      tasks: [{ taskId: "task.with-dots_1", log: "count is 2" }]
    },
    { dagId: "scheduled_dag", tasks: [{ taskId: "tick", log: "tick" }] },
    {
      dagId: "broken_dag",
      tasks: [],
      importError: "Traceback (most recent call last):\n" +
        "ModuleNotFoundError: No module named 'airflow_no_such_module'\n"
    }
  ] as const

/** What Airflows may differ in. */
export interface Traits {
  readonly version: string
  /** Airflow does not manage users itself unless this is `created`. */
  readonly users: "created" | "unsupported"
  /** There are files behind the DAGs, and deleting a DAG whose file stays can kill a real DAG processor [false]. */
  readonly hasFiles?: boolean
  /** Any path of the API may be asked for [true]. */
  readonly hasHttp?: boolean
}

const live = [
  "failing_dag",
  "hello_world_dag",
  "mapped_dag",
  "odd.id-dag_1",
  "scheduled_dag",
  "slow_dag",
  "xcom_dag",
  "xcom_slash_dag"
]
const hello = "hello_world_dag"
const minute = { timeout: "1 minute" } as const
/** For what must not be over before the test has had its way with it. */
const long = { conf: { seconds: 60 } }

/** Every Airflow keeps these promises. A test may find what another one left, unless it has emptied the Airflow itself. */
export const suite = <E>(name: string, connect: Effect.Effect<Airflow.Airflow, E, Scope.Scope>, traits: Traits) =>
  describe(name, () => {
    const major = traits.version.startsWith("2.") ? 2 : 3
    const { hasFiles = false, hasHttp = true } = traits
    /** Only a real task goes on writing after its end. */
    const settle = hasFiles ? {} : { settle: 0 }
    const reset = (airflow: Airflow.Airflow, options?: AirflowReset.ResetOptions) =>
      AirflowReset.reset(airflow, { ...settle, ...options })
    /** For what does not come true. */
    const soon = { timeout: hasFiles ? "3 seconds" : "1 second" } as const

    const test = (title: string, body: (airflow: Airflow.Airflow) => Effect.Effect<void, unknown, Scope.Scope>) =>
      it.scopedLive(title, () => Effect.flatMap(connect, body), 120_000)

    describe("itself", () => {
      test("is ready, and of a version that decides which API it is", (airflow) =>
        Effect.gen(function*() {
          yield* airflow.waitForAirflowToBeReady(minute)
          const [first, minor, patch] = traits.version.split(".").map(Number)
          assert.deepStrictEqual(airflow.version, { full: traits.version, major: first, minor, patch })
          assert.strictEqual(airflow.apiUrl, `${airflow.baseUrl}/api/v${major === 2 ? 1 : 2}`)
        }))

      test("is healthy, with a DAG processor of its own on Airflow 3", (airflow) =>
        Effect.gen(function*() {
          const health = yield* airflow.health
          assert.strictEqual(health.metadatabase, "healthy")
          assert.strictEqual(health.scheduler.status, "healthy")
          assert.isTrue(Option.isSome(health.scheduler.heartbeat))
          const parser = Option.map(health.dagProcessor, ({ status }) => status)
          assert.strictEqual(Option.getOrNull(parser), major === 2 ? null : "healthy")
        }))

      test("lets us in", (airflow) => airflow.authenticated)

      if (hasHttp) {
        test("answers any other call, with JSON or a kind of error", (airflow) =>
          Effect.gen(function*() {
            const key = unique()
            yield* airflow.request("POST", "/variables", { key, value: "1" })
            assert.deepInclude(yield* airflow.request("GET", `/variables/${key}`), { key, value: "1" })
            yield* airflow.request("DELETE", `/variables/${key}`)
            assert.strictEqual(yield* kindOf(airflow.request("GET", `/variables/${key}`)), "notFound")
            assert.strictEqual(yield* kindOf(airflow.request("POST", "/variables", { nonsense: 1 })), "badRequest")
          }))
      }
    })

    describe("DAGs", () => {
      test("lists them all, as they are in their files", (airflow) =>
        Effect.gen(function*() {
          const all = yield* airflow.dags
          assert.includeMembers(all.filter(({ isActive }) => isActive).map(({ dagId }) => dagId), live)
          const dag = yield* airflow.dag(hello)
          assert.deepStrictEqual(all.find(({ dagId }) => dagId === hello)?.fileLocation, dag.fileLocation)
          assert.deepInclude(dag, { dagId: hello, displayName: hello, isActive: true, hasImportErrors: false })
          assert.deepStrictEqual([...dag.tags], ["marker-v1"])
          assert.match(dag.fileLocation, /hello_world_dag\.py$/)
          assert.strictEqual(Option.isSome(dag.bundleName), major === 3)
          assert.isTrue(Option.isSome(dag.lastParsedAt))
          assert.isNotEmpty(dag.timetable)
        }))

      test("pauses and unpauses one", (airflow) =>
        Effect.gen(function*() {
          yield* airflow.setPaused(hello, false)
          assert.isFalse((yield* airflow.dag(hello)).isPaused)
          yield* airflow.setPaused(hello, true)
          assert.isTrue((yield* airflow.dag(hello)).isPaused)
        }))

      test("pauses all of them", (airflow) =>
        Effect.gen(function*() {
          yield* Effect.forEach(["failing_dag", hello, "slow_dag"], (dagId) => airflow.setPaused(dagId, false))
          yield* airflow.pauseAll
          const awake = (yield* airflow.dags).filter(({ isActive, isPaused }) => isActive && !isPaused)
          assert.deepStrictEqual(awake, [])
        }))

      test("knows which are there", (airflow) =>
        Effect.gen(function*() {
          assert.isTrue(yield* airflow.verifyAirflowDagExists(hello))
          assert.isTrue(yield* airflow.verifyAirflowDagExists("odd.id-dag_1"))
          assert.isFalse(yield* airflow.verifyAirflowDagExists("no_such_dag"))
          assert.isFalse(yield* airflow.verifyAirflowDagExists("broken_dag"))
        }))

      test("names one that is not there", (airflow) =>
        Effect.gen(function*() {
          const missing = yield* Effect.flip(airflow.dag("no_such_dag"))
          assert.deepInclude(missing, { kind: "notFound", retryable: false })
          assert.include(missing.message, "no_such_dag")
          assert.strictEqual(yield* kindOf(airflow.setPaused("no_such_dag", true)), "notFound")
          assert.strictEqual(yield* kindOf(airflow.requestReparse("no_such_dag")), "notFound")
          assert.strictEqual(yield* kindOf(airflow.dagSource("no_such_dag")), "notFound")
        }))

      test("says which files cannot be imported, and why", (airflow) =>
        Effect.gen(function*() {
          const broken = (yield* airflow.importErrors).find(({ filename }) => filename.endsWith("broken_dag.py"))
          assert.include(broken?.stackTrace, "ModuleNotFoundError")
          assert.strictEqual(Option.isSome(broken?.bundleName ?? Option.none()), major === 3)
        }))

      test("waits for a version by its tag", (airflow) =>
        Effect.gen(function*() {
          const dag = yield* airflow.awaitDag(hello, { ...minute, tag: "marker-v1" })
          assert.deepInclude(dag, { dagId: hello, isActive: true })
          assert.strictEqual((yield* airflow.awaitDag(hello, minute)).dagId, hello)
        }))

      test("says what it saw instead of a version that does not come", (airflow) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(airflow.awaitDag(hello, { ...soon, tag: "marker-v2" }))
          assert(error._tag === "DagNotLive")
          assert.include(error.seen, "marker-v1")
          const unknown = yield* Effect.flip(airflow.awaitDag("no_such_dag", soon))
          assert.strictEqual(unknown._tag, "DagNotLive")
        }))

      test("does not wait for a file that cannot be imported", (airflow) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(airflow.awaitDag("broken_dag", { timeout: "1 hour" }))
          assert(error._tag === "DagImportFailed")
          assert.match(error.filename, /broken_dag\.py$/)
          assert.include(error.stackTrace, "ModuleNotFoundError")
          const other = yield* Effect.flip(
            airflow.awaitDag("another_name", { file: "broken_dag.py", timeout: "1 hour" })
          )
          assert.strictEqual(other._tag, "DagImportFailed")
        }))

      test("does not take an error from before a delivery for one of it", (airflow) =>
        Effect.gen(function*() {
          // nothing can have failed to be imported in a year's time
          const since = DateTime.add(yield* DateTime.now, { days: 365 })
          const error = yield* Effect.flip(airflow.awaitDag("broken_dag", { ...soon, since }))
          assert.strictEqual(error._tag, "DagNotLive")
        }))

      test("has a file parsed again", (airflow) =>
        Effect.map(airflow.requestReparse(hello), (done) => assert.isTrue(done)))

      test("shows the source", (airflow) =>
        Effect.map(airflow.dagSource(hello), (source) => assert.include(source, hasFiles ? "GREETING" : hello)))

      if (!hasFiles) {
        test("deletes one with its runs, though not while a task runs", (airflow) =>
          Effect.gen(function*() {
            const { runId } = yield* running(airflow)
            assert.strictEqual(yield* kindOf(airflow.deleteDag("slow_dag")), "conflict")
            yield* airflow.setRunState("slow_dag", runId, "failed")
            yield* airflow.deleteDag("slow_dag")
            // its file stays
            yield* airflow.awaitDag("slow_dag", minute)
            assert.deepStrictEqual(yield* airflow.runs("slow_dag"), [])
            yield* airflow.deleteDag("no_such_dag")
          }))
      }
    })

    describe("runs", () => {
      test("runs a DAG to its end, and reads it", (airflow) =>
        Effect.gen(function*() {
          const { tasks, ...run } = yield* airflow.runDag(hello, minute)
          assert.deepInclude(run, { dagId: hello, state: "success", runType: "manual" })
          const [startedAt, endedAt] = [Option.getOrThrow(run.startedAt), Option.getOrThrow(run.endedAt)]
          assert.isTrue(DateTime.greaterThanOrEqualTo(endedAt, startedAt))
          assert.deepStrictEqual(yield* airflow.run(hello, run.runId), run)
          assert.strictEqual(tasks.length, 1)
          const [task] = tasks
          assert.deepInclude(task, { taskId: "hello", mapIndex: -1, state: "success", tryNumber: 1 })
          assert.deepInclude(task, { dagId: hello, runId: run.runId, maxTries: 0, pool: "default_pool" })
          assert.isTrue(task !== undefined && Option.isSome(task.startedAt) && Option.isSome(task.endedAt))
        }))

      test("does the same by the fixture's methods", (airflow) =>
        Effect.gen(function*() {
          const runId = yield* airflow.unpauseAndTriggerAirflowDag(hello, { conf: { answer: 42 } })
          const run = yield* airflow.verifyDagIdRan(hello, runId, minute)
          assert.deepInclude(run, { runId, state: "success" })
          assert.deepStrictEqual(yield* airflow.checkDagTaskInstances(hello, runId), run.tasks)
          assert.include(yield* airflow.getTaskInstanceLogs(hello, runId, "hello"), "Hello World from Airflow")
        }))

      test("unpauses a DAG before it triggers it", (airflow) =>
        Effect.gen(function*() {
          yield* airflow.setPaused(hello, true)
          const { runId } = yield* airflow.trigger(hello)
          assert.isFalse((yield* airflow.dag(hello)).isPaused)
          yield* airflow.awaitRun(hello, runId, minute)
        }))

      test("leaves a DAG paused where it should, and says that this is why a run is stuck", (airflow) =>
        Effect.gen(function*() {
          yield* airflow.setPaused(hello, true)
          const { runId } = yield* airflow.trigger(hello, { unpause: false })
          const stuck = yield* Effect.flip(airflow.awaitRun(hello, runId, soon))
          assert(stuck._tag === "RunStuck")
          assert.strictEqual(stuck.state, "queued")
          assert.match(stuck.diagnosis.join("\n"), /paused/)
          yield* airflow.setPaused(hello, false)
          assert.strictEqual((yield* airflow.awaitRun(hello, runId, minute)).state, "success")
        }))

      test("makes one run of a trigger that is repeated", (airflow) =>
        Effect.gen(function*() {
          const runId = unique()
          assert.strictEqual((yield* waiting(airflow, { runId })).runId, runId)
          assert.strictEqual((yield* waiting(airflow, { runId })).runId, runId)
          const other = yield* waiting(airflow)
          assert.notStrictEqual(other.runId, runId)
          const ids = (yield* airflow.runs(hello)).map((run) => run.runId)
          assert.strictEqual(ids.filter((id) => id === runId).length, 1)
          assert.includeMembers((yield* airflow.runs()).map((run) => run.runId), [runId, other.runId])
        }))

      test("gives a run its conf and its note", (airflow) =>
        Effect.gen(function*() {
          const conf = { text: "it's ü", list: [1, { deep: null }] }
          const { runId } = yield* waiting(airflow, { conf, note: "from the suite" })
          const run = yield* airflow.run(hello, runId)
          assert.deepStrictEqual(run.conf, conf)
          assert.strictEqual(Option.getOrNull(run.note), "from the suite")
        }))

      test("gives a run a logical date, and none where Airflow does not need one", (airflow) =>
        Effect.gen(function*() {
          // no other run can have it
          const logicalDate = DateTime.subtract(yield* DateTime.now, { hours: 1 })
          const dated = yield* waiting(airflow, { logicalDate })
          assert.strictEqual(
            Option.getOrNull(Option.map(dated.logicalDate, DateTime.toEpochMillis)),
            logicalDate.epochMillis
          )
          assert.strictEqual(yield* kindOf(waiting(airflow, { logicalDate })), "conflict")
          assert.isTrue(Option.isSome((yield* waiting(airflow, { logicalDate: "now" })).logicalDate))
          assert.strictEqual(Option.isSome((yield* waiting(airflow)).logicalDate), major === 2)
        }))

      test("takes every id of a run that Airflow does", (airflow) =>
        Effect.gen(function*() {
          const runId = `a.b_c~d:e+f-${unique()}`
          yield* airflow.runDag(hello, { ...minute, runId })
          assert.strictEqual((yield* airflow.run(hello, runId)).runId, runId)
          assert.include(yield* airflow.getTaskInstanceLogs(hello, runId, "hello"), "Hello World from Airflow")
        }))

      test("refuses the ids that Airflow answers with a page about a bug", (airflow) =>
        Effect.gen(function*() {
          const before = (yield* airflow.runs(hello)).length
          for (const runId of ["a b", "a/b", "ü", "100%", ".", "..", "x".repeat(251), ""]) {
            assert.strictEqual(yield* kindOf(airflow.trigger(hello, { runId })), "badRequest", runId)
          }
          assert.strictEqual((yield* airflow.runs(hello)).length, before)
        }))

      test("runs a DAG with an odd name by its params, and refuses others", (airflow) =>
        Effect.gen(function*() {
          const run = yield* airflow.runDag("odd.id-dag_1", { ...minute, conf: { count: 2 } })
          const text = yield* airflow.getTaskInstanceLogs("odd.id-dag_1", run.runId, "task.with-dots_1")
          assert.include(text, "count is 2")
          const refused = airflow.trigger("odd.id-dag_1", { conf: { count: "no" } })
          assert.strictEqual(yield* kindOf(refused), "badRequest")
        }))

      test("does not trigger what is not there, and says what is wrong with its file", (airflow) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* kindOf(airflow.trigger("no_such_dag")), "notFound")
          assert.strictEqual(yield* kindOf(airflow.trigger("no_such_dag", { unpause: false })), "notFound")
          assert.strictEqual(yield* kindOf(airflow.runDag("broken_dag")), "DagImportFailed")
        }))

      for (const via of ["poll", "stream"] as const) {
        test(`tells each state of a run once (${via})`, (airflow) =>
          Effect.gen(function*() {
            const states: Array<Airflow.RunState> = []
            const { runId } = yield* airflow.trigger(hello)
            const run = yield* airflow.awaitRun(hello, runId, {
              ...minute,
              via,
              onState: (state) => Effect.sync(() => void states.push(state))
            })
            assert.strictEqual(run.state, "success")
            const order: ReadonlyArray<Airflow.RunState> = ["queued", "running", "success"]
            assert.deepStrictEqual(states, order.filter((state) => states.includes(state)))
            assert.strictEqual(states.at(-1), "success")
          }))

        test(`notices that a run is deleted while it waits for it (${via})`, (airflow) =>
          Effect.gen(function*() {
            const { runId } = yield* waiting(airflow)
            const seen = yield* Deferred.make<void>()
            const watching = yield* Effect.fork(
              airflow.awaitRun(hello, runId, { ...minute, via, onState: () => Deferred.succeed(seen, undefined) })
            )
            yield* Deferred.await(seen)
            yield* airflow.deleteRun(hello, runId)
            assert.strictEqual((yield* Effect.flip(Fiber.join(watching)))._tag, "RunVanished")
          }))
      }

      test("tells a failed run with the ends of its logs, or as a value", (airflow) =>
        Effect.gen(function*() {
          const failed = yield* Effect.flip(airflow.runDag("failing_dag", minute))
          assert(failed._tag === "RunFailed")
          assert.deepStrictEqual(
            failed.tasks.map(({ mapIndex, state, taskId, tryNumber }) => [taskId, mapIndex, state, tryNumber]),
            [["boom", -1, "failed", 2], ["after", -1, "upstream_failed", 0]]
          )
          assert.include(failed.message, "ValueError: boom")
          const { runId } = failed
          assert.strictEqual((yield* airflow.awaitRun("failing_dag", runId)).state, "failed")
          assert.strictEqual(yield* kindOf(airflow.verifyDagIdRan("failing_dag", runId)), "RunFailed")
        }))

      test("ends a running run by hand, and its task with it", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* running(airflow)
          assert.strictEqual((yield* airflow.run("slow_dag", runId)).state, "running")
          yield* airflow.setRunState("slow_dag", runId, "failed")
          const run = yield* airflow.run("slow_dag", runId)
          assert.strictEqual(run.state, "failed")
          assert.isTrue(Option.isSome(run.endedAt))
          const states = (yield* airflow.taskInstances("slow_dag", runId)).map(({ state }) => state)
          assert.deepStrictEqual(states, ["failed"])
        }))

      test("runs the tasks of an ended run again", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.runDag(hello, minute)
          yield* airflow.clearRun(hello, runId)
          yield* until(airflow.taskInstances(hello, runId), (tasks) =>
            tasks.every(({ state, tryNumber }) => state === "success" && tryNumber === 2))
          assert.strictEqual((yield* airflow.awaitRun(hello, runId, minute)).state, "success")
        }))

      test("deletes a run that was ended by hand, and once more", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* running(airflow)
          // Airflow 3 deletes none that runs
          yield* airflow.setRunState("slow_dag", runId, "failed")
          yield* airflow.deleteRun("slow_dag", runId)
          yield* airflow.deleteRun("slow_dag", runId)
          assert.strictEqual(yield* kindOf(airflow.run("slow_dag", runId)), "notFound")
          assert.notInclude((yield* airflow.runs("slow_dag")).map((run) => run.runId), runId)
        }))

      test("names one that is not there", (airflow) =>
        Effect.gen(function*() {
          for (
            const call of [
              airflow.run(hello, "no_such_run"),
              airflow.awaitRun(hello, "no_such_run"),
              airflow.setRunState(hello, "no_such_run", "failed"),
              airflow.clearRun(hello, "no_such_run"),
              airflow.taskInstances(hello, "no_such_run"),
              airflow.assertTasks(hello, "no_such_run", {}),
              airflow.taskLog(hello, "no_such_run", "hello"),
              Stream.runDrain(airflow.tailTaskLog(hello, "no_such_run", "hello")),
              airflow.xcom(hello, "no_such_run", "hello")
            ]
          ) assert.strictEqual(yield* kindOf<unknown, never>(call), "notFound")
        }))
    })

    describe("tasks", () => {
      test("lists each instance of a mapped task, with its own log and result", (airflow) =>
        Effect.gen(function*() {
          const { runId, tasks } = yield* airflow.runDag("mapped_dag", minute)
          const names = tasks.map(({ mapIndex, taskId }) => `${taskId} ${mapIndex}`)
          assert.sameMembers(names, ["double 0", "double 1", "double 2", "total -1"])
          assert.isTrue(tasks.every(({ state }) => state === "success"))

          const log = yield* airflow.taskLog("mapped_dag", runId, "double", { mapIndex: 1 })
          assert.deepInclude(log, { taskId: "double", mapIndex: 1 })
          assert.include(log.text, "doubling 2")
          assert.notInclude(log.text, "doubling 3")
          for (const mapIndex of [9, undefined]) {
            const unclear = airflow.taskLog("mapped_dag", runId, "double", { mapIndex })
            assert.strictEqual(yield* kindOf(unclear), "badRequest")
          }

          assert.strictEqual(yield* airflow.xcom("mapped_dag", runId, "double", { mapIndex: 1 }), 4)
          assert.strictEqual(yield* airflow.xcom("mapped_dag", runId, "total"), 12)
          assert.strictEqual(yield* kindOf(airflow.xcom("mapped_dag", runId, "double")), "notFound")
          assert.deepStrictEqual([...(yield* airflow.xcomKeys("mapped_dag", runId, "double"))], ["return_value"])
        }))

      test("compares them with the states that they should have", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.runDag("mapped_dag", minute)
          yield* airflow.assertTasks("mapped_dag", runId, { double: "success", total: ["skipped", "success"] })
          const error = yield* Effect.flip(
            airflow.assertTasks("mapped_dag", runId, { double: "failed", total: "success", nobody: ["success"] })
          )
          assert(error._tag === "TaskStateMismatch")
          assert.sameDeepMembers([...error.mismatches], [
            { taskId: "double", expected: ["failed"], actual: ["success", "success", "success"] },
            { taskId: "nobody", expected: ["success"], actual: [] }
          ])
        }))

      test("shows the log of a task line by line", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.runDag(hello, minute)
          const log = yield* airflow.taskLog(hello, runId, "hello")
          assert.deepInclude(log, { taskId: "hello", mapIndex: -1, tryNumber: 1, complete: true })
          assert.isNotEmpty(log.sources)
          const line = log.lines.find(({ message }) => message.includes("Hello World from Airflow"))
          assert.isDefined(line)
          assert.deepInclude(line, { tryNumber: 1, errors: [] })
          assert.strictEqual(Option.getOrNull(line.level), "INFO")
          assert.isTrue(Option.isSome(line.timestamp))
          assert.include(log.text, "Hello World from Airflow")
        }))

      test("shows the log of any try, and the exception in it", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.trigger("failing_dag")
          yield* airflow.awaitRun("failing_dag", runId, minute)
          const logOf = (tryNumber?: Airflow.TaskLogOptions["tryNumber"]) =>
            airflow.taskLog("failing_dag", runId, "boom", { tryNumber })
          const triesOf = (lines: ReadonlyArray<{ readonly tryNumber: number }>) =>
            Array.from(new Set(lines.map(({ tryNumber }) => tryNumber)))
          for (
            const [asked, last, tries] of [[1, 1, [1]], [2, 2, [2]], ["last", 2, [2]], ["all", 2, [1, 2]]] as const
          ) {
            const log = yield* logOf(asked)
            assert.strictEqual(log.tryNumber, last)
            assert.deepStrictEqual(triesOf(log.lines), [...tries])
            assert.deepStrictEqual(triesOf(log.lines.filter(({ errors }) => errors.length > 0)), [...tries])
            assert.include(log.text, "about to fail")
            assert.include(log.text, "ValueError: boom")
            const errors = log.lines.flatMap(({ errors }) => errors)
            for (const error of errors) assert.deepInclude(error, { type: "ValueError", value: "boom" })
            // Airflow 2 logs it once more when the task's process ends
            if (major === 3) assert.strictEqual(errors.length, tries.length)
            if (hasFiles) assert.isTrue(errors.every(({ frames }) => frames.some(({ name }) => name === "boom")))
          }
          assert.deepStrictEqual((yield* logOf()).lines, (yield* logOf("last")).lines)
          assert.strictEqual(yield* kindOf(logOf(3)), "LogUnavailable")
        }))

      test("has no log of a task that never ran, or is not there", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.trigger("failing_dag")
          yield* airflow.awaitRun("failing_dag", runId, minute)
          const logOf = (taskId: string) => airflow.taskLog("failing_dag", runId, taskId, { awaitContent: "1 second" })
          assert.strictEqual(yield* kindOf(logOf("after")), "LogUnavailable")
          assert.strictEqual(yield* kindOf(logOf("no_such_task")), "notFound")
        }))

      test("shows what is there of the log of a task that runs", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* running(airflow)
          const log = yield* until(
            airflow.taskLog("slow_dag", runId, "sleep"),
            ({ text }) => text.includes("tick 0")
          )
          assert.isFalse(log.complete)
          assert.notInclude(log.text, "done sleeping")
          yield* airflow.setRunState("slow_dag", runId, "failed")
        }))

      test("follows the log of a task, each line once, until it has ended", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.trigger("slow_dag", { conf: { seconds: 4 } })
          const messages = yield* messagesOf(airflow.tailTaskLog("slow_dag", runId, "sleep", minute))
          const prints = messages.filter((message) => /tick \d|done sleeping/.test(message))
          assert.strictEqual(prints.length, 5, prints.join("\n"))
          for (const [index, print] of ["tick 0", "tick 1", "tick 2", "tick 3", "done sleeping"].entries()) {
            assert.include(prints[index], print)
          }
        }))

      test("follows the log of a task from one try to the next", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.trigger("failing_dag")
          const lines = yield* Stream.runCollect(airflow.tailTaskLog("failing_dag", runId, "boom", minute))
          const errors = Chunk.toReadonlyArray(lines).flatMap(({ errors, tryNumber }) =>
            errors.map(({ type, value }) => `${tryNumber}: ${type} ${value}`)
          )
          assert.deepStrictEqual(Array.from(new Set(errors)), ["1: ValueError boom", "2: ValueError boom"])
        }))

      test("reads what a task pushed, as JSON", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.runDag("xcom_dag", minute)
          const xcom = (key?: string) => airflow.xcom("xcom_dag", runId, "push", { key })
          assert.deepStrictEqual(yield* xcom(), { a: 1, b: [true, null], c: "it's" })
          assert.strictEqual(yield* xcom("plain"), "text")
          assert.deepStrictEqual(yield* xcom("list"), [1, "two", null, true])
          assert.strictEqual(yield* airflow.xcom("xcom_dag", runId, "pull"), 2)
          assert.strictEqual(yield* kindOf(xcom("no_such_key")), "notFound")
          const keys = yield* airflow.xcomKeys("xcom_dag", runId, "push")
          assert.sameMembers([...keys], ["list", "plain", "return_value"])
        }))

      // on 3.0 the task itself cannot push it
      if (!traits.version.startsWith("3.0")) {
        test("reads what was pushed under a key with a slash", (airflow) =>
          Effect.gen(function*() {
            const { runId } = yield* airflow.runDag("xcom_slash_dag", minute)
            assert.strictEqual(yield* airflow.xcom("xcom_slash_dag", runId, "push", { key: "with/slash" }), 1.5)
          }))
      }
    })

    describe("what an Airflow keeps", () => {
      test("keeps variables under any name", (airflow) =>
        Effect.gen(function*() {
          const id = unique()
          const keys = ["plain", "with space", "a/b", "100%", "a+b?c=d&e#f", "über"].map((key) => `${key} ${id}`)
          yield* Effect.forEach(keys, (key) => airflow.variables.put({ key, value: `value of ${key}` }))
          for (const key of keys) assert.strictEqual((yield* airflow.variables.get(key)).value, `value of ${key}`)
          assert.includeMembers((yield* airflow.variables.list).map(({ key }) => key), keys)
          const [first = "", ...others] = keys
          yield* airflow.variables.delete(first)
          yield* airflow.variables.delete(first)
          assert.strictEqual(yield* kindOf(airflow.variables.get(first)), "notFound")
          yield* airflow.variables.deleteAll(keys)
          yield* airflow.variables.deleteAll([])
          const left = (yield* airflow.variables.list).map(({ key }) => key)
          assert.deepStrictEqual(left.filter((key) => others.includes(key)), [])
        }))

      test("makes a variable like the one that is put", (airflow) =>
        Effect.gen(function*() {
          const key = unique()
          yield* airflow.variables.put({ key, value: "1", description: "the first" })
          assert.deepInclude(yield* airflow.variables.get(key), { key, value: "1", description: "the first" })
          yield* airflow.variables.put({ key, value: "it's 2", description: "the second" })
          assert.deepInclude(yield* airflow.variables.get(key), { key, value: "it's 2", description: "the second" })
          yield* airflow.variables.put({ key, value: "" })
          const last = yield* airflow.variables.get(key)
          assert.deepStrictEqual([last.value, last.description], ["", undefined])
          assert.strictEqual((yield* airflow.variables.list).filter((variable) => variable.key === key).length, 1)
          yield* airflow.variables.delete(key)
        }))

      test("keeps JSON in a variable, though not how it is written", (airflow) =>
        Effect.gen(function*() {
          const [key, value] = [unique(), { a: [1, "it's", null], "ü": {} }]
          yield* airflow.variables.put({ key, value: JSON.stringify(value) })
          assert.deepStrictEqual(JSON.parse((yield* airflow.variables.get(key)).value), value)
          yield* airflow.variables.delete(key)
        }))

      test("does not show the values of variables that sound secret on Airflow 3", (airflow) =>
        Effect.gen(function*() {
          const key = `password_${unique()}`
          yield* airflow.variables.put({ key, value: "not-a-secret" })
          assert.strictEqual((yield* airflow.variables.get(key)).value, major === 2 ? "not-a-secret" : "***")
          yield* airflow.variables.delete(key)
        }))

      test("makes a connection like the one that is put", (airflow) =>
        Effect.gen(function*() {
          const id = `suite.odd-id_${unique()}`
          const full = { id, type: "postgres", host: "h", login: "u", port: 5432, schema: "s", description: "one" }
          const password = Redacted.make("not-a-secret")
          yield* airflow.connections.put({
            ...full,
            password,
            extra: { api_key: "not-a-secret", deep: { x: [1, null] } }
          })
          const first = yield* airflow.connections.get(id)
          assert.deepInclude(first, full)
          assert.deepStrictEqual(first.extra, { api_key: "***", deep: { x: [1, null] } })
          assert.notInclude(JSON.stringify(first), "not-a-secret")
          assert.include((yield* airflow.connections.list).map((connection) => connection.id), id)

          yield* airflow.connections.put({ id, type: "http", host: "other" })
          const { description, extra, host, login, port, schema, type } = yield* airflow.connections.get(id)
          assert.deepStrictEqual([type, host], ["http", "other"])
          assert.deepStrictEqual([description, extra, login, port, schema], Array.from({ length: 5 }, () => undefined))

          yield* airflow.connections.delete(id)
          yield* airflow.connections.delete(id)
          assert.strictEqual(yield* kindOf(airflow.connections.get(id)), "notFound")
        }))

      test("removes several connections, those that are there", (airflow) =>
        Effect.gen(function*() {
          const ids = [unique(), unique()]
          yield* Effect.forEach(ids, (id) => airflow.connections.put({ id, type: "http" }))
          yield* airflow.connections.deleteAll([...ids, "no_such_connection"])
          const left = (yield* airflow.connections.list).map(({ id }) => id)
          assert.deepStrictEqual(left.filter((id) => ids.includes(id)), [])
        }))

      test("refuses ids of connections that not every Airflow takes", (airflow) =>
        Effect.gen(function*() {
          for (const id of ["a b", "a/b", ""]) {
            assert.strictEqual(yield* kindOf(airflow.connections.put({ id, type: "http" })), "badRequest", id)
          }
        }))

      test("makes a pool like the one that is put", (airflow) =>
        Effect.gen(function*() {
          const name = `suite pool ${unique()}`
          yield* airflow.pools.put({ name, slots: 2, description: "one", includeDeferred: true })
          const first = yield* airflow.pools.get(name)
          assert.deepInclude(first, { name, slots: 2, description: "one", includeDeferred: true })
          assert.deepInclude(first, { occupiedSlots: 0, openSlots: 2 })
          yield* airflow.pools.put({ name, slots: 5 })
          const { description, includeDeferred, slots } = yield* airflow.pools.get(name)
          assert.deepStrictEqual([slots, description ?? "", includeDeferred], [5, "", false])
          assert.include((yield* airflow.pools.list).map((pool) => pool.name), name)
          yield* airflow.pools.delete(name)
          yield* airflow.pools.delete(name)
          assert.strictEqual(yield* kindOf(airflow.pools.get(name)), "notFound")
        }))

      test("shows how full a pool is", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* running(airflow)
          const { occupiedSlots, openSlots, slots } = yield* airflow.pools.get("default_pool")
          assert.isAtLeast(occupiedSlots, 1)
          assert.strictEqual(openSlots, slots - occupiedSlots)
          yield* airflow.setRunState("slow_dag", runId, "failed")
        }))

      test("never removes the default pool, and sets its slots", (airflow) =>
        Effect.gen(function*() {
          const name = unique()
          yield* airflow.pools.put({ name, slots: 1 })
          yield* airflow.pools.put({ name: "default_pool", slots: 7 })
          assert.strictEqual((yield* airflow.pools.get("default_pool")).slots, 7)
          assert.strictEqual(yield* kindOf(airflow.pools.delete("default_pool")), "badRequest")
          yield* airflow.pools.deleteAll(["default_pool", name])
          const left = (yield* airflow.pools.list).map((pool) => pool.name)
          assert.include(left, "default_pool")
          assert.notInclude(left, name)
          yield* airflow.pools.put({ name: "default_pool", slots: 128 })
        }))

      test("keeps a pool with a slash in its name where Airflow can reach it again", (airflow) =>
        Effect.gen(function*() {
          const name = `a/b ${unique()}`
          if (major === 2) {
            assert.include(["badRequest", "unsupported"], yield* kindOf(airflow.pools.put({ name, slots: 1 })))
          } else {
            yield* airflow.pools.put({ name, slots: 1 })
            yield* airflow.pools.put({ name, slots: 3 })
            assert.strictEqual((yield* airflow.pools.get(name)).slots, 3)
            yield* airflow.pools.delete(name)
          }
          assert.notInclude((yield* airflow.pools.list).map((pool) => pool.name), name)
        }))

      test("creates a user once, where it manages users", (airflow) =>
        Effect.gen(function*() {
          const username = `suite_${unique()}`
          const user = { username, password: Redacted.make("not-a-secret"), roles: ["Viewer"] }
          assert.strictEqual(yield* airflow.users.create(user), traits.users)
          if (traits.users === "unsupported") {
            assert.strictEqual(yield* kindOf(airflow.users.get(username)), "unsupported")
            assert.strictEqual(yield* kindOf(airflow.users.delete(username)), "unsupported")
            return
          }
          assert.strictEqual(yield* airflow.users.create(user), "exists")
          assert.deepInclude(yield* airflow.users.get(username), { username, roles: ["Viewer"] })
          yield* airflow.users.delete(username)
          yield* airflow.users.delete(username)
          assert.strictEqual(yield* kindOf(airflow.users.get(username)), "notFound")
        }))
    })

    describe("reset", () => {
      test("leaves an empty Airflow, and says what it removed", (airflow) =>
        Effect.gen(function*() {
          const { runId: slow } = yield* running(airflow)
          const { runId: ended } = yield* airflow.runDag(hello, minute)
          yield* airflow.setPaused("mapped_dag", true)
          const { runId: queued } = yield* airflow.trigger("mapped_dag", { unpause: false })
          yield* airflow.variables.put({ key: "left/behind", value: "1" })
          yield* airflow.connections.put({ id: "left_behind", type: "http" })
          yield* airflow.pools.put({ name: "left behind", slots: 1 })
          yield* airflow.pools.put({ name: "default_pool", slots: 7 })
          const dirt = yield* AirflowReset.verify(airflow)
          const { kept, removed } = yield* reset(airflow)
          for (
            const leftover of [
              { kind: "unpaused DAG", name: "slow_dag" },
              { kind: "unpaused DAG", name: hello },
              { kind: "run", name: `slow_dag/${slow}` },
              { kind: "run", name: `${hello}/${ended}` },
              { kind: "run", name: `mapped_dag/${queued}` },
              { kind: "variable", name: "left/behind" },
              { kind: "connection", name: "left_behind" },
              { kind: "pool", name: "left behind" },
              { kind: "slots of", name: "default_pool" }
            ] as const
          ) {
            assert.deepInclude(dirt, leftover)
            assert.deepInclude(removed, leftover)
          }
          assert.deepStrictEqual([...kept], [])
          assert.deepStrictEqual([...(yield* AirflowReset.verify(airflow))], [])
          assert.deepStrictEqual(yield* airflow.runs(), [])
          assert.deepStrictEqual((yield* airflow.pools.list).map(({ name, slots }) => [name, slots]), [[
            "default_pool",
            128
          ]])
        }))

      test("finds nothing to remove a second time", (airflow) =>
        Effect.gen(function*() {
          yield* reset(airflow)
          const { kept, removed } = yield* reset(airflow)
          assert.deepStrictEqual([[...removed], [...kept]], [[], []])
        }))

      test("leaves what it is told to keep, by name or by how names begin", (airflow) =>
        Effect.gen(function*() {
          const keep = { variables: ["base_*", "exact"], connections: ["warehouse"], pools: ["base *"] }
          yield* reset(airflow)
          yield* Effect.forEach(["base_1", "exact", "exactly"], (key) => airflow.variables.put({ key, value: "1" }))
          yield* Effect.forEach(["warehouse", "other"], (id) => airflow.connections.put({ id, type: "http" }))
          yield* Effect.forEach(["base pool", "other"], (name) => airflow.pools.put({ name, slots: 1 }))
          const removed = [
            { kind: "variable", name: "exactly" },
            { kind: "connection", name: "other" },
            { kind: "pool", name: "other" }
          ] as const
          const kept = [
            { kind: "variable", name: "base_1" },
            { kind: "variable", name: "exact" },
            { kind: "connection", name: "warehouse" },
            { kind: "pool", name: "base pool" }
          ] as const
          assert.sameDeepMembers([...(yield* AirflowReset.verify(airflow, { keep }))], [...removed])
          const report = yield* reset(airflow, { keep })
          assert.sameDeepMembers([...report.removed], [...removed])
          assert.sameDeepMembers([...report.kept], [...kept])
          assert.deepStrictEqual([...(yield* AirflowReset.verify(airflow, { keep }))], [])
          assert.sameDeepMembers([...(yield* reset(airflow)).removed], [...kept])
        }))

      test("gives the default pool the slots that it should have", (airflow) =>
        Effect.gen(function*() {
          yield* reset(airflow, { defaultPoolSlots: 64 })
          assert.strictEqual((yield* airflow.pools.get("default_pool")).slots, 64)
          assert.deepStrictEqual([...(yield* AirflowReset.verify(airflow, { defaultPoolSlots: 64 }))], [])
          yield* reset(airflow)
          assert.strictEqual((yield* airflow.pools.get("default_pool")).slots, 128)
        }))
    })
  })

const unique = () => randomUUID().slice(0, 13)

/** Which error it was. */
export const kindOf = <A, R>(call: Effect.Effect<A, { readonly _tag: string; readonly kind?: string }, R>) =>
  Effect.map(Effect.flip(call), (error) => error.kind ?? error._tag)

/** Looks until something is so; fails after a minute. */
export const until = <A, E>(look: Effect.Effect<A, E>, isSo: (value: A) => boolean) =>
  look.pipe(
    Effect.tap((value) => isSo(value) ? Effect.void : Effect.sleep("200 millis")),
    Effect.repeat({ until: isSo }),
    Effect.timeoutFail({ duration: "1 minute", onTimeout: () => "it never came true" })
  )

/** A run of a paused DAG, so that nothing runs; gone when the test is over. */
const waiting = (airflow: Airflow.Airflow, options?: Airflow.TriggerOptions) =>
  Effect.acquireRelease(
    Effect.zipRight(airflow.setPaused(hello, true), airflow.trigger(hello, { ...options, unpause: false })),
    ({ runId }) => Effect.ignore(airflow.deleteRun(hello, runId))
  )

/** A run whose task is at it. */
const running = (airflow: Airflow.Airflow) =>
  Effect.tap(
    airflow.trigger("slow_dag", long),
    ({ runId }) =>
      until(airflow.taskInstances("slow_dag", runId), (tasks) => tasks.some(({ state }) => state === "running"))
  )

const messagesOf = <E>(lines: Stream.Stream<{ readonly message: string }, E>) =>
  Effect.map(Stream.runCollect(lines), (all) => Chunk.toReadonlyArray(all).map(({ message }) => message))
