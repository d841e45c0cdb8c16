import type { Airflow } from "@airflow-resource/airflow"
import { AirflowReset } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, DateTime, Deferred, type Duration, Effect, Fiber, Option, Redacted, type Scope, Stream } from "effect"
import { randomUUID } from "node:crypto"

/**
 * The DAGs that the suite needs, as data. Real Airflows have them as files of the same names, whose slow_dag ticks as
 * often as `conf` says. Here it ticks four times in the time of `slow`.
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

/** How Airflows differ. */
export interface Traits {
  readonly version: string
  /** `unsupported` if the Airflow does not manage its users itself. */
  readonly users: "created" | "unsupported"
  /** Whether the DAGs are defined in files. Deleting such a DAG can kill a real DAG processor [false]. */
  readonly hasFiles?: boolean
  /** Whether any request can be sent to its API [true]. */
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
/** For a run that must not end by itself during the test. */
const long = { conf: { seconds: 60 } }

/** The contract of every Airflow. Tests may find what other tests left behind, unless they reset the Airflow first. */
export const suite = <E>(name: string, connect: Effect.Effect<Airflow.Airflow, E, Scope.Scope>, traits: Traits) =>
  describe(name, () => {
    const major = traits.version.startsWith("2.") ? 2 : 3
    const { hasFiles = false, hasHttp = true } = traits
    /** Only a real task goes on for a while after its run was ended. */
    const settle = hasFiles ? {} : { settle: 0 }
    const reset = (airflow: Airflow.Airflow, options?: AirflowReset.ResetOptions) =>
      AirflowReset.reset(airflow, { ...settle, ...options })
    /** For waits that must fail. */
    const soon = { timeout: hasFiles ? "3 seconds" : "1 second" } as const

    const test = (title: string, body: (airflow: Airflow.Airflow) => Effect.Effect<void, unknown, Scope.Scope>) =>
      it.scopedLive(title, () => Effect.flatMap(connect, body))

    describe("an Airflow", () => {
      test("is ready, and its version decides which API is used", (airflow) =>
        Effect.gen(function*() {
          yield* airflow.waitForAirflowToBeReady(minute)
          const [first, minor, patch] = traits.version.split(".").map(Number)
          assert.deepStrictEqual(airflow.version, { full: traits.version, major: first, minor, patch })
          assert.strictEqual(airflow.apiUrl, `${airflow.baseUrl}/api/v${major === 2 ? 1 : 2}`)
        }))

      test("is healthy, and reports a DAG processor on Airflow 3", (airflow) =>
        Effect.gen(function*() {
          const health = yield* airflow.health
          assert.strictEqual(health.metadatabase, "healthy")
          assert.strictEqual(health.scheduler.status, "healthy")
          assert.isTrue(Option.isSome(health.scheduler.heartbeat))
          const parser = Option.map(health.dagProcessor, ({ status }) => status)
          assert.strictEqual(Option.getOrNull(parser), major === 2 ? null : "healthy")
        }))

      test("accepts the credentials", (airflow) => airflow.authenticated)

      if (hasHttp) {
        test("sends any other request and returns JSON or an error", (airflow) =>
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
      test("lists all DAGs as their files define them", (airflow) =>
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

      test("pauses and unpauses a DAG", (airflow) =>
        Effect.gen(function*() {
          yield* airflow.setPaused(hello, false)
          assert.isFalse((yield* airflow.dag(hello)).isPaused)
          yield* airflow.setPaused(hello, true)
          assert.isTrue((yield* airflow.dag(hello)).isPaused)
        }))

      test("pauses all DAGs", (airflow) =>
        Effect.gen(function*() {
          yield* Effect.forEach(["failing_dag", hello, "slow_dag"], (dagId) => airflow.setPaused(dagId, false))
          yield* airflow.pauseAll
          const awake = (yield* airflow.dags).filter(({ isActive, isPaused }) => isActive && !isPaused)
          assert.deepStrictEqual(awake, [])
        }))

      test("tells whether a DAG exists and is active", (airflow) =>
        Effect.gen(function*() {
          assert.isTrue(yield* airflow.verifyAirflowDagExists(hello))
          assert.isTrue(yield* airflow.verifyAirflowDagExists("odd.id-dag_1"))
          assert.isFalse(yield* airflow.verifyAirflowDagExists("no_such_dag"))
          assert.isFalse(yield* airflow.verifyAirflowDagExists("broken_dag"))
        }))

      test("fails with notFound for an unknown DAG", (airflow) =>
        Effect.gen(function*() {
          const missing = yield* Effect.flip(airflow.dag("no_such_dag"))
          assert.deepInclude(missing, { kind: "notFound", retryable: false })
          assert.include(missing.message, "no_such_dag")
          assert.strictEqual(yield* kindOf(airflow.setPaused("no_such_dag", true)), "notFound")
          assert.strictEqual(yield* kindOf(airflow.requestReparse("no_such_dag")), "notFound")
          assert.strictEqual(yield* kindOf(airflow.dagSource("no_such_dag")), "notFound")
        }))

      test("lists the files that cannot be imported, with the reason", (airflow) =>
        Effect.gen(function*() {
          const broken = (yield* airflow.importErrors).find(({ filename }) => filename.endsWith("broken_dag.py"))
          assert.include(broken?.stackTrace, "ModuleNotFoundError")
          assert.strictEqual(Option.isSome(broken?.bundleName ?? Option.none()), major === 3)
        }))

      test("waits for a version of a DAG by its tag", (airflow) =>
        Effect.gen(function*() {
          const dag = yield* airflow.awaitDag(hello, { ...minute, tag: "marker-v1" })
          assert.deepInclude(dag, { dagId: hello, isActive: true })
          assert.strictEqual((yield* airflow.awaitDag(hello, minute)).dagId, hello)
        }))

      test("fails with what it found instead of the expected version", (airflow) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(airflow.awaitDag(hello, { ...soon, tag: "marker-v2" }))
          assert(error._tag === "DagNotLive")
          assert.include(error.problem, "marker-v1")
          const unknown = yield* Effect.flip(airflow.awaitDag("no_such_dag", soon))
          assert.strictEqual(unknown._tag, "DagNotLive")
        }))

      test("fails at once if the file cannot be imported", (airflow) =>
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

      test("ignores import errors from before the delivery", (airflow) =>
        Effect.gen(function*() {
          // later than any import error
          const since = DateTime.add(yield* DateTime.now, { days: 365 })
          const error = yield* Effect.flip(airflow.awaitDag("broken_dag", { ...soon, since }))
          assert.strictEqual(error._tag, "DagNotLive")
        }))

      test("requests a reparse of a file", (airflow) =>
        Effect.map(airflow.requestReparse(hello), (done) => assert.isTrue(done)))

      test("returns the source of a DAG", (airflow) =>
        Effect.map(airflow.dagSource(hello), (source) => assert.include(source, hasFiles ? "GREETING" : hello)))

      if (!hasFiles) {
        test("deletes a DAG with its runs, but not while a task is running", (airflow) =>
          Effect.gen(function*() {
            const { runId } = yield* running(airflow)
            assert.strictEqual(yield* kindOf(airflow.deleteDag("slow_dag")), "conflict")
            yield* airflow.setRunState("slow_dag", runId, "failed")
            yield* airflow.deleteDag("slow_dag")
            // its file still exists, so it reappears
            yield* airflow.awaitDag("slow_dag", minute)
            assert.deepStrictEqual(yield* airflow.runs("slow_dag"), [])
            yield* airflow.deleteDag("no_such_dag")
          }))
      }
    })

    describe("runs", () => {
      test("runs a DAG and returns the completed run", (airflow) =>
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

      test("does the same with the fixture's methods", (airflow) =>
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

      test("leaves a DAG paused if told to, and reports that as the reason for a stuck run", (airflow) =>
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

      test("refuses the id of an earlier run", (airflow) =>
        Effect.gen(function*() {
          const runId = unique()
          assert.strictEqual((yield* waiting(airflow, { runId })).runId, runId)
          assert.strictEqual(yield* kindOf(airflow.trigger(hello, { runId, unpause: false })), "conflict")
          assert.strictEqual(yield* kindOf(airflow.runDag(hello, { runId, unpause: false })), "conflict")
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

      test("gives a run a logical date, or none on Airflow 3", (airflow) =>
        Effect.gen(function*() {
          // no other run has this date
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

      test("accepts every run id that Airflow accepts", (airflow) =>
        Effect.gen(function*() {
          const runId = `a.b_c~d:e+f-${unique()}`
          yield* airflow.runDag(hello, { ...minute, runId })
          assert.strictEqual((yield* airflow.run(hello, runId)).runId, runId)
          assert.include(yield* airflow.getTaskInstanceLogs(hello, runId, "hello"), "Hello World from Airflow")
        }))

      test("rejects run ids that make Airflow fail", (airflow) =>
        Effect.gen(function*() {
          const before = (yield* airflow.runs(hello)).length
          for (const runId of ["a b", "a/b", "ü", "100%", ".", "..", "x".repeat(248), ""]) {
            assert.strictEqual(yield* kindOf(airflow.trigger(hello, { runId })), "badRequest", runId)
          }
          assert.strictEqual((yield* airflow.runs(hello)).length, before)
        }))

      test("runs a DAG with an odd id, and rejects params of the wrong type", (airflow) =>
        Effect.gen(function*() {
          const run = yield* airflow.runDag("odd.id-dag_1", { ...minute, conf: { count: 2 } })
          const text = yield* airflow.getTaskInstanceLogs("odd.id-dag_1", run.runId, "task.with-dots_1")
          assert.include(text, "count is 2")
          const refused = airflow.trigger("odd.id-dag_1", { conf: { count: "no" } })
          assert.strictEqual(yield* kindOf(refused), "badRequest")
        }))

      test("does not trigger an unknown DAG, and reports import errors", (airflow) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* kindOf(airflow.trigger("no_such_dag")), "notFound")
          assert.strictEqual(yield* kindOf(airflow.trigger("no_such_dag", { unpause: false })), "notFound")
          assert.strictEqual(yield* kindOf(airflow.runDag("broken_dag")), "DagImportFailed")
        }))

      for (const via of ["poll", "stream"] as const) {
        test(`reports each state of a run once (${via})`, (airflow) =>
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

        test(`fails with RunVanished if the run is deleted while it waits (${via})`, (airflow) =>
          Effect.gen(function*() {
            const { runId } = yield* waiting(airflow)
            const reported = yield* Deferred.make<void>()
            const watching = yield* Effect.fork(
              airflow.awaitRun(hello, runId, { ...minute, via, onState: () => Deferred.succeed(reported, undefined) })
            )
            yield* Deferred.await(reported)
            yield* airflow.deleteRun(hello, runId)
            assert.strictEqual((yield* Effect.flip(Fiber.join(watching)))._tag, "RunVanished")
          }))
      }

      test("fails with the log of the failed task, or returns the failed run", (airflow) =>
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

      test("ends a running run and its task", (airflow) =>
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

      test("runs the tasks of a cleared run again", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.runDag(hello, minute)
          yield* airflow.clearRun(hello, runId)
          yield* until(airflow.taskInstances(hello, runId), (tasks) =>
            tasks.every(({ state, tryNumber }) => state === "success" && tryNumber === 2))
          assert.strictEqual((yield* airflow.awaitRun(hello, runId, minute)).state, "success")
        }))

      test("deletes a run twice after it was ended", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* running(airflow)
          // Airflow 3 does not delete a running run
          yield* airflow.setRunState("slow_dag", runId, "failed")
          yield* airflow.deleteRun("slow_dag", runId)
          yield* airflow.deleteRun("slow_dag", runId)
          assert.strictEqual(yield* kindOf(airflow.run("slow_dag", runId)), "notFound")
          assert.notInclude((yield* airflow.runs("slow_dag")).map((run) => run.runId), runId)
        }))

      test("fails with notFound for an unknown run", (airflow) =>
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
      test("lists each instance of a mapped task, with its own log and XCom", (airflow) =>
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

      test("compares tasks with the expected states", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.runDag("mapped_dag", minute)
          yield* airflow.assertTasks("mapped_dag", runId, { double: "success", total: ["skipped", "success"] })
          const error = yield* Effect.flip(
            airflow.assertTasks("mapped_dag", runId, { double: "failed", total: "success", missing: ["success"] })
          )
          assert(error._tag === "TaskStateMismatch")
          assert.sameDeepMembers([...error.mismatches], [
            { taskId: "double", expected: ["failed"], actual: ["success", "success", "success"] },
            { taskId: "missing", expected: ["success"], actual: [] }
          ])
        }))

      test("returns the log of a task line by line", (airflow) =>
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

      test("returns the log of each try, with its exception", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.trigger("failing_dag")
          yield* airflow.awaitRun("failing_dag", runId, minute)
          const logOf = (tryNumber?: Airflow.TaskLogOptions["tryNumber"]) =>
            airflow.taskLog("failing_dag", runId, "boom", { tryNumber })
          const triesOf = (lines: ReadonlyArray<{ readonly tryNumber: number }>) =>
            Array.from(new Set(lines.map(({ tryNumber }) => tryNumber)))
          for (
            const [requested, last, tries] of [[1, 1, [1]], [2, 2, [2]], ["last", 2, [2]], ["all", 2, [1, 2]]] as const
          ) {
            const log = yield* logOf(requested)
            assert.strictEqual(log.tryNumber, last)
            assert.deepStrictEqual(triesOf(log.lines), [...tries])
            assert.deepStrictEqual(triesOf(log.lines.filter(({ errors }) => errors.length > 0)), [...tries])
            assert.include(log.text, "about to fail")
            assert.include(log.text, "ValueError: boom")
            const errors = log.lines.flatMap(({ errors }) => errors)
            for (const error of errors) assert.deepInclude(error, { type: "ValueError", value: "boom" })
            // Airflow 2 logs the exception again when the task's process ends
            if (major === 3) assert.strictEqual(errors.length, tries.length)
            if (hasFiles) assert.isTrue(errors.every(({ frames }) => frames.some(({ name }) => name === "boom")))
          }
          assert.deepStrictEqual((yield* logOf()).lines, (yield* logOf("last")).lines)
          assert.strictEqual(yield* kindOf(logOf(3)), "LogUnavailable")
        }))

      test("has no log of a task that never ran or does not exist", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* airflow.trigger("failing_dag")
          yield* airflow.awaitRun("failing_dag", runId, minute)
          const logOf = (taskId: string) => airflow.taskLog("failing_dag", runId, taskId, { awaitContent: "1 second" })
          assert.strictEqual(yield* kindOf(logOf("after")), "LogUnavailable")
          assert.strictEqual(yield* kindOf(logOf("no_such_task")), "notFound")
        }))

      test("returns the log of a running task so far", (airflow) =>
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

      test("follows the log of a task until it has ended, each line once", (airflow) =>
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

      test("returns the XComs of a task as JSON", (airflow) =>
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

      // on 3.0 the task cannot push such a key
      if (!traits.version.startsWith("3.0")) {
        test("returns an XCom whose key has a slash", (airflow) =>
          Effect.gen(function*() {
            const { runId } = yield* airflow.runDag("xcom_slash_dag", minute)
            assert.strictEqual(yield* airflow.xcom("xcom_slash_dag", runId, "push", { key: "with/slash" }), 1.5)
          }))
      }
    })

    describe("collections", () => {
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

      test("creates nothing that it could neither read nor delete", (airflow) =>
        Effect.gen(function*() {
          const refused = ["", ".", "..", "a\nb", "\ud800"]
          const variables = major === 2 ? [...refused, "/x", "/"] : refused
          for (const key of variables) {
            const kind = yield* kindOf(airflow.variables.put({ key, value: "1" }))
            assert.include(["badRequest", "unsupported"], kind, JSON.stringify(key))
            if (hasHttp) assert.strictEqual(yield* kindOf(airflow.variables.get(key)), kind)
            if (hasHttp) assert.strictEqual(yield* kindOf(airflow.variables.delete(key)), kind)
          }
          assert.deepStrictEqual((yield* airflow.variables.list).filter(({ key }) => variables.includes(key)), [])
          for (const name of refused) {
            assert.strictEqual(yield* kindOf(airflow.pools.put({ name, slots: 1 })), "badRequest", JSON.stringify(name))
            assert.strictEqual(yield* kindOf(airflow.connections.put({ id: name, type: "http" })), "badRequest")
          }
          const password = Redacted.make("not-a-secret")
          for (const username of [...refused, "a/b"]) {
            assert.strictEqual(yield* kindOf(airflow.users.create({ username, password })), "badRequest", username)
          }
        }))

      test("keeps a variable whose key begins with a slash if the API can address it", (airflow) =>
        Effect.gen(function*() {
          if (major === 2) return
          const key = `/${unique()}`
          yield* airflow.variables.put({ key, value: "1" })
          assert.strictEqual((yield* airflow.variables.get(key)).value, "1")
          yield* airflow.variables.delete(key)
          assert.strictEqual(yield* kindOf(airflow.variables.get(key)), "notFound")
        }))

      test("creates no pool that keeps Airflow 2 from listing pools", (airflow) =>
        Effect.gen(function*() {
          if (major === 3) return
          assert.strictEqual(yield* kindOf(airflow.pools.put({ name: unique(), slots: -1 })), "unsupported")
          yield* airflow.pools.list
        }))

      test("replaces a variable", (airflow) =>
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

      test("keeps JSON in a variable, but not its whitespace", (airflow) =>
        Effect.gen(function*() {
          const [key, value] = [unique(), { a: [1, "it's", null], "ü": {} }]
          yield* airflow.variables.put({ key, value: JSON.stringify(value) })
          assert.deepStrictEqual(JSON.parse((yield* airflow.variables.get(key)).value), value)
          yield* airflow.variables.delete(key)
        }))

      test("hides values of variables that sound secret on Airflow 3", (airflow) =>
        Effect.gen(function*() {
          const key = `password_${unique()}`
          yield* airflow.variables.put({ key, value: "not-a-secret" })
          assert.strictEqual((yield* airflow.variables.get(key)).value, major === 2 ? "not-a-secret" : "***")
          yield* airflow.variables.delete(key)
        }))

      test("replaces a connection", (airflow) =>
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

      test("deletes several connections and ignores missing ones", (airflow) =>
        Effect.gen(function*() {
          const ids = [unique(), unique()]
          yield* Effect.forEach(ids, (id) => airflow.connections.put({ id, type: "http" }))
          yield* airflow.connections.deleteAll([...ids, "no_such_connection"])
          const left = (yield* airflow.connections.list).map(({ id }) => id)
          assert.deepStrictEqual(left.filter((id) => ids.includes(id)), [])
        }))

      test("rejects connection ids that some Airflows do not accept", (airflow) =>
        Effect.gen(function*() {
          for (const id of ["a b", "a/b", ""]) {
            assert.strictEqual(yield* kindOf(airflow.connections.put({ id, type: "http" })), "badRequest", id)
          }
        }))

      test("replaces a pool", (airflow) =>
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

      test("returns how full a pool is", (airflow) =>
        Effect.gen(function*() {
          const { runId } = yield* running(airflow)
          const { occupiedSlots, openSlots, slots } = yield* airflow.pools.get("default_pool")
          assert.isAtLeast(occupiedSlots, 1)
          assert.strictEqual(openSlots, slots - occupiedSlots)
          yield* airflow.setRunState("slow_dag", runId, "failed")
        }))

      test("never deletes the default pool, and sets its slots", (airflow) =>
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

      test("keeps a pool with a slash in its name if the API can address it", (airflow) =>
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

      test("creates a user once, if it manages users", (airflow) =>
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
      test("empties an Airflow and reports what it deleted", (airflow) =>
        Effect.gen(function*() {
          const { runId: slow } = yield* running(airflow)
          const { runId: ended } = yield* airflow.runDag(hello, minute)
          yield* airflow.setPaused("mapped_dag", true)
          const { runId: queued } = yield* airflow.trigger("mapped_dag", { unpause: false })
          yield* airflow.variables.put({ key: "left/behind", value: "1" })
          yield* airflow.connections.put({ id: "left_behind", type: "http" })
          yield* airflow.pools.put({ name: "left behind", slots: 1 })
          yield* airflow.pools.put({ name: "default_pool", slots: 7 })
          const leftovers = yield* AirflowReset.verify(airflow)
          const { deleted, kept } = yield* reset(airflow)
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
            assert.deepInclude(leftovers, leftover)
            assert.deepInclude(deleted, leftover)
          }
          assert.deepStrictEqual([...kept], [])
          assert.deepStrictEqual([...(yield* AirflowReset.verify(airflow))], [])
          assert.deepStrictEqual(yield* airflow.runs(), [])
          assert.deepStrictEqual((yield* airflow.pools.list).map(({ name, slots }) => [name, slots]), [[
            "default_pool",
            128
          ]])
        }))

      test("finds nothing to delete the second time", (airflow) =>
        Effect.gen(function*() {
          yield* reset(airflow)
          const { deleted, kept } = yield* reset(airflow)
          assert.deepStrictEqual([[...deleted], [...kept]], [[], []])
        }))

      test("keeps what it is told to, by name or prefix", (airflow) =>
        Effect.gen(function*() {
          const keep = { variables: ["base_*", "exact"], connections: ["warehouse"], pools: ["base *"] }
          yield* reset(airflow)
          yield* Effect.forEach(["base_1", "exact", "exactly"], (key) => airflow.variables.put({ key, value: "1" }))
          yield* Effect.forEach(["warehouse", "other"], (id) => airflow.connections.put({ id, type: "http" }))
          yield* Effect.forEach(["base pool", "other"], (name) => airflow.pools.put({ name, slots: 1 }))
          const deleted = [
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
          assert.sameDeepMembers([...(yield* AirflowReset.verify(airflow, { keep }))], [...deleted])
          const report = yield* reset(airflow, { keep })
          assert.sameDeepMembers([...report.deleted], [...deleted])
          assert.sameDeepMembers([...report.kept], [...kept])
          assert.deepStrictEqual([...(yield* AirflowReset.verify(airflow, { keep }))], [])
          assert.sameDeepMembers([...(yield* reset(airflow)).deleted], [...kept])
        }))

      test("sets the slots of the default pool", (airflow) =>
        Effect.gen(function*() {
          yield* reset(airflow, { defaultPoolSlots: 64 })
          assert.strictEqual((yield* airflow.pools.get("default_pool")).slots, 64)
          assert.deepStrictEqual([...(yield* AirflowReset.verify(airflow, { defaultPoolSlots: 64 }))], [])
          yield* reset(airflow)
          assert.strictEqual((yield* airflow.pools.get("default_pool")).slots, 128)
        }))

      test("stops deferred tasks from taking slots of the default pool", (airflow) =>
        Effect.gen(function*() {
          yield* reset(airflow)
          yield* airflow.pools.put({ name: "default_pool", slots: 128, includeDeferred: true })
          const { deleted } = yield* reset(airflow)
          assert.deepStrictEqual([...deleted], [{ kind: "slots of", name: "default_pool" }])
          const { includeDeferred, slots } = yield* airflow.pools.get("default_pool")
          assert.deepStrictEqual({ includeDeferred, slots }, { includeDeferred: false, slots: 128 })
        }))

      if (hasHttp && /^3\.[1-9]/.test(traits.version)) {
        test("deletes the user's favorites", (airflow) =>
          Effect.gen(function*() {
            yield* reset(airflow)
            yield* airflow.request("POST", `/dags/${hello}/favorite`)
            const { deleted } = yield* reset(airflow)
            assert.deepStrictEqual([...deleted], [{ kind: "favorite", name: hello }])
            assert.deepStrictEqual([...(yield* AirflowReset.verify(airflow))], [])
          }))
      }
    })
  })

const unique = () => randomUUID().slice(0, 13)

/** The kind or tag of the error that a call fails with. */
export const kindOf = <A, R>(call: Effect.Effect<A, { readonly _tag: string; readonly kind?: string }, R>) =>
  Effect.map(Effect.flip(call), (error) => error.kind ?? error._tag)

/** Polls until the value satisfies the condition. Fails after a minute. */
export const until = <A, E>(read: Effect.Effect<A, E>, condition: (value: A) => boolean) =>
  Effect.suspend(() => {
    let last: A | undefined
    return read.pipe(
      Effect.tap((value) => {
        last = value
        return condition(value) ? Effect.void : Effect.sleep("200 millis")
      }),
      Effect.repeat({ until: condition }),
      Effect.timeoutFail({ duration: "1 minute", onTimeout: () => `not within a minute: ${JSON.stringify(last)}` })
    )
  })

/** A run that stays queued because its DAG is paused. Deleted at the end of the test. */
const waiting = (airflow: Airflow.Airflow, options?: Airflow.TriggerOptions) =>
  Effect.acquireRelease(
    Effect.zipRight(airflow.setPaused(hello, true), airflow.trigger(hello, { ...options, unpause: false })),
    ({ runId }) => Effect.ignore(airflow.deleteRun(hello, runId))
  )

/** A run whose task is running. */
const running = (airflow: Airflow.Airflow) =>
  Effect.tap(
    airflow.trigger("slow_dag", long),
    ({ runId }) =>
      until(airflow.taskInstances("slow_dag", runId), (tasks) => tasks.some(({ state }) => state === "running"))
  )

const messagesOf = <E>(lines: Stream.Stream<{ readonly message: string }, E>) =>
  Effect.map(Stream.runCollect(lines), (all) => Chunk.toReadonlyArray(all).map(({ message }) => message))
