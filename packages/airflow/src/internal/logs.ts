/**
 * Task logs as the two APIs give them, made into one model.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { LoggedError, LogLine } from "../TaskLog.js"

interface Read {
  readonly lines: ReadonlyArray<LogLine>
  readonly sources: ReadonlyArray<string>
}

// Airflow 2

/** The first line is the host; what Airflow says of the log itself starts with stars or stands in groups. */
export const fromText = (text: string, tryNumber: number): Read => {
  const sources: Array<string> = []
  const lines: Array<LogLine> = []
  for (const line of text.split("\n").slice(1)) {
    const source = /^\*\*\*\s+\* (\S.*)$|^\*\*\* Found logs served from host (.*)$/.exec(line)
    if (source !== null) sources.push(source[1] ?? source[2] ?? "")
    else if (!/^\*\*\*|^ ?\w* ?-? ?::(end)?group::|- ::(end)?group::/.test(line)) {
      lines.push(parse(line, tryNumber))
    }
  }
  while (lines.at(-1)?.message === "") lines.pop()
  return { sources, lines: withErrors(lines) }
}

const parse = (line: string, tryNumber: number): LogLine => {
  const [, time, place, level, message] = /^\[([^\]]+)\] \{([^}]*)\} ([A-Z]+) - (.*)$/.exec(line) ?? []
  const plain = { tryNumber, fields: {}, errors: [] }
  return message === undefined
    ? { ...plain, timestamp: Option.none(), level: Option.none(), logger: Option.none(), message: line }
    : { ...plain, timestamp: timeOf(time), level: Option.some(level!), logger: Option.some(place!), message }
}

/** The last line of each traceback gets what the traceback tells. */
const withErrors = (lines: ReadonlyArray<LogLine>): ReadonlyArray<LogLine> => {
  let frames: Array<LoggedError["frames"][number]> | undefined
  return lines.map((line) => {
    if (line.message === "Traceback (most recent call last):") {
      frames = []
      return line
    }
    if (frames === undefined) return line
    const frame = /^ {2}File "(.*)", line (\d+), in (.*)$/.exec(line.message)
    if (frame !== null) {
      frames.push({ file: frame[1]!, line: Number(frame[2]), name: frame[3]! })
      return line
    }
    if (/^\s/.test(line.message)) return line
    const [, type = "", value = ""] = /^([\w.]+)(?:: (.*))?$/.exec(line.message) ?? []
    const errors = type === "" ? [] : [{ type: type.split(".").at(-1)!, value, frames }]
    frames = undefined
    return { ...line, errors }
  })
}

// Airflow 3

const Frame = Schema.Struct({ filename: Schema.String, lineno: Schema.Number, name: Schema.String })
const ErrorDetail = Schema.Struct({
  exc_type: Schema.String,
  exc_value: Schema.String,
  frames: Schema.optional(Schema.NullOr(Schema.Array(Frame)))
})

/** Either text, or the members of a structured line. */
const Item = Schema.Union(
  Schema.String,
  Schema.Struct(
    {
      event: Schema.String,
      timestamp: Schema.optional(Schema.NullOr(Schema.String)),
      level: Schema.optional(Schema.NullOr(Schema.String)),
      logger: Schema.optional(Schema.NullOr(Schema.String)),
      sources: Schema.optional(Schema.NullOr(Schema.Array(Schema.String))),
      error_detail: Schema.optional(Schema.NullOr(Schema.Array(ErrorDetail)))
    },
    { key: Schema.String, value: Schema.Unknown }
  )
)

export const LogBody = Schema.Struct({ content: Schema.Array(Item) })

/** The first group tells where the log is from; up to 3.1 as a member, later as lines. What has neither time nor level is about the log. */
export const fromItems = (items: ReadonlyArray<typeof Item.Type>, tryNumber: number): Read => {
  const sources: Array<string> = []
  const lines: Array<LogLine> = []
  let inHeader = false
  for (const item of items) {
    if (typeof item === "string") {
      lines.push(parse(item, tryNumber))
      continue
    }
    const { event } = item
    sources.push(...item.sources ?? [])
    if (event.startsWith("::group::")) inHeader = event.includes("Log message source details")
    else if (event.startsWith("::endgroup::")) inHeader = false
    else if (inHeader) sources.push(event)
    else if (typeof item.level === "string") lines.push(structured(item, tryNumber))
  }
  return { sources, lines }
}

/** What every line says of its task. */
const known = new Set([
  "event",
  "timestamp",
  "level",
  "logger",
  "sources",
  "error_detail",
  "filename",
  "lineno",
  "dag_id",
  "run_id",
  "task_id",
  "try_number",
  "map_index",
  "ti",
  "ti_id",
  "chan"
])

const structured = (item: Exclude<typeof Item.Type, string>, tryNumber: number): LogLine => ({
  tryNumber,
  timestamp: timeOf(item.timestamp ?? undefined),
  level: Option.map(Option.fromNullable(item.level), (level) => level.toUpperCase()),
  logger: Option.fromNullable(item.logger),
  message: item.event,
  fields: Object.fromEntries(
    Object.entries(item).filter(([name, value]) => !known.has(name) && value !== null && value !== undefined)
  ),
  errors: (item.error_detail ?? []).map(({ exc_type, exc_value, frames }) => ({
    type: exc_type,
    value: exc_value,
    frames: (frames ?? []).map(({ filename, lineno, name }) => ({ file: filename, line: lineno, name }))
  }))
})

/** Airflow 2 writes its offset without a colon. */
const timeOf = (text: string | undefined) =>
  text === undefined ? Option.none() : DateTime.make(text.replace(/([+-]\d\d)(\d\d)$/, "$1:$2"))
