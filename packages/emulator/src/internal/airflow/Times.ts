/** Times as Airflow prints and reads them: with microseconds, which a whole second lacks, as in Python. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import { isoTime } from "../World.js"

/** `2026-11-22T18:15:50.344677`, without a zone. */
const print = (micros: number): string => {
  const seconds = Math.floor(micros / 1_000_000)
  const fraction = Math.floor(micros % 1_000_000)
  const whole = isoTime(seconds * 1000).slice(0, 19)
  return `${whole}${fraction === 0 ? "" : `.${String(fraction).padStart(6, "0")}`}`
}

/** `2026-11-22T18:15:50.344677+00:00`: Airflow 2, and what Python prints. */
export const offset = (micros: number): string => `${print(micros)}+00:00`

/** `2026-11-22T18:15:50.344677Z`: Airflow 3. */
export const zulu = (micros: number): string => `${print(micros)}Z`

export const micros = (millis: number): number => Math.floor(millis * 1000)

const zoned = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})$/

/** The microseconds of a date with a zone; `undefined` for anything else. */
export const read = (text: unknown): number | undefined => {
  const [, seconds, fraction = "", zone] = typeof text === "string" ? zoned.exec(text) ?? [] : []
  if (seconds === undefined) return undefined
  // a date knows no more than milliseconds
  const beyond = Number(fraction.slice(0, 6).padEnd(6, "0"))
  return Option.getOrUndefined(
    Option.map(DateTime.make(`${seconds}${zone}`), (date) => date.epochMillis * 1000 + beyond)
  )
}
