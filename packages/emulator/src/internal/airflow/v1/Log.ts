/** Task logs in Airflow 2: plain text, or a Python list of tuples in a JSON string. */
import { type Response, response } from "../../Http.js"
import { isoTime } from "../../World.js"
import type { Call } from "../Airflow.js"
import * as Python from "../Python.js"
import * as RunTable from "../RunTable.js"
import * as TaskLog from "../TaskLog.js"
import * as Tokens from "../Tokens.js"
import { isAtLeast } from "../Version.js"
import { ok, problem } from "./Responses.js"

const host = "airflow-host"

export const get = (call: Call, instance: RunTable.TaskInstance, attempt: number): Response => {
  const { headers, query } = call.request
  const token = query.get("token")
  const from = token === null ? 0 : positionOf(token)
  if (from === undefined) {
    return problem(call, 400, "Bad Signature. Please use only the tokens provided by the API.", null)
  }
  const log = render(call, instance, attempt)
  const text = log.text.slice(from)
  const accept = headers.accept ?? "*/*"
  if (accept.includes("text/plain") || accept === "*/*") return response(200, "text/plain", `${log.host}\n${text}\n`)
  const isEnd = (instance.task.attempts.find(({ number }) => number === attempt)?.endedAt ?? 0) <= call.now
  return ok({
    content: `[(${Python.repr(log.host)}, ${Python.repr(text)})]`,
    continuation_token: Tokens.sign({ end_of_log: isEnd, log_pos: log.text.length })
  })
}

const positionOf = (token: string): number | undefined => {
  const payload = Tokens.verify(token) as { readonly log_pos?: number } | undefined
  return payload?.log_pos
}

const render = (call: Call, instance: RunTable.TaskInstance, attempt: number): { host: string; text: string } => {
  const { run, task } = instance
  const header = (...sources: ReadonlyArray<string>) =>
    [" INFO - ::group::Log message source details", ...sources, " INFO - ::endgroup::", ""].join("\n")
  if (attempt === 0) return { host: "default_host", text: "Error fetching the logs. Try number 0 is invalid." }
  const file = TaskLog.fileOf(run, task, attempt)
  const entries = RunTable.logOf(call, instance, attempt)
  if (entries.length > 0) {
    const text = entries.flatMap((entry) => print(instance, entry)).join("\n")
    return { host, text: `${header(`*** Found local files:\n***   * /usr/local/airflow/logs/${file}`)}${text}\n` }
  }
  // without a local file Airflow requests the log from the worker, once the task has ended
  if (task.state === null || task.state === "scheduled") return { host: "", text: header() }
  if (task.tryNumber === 0) {
    const source = `*** Could not read served logs: Invalid URL 'http://:8793/log/${file}': No host supplied`
    return { host: "", text: header(source) }
  }
  if (!isAtLeast(call.version, "2.11")) {
    const url = `http://${host}:8793/log/${file}`
    const source = `*** Could not read served logs: 404 Client Error: NOT FOUND for url: ${url}`
    return { host, text: header(source) }
  }
  return {
    host,
    text: header(
      `*** Log file not found on worker '${host}'. This attempt may have run on a different worker whose logs are no longer accessible. Consider configuring remote logging (S3, GCS, etc.) for log persistence.`
    )
  }
}

const print = (
  { run, task: { mapIndex, spec } }: RunTable.TaskInstance,
  entry: TaskLog.Entry
): ReadonlyArray<string> => {
  const line = (source: string, text: string) => `[${isoTime(entry.at).replace("Z", "+0000")}] {${source}} ${text}`
  const index = mapIndex < 0 ? "" : `, map_index=${mapIndex}`
  const identity = `dag_id=${run.dagId}, task_id=${spec.taskId}, run_id=${run.runId}${index}`
  switch (entry._tag) {
    case "Started":
      return [
        line("local_task_job_runner.py:123", "INFO - ::group::Pre task execution logs"),
        line("taskinstance.py:2885", `INFO - Starting attempt ${entry.attempt} of ${entry.of}`),
        line("taskinstance.py:740", "INFO - ::endgroup::")
      ]
    case "Printed":
      return [line("logging_mixin.py:190", `INFO - ${entry.line}`)]
    case "Returned":
      return [line("python.py:240", `INFO - Done. Returned value was: ${Python.str(entry.value)}`)]
    case "Raised":
      return [
        line("taskinstance.py:3313", "ERROR - Task failed with exception"),
        "Traceback (most recent call last):",
        `  File "/usr/local/airflow/dags/${run.spec.file ?? `${run.dagId}.py`}", line 1, in ${spec.taskId}`,
        `${entry.error.type}: ${entry.error.value}`
      ]
    case "Ended":
      switch (entry.state) {
        case "success":
          return [
            line("taskinstance.py:361", `INFO - Marking task as SUCCESS. ${identity}`),
            line("local_task_job_runner.py:266", "INFO - Task exited with return code 0")
          ]
        case "killed":
          return [
            line("taskinstance.py:3094", "ERROR - Received SIGTERM. Terminating subprocesses."),
            line("local_task_job_runner.py:266", "INFO - Task exited with return code -15")
          ]
        default:
          return [
            line("taskinstance.py:1226", `INFO - Marking task as ${entry.state.toUpperCase()}. ${identity}`),
            line("local_task_job_runner.py:266", "INFO - Task exited with return code 1")
          ]
      }
  }
}
