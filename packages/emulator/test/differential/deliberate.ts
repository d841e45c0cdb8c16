/** Where the emulator differs on purpose, and why. An entry that no longer matches anything fails the test. */
import type { Difference } from "./compare.js"

interface Deliberate {
  /** Matches the names of steps. */
  readonly step: RegExp
  readonly path: RegExp
  readonly why: string
  /** Matches the server's version; every version by default. */
  readonly version?: RegExp
}

const deliberate: ReadonlyArray<Deliberate> = [
  {
    step: /mapped/,
    path: /^body\.(task_instances\[\]\.)?rendered_fields\.op_(kwargs|args)/,
    why: "DAGs as data do not describe the arguments of a task"
  },
  {
    step: /^trigger with a date/,
    path: /^body\.data_interval_/,
    version: /^2\./,
    why: "Airflow 2 aligns the interval with the DAG's schedule, and DAGs as data have no schedule"
  },
  {
    step: /unlimited/,
    path: /^body\.detail$/,
    version: /^2\./,
    why: "Airflow 2 quotes the part of its own specification that an unlimited pool violates"
  },
  {
    step: /^trigger with a list$/,
    path: /^/,
    version: /^3\.0/,
    why: "3.0 crashes on a body that is not an object; the emulator reports the error like later versions"
  }
]

const used = new Set<Deliberate>()

const applies = (entry: Deliberate, version: string) => entry.version?.test(version) !== false

export const isDeliberate = (version: string, step: string, { path }: Difference): boolean => {
  const matching = deliberate.filter((entry) =>
    applies(entry, version) && entry.step.test(step) && entry.path.test(path)
  )
  for (const entry of matching) used.add(entry)
  return matching.length > 0
}

/** The reasons of the entries that no step of this version needed. */
export const unused = (version: string): ReadonlyArray<string> =>
  deliberate.filter((entry) => applies(entry, version) && !used.has(entry)).map(({ why }) => why)
