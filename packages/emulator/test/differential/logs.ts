/** What of a task's log is compared: what a client looks for in it, and the form of the items that hold it. */
import type { Answer } from "../client.js"

/** The rest is Airflow's own account of what it does, which every version words anew. */
const telling = new RegExp(
  [
    "::group::Log message source details",
    "Found local files",
    "Hello World",
    "conf:",
    "about to fail",
    "ValueError",
    "doubling",
    "total 12",
    "tick 0",
    "Task failed with exception",
    "Marking task as",
    "Returned value was",
    "Error fetching",
    "Could not read",
    "Log file not found",
    "TaskInstance not found",
    "did not run because"
  ].join("|")
)

/** A line without its time and place. Which try it is is known to the task only. */
const words = (line: string) =>
  line
    .replace(/^\[[^\]]+\] \{[^}]+\} /, "")
    .replace(/on worker '[^']+'/, "on worker 'HOST'")
    .replace(/(about to fail), try \d/, "$1")
    .replace(/(?:, |\b)(?:execution_date|start_date|end_date|duration)=[^,]*/g, "")

/** What is indented is source code below a traceback. */
const isTold = (line: string) => telling.test(line) && !line.startsWith("    ")

/** Each once and in the order of the alphabet: streams are not in order among themselves, and may repeat themselves. */
const set = (lines: ReadonlyArray<string>) => [...new Set(lines.map(words).filter(isTold))].sort()

/** Airflow 2 puts a Python list of one tuple into JSON: the host, and the text. */
const python = (content: string) => {
  const [, text] = /^\[\(['"].*?['"], ['"](.*)['"]\)\]$/s.exec(content) ?? []
  return text === undefined ? "no list of a tuple" : set(text.split("\\n"))
}

interface Item {
  readonly event: string
}

/** An item is compared as a whole, without what only its place in the source decides. */
const items = (content: ReadonlyArray<Item | string>) => {
  const found = content.map((item) => typeof item === "string" ? { event: item } : item)
    .map((item) => ({ ...item, event: words(item.event), ...("filename" in item ? { filename: "a file" } : {}) }))
    .map((item) => "error_detail" in item ? { ...item, error_detail: errors(item.error_detail) } : item)
    .filter(({ event }) => isTold(event))
  return [...new Map(found.map((item) => [item.event, item])).values()].sort((a, b) => a.event < b.event ? -1 : 1)
}

/** The frames are Airflow's own but for the last. */
const errors = (all: unknown) =>
  Array.isArray(all)
    ? all.map((error) => ({ ...error, frames: error.frames.slice(-1).map((frame: object) => Object.keys(frame)) }))
    : all

export const log = (answer: Answer): unknown => {
  if (answer.contentType.startsWith("application/x-ndjson")) {
    return items(answer.text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)))
  }
  if (answer.json === undefined || answer.status !== 200) return answer.json ?? set(answer.text.split("\n"))
  const { content, ...rest } = answer.json
  return { ...rest, log: typeof content === "string" ? python(content) : items(content) }
}
