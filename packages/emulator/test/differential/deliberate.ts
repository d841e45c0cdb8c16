/** Where the emulator is meant to differ, and why. An entry that matches nothing any more fails the test. */
import type { Difference } from "./compare.js"

interface Deliberate {
  readonly call: RegExp
  readonly path: RegExp
  readonly why: string
  /** Of the server; every version by default. */
  readonly version?: RegExp
}

const deliberate: ReadonlyArray<Deliberate> = [
  {
    call: /mapped/,
    path: /^body\.(task_instances\[\]\.)?rendered_fields\.op_(kwargs|args)/,
    why: "a DAG as data says what its tasks do, not what they are called with"
  },
  {
    call: /^trigger with a date/,
    path: /^body\.data_interval_/,
    version: /^2\./,
    why: "by its schedule, which the emulator's DAGs have none of, Airflow 2 moves the interval of a scheduled DAG"
  },
  {
    call: /endless/,
    path: /^body\.detail$/,
    version: /^2\./,
    why: "Airflow 2 quotes the part of its own specification that an endless pool breaks"
  },
  {
    call: /^trigger with a list$/,
    path: /^/,
    version: /^3\.0/,
    why: "3.0 crashes on a body that is no object; the emulator says what is wrong with it, as later versions do"
  }
]

const used = new Set<Deliberate>()

const applies = (one: Deliberate, version: string) => one.version?.test(version) !== false

export const isDeliberate = (version: string, call: string, { path }: Difference): boolean => {
  const found = deliberate.filter((one) => applies(one, version) && one.call.test(call) && one.path.test(path))
  for (const one of found) used.add(one)
  return found.length > 0
}

/** Those that no call of this version needed. */
export const unused = (version: string): ReadonlyArray<string> =>
  deliberate.filter((one) => applies(one, version) && !used.has(one)).map(({ why }) => why)
