/** The log of a task, as Airflow 2 writes and serves it: plain text, or a Python list of tuples inside JSON. */
import { type Reply, reply } from "../../Http.js"
import { isoTime } from "../../World.js"
import * as Python from "../Python.js"
import * as RunTable from "../RunTable.js"
import type { Call } from "../Site.js"
import * as TaskLog from "../TaskLog.js"
import * as Tokens from "../Tokens.js"
import { isAtLeast } from "../Version.js"
import { ok, problem } from "./Answers.js"

const host = "airflow-host"

export const get = (call: Call, instance: RunTable.Instance, attempt: number): Reply => {
  const { headers, query } = call.request
  const token = query.get("token")
  const from = token === null ? 0 : positionOf(token)
  if (from === undefined) {
    return problem(call, 400, "Bad Signature. Please use only the tokens provided by the API.", null)
  }
  const found = render(call, instance, attempt)
  const rest = found.text.slice(from)
  const accept = headers.accept ?? "*/*"
  if (accept.includes("text/plain") || accept === "*/*") return reply(200, "text/plain", `${found.host}\n${rest}\n`)
  const isEnd = (instance.task.attempts.find(({ number }) => number === attempt)?.endedAt ?? 0) <= call.now
  return ok({
    content: `[(${Python.repr(found.host)}, ${Python.repr(rest)})]`,
    continuation_token: Tokens.sign({ end_of_log: isEnd, log_pos: found.text.length })
  })
}

const positionOf = (token: string): number | undefined => {
  const opened = Tokens.open(token) as { readonly log_pos?: number } | undefined
  return opened?.log_pos
}

const render = (call: Call, instance: RunTable.Instance, attempt: number): { host: string; text: string } => {
  const { run, task } = instance
  const header = (...words: ReadonlyArray<string>) =>
    [" INFO - ::group::Log message source details", ...words, " INFO - ::endgroup::", ""].join("\n")
  if (attempt === 0) return { host: "default_host", text: "Error fetching the logs. Try number 0 is invalid." }
  const file = TaskLog.fileOf(run, task, attempt)
  const entries = RunTable.logOf(call, instance, attempt)
  if (entries.length > 0) {
    const text = entries.flatMap((entry) => print(instance, entry)).join("\n")
    return { host, text: `${header(`*** Found local files:\n***   * /usr/local/airflow/logs/${file}`)}${text}\n` }
  }
  // the worker is asked once the task has ended
  if (task.state === null || task.state === "scheduled") return { host: "", text: header() }
  if (task.tryNumber === 0) {
    const words = `*** Could not read served logs: Invalid URL 'http://:8793/log/${file}': No host supplied`
    return { host: "", text: header(words) }
  }
  if (!isAtLeast(call.version, "2.11")) {
    const url = `http://${host}:8793/log/${file}`
    const words = `*** Could not read served logs: 404 Client Error: NOT FOUND for url: ${url}`
    return { host, text: header(words) }
  }
  return {
    host,
    text: header(
      `*** Log file not found on worker '${host}'. This attempt may have run on a different worker whose logs are no longer accessible. Consider configuring remote logging (S3, GCS, etc.) for log persistence.`
    )
  }
}

const print = ({ run, task: { mapIndex, task } }: RunTable.Instance, entry: TaskLog.Entry): ReadonlyArray<string> => {
  const line = (place: string, text: string) => `[${isoTime(entry.at).replace("Z", "+0000")}] {${place}} ${text}`
  const index = mapIndex < 0 ? "" : `, map_index=${mapIndex}`
  const verdict = `dag_id=${run.dagId}, task_id=${task.taskId}, run_id=${run.runId}${index}`
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
        `  File "/usr/local/airflow/dags/${run.spec.file ?? `${run.dagId}.py`}", line 1, in ${task.taskId}`,
        `${entry.error.type}: ${entry.error.value}`
      ]
    case "Ended":
      switch (entry.state) {
        case "success":
          return [
            line("taskinstance.py:361", `INFO - Marking task as SUCCESS. ${verdict}`),
            line("local_task_job_runner.py:266", "INFO - Task exited with return code 0")
          ]
        case "killed":
          return [
            line("taskinstance.py:3094", "ERROR - Received SIGTERM. Terminating subprocesses."),
            line("local_task_job_runner.py:266", "INFO - Task exited with return code -15")
          ]
        default:
          return [
            line("taskinstance.py:1226", `INFO - Marking task as ${entry.state.toUpperCase()}. ${verdict}`),
            line("local_task_job_runner.py:266", "INFO - Task exited with return code 1")
          ]
      }
  }
}
