/** Where variables are read from. */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as PlatformConfigProvider from "@effect/platform/PlatformConfigProvider"
import type * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ProjectRoot from "../ProjectRoot.js"

export interface Environment {
  readonly variables: ConfigProvider.ConfigProvider
  /** The project's root. `None`: there is no project, so a ledger has no default place. */
  readonly root: Option.Option<string>
  /** Resolves a path relative to the root, or to the folder in which the search for it began. */
  readonly resolve: (path: string) => string
}

/** The process environment, and the `.env` in the project's root if there is one. The process environment wins. */
export const find = (from: string): Effect.Effect<Environment, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    const root = yield* ProjectRoot.find(from)
    const process = withoutBlanks(ConfigProvider.fromEnv())
    const dotEnv = yield* Effect.option(
      Effect.flatMap(root, (folder) => PlatformConfigProvider.fromDotEnv(path.join(folder, ".env")))
    )
    const variables = Option.match(dotEnv, {
      onNone: () => process,
      onSome: (file) => ConfigProvider.orElse(process, () => withoutBlanks(file))
    })
    return { variables, root, resolve: (file) => path.resolve(Option.getOrElse(root, () => from), file) }
  })

/** These variables alone, outside a project. */
export const of = (
  variables: Readonly<Record<string, string>>,
  folder: string
): Effect.Effect<Environment, never, Path.Path> =>
  Effect.map(Path.Path, (path) => ({
    variables: withoutBlanks(ConfigProvider.fromMap(new Map(Object.entries(variables)))),
    root: Option.none(),
    resolve: (file) => path.resolve(folder, file)
  }))

/** A blank variable counts as not set. */
const withoutBlanks = ({ flattened }: ConfigProvider.ConfigProvider): ConfigProvider.ConfigProvider =>
  ConfigProvider.fromFlat({
    ...flattened,
    load: (path, primitive, split) => flattened.load(path, notBlank(primitive), split)
  })

const notBlank = <A>(primitive: Config.Config.Primitive<A>): Config.Config.Primitive<A> => ({
  ...primitive,
  parse: (text) =>
    text.trim() === "" ? Either.left(ConfigError.MissingData([], "Expected it not to be blank")) : primitive.parse(text)
})
