/**
 * When Airflow has parsed a DAG file, from the log that it keeps for each.
 *
 * The rows of its DAGs do not tell: with what a parse has found that began before a change, Airflow stores the file's new text.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Logs from "./logs.js"

/**
 * The times after `after` at which parses of the file began, oldest first. A file is not parsed by two at once: when one begins, the
 * result of the one before is stored.
 */
export const begunAfter = (home: string, file: string, after: number): ReadonlyArray<number> => {
  const times = parsesOf(home, file).map(({ begun }) => begun)
  // a folder may have two names
  return Array.from(new Set(times)).filter((time) => time > after).sort((a, b) => a - b)
}

/**
 * Why the parse that began then has no result, if its process was killed or has crashed: Airflow stores nothing of it, as of a file
 * without a DAG.
 */
export const deathOf = (home: string, file: string, begun: number): string | undefined => {
  const own = parsesOf(home, file).find((parse) => parse.begun === begun)
  if (own === undefined) return undefined
  const { log, next = Infinity, text } = own
  if (isOfAirflow2(log)) {
    return next === Infinity || /Processing .* took [\d.]+ seconds/.test(text)
      ? undefined
      : "The process that imported it has crashed or was killed."
  }
  const crash = text.split("\n").find((line) =>
    /"event": ?"(Process (terminated by signal|exited abnormally)|[^"]*SIGSEGV)/.test(line)
  )
  if (crash !== undefined) return `The process that imported it has ended: ${crash}`
  const parts = Logs.tail(path.join(Logs.folderOf(home), "dag-processor.log"), longest).split("\n")
  const kill = parts.find((line) =>
    // its words differ between versions
    /Processor for .* with PID .*killing it/i.test(line) && line.includes(`'${file}'`) &&
    timeOf(line).some((time) => time > begun && time <= next)
  )
  return kill === undefined ? undefined : `It took longer than dag_file_processor_timeout allows: ${kill}`
}

// internal

interface Parse {
  readonly log: string
  readonly begun: number
  /** When the next one began. */
  readonly next: number | undefined
  /** What was logged between them. */
  readonly text: string
}

const parsesOf = (home: string, file: string): ReadonlyArray<Parse> =>
  logsOf(home, file).flatMap((log) => {
    const text = Logs.tail(log, longest)
    const begins = Array.from(text.matchAll(/^.*Filling up the DagBag from .*$/gm), ({ 0: line, index }) =>
      timeOf(line).map((begun) => ({ begun, index }))).flat()
    return begins.map(({ begun, index }, number) => {
      const next = begins[number + 1]
      return { log, begun, next: next?.begun, text: text.slice(index, next?.index) }
    })
  })

const isOfAirflow2 = (log: string) => log.includes("/logs/scheduler/")

/** Airflow 2 and 3 have a folder for each day. */
const logsOf = (home: string, file: string): ReadonlyArray<string> =>
  ["scheduler", "dag_processor"].flatMap((component) => {
    const folder = path.join(Logs.folderOf(home), component)
    return (fs.existsSync(folder) ? fs.readdirSync(folder) : []).flatMap((date) => [
      path.join(folder, date, `${file}.log`),
      path.join(folder, date, "dags-folder", `${file}.log`)
    ])
  })

/** Bytes: enough for the parses of some minutes. */
const longest = 256 * 1024

/** A line begins with the time, or has it as a field. */
const timeOf = (line: string): ReadonlyArray<number> => {
  const [, text, json] = /^\[?(\d{4}-\d\d-\d\dT[^\]\s]+)|"timestamp": ?"([^"]+)"/.exec(line) ?? []
  return Option.toArray(Option.map(DateTime.make(text ?? json ?? ""), DateTime.toEpochMillis))
}
