/** Durations as people type them. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/** `5s`, `10m`, `1h 30m`, `5 minutes`, `PT5M`; `0`, but no other number without a unit. */
export const parse = (text: string): Option.Option<Duration.Duration> => {
  const trimmed = text.trim()
  if (trimmed === "0") return Option.some(Duration.zero)
  if (!whole.test(trimmed)) return Duration.fromIso(trimmed.toUpperCase())
  const millis = Array.from(trimmed.matchAll(part), ([, count, unit]) => Number(count) * millisOf(unit!))
  return Option.some(Duration.millis(millis.reduce((sum, more) => sum + more, 0)))
}

/** The forms, for messages. */
export const example = "such as `10 minutes`, `10m` or `PT10M`"

// internal

const source =
  "(\\d+(?:\\.\\d+)?)\\s*(ms|millis(?:econds?)?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)(?![a-z])\\s*"
const part = new RegExp(source, "gi")
const whole = new RegExp(`^(?:${source})+$`, "i")

const millisOf = (unit: string): number => /^(ms|milli)/i.test(unit) ? 1 : perUnit[unit[0]!.toLowerCase()]!

const perUnit: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000
}
