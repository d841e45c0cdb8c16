/** How the text of a variable becomes a value, whatever its kind: a blank one counts as not set, and one outside its bounds is invalid. */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Durations from "./duration.js"

/** Not trimmed: it may be a password. */
export const text = (name: string): Config.Config<string> =>
  Config.nested(
    Config.mapOrFail(Config.string(), (value) =>
      value.trim() === ""
        ? Either.left(ConfigError.MissingData([], "expected it not to be blank"))
        : Either.right(value)),
    name
  )

export const oneOf = <const A extends string>(name: string, values: ReadonlyArray<A>): Config.Config<A> =>
  parsed(name, values.join(", "), (value) => Option.fromNullable(values.find((one) => one === value)))

export const boolean = (name: string): Config.Config<boolean> =>
  parsed(name, "true or false", (value) => Record.get(booleans, value.toLowerCase()))

export const wholeNumber = (name: string, [least, most]: readonly [least: number, most: number]) =>
  parsed(
    name,
    `a whole number from ${least} to ${most}`,
    (value) => Option.filter(wholeNumberOf(value), (number) => number >= least && number <= most)
  )

export type Bounds = readonly [least: Duration.DurationInput, most: Duration.DurationInput]

export const duration = (name: string, [least, most]: Bounds): Config.Config<Duration.Duration> =>
  parsed(
    name,
    `a duration from ${shown(least)} to ${shown(most)}, ${Durations.example}`,
    (value) => Option.filter(Durations.parse(value), Duration.between({ minimum: least, maximum: most }))
  )

/** For a value that is no secret: the message contains it. */
export const parsed = <A>(
  name: string,
  expected: string,
  parse: (value: string) => Option.Option<A>
): Config.Config<A> =>
  Config.mapOrFail(text(name), (value) =>
    Either.fromOption(
      parse(value.trim()),
      () => ConfigError.InvalidData([], `expected ${expected}, not ${JSON.stringify(value.trim().slice(0, 60))}`)
    ))

// internal

const booleans: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  "1": true,
  false: false,
  no: false,
  off: false,
  "0": false
}

const wholeNumberOf = (value: string): Option.Option<number> =>
  /^\d{1,15}$/.test(value) ? Option.some(Number(value)) : Option.none()

const shown = (duration: Duration.DurationInput) => String(duration)
