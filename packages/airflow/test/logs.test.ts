import { TaskLog } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Option, Stream } from "effect"
import { connect, html, inVirtualTime, respond, type Responder, run, task } from "./server.js"

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
          line("::group::Pre Execute", { logger: "task" }),
          line("::endgroup::", { logger: "task" }),
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

  it.effect("has the cause of an exception first, on both APIs", () =>
    Effect.gen(function*() {
      const text = [
        `${at} {taskinstance.py:3313} ERROR - Task failed with exception`,
        "Traceback (most recent call last):",
        "  File \"/dags/d.py\", line 1, in t",
        "KeyError: 'x'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        "  File \"/dags/d.py\", line 3, in t",
        "ValueError: boom"
      ].join("\n")
      const two = yield* connect({ [v1.tasks]: v1.of(task("failed")), [v1.log(1)]: respond(200, `${header}${text}`) })
      const error = (exc_type: string, exc_value: string, lineno: number) => ({
        exc_type,
        exc_value,
        is_cause: exc_type === "KeyError",
        frames: [{ filename: "/dags/d.py", lineno, name: "t" }]
      })
      const error_detail = [error("ValueError", "boom", 3), error("KeyError", "'x'", 1)]
      const three = yield* connect({
        [v2.tasks]: v2.of(task("failed")),
        [v2.log(1)]: v2.content(line("Task failed with exception", { level: "error", logger: "task", error_detail }))
      }, { version: "3.3.2" })
      for (const { airflow } of [two, three]) {
        const { lines } = yield* airflow.taskLog("d", "r", "t")
        assert.deepStrictEqual(lines.flatMap(({ errors }) => errors), [
          { type: "KeyError", value: "'x'", frames: [{ file: "/dags/d.py", line: 1, name: "t" }] },
          { type: "ValueError", value: "boom", frames: [{ file: "/dags/d.py", line: 3, name: "t" }] }
        ])
      }
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

describe("what a task prints", () => {
  it.effect("does not change how its log of Airflow 2 is read", () =>
    Effect.gen(function*() {
      const prints = [
        `${at} {logging_mixin.py:190} INFO - two`,
        "*** lines",
        "***   * /not/a/source.log",
        " INFO - ::group::Log message source details",
        " INFO - ::endgroup::",
        `${at} {logging_mixin.py:190} INFO - ::group::mine`,
        `${at} {logging_mixin.py:190} INFO - ::endgroup::`,
        `${at} {logging_mixin.py:190} INFO - Traceback (most recent call last):`,
        "Traceback (most recent call last):",
        "ValueError: printed",
        `${at} {taskinstance.py:740} INFO - ::endgroup::`,
        "",
        `${at} {d.py:1} INFO - last`
      ]
      const { airflow } = yield* connect({
        [v1.tasks]: v1.of(task("success")),
        [v1.log(1)]: respond(200, `${header}${prints.join("\n")}\n\n`)
      })
      const { lines, sources } = yield* airflow.taskLog("d", "r", "t")
      assert.deepStrictEqual(lines.map(({ message }) => message), [
        "two",
        "*** lines",
        "***   * /not/a/source.log",
        " INFO - ::group::Log message source details",
        " INFO - ::endgroup::",
        "::group::mine",
        "::endgroup::",
        "Traceback (most recent call last):",
        "Traceback (most recent call last):",
        "ValueError: printed",
        "",
        "last"
      ])
      assert.deepStrictEqual(sources, ["/logs/attempt=1.log"])
      assert.deepStrictEqual(lines.flatMap(({ errors }) => errors), [])
    }))

  it.effect("does not change how a log without a group for its sources is read", () =>
    Effect.gen(function*() {
      const text =
        `host\n*** Found local files:\n***   * /logs/attempt=1.log\n${at} {logging_mixin.py:190} INFO - two\n*** lines\n`
      const { airflow } = yield* connect({ [v1.tasks]: v1.of(task("success")), [v1.log(1)]: respond(200, text) }, {
        version: "2.8.4"
      })
      const { lines, sources } = yield* airflow.taskLog("d", "r", "t")
      assert.deepStrictEqual(lines.map(({ message }) => message), ["two", "*** lines"])
      assert.deepStrictEqual(sources, ["/logs/attempt=1.log"])
    }))

  for (
    const [version, stdout] of [["3.0.6", { logger: "task", chan: "stdout" }], ["3.3.2", {
      logger: "task.stdout"
    }]] as const
  ) {
    it.effect(`does not change how its log of ${version} is read`, () =>
      Effect.gen(function*() {
        const prints = ["::group::Log message source details", "/not/a/source", "::endgroup::", "::group::mine", "last"]
        const { airflow } = yield* connect({
          [v2.tasks]: v2.of(task("success")),
          [v2.log(1)]: v2.content(
            { event: "::group::Log message source details", sources: ["/logs/attempt=1.log"] },
            { event: "::endgroup::" },
            ...prints.map((event) => line(event, stdout))
          )
        }, { version })
        const { lines, sources } = yield* airflow.taskLog("d", "r", "t")
        assert.deepStrictEqual(lines.map(({ message }) => message), prints)
        assert.deepStrictEqual(sources, ["/logs/attempt=1.log"])
      }))
  }
})

describe("a long log", () => {
  const later = (responder: Responder): Responder => (request) => Effect.delay(responder(request), "100 seconds")
  const text = `${header}${at} {a:1} INFO - hi\n`

  it.effect("may take longer than other responses, within the time of the call", () =>
    Effect.gen(function*() {
      const { airflow, routes } = yield* connect({
        [v1.tasks]: v1.of(task("success")),
        [v1.log(1)]: later(respond(200, text))
      })
      assert.include((yield* inVirtualTime(airflow.taskLog("d", "r", "t"))).text, "hi")
      assert.strictEqual(routes().length, 2)
      const error = yield* inVirtualTime(Effect.flip(airflow.taskLog("d", "r", "t", { timeout: "1 minute" })))
      assert.include(error.message, "Airflow was still sending its log")
    }))

  for (const version of ["2.11.2", "3.3.2"]) {
    it.effect(`of a failed task on ${version} is read at its end only`, () =>
      Effect.gen(function*() {
        const api = version.startsWith("2") ? v1 : v2
        const get = `GET /api/v${version.startsWith("2") ? 1 : 2}/dags/d/dagRuns/r`
        const messages = Array.from({ length: 60_000 }, (_, index) => `line ${index}`)
        const body = version.startsWith("2")
          ? header + messages.map((message) => `${at} {logging_mixin.py:190} INFO - ${message}\n`).join("")
          : messages.map((message) => `${JSON.stringify(line(message))}\n`).join("")
        const { airflow, requests } = yield* connect({
          [get]: respond(200, run("failed")),
          [api.tasks]: api.of(task("failed")),
          [api.log(1)]: later(respond(200, body))
        }, { version })
        // the tail has a minute
        const slow = yield* inVirtualTime(Effect.flip(airflow.verifyDagIdRan("d", "r")))
        assert.include(slow.message, "Airflow was still sending its log")
        const fast = yield* connect({
          [get]: respond(200, run("failed")),
          [api.tasks]: api.of(task("failed")),
          [api.log(1)]: respond(200, body)
        }, { version })
        const error = yield* inVirtualTime(Effect.flip(fast.airflow.verifyDagIdRan("d", "r")))
        assert(error._tag === "RunFailed")
        const tail = error.tasks[0]?.logTail.split("\n") ?? []
        assert.strictEqual(tail.length, 20)
        assert.include(tail[0], "line 59980")
        assert.include(tail[19], "line 59999")
        assert.strictEqual(
          requests.at(-1)?.headers["accept"],
          version.startsWith("2") ? "text/plain" : "application/x-ndjson"
        )
      }))
  }
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
