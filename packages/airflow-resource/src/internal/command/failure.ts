/** Why a command failed: what it prints on stderr, and with `--json` as a document on stdout. */
import * as ValidationError from "@effect/cli/ValidationError"
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import process from "node:process"
import { oneLine } from "../text.js"
import { version } from "./version.js"

export interface Failure {
  /** The error's `_tag`, `Defect`, or `Interrupted`. */
  readonly tag: string
  readonly message: string
  readonly retryable: boolean
}

let isSignalled = false

/** From now on an interruption after a signal is no failure. */
export const expectSignals = (): void => {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => isSignalled = true)
}

/** All failures of a command, the first one first. */
export const of = (cause: Cause.Cause<unknown>): readonly [Failure, ...ReadonlyArray<Failure>] => {
  const [first, ...others] = [
    ...Array.from(Cause.failures(cause), ofError),
    ...Array.from(Cause.defects(cause), ofDefect)
  ]
  return first === undefined ? [ofInterruption()] : [first, ...others]
}

/** The lines for stderr: none if the user knows already, from the CLI's explanation of the usage or having interrupted the command. */
export const lines = (cause: Cause.Cause<unknown>): ReadonlyArray<string> =>
  isWrongUsage(cause) || wasStopped(cause) ? [] : of(cause).map(({ message }) => message)

/** One line of JSON. */
export const document = (cause: Cause.Cause<unknown>): string => JSON.stringify({ error: of(cause)[0] })

export const exitCode = (cause: Cause.Cause<unknown>): number =>
  wasStopped(cause) ? 130 : isWrongUsage(cause) ? 2 : of(cause)[0].tag === "Unfinished" ? 3 : 1

// internal

const wasStopped = (cause: Cause.Cause<unknown>) => isSignalled && Cause.isInterruptedOnly(cause)

const isWrongUsage = (cause: Cause.Cause<unknown>) =>
  Array.from(Cause.failures(cause)).some(ValidationError.isValidationError)

const ofError = (error: unknown): Failure => ({
  tag: Predicate.hasProperty(error, "_tag") ? String(error._tag) : "Error",
  message: error instanceof Error ? error.message : String(error),
  retryable: Predicate.hasProperty(error, "retryable") && error.retryable === true
})

const ofDefect = (defect: unknown): Failure => {
  const [error] = Cause.prettyErrors(Cause.die(defect))
  const where = /^\s+at (.+)$/m.exec(error?.stack ?? "")?.[1]
  return bug("Defect", `${error?.name}: ${error?.message}${where === undefined ? "" : ` at ${where}`}`)
}

const ofInterruption = (): Failure =>
  isSignalled
    ? { tag: "Interrupted", message: "It was interrupted before it was done.", retryable: true }
    : bug("Interrupted", "it was interrupted without a signal")

const bug = (tag: string, what: string): Failure => ({
  tag,
  message: oneLine(
    `Unexpected failure: ${what}. This is a bug in airflow-resource ${version}; please report it with this line.`
  ),
  retryable: false
})
