/** How a subcommand describes its command line. */
import type * as NodeContext from "@effect/platform-node/NodeContext"
import { type Command, InvalidArgumentError, Option } from "commander"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Options from "effect/Option"
import * as Durations from "../duration.js"
import type * as Failure from "./failure.js"

/** Runs what a command line asks for. */
export type Run = (
  command: Effect.Effect<unknown, unknown, NodeContext.NodeContext>,
  exitCodes?: Failure.ExitCodes
) => void

/** Adds a subcommand. */
export type Subcommand = (parent: Command, run: Run) => Command

export interface Format {
  readonly output: "text" | "json"
}

/** The options `--json` and `-o json`. */
export const formats = (command: Command, description = "print one JSON document"): Command =>
  command
    .addOption(new Option("-o, --output <format>", "how to print the result").choices(["text", "json"]).default("text"))
    .addOption(new Option("--json", `${description}, as -o json`).implies({ output: "json" }))

export const isJson = ({ output }: Format): boolean => output === "json"

/** Parses a number within limits. */
export const number = (isValid: (value: number) => boolean, expected: string) => (text: string): number => {
  const value = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : NaN
  if (!isValid(value)) throw new InvalidArgumentError(`It must be ${expected}.`)
  return value
}

/** Parses a text that is not blank. */
export const text = (value: string): string => {
  if (value.trim() === "") throw new InvalidArgumentError("It must not be blank.")
  return value
}

/** Parses a duration of a week at most, and longer than 0. */
export const someTime = (text: string): Duration.Duration => {
  const parsed = duration(text)
  if (Duration.toMillis(parsed) === 0) throw new InvalidArgumentError("It must be longer than 0.")
  return parsed
}

/** Parses a duration of a week at most. */
export const duration = (text: string): Duration.Duration =>
  Options.getOrThrowWith(
    Options.filter(Durations.parse(text), Duration.lessThanOrEqualTo("7 days")),
    () => new InvalidArgumentError(`It must be a duration of 7 days at most, ${Durations.example}.`)
  )

/** Examples and exit codes, below the options in the help. */
export const footer = (
  { examples, exitCodes = {}, variables = {} }: {
    readonly examples: ReadonlyArray<string>
    readonly exitCodes?: Readonly<Record<string, string>>
    readonly variables?: Readonly<Record<string, string>>
  }
): string => {
  const rows = (title: string, all: Readonly<Record<string, string>>) => {
    const width = Math.max(...Object.keys(all).map((name) => name.length))
    const lines = Object.entries(all).map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)
    return lines.length === 0 ? [] : ["", `${title}:`, ...lines]
  }
  return [
    "",
    "Examples:",
    ...examples.map((line) => `  ${line}`),
    ...rows("Variables", variables),
    ...rows("Exit codes", { 0: "done", 1: "failed", 2: "wrong usage", 130: "interrupted", ...exitCodes })
  ].join("\n")
}
