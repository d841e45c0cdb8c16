import { TaskLog } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Option, Stream } from "effect"
import { connect, html, inVirtualTime, respond, task } from "./server.js"

const header =
  "host\n INFO - ::group::Log message source details\n*** Found local files:\n***   * /logs/attempt=1.log\n" +
  " INFO - ::endgroup::\n"
const at = "[2026-11-22T18:08:17.368+0000]"
const v1 = {
  tasks: "GET /api/v1/dags/d/dagRuns/r/taskInstances?limit=10000",
  log: (tryNumber: number, more = "") =>
    `GET /api/v1/dags/d/dagRuns/r/taskInstances/t/logs/${tryNumber}?full_content=true${more}`,
  of: (...tasks: ReadonlyArray<unknown>) => respond(200, { task_instances: tasks, total_entries: tasks.length })
}
const v2 = {
  tasks: "GET /api/v2/dags/d/dagRuns/r/taskInstances?order_by=id&limit=100&offset=0",
  log: (tryNumber: number) => `GET /api/v2/dags/d/dagRuns/r/taskInstances/t/logs/${tryNumber}?full_content=true`,
  of: (...tasks: ReadonlyArray<unknown>) => respond(200, { task_instances: tasks, total_entries: tasks.length }),
  content: (...content: ReadonlyArray<unknown>) => respond(200, { content, continuation_token: null })
}
const line = (event: string, more: Record<string, unknown> = {}) => ({
  timestamp: "2026-11-22T18:08:17.368000Z",
  event,
  level: "info",
  logger: "task.stdout",
  ...more
})

describe("a task's log", () => {
  it.effect("of Airflow 2 is requested as text and parsed, with tracebacks", () =>
    Effect.gen(function*() {
      const text = [
        `${at} {local_task_job_runner.py:123} INFO - ::group::Pre task execution logs`,
        `${at} {taskinstance.py:740} INFO - ::endgroup::`,
        `${at} {logging_mixin.py:190} INFO - about to fail`,
        `${at} {taskinstance.py:3313} ERROR - Task failed with exception`,
        "Traceback (most recent call last):",
        "  File \"/dags/d.py\", line 15, in boom",
        "    raise ValueError(\"boom\")",
        "ValueError: boom",
        `${at} {local_task_job_runner.py:266} INFO - Task exited with return code 1`,
        ""
      ].join("\n")
      const { airflow, requests } = yield* connect({
        [v1.tasks]: v1.of(task("failed")),
        [v1.log(1)]: respond(200, `${header}${text}`)
      })
      const log = yield* airflow.taskLog("d", "r", "t")
      assert.strictEqual(requests[1]?.headers["accept"], "text/plain")
      assert.deepInclude(log, { tryNumber: 1, complete: true, sources: ["/logs/attempt=1.log"] })
      const [first] = log.lines
      assert.deepInclude(first, {
        message: "about to fail",
        level: Option.some("INFO"),
        logger: Option.some("logging_mixin.py:190")
      })
      assert.deepStrictEqual(log.lines.flatMap(({ errors }) => errors), [
        { type: "ValueError", value: "boom", frames: [{ file: "/dags/d.py", line: 15, name: "boom" }] }
      ])
      assert.include(log.text, "ERROR - Task failed with exception\nTraceback (most recent call last):\n")
      assert.strictEqual(log.text.split("ValueError: boom").length, 2)
      assert.notInclude(log.text, "::")
    }))

  it.effect("of Airflow 3 has exceptions and logged fields", () =>
    Effect.gen(function*() {
      const error_detail = [{
        exc_type: "ValueError",
        exc_value: "boom",
        frames: [{ filename: "/dags/d.py", lineno: 15, name: "boom" }]
      }]
      const { airflow } = yield* connect({
        [v2.tasks]: v2.of(task("failed")),
        [v2.log(1)]: v2.content(
          { event: "::group::Log message source details" },
          { event: "/logs/attempt=1.log" },
          { event: "::endgroup::" },
          line("::group::Pre Execute"),
          line("::endgroup::"),
          line("loaded", { rows: 42, ti_id: "x", dag_id: "d" }),
          line("Task failed with exception", { level: "error", logger: "task", error_detail })
        )
      }, { version: "3.2.2" })
      const log = yield* airflow.taskLog("d", "r", "t")
      assert.deepStrictEqual(log.sources, ["/logs/attempt=1.log"])
      assert.deepStrictEqual(log.text.split("\n"), [
        "[2026-11-22T18:08:17.368Z] {task.stdout} INFO - loaded rows=42",
        "[2026-11-22T18:08:17.368Z] {task} ERROR - Task failed with exception",
        "Traceback (most recent call last):",
        "  File \"/dags/d.py\", line 15, in boom",
        "ValueError: boom",
        ""
      ])
    }))

  it.effect("of an early Airflow 3 names its sources in the header, and may have lines of text", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({
        [v2.tasks]: v2.of(task("success")),
        [v2.log(1)]: v2.content(
          { event: "::group::Log message source details", sources: ["/logs/attempt=1.log"] },
          { event: "::endgroup::" },
          `${at} {x.py:1} INFO - as text`
        )
      }, { version: "3.0.6" })
      const log = yield* airflow.taskLog("d", "r", "t")
      assert.deepStrictEqual(log.sources, ["/logs/attempt=1.log"])
      assert.strictEqual(log.lines[0]?.message, "as text")
    }))

  it.effect("is waited for, for the requested instance and try", () =>
    Effect.gen(function*() {
      const marker = header.replace(
        "Found local files:\n***   * /logs/attempt=1.log",
        "Could not read served logs: 404"
      )
      const { airflow } = yield* connect({
        [v1.tasks]: v1.of(task("success", { map_index: 2, try_number: 3 })),
        [v1.log(3, "&map_index=2")]: [respond(200, marker), respond(200, `${marker}${at} {a:1} INFO - hi\n`)]
      })
      assert.include((yield* inVirtualTime(airflow.taskLog("d", "r", "t", { mapIndex: 2 }))).text, "INFO - hi")
      const mapped = yield* Effect.flip(airflow.taskLog("d", "r", "t"))
      assert.include(mapped.message, "mapIndex: 2")
    }))

  it.effect("is unavailable if the task never ran, had no such try, or logged nothing in time", () =>
    Effect.gen(function*() {
      const reason = (tasks: ReadonlyArray<unknown>, tryNumber?: number) =>
        Effect.gen(function*() {
          const { airflow } = yield* connect({ [v1.tasks]: v1.of(...tasks), [v1.log(1)]: respond(200, header) })
          const error = yield* inVirtualTime(
            Effect.flip(airflow.taskLog("d", "r", "t", tryNumber ? { tryNumber } : {}))
          )
          assert.strictEqual(error._tag, "LogUnavailable")
          return error.message
        })
      assert.include(
        yield* reason([task("upstream_failed", { try_number: 0 })]),
        "the task never ran and is upstream_failed"
      )
      assert.include(yield* reason([task("success")], 2), "there is no try 2: it ended after try 1")
      assert.include(yield* reason([task("success")]), "nothing has been logged")
    }))

  it.effect("fails with the error of the server", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({ [v1.tasks]: v1.of(task("success")), [v1.log(1)]: html(500) })
      const error = yield* inVirtualTime(Effect.flip(airflow.taskLog("d", "r", "t")))
      assert.strictEqual(error._tag === "AirflowApiError" ? error.kind : error._tag, "server")
    }))
})

