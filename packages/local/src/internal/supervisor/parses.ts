/**
 * When Airflow has parsed a DAG file, from the log that it keeps for each.
 *
 * The rows of its DAGs do not tell: with what a parse has found that began before a change, Airflow stores the file's new text.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as path from "node:path"

/**
 * The times after `after` at which parses of the file began, oldest first. A file is not parsed by two at once: when one begins, the
 * result of the one before is stored.
 */
export const begunAfter = (home: string, file: string, after: number): ReadonlyArray<number> => {
  const times = logsOf(home, file).flatMap((log) =>
    Array.from(tail(log).matchAll(/^.*Filling up the DagBag from .*$/gm), ([line]) => timeOf(line)).flat()
  )
  // a folder may have two names
  return Array.from(new Set(times)).filter((time) => time > after).sort((a, b) => a - b)
}

// internal

/** Airflow 2 and 3 have a folder for each day. */
const logsOf = (home: string, file: string): ReadonlyArray<string> =>
  ["scheduler", "dag_processor"].flatMap((component) => {
    const folder = path.join(home, "logs", component)
    return (fs.existsSync(folder) ? fs.readdirSync(folder) : []).flatMap((date) => [
      path.join(folder, date, `${file}.log`),
      path.join(folder, date, "dags-folder", `${file}.log`)
    ])
  })

/** Bytes: enough for the parses of some minutes. */
const longest = 256 * 1024

const tail = (file: string): string => {
  const stat = fs.statSync(file, { throwIfNoEntry: false })
  if (stat?.isFile() !== true) return ""
  const buffer = Buffer.alloc(Math.min(stat.size, longest))
  const descriptor = fs.openSync(file, "r")
  try {
    return buffer.toString("utf8", 0, fs.readSync(descriptor, buffer, 0, buffer.length, stat.size - buffer.length))
  } finally {
    fs.closeSync(descriptor)
  }
}

/** Airflow 2 begins a line with the time, Airflow 3 has it as a field. */
const timeOf = (line: string): ReadonlyArray<number> => {
  const [, two, three] = /^\[([^\]]+)\]|"timestamp": ?"([^"]+)"/.exec(line) ?? []
  return Option.toArray(Option.map(DateTime.make(two ?? three ?? ""), DateTime.toEpochMillis))
}
