/** Times as Airflow prints and parses them: with microseconds, which Python leaves out if they are zero. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import { isoTime } from "../World.js"

/** `2026-11-22T18:15:50.344677`, without a time zone. */
const print = (micros: number): string => {
  const seconds = Math.floor(micros / 1_000_000)
  const fraction = Math.floor(micros % 1_000_000)
  const whole = isoTime(seconds * 1000).slice(0, 19)
  return `${whole}${fraction === 0 ? "" : `.${String(fraction).padStart(6, "0")}`}`
}

/** `2026-11-22T18:15:50.344677+00:00`, as Airflow 2 and Python print it. */
export const offset = (micros: number): string => `${print(micros)}+00:00`

/** `2026-11-22T18:15:50.344677Z`, as Airflow 3 prints it. */
export const zulu = (micros: number): string => `${print(micros)}Z`

export const micros = (millis: number): number => Math.floor(millis * 1000)

const zoned = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})$/

/** The microseconds of a time with a time zone; `undefined` for anything else. */
export const parse = (text: unknown): number | undefined => {
  const [, seconds, fraction = "", zone] = typeof text === "string" ? zoned.exec(text) ?? [] : []
  if (seconds === undefined) return undefined
  // DateTime has only milliseconds
  const fractionMicros = Number(fraction.slice(0, 6).padEnd(6, "0"))
  return Option.getOrUndefined(
    Option.map(DateTime.make(`${seconds}${zone}`), (date) => date.epochMillis * 1000 + fractionMicros)
  )
}
