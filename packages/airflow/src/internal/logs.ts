/**
 * Parsers for the task logs of both APIs.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { LoggedError, LogLine } from "../TaskLog.js"
import type { ReadLog } from "./primitives.js"

// Airflow 2

/**
 * The first line is the name of the host. Then Airflow says where the log comes from: in a group, or in lines that begin
 * with `***`. All that follows is the log, whatever its lines look like.
 */
export const fromText = (text: string, tryNumber: number): ReadLog => {
  const all = text.split("\n")
  const isGroup = all[1] === " INFO - ::group::Log message source details"
  const end = isGroup
    ? all.indexOf(" INFO - ::endgroup::") + 1
    : all.findIndex((line, index) => index > 0 && !line.startsWith("***"))
  const start = end > 0 ? end : all.length
  const sources = all.slice(1, start).flatMap((line) => {
    const source = /^\*\*\*\s+\* (\S.*)$|^\*\*\* Found logs served from host (.*)$/.exec(line)
    return source === null ? [] : [source[1] ?? source[2] ?? ""]
  })
  const lines = all.slice(start).map((line) => parseLine(line, tryNumber))
  while (lines.at(-1)?.message === "") lines.pop()
  return { sources, lines: withErrors(lines).filter((line) => !isGroupMarker(line)) }
}

/** Airflow's own group markers. What a task prints has another logger. */
const isGroupMarker = ({ logger, message }: LogLine) =>
  /^::(end)?group::/.test(message) &&
  Option.exists(logger, (name) => /^(taskinstance|local_task_job_runner)\.py:|^task$/.test(name))

const parseLine = (line: string, tryNumber: number): LogLine => {
  const [, time, logger, level, message] = /^\[([^\]]+)\] \{([^}]*)\} ([A-Z]+) - (.*)$/.exec(line) ?? []
  const common = { tryNumber, fields: {}, errors: [] }
  return message === undefined
    ? { ...common, timestamp: Option.none(), level: Option.none(), logger: Option.none(), message: line }
    : { ...common, timestamp: timeOf(time), level: Option.some(level!), logger: Option.some(logger!), message }
}

/**
 * Adds the exception of each traceback to the traceback's last line. A traceback follows the message that it was logged
 * with; one that the task printed is only text.
 */
const withErrors = (lines: ReadonlyArray<LogLine>): ReadonlyArray<LogLine> => {
  let frames: Array<LoggedError["frames"][number]> | undefined
  let isPrinted = false
  return lines.map((line) => {
    if (Option.isSome(line.logger)) {
      frames = undefined
      isPrinted = line.logger.value.startsWith("logging_mixin.py:")
      return line
    }
    if (isPrinted) return line
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

/** A line: either text or structured. */
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

const JsonItem = Schema.parseJson(Item)

export const LogBody = Schema.Struct({ content: Schema.Array(Item) })

/**
 * The first group names the sources of the log, up to 3.1 in a member, later one in each line. Structured lines without
 * a level are Airflow's own remarks about the log; what a task prints has a level.
 */
export const fromItems = (items: ReadonlyArray<typeof Item.Type>, tryNumber: number): ReadLog => {
  const sources: Array<string> = []
  const lines: Array<LogLine> = []
  let inHeader = false
  for (const item of items) {
    if (typeof item === "string") {
      lines.push(parseLine(item, tryNumber))
    } else if (typeof item.level === "string") {
      const line = toLine(item, tryNumber)
      if (item["chan"] !== undefined || !isGroupMarker(line)) lines.push(line)
    } else {
      sources.push(...item.sources ?? [])
      if (item.event.startsWith("::group::")) inHeader = true
      else if (item.event.startsWith("::endgroup::")) inHeader = false
      else if (inHeader) sources.push(item.event)
    }
  }
  return { sources, lines }
}

/** The last of these lines. Each is an item in JSON; the first one may be incomplete. */
export const fromJsonLines = (text: string, tryNumber: number): ReadLog =>
  fromItems(
    text.split("\n").slice(-lastLines).flatMap((line) => Option.toArray(Schema.decodeOption(JsonItem)(line))),
    tryNumber
  )

const lastLines = 200

/** Members that are in every line. All others are fields that were logged with the message. */
const standardMembers = new Set([
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

const toLine = (item: Exclude<typeof Item.Type, string>, tryNumber: number): LogLine => ({
  tryNumber,
  timestamp: timeOf(item.timestamp ?? undefined),
  level: Option.map(Option.fromNullable(item.level), (level) => level.toUpperCase()),
  logger: Option.fromNullable(item.logger),
  message: item.event,
  fields: Object.fromEntries(
    Object.entries(item).filter(([name, value]) => !standardMembers.has(name) && value !== null && value !== undefined)
  ),
  // Airflow 3 logs the exception first and then its causes, Airflow 2 as Python does the other way round
  errors: (item.error_detail ?? []).map(({ exc_type, exc_value, frames }) => ({
    type: exc_type,
    value: exc_value,
    frames: (frames ?? []).map(({ filename, lineno, name }) => ({ file: filename, line: lineno, name }))
  })).reverse()
})

/** Airflow 2 writes UTC offsets without a colon. */
const timeOf = (text: string | undefined) =>
  text === undefined ? Option.none() : DateTime.make(text.replace(/([+-]\d\d)(\d\d)$/, "$1:$2"))
