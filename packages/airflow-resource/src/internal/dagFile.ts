/** DAGs as data, in a JSON file: what `airflow-resource emulator --dags` runs. */
import type { DagSpec } from "@airflow-resource/emulator/Dags"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Durations from "./duration.js"

/** The DAGs of the emulator cannot be read. */
export class DagFileRefused extends Schema.TaggedError<DagFileRefused>("airflow-resource/DagFileRefused")(
  "DagFileRefused",
  { file: Schema.String, problem: Schema.String }
) {
  override get message(): string {
    return `${this.file} has no DAGs for the emulator: ${this.problem}. It must be a JSON list such as ` +
      `[{ "dagId": "orders", "tasks": [{ "taskId": "load", "duration": "1 second", "log": "loaded 3 orders" }] }].`
  }
}

export const read = (file: string): Effect.Effect<ReadonlyArray<DagSpec>, DagFileRefused, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const refuse = (problem: string) => new DagFileRefused({ file, problem })
    const text = yield* Effect.mapError(fs.readFileString(file), ({ message }) => refuse(message))
    return yield* Effect.mapError(
      decode(text),
      (error) =>
        refuse(
          ParseResult.ArrayFormatter.formatErrorSync(error)
            .map(({ message, path }) => [path.join("."), message].filter((part) => part !== "").join(": "))
            .join("; ")
        )
    )
  })

// internal

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

const Duration = Schema.transformOrFail(Schema.String, Schema.DurationFromSelf, {
  strict: true,
  decode: (text, _, ast) =>
    Option.match(Durations.parse(text), {
      onNone: () => ParseResult.fail(new ParseResult.Type(ast, text, `must be a duration, ${Durations.example}`)),
      onSome: ParseResult.succeed
    }),
  encode: (_duration, _, ast) => ParseResult.fail(new ParseResult.Forbidden(ast, _duration, "is only read"))
})

const Values = Schema.Record({ key: Schema.String, value: Schema.Unknown })
const Lines = Schema.Union(Schema.String, Schema.Array(Schema.String))

const Task = Schema.Struct({
  taskId: Schema.NonEmptyString,
  duration: optional(Duration),
  outcome: optional(Schema.Literal("success", "failed")),
  log: Lines,
  upstream: optional(Schema.Array(Schema.String)),
  mapped: optional(
    Schema.Union(Schema.Int, Schema.Array(Schema.Struct({ log: optional(Lines), xcom: optional(Values) })))
  ),
  tries: optional(Schema.Int),
  retryDelay: optional(Duration),
  error: optional(Schema.Struct({ type: Schema.String, value: Schema.String })),
  xcom: optional(Values)
})

const Param = Schema.Struct({
  type: Schema.Literal("integer", "string", "boolean"),
  default: optional(Schema.Unknown),
  minimum: optional(Schema.Number)
})

const Dags = Schema.Array(Schema.Struct({
  dagId: Schema.NonEmptyString,
  tags: optional(Schema.Array(Schema.String)),
  paused: optional(Schema.Boolean),
  tasks: Schema.Array(Task),
  file: optional(Schema.String),
  params: optional(Schema.Record({ key: Schema.String, value: Param })),
  importError: optional(Schema.String)
}))

const decode = Schema.decode(Schema.parseJson(Dags), { onExcessProperty: "error", errors: "all" })