describe("following a log", () => {
  it.effect("emits each line once: read again, inserted, repeated, of the next try, and after the end", () =>
    Effect.gen(function*() {
      const [a, b, c, d] = ["a", "b", "c", "d"].map((event) => line(event))
      const { airflow } = yield* connect({
        [v2.tasks]: [
          v2.of(task("queued", { try_number: 0 })),
          v2.of(task("running")),
          v2.of(task("running")),
          v2.of(task("running", { try_number: 2 })),
          v2.of(task("success", { try_number: 2 }))
        ],
        [v2.log(1)]: [v2.content(a), v2.content(b, a, a), v2.content(b, a, a, c)],
        [v2.log(2)]: [
          respond(404, { detail: "TaskInstance not found" }),
          v2.content(a),
          v2.content(a, d),
          v2.content(a, d)
        ]
      }, { version: "3.1.8" })
      const lines = yield* inVirtualTime(Stream.runCollect(airflow.tailTaskLog("d", "r", "t")))
      assert.deepStrictEqual(Chunk.toReadonlyArray(lines).map(({ message, tryNumber }) => `${tryNumber}${message}`), [
        "1a",
        "1b",
        "1a",
        "1c",
        "2a",
        "2d"
      ])
      assert.include(TaskLog.render(Chunk.unsafeHead(lines)), "INFO - a")
    }))

  it.effect("fails at its deadline, and if there is nothing to follow", () =>
    Effect.gen(function*() {
      const { airflow } = yield* connect({ [v1.tasks]: v1.of(task("running")), [v1.log(1)]: respond(200, header) })
      const slow = yield* inVirtualTime(
        Effect.flip(Stream.runDrain(airflow.tailTaskLog("d", "r", "t", { timeout: "1 minute" })))
      )
      assert.include(slow.message, "the task is still running after 1m")
      const skipped = yield* connect({ [v1.tasks]: v1.of(task("skipped", { try_number: 0 })) })
      const none = yield* Effect.flip(Stream.runDrain(skipped.airflow.tailTaskLog("d", "r", "t")))
      assert.include(none.message, "the task never ran and is skipped")
      const silent = yield* connect({ [v1.tasks]: v1.of(task("success")), [v1.log(1)]: respond(200, header) })
      const empty = yield* inVirtualTime(Effect.flip(Stream.runDrain(silent.airflow.tailTaskLog("d", "r", "t"))))
      assert.include(empty.message, "nothing was logged")
    }))
})
