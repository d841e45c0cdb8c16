/** The log of a task, as Airflow 2 writes and serves it: plain text, or a Python list of tuples inside JSON. */
import { createHash } from "node:crypto"
import type { RunFacts, TaskRun } from "./Runs.js"
import { isoTime } from "./World.js"

/** What has been printed by `now`. */
export const render = (run: RunFacts, task: TaskRun, attempt: number, now: number): { host: string; text: string } => {
  const { taskId } = task.task
  const header = (words: string) => ` INFO - ::group::Log message source details\n${words}\n INFO - ::endgroup::\n`
  if (attempt === 0) return { host: "default_host", text: "Error fetching the logs. Try number 0 is invalid." }
  const file = `dag_id=${run.dagId}/run_id=${run.runId}/task_id=${taskId}/attempt=${attempt}.log`
  if (task.startedAt === null || task.tryNumber === 0) {
    return {
      host: "",
      text: header(`*** Could not read served logs: Invalid URL 'http://:8793/log/${file}': No host supplied`)
    }
  }
  if (attempt !== task.tryNumber) {
    return {
      host,
      text: header(
        `*** Log file not found on worker '${host}'. This attempt may have run on a different worker whose logs are no longer accessible. Consider configuring remote logging (S3, GCS, etc.) for log persistence.`
      )
    }
  }
  const start = task.startedAt
  const end = task.endedAt ?? Infinity
  const lines = typeof task.task.log === "string" ? task.task.log.split("\n") : task.task.log
  const printed = [
    at(start, "local_task_job_runner.py:123", "INFO - ::group::Pre task execution logs"),
    at(start, "taskinstance.py:2885", "INFO - Starting attempt 1 of 1"),
    at(start, "taskinstance.py:740", "INFO - ::endgroup::"),
    // a task that is still at work has printed what it prints; how far it has come is not modelled
    ...lines.map((line) => at(start, "logging_mixin.py:190", `INFO - ${line}`))
  ]
  if (now >= end) printed.push(...ending(run, task, end))
  return {
    host,
    text: `${header(`*** Found local files:\n***   * /usr/local/airflow/logs/${file}`)}${printed.join("\n")}\n`
  }
}

const host = "airflow-host"

const at = (millis: number, place: string, text: string) =>
  `[${isoTime(millis).replace("Z", "+0000")}] {${place}} ${text}`

const ending = (run: RunFacts, task: TaskRun, end: number): ReadonlyArray<string> => {
  const { taskId } = task.task
  const verdict = `dag_id=${run.dagId}, task_id=${taskId}, run_id=${run.runId}`
  if (task.state === "success") {
    return [
      at(end, "taskinstance.py:361", `INFO - Marking task as SUCCESS. ${verdict}`),
      at(end, "local_task_job_runner.py:266", "INFO - Task exited with return code 0")
    ]
  }
  if (task.killed || run.forced !== null) {
    return [
      at(end, "taskinstance.py:3094", "ERROR - Received SIGTERM. Terminating subprocesses."),
      at(end, "local_task_job_runner.py:266", "INFO - Task exited with return code -15")
    ]
  }
  return [
    at(end, "taskinstance.py:3313", "ERROR - Task failed with exception"),
    "Traceback (most recent call last):",
    `  File "/usr/local/airflow/dags/${run.dagId}.py", line 1, in ${taskId}`,
    `airflow.exceptions.AirflowException: The task ${taskId} failed`,
    at(end, "taskinstance.py:1226", `INFO - Marking task as FAILED. ${verdict}`),
    at(end, "local_task_job_runner.py:266", "INFO - Task exited with return code 1")
  ]
}

/** `[('host', 'text')]` as Python prints it. */
export const pythonList = (name: string, text: string): string => `[(${repr(name)}, ${repr(text)})]`

const repr = (text: string): string => {
  const quote = text.includes("'") && !text.includes("\"") ? "\"" : "'"
  const escaped = Array.from(text, (character) => {
    if (character === quote || character === "\\") return `\\${character}`
    if (character === "\n") return "\\n"
    if (character === "\r") return "\\r"
    if (character === "\t") return "\\t"
    const code = character.codePointAt(0) ?? 0
    return code < 32 || (code >= 127 && code < 161) ? `\\x${code.toString(16).padStart(2, "0")}` : character
  })
  return `${quote}${escaped.join("")}${quote}`
}

/** Where to read on: signed, so that a made-up one is refused. */
export const continuation = (position: number, isEnd: boolean): string => {
  const payload = Buffer.from(JSON.stringify({ end_of_log: isEnd, log_pos: position })).toString("base64url")
  return `${payload}.${sign(payload)}`
}

/** The position in a token of {@link continuation}; `undefined` for any other text. */
export const positionOf = (token: string): number | undefined => {
  const [payload = "", signature] = token.split(".")
  if (signature !== sign(payload)) return undefined
  return (JSON.parse(Buffer.from(payload, "base64url").toString()) as { log_pos: number }).log_pos
}

const sign = (payload: string) => createHash("sha256").update(`continue ${payload}`).digest("base64url").slice(0, 27)
