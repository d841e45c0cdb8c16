/**
 * The connections, variables and pools that a project wants in its local Airflows: the file `airflow_settings.yaml` of Astro projects.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { ParseOptions } from "effect/SchemaAST"
import { type Document, isNode, LineCounter, parseDocument } from "yaml"
import * as connectionUri from "./internal/connectionUri.js"

const Text = Schema.Union(Schema.String, Schema.Number, Schema.Boolean).pipe(
  Schema.transform(Schema.String, { strict: true, decode: String, encode: (text) => text })
)

/** Its templates have entries without a name or a value. */
const text = (key: string) => Schema.optionalWith(Text, { nullable: true, default: () => "" }).pipe(Schema.fromKey(key))

/** An object stands for its JSON. */
const json = (key: string) =>
  Schema.optionalWith(Schema.Unknown, { nullable: true, default: () => "" }).pipe(Schema.fromKey(key))

const list = <A, I>(item: Schema.Schema<A, I>) =>
  Schema.optionalWith(Schema.Array(item), { nullable: true, default: () => [] })

const File = Schema.Struct({
  airflow: Schema.optionalWith(
    Schema.Struct({
      connections: list(Schema.Struct({
        id: text("conn_id"),
        type: text("conn_type"),
        host: text("conn_host"),
        schema: text("conn_schema"),
        login: text("conn_login"),
        password: text("conn_password"),
        port: text("conn_port"),
        extra: json("conn_extra"),
        uri: text("conn_uri")
      })),
      variables: list(Schema.Struct({ key: text("variable_name"), value: json("variable_value") })),
      pools: list(
        Schema.Struct({ name: text("pool_name"), slots: text("pool_slot"), description: text("pool_description") })
      )
    }),
    { nullable: true, default: () => ({ connections: [], variables: [], pools: [] }) }
  )
})

/**
 * What the file says. Values may be secrets.
 *
 * @since 0.1.0
 * @category models
 */
export const AirflowSettings = Schema.Struct({
  connections: Schema.Array(Schema.Struct({
    id: Schema.String,
    type: Schema.String,
    host: Schema.String,
    schema: Schema.String,
    login: Schema.String,
    password: Schema.String,
    port: Schema.NullOr(Schema.Number),
    extra: Schema.String
  })),
  variables: Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.String })),
  pools: Schema.Array(Schema.Struct({ name: Schema.String, slots: Schema.Number, description: Schema.String }))
})

/**
 * @since 0.1.0
 * @category models
 */
export type AirflowSettings = typeof AirflowSettings.Type

/**
 * The file cannot be used. Contains none of its values.
 *
 * @since 0.1.0
 * @category errors
 */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>("@airflow-resource/local/SettingsInvalid")(
  "SettingsInvalid",
  { file: Schema.String, detail: Schema.String }
) {
  override get message(): string {
    return `The file ${this.file} cannot be used: ${this.detail}. Correct it, or remove it.`
  }
  readonly retryable = false
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const none: AirflowSettings = { connections: [], variables: [], pools: [] }

/**
 * Reads `airflow_settings.yaml` in a project's root; {@link none} if there is no such file.
 *
 * @example
 * ```ts
 * import * as AirflowSettings from "@airflow-resource/local/AirflowSettings"
 * import * as Effect from "effect/Effect"
 *
 * export const pools = Effect.map(AirflowSettings.read("/home/me/project"), ({ pools }) => pools.map(({ name }) => name))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = (
  root: string
): Effect.Effect<AirflowSettings, SettingsInvalid, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = path.join(root, "airflow_settings.yaml")
    const invalid = (detail: string) => new SettingsInvalid({ file, detail })
    const content = yield* fs.readFileString(file).pipe(
      Effect.catchTag("SystemError", ({ message, reason }) =>
        reason === "NotFound" ? Effect.succeed("") : invalid(message)),
      Effect.catchTag("BadArgument", ({ message }) =>
        invalid(message))
    )
    const lines = new LineCounter()
    const document = parseDocument(content, { lineCounter: lines })
    const [broken] = document.errors
    // the rest of the message shows the line, which may hold a secret
    if (broken !== undefined) {
      return yield* invalid(`it is not YAML: ${broken.message.split("\n")[0]?.replace(/:$/, "")}`)
    }
    const decode = (options: ParseOptions) => Schema.decodeUnknown(File)(document.toJS() ?? {}, options)
    const placesOf = places(document, lines)
    const { airflow } = yield* Effect.mapError(decode({}), (error) => invalid(`${placesOf(error)} has the wrong form`))
    yield* Effect.catchAll(
      decode({ onExcessProperty: "error", errors: "all" }),
      (error) => Effect.logWarning(`${file} has keys that are not known, and are ignored: ${placesOf(error)}.`)
    )
    const number = (what: string, value: string, least: number) => {
      const number = Number(value)
      return value !== "" && Number.isInteger(number) && number >= least
        ? Effect.succeed(number)
        : invalid(`${what} must be a whole number`)
    }
    return {
      connections: yield* Effect.forEach(
        airflow.connections.filter(({ id }) => id !== ""),
        ({ extra, id, uri, ...fields }) =>
          Effect.gen(function*() {
            const given = { ...fields, extra: textOf(extra) }
            const connection = uri === "" ? given : connectionUri.parse(uri)
            if (connection === undefined) return yield* invalid(`the conn_uri of ${id} is not a URI`)
            if (uri !== "" && Object.values(given).some((value) => value !== "")) {
              return yield* invalid(`the connection ${id} has conn_uri and other fields, and can have only one of both`)
            }
            if (connection.type === "") return yield* invalid(`the connection ${id} has neither conn_type nor conn_uri`)
            const port = connection.port === "" ? null : yield* number(`the port of ${id}`, connection.port, 0)
            return { id, ...connection, port }
          })
      ),
      variables: airflow.variables.filter(({ key }) => key !== "").map(({ key, value }) => ({
        key,
        value: textOf(value)
      })),
      pools: yield* Effect.forEach(
        airflow.pools.filter(({ name }) => name !== ""),
        (pool) => Effect.map(number(`the slots of ${pool.name}`, pool.slots, -1), (slots) => ({ ...pool, slots }))
      )
    }
  })

// internal

const textOf = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value)

/** Where it is wrong, without the values there. */
const places = (document: Document, lines: LineCounter) => (error: ParseResult.ParseError): string => {
  const paths = ParseResult.ArrayFormatter.formatErrorSync(error).map(({ path }) => path)
  // all that is around a wrong value is not null either, which would have been right
  const innermost = paths.filter((path) =>
    !paths.some((other) => other.length > path.length && path.every((key, i) => key === other[i]))
  )
  const places = innermost.map((path) => {
    const node = path.length === 0 ? document.contents : document.getIn(path, true)
    const line = isNode(node) && node.range ? ` (line ${lines.linePos(node.range[0]).line})` : ""
    return `${path.join(".") || "the document"}${line}`
  })
  return Array.from(new Set(places)).slice(0, 3).join(", ")
}
