/** Task logs in Airflow 3: one object per line, with lines that mark groups. */
import { isObject, type Json, type Response, response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as Python from "../Python.js"
import * as RunTable from "../RunTable.js"
import type * as TaskLog from "../TaskLog.js"
import { fileOf } from "../TaskLog.js"
import * as Times from "../Times.js"
import * as Tokens from "../Tokens.js"
import { isAtLeast } from "../Version.js"
import { pathOf } from "./Dags.js"
import * as Responses from "./Responses.js"

const ndjson = "application/x-ndjson"

export const get = (call: Call, instance: RunTable.TaskInstance, attempt: number): Response => {
  const accept = call.request.headers.accept ?? "*/*"
  const isLines = accept.includes(ndjson)
  if (!isLines && !accept.includes("application/json") && !accept.includes("*/*")) {
    return Responses.failure(406, "Only application/json or application/x-ndjson is supported")
  }
  const token = call.request.query.get("token")
  const position = token === null ? undefined : Tokens.verify(token)
  if (token !== null && !isObject(position)) {
    return Responses.failure(400, "Bad Signature. Please use only the tokens provided by the API.")
  }
  const hasRun = attempt > 0
  const items = hasRun
    ? RunTable.logOf(call, instance, attempt).flatMap((entry) => print(call, instance, attempt, entry))
    : neverRan(call, instance)
  const header = hasRun ? heading(call, instance, attempt) : []
  const ended = instance.task.attempts.find(({ number }) => number === attempt)?.endedAt ?? 0
  const next = ended > call.now ? Tokens.sign({ end_of_log: false, log_pos: items.length }) : null
  if (!isObject(position)) return logResponse([...header, ...items], next, isLines)
  // only 3.3 continues at the position: 3.2 crashes, and earlier versions start again
  if (isAtLeast(call.version, "3.3")) return logResponse(items.slice(Number(position.log_pos)), next, isLines)
  return isAtLeast(call.version, "3.2") ? Responses.crash() : logResponse(items, next, isLines)
}

const logResponse = (items: ReadonlyArray<Json>, token: string | null, isLines: boolean): Response => {
  if (!isLines) return Responses.ok({ content: items, continuation_token: token })
  const lines = items.map((item) => `${JSON.stringify({ timestamp: null, ...item })}\n`).join("")
  // the header is present even at the end of the log
  return response(200, ndjson, lines, {
    "airflow-continuation-token": token ?? Tokens.sign({ end_of_log: true, log_pos: items.length })
  })
}

/** Where the log comes from. */
const heading = (call: Call, { run, task }: RunTable.TaskInstance, attempt: number): ReadonlyArray<Json> => {
  const file = fileOf(run, task, attempt)
  const isRunning = task.state === "running" && attempt === task.tryNumber
  const sources = [`/usr/local/airflow/logs/${file}`, ...isRunning ? [`http://airflow-host:8793/log/${file}`] : []]
  const group = "::group::Log message source details"
  return isAtLeast(call.version, "3.2")
    ? [{ event: group }, ...sources.map((event) => ({ event })), { event: "::endgroup::" }]
    : [{ event: group, sources }, { event: "::endgroup::" }]
}

/** The log of try 0, which a task that has never run has. */
const neverRan = (call: Call, { task }: RunTable.TaskInstance): ReadonlyArray<Json> => {
  if (!isAtLeast(call.version, "3.1")) {
    return [{ event: "Error fetching the logs. Try number 0 is invalid.", level: "error" }]
  }
  const reasons: Record<string, string> = {
    upstream_failed: "Task did not run because upstream task(s) failed.",
    skipped: "Task was skipped, no logs available."
  }
  const event = reasons[task.state ?? ""]
  return [
    { timestamp: null, event: "::group::Log message source details" },
    { timestamp: null, event: "::endgroup::" },
    ...event === undefined ? [] : [{ timestamp: Times.zulu(Times.micros(task.endedAt ?? call.now)), event }]
  ]
}

/** The id of one try of a task instance. */
export const instanceId = (call: Call, { run, task }: RunTable.TaskInstance, attempt: number): string =>
  Tokens.uuid(call.deployment.id, run.dagId, run.runId, run.queuedAt, task.spec.taskId, task.mapIndex, attempt)

const print = (
  call: Call,
  instance: RunTable.TaskInstance,
  attempt: number,
  entry: TaskLog.Entry
): ReadonlyArray<Json> => {
  const { run, task } = instance
  const timestamp = Times.zulu(Times.micros(entry.at))
  const context = Responses.since(call, "3.2", {
    ti_id: instanceId(call, instance, attempt),
    map_index: task.mapIndex,
    dag_id: run.dagId,
    run_id: run.runId,
    task_id: task.spec.taskId,
    try_number: attempt
  })
  const line = (event: string, logger: string, filename: string, lineno: number, level = "info"): Json => ({
    timestamp,
    event,
    level,
    ...context,
    logger,
    ...Responses.since(call, "3.1", { filename, lineno })
  })
  /** These lines exist since 3.2. */
  const marker = (event: string) => isAtLeast(call.version, "3.2") ? [line(event, "task", "task_runner.py", 1727)] : []
  const file = pathOf(run.spec.file ?? `${run.dagId}.py`)
  switch (entry._tag) {
    case "Started":
      return [
        ...marker("::group::Pre Execute"),
        line(
          "DAG bundles loaded: dags-folder",
          "airflow.dag_processing.bundles.manager.DagBundlesManager",
          "manager.py",
          209
        ),
        line(`Filling up the DagBag from ${file}`, "airflow.dag_processing.dagbag.BundleDagBag", "dagbag.py", 469),
        ...marker("::endgroup::")
      ]
    case "Printed":
      return [{
        timestamp,
        event: entry.line,
        level: "info",
        ...isAtLeast(call.version, "3.1") ? { logger: "task.stdout" } : { chan: "stdout", logger: "task" }
      }]
    case "Returned": {
      const operator = "airflow.task.operators.airflow.providers.standard.decorators.python._PythonDecoratedOperator"
      return [line(`Done. Returned value was: ${Python.str(entry.value)}`, operator, "python.py", 233)]
    }
    case "Raised":
      return [{
        ...line("Task failed with exception", "task", "task_runner.py", 1381, "error"),
        error_detail: [{
          exc_type: entry.error.type,
          exc_value: entry.error.value,
          exc_notes: [],
          syntax_error: null,
          is_cause: false,
          frames: [{ filename: file, lineno: 1, name: task.spec.taskId }],
          is_group: false,
          exceptions: []
        }]
      }]
    case "Ended":
      return entry.state === "killed" ? [] : [...marker("::group::Post Execute"), ...marker("::endgroup::")]
  }
}
