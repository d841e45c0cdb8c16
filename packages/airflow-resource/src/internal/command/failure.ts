/** Why a command failed: what it prints on stderr, and with `--json` as a document on stdout. */
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { oneLine } from "../text.js"
import * as Signals from "./signals.js"
import { version } from "./version.js"

export interface Failure {
  /** The error's `_tag`, `Defect`, or `Interrupted`. */
  readonly tag: string
  readonly message: string
  readonly retryable: boolean
}

/** Ends the command with this exit code. What there is to say has been said. */
export class Exit extends Schema.TaggedError<Exit>("airflow-resource/Exit")("Exit", { exitCode: Schema.Int }) {}

/** All failures of a command, the first one first. */
export const of = (cause: Cause.Cause<unknown>): readonly [Failure, ...ReadonlyArray<Failure>] => {
  const [first, ...others] = [
    ...Array.from(Cause.failures(cause), ofError),
    ...Array.from(Cause.defects(cause), ofDefect)
  ]
  return first === undefined ? [ofInterruption()] : [first, ...others]
}

/** The lines for stderr: none if the user knows already, because a result has said so, or from having interrupted the command. */
export const lines = (cause: Cause.Cause<unknown>): ReadonlyArray<string> =>
  isSaid(cause) || wasStopped(cause) ? [] : of(cause).map(({ message }) => message)

/** One line of JSON; `undefined` if what there is to say has been said. */
export const document = (cause: Cause.Cause<unknown>): string | undefined =>
  isSaid(cause) ? undefined : JSON.stringify({ error: of(cause)[0] })

/** Exit codes by the `_tag` of an error; `otherwise` is that of any other failure [1]. */
export type ExitCodes = Readonly<Record<string, number>>

export const exitCode = (cause: Cause.Cause<unknown>, exitCodes: ExitCodes = {}): number => {
  if (wasStopped(cause)) return 130
  const said = Array.from(Cause.failures(cause)).find((error) => error instanceof Exit)
  return said?.exitCode ?? exitCodes[of(cause)[0].tag] ?? exitCodes["otherwise"] ?? 1
}

// internal

const wasStopped = (cause: Cause.Cause<unknown>) => Signals.hasInterrupted() && Cause.isInterruptedOnly(cause)

const isSaid = (cause: Cause.Cause<unknown>) =>
  Array.from(Cause.failures(cause)).some((error) => error instanceof Exit) && Cause.defects(cause).length === 0

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
  Signals.hasInterrupted()
    ? { tag: "Interrupted", message: "It was interrupted before it was done.", retryable: true }
    : bug("Interrupted", "it was interrupted without a signal")

const bug = (tag: string, what: string): Failure => ({
  tag,
  message: oneLine(
    `Unexpected failure: ${what}. This is a bug in airflow-resource ${version}; please report it with this line.`
  ),
  retryable: false
})
