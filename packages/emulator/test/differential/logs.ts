/** The part of a task log that is compared: the lines that clients search for, and the format of their items. */
import type { HttpResponse } from "../client.js"

/** All other lines are Airflow's own messages, which differ in every version. */
const compared = new RegExp(
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

/** A line without its time and source, and without the number of the try, which only a real task prints. */
const message = (line: string) =>
  line
    .replace(/^\[[^\]]+\] \{[^}]+\} /, "")
    .replace(/on worker '[^']+'/, "on worker 'HOST'")
    .replace(/(about to fail), try \d/, "$1")
    .replace(/(?:, |\b)(?:execution_date|start_date|end_date|duration)=[^,]*/g, "")

/** An indented line is source code in a traceback. */
const isCompared = (line: string) => compared.test(line) && !line.startsWith("    ")

/** Sorted and without duplicates: the streams of a log are interleaved in any order, and may repeat lines. */
const set = (lines: ReadonlyArray<string>) => [...new Set(lines.map(message).filter(isCompared))].sort()

/** Airflow 2 returns a Python list of one tuple, host and text, as a JSON string. */
const pythonLog = (content: string) => {
  const [, text] = /^\[\(['"].*?['"], ['"](.*)['"]\)\]$/s.exec(content) ?? []
  return text === undefined ? "not a list of one tuple" : set(text.split("\\n"))
}

interface Item {
  readonly event: string
}

/** Items are compared as a whole, without the values that depend on Airflow's source code. */
const items = (content: ReadonlyArray<Item | string>) => {
  const found = content.map((item) => typeof item === "string" ? { event: item } : item)
    .map((item) => ({ ...item, event: message(item.event), ...("filename" in item ? { filename: "a file" } : {}) }))
    .map((item) => "error_detail" in item ? { ...item, error_detail: errors(item.error_detail) } : item)
    .filter(({ event }) => isCompared(event))
  return [...new Map(found.map((item) => [item.event, item])).values()].sort((a, b) => a.event < b.event ? -1 : 1)
}

/** All frames but the last are in Airflow's source code. */
const errors = (all: unknown) =>
  Array.isArray(all)
    ? all.map((error) => ({ ...error, frames: error.frames.slice(-1).map((frame: object) => Object.keys(frame)) }))
    : all

export const log = (response: HttpResponse): unknown => {
  if (response.contentType.startsWith("application/x-ndjson")) {
    return items(response.text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)))
  }
  if (response.json === undefined || response.status !== 200) return response.json ?? set(response.text.split("\n"))
  const { content, ...rest } = response.json
  return { ...rest, log: typeof content === "string" ? pythonLog(content) : items(content) }
}
