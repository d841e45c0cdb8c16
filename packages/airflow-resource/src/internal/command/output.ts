/** What a command prints: results on stdout, everything else on stderr. */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import process from "node:process"
import * as Failure from "./failure.js"

/** A result could not be written. */
export class OutputFailed extends Schema.TaggedError<OutputFailed>("airflow-resource/OutputFailed")("OutputFailed", {
  detail: Schema.String
}) {
  override get message(): string {
    return `The result could not be written to stdout: ${this.detail}`
  }
}

/** What the library logs, unless a command shows it in another way. */
export const logger = Logger.withConsoleError(Logger.logfmtLogger)

/** Prints a line on stdout, and waits until it is written. */
export const print = (text: string): Effect.Effect<void, OutputFailed> => write(`${text}\n`)

export const write = (text: string | Uint8Array): Effect.Effect<void, OutputFailed> =>
  Effect.async((resume) => {
    process.stdout.write(text, (error) => resume(error ? new OutputFailed({ detail: error.message }) : Effect.void))
  })

/** Prints a line on stderr. */
export const say = (text: string): Effect.Effect<void> =>
  Effect.sync(() => {
    process.stderr.write(`${text}\n`)
  })

/** Prints the result of a command, as text or as a JSON document, and returns it. */
export const output = <A, E, R>(
  asJson: boolean,
  command: Effect.Effect<A, E, R>,
  render: (result: A) => string
): Effect.Effect<A, E | OutputFailed, R> =>
  command.pipe(
    Effect.map((result) => [result, asJson ? JSON.stringify(result, undefined, 2) : render(result)] as const),
    documented(asJson),
    Effect.flatMap(([result, text]) => Effect.as(print(text), result))
  )

/** With `--json`, prints a failure as a document. */
export const documented = (asJson: boolean) => <A, E, R>(command: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onError(command, (cause) =>
    asJson
      ? Effect.ignore(Effect.transposeMapOption(Option.fromNullable(Failure.document(cause)), print))
      : Effect.void)
