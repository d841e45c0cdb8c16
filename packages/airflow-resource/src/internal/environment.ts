/** Where variables are read from. */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as process from "node:process"
import type { ConfigurationError } from "../ConfigurationError.js"
import * as ProjectRoot from "../ProjectRoot.js"
import * as DotEnv from "./dotEnv.js"

export interface Environment {
  readonly variables: ConfigProvider.ConfigProvider
  /** The project's root. `None`: there is no project, so a ledger has no default place. */
  readonly root: Option.Option<string>
  /** What the `.env` says by itself. */
  readonly dotEnv: Readonly<Record<string, string>>
  /** Resolves a path relative to the root, or to the folder in which the search for it began. */
  readonly resolve: (path: string) => string
}

/** The process environment, and the `.env` in the project's root if there is one. The process environment wins. */
export const find = (
  from: string
): Effect.Effect<Environment, ConfigurationError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    const root = yield* ProjectRoot.find(from)
    const file = yield* Option.match(root, {
      onNone: () => Effect.succeed({}),
      onSome: (folder) => DotEnv.read(path.join(folder, ".env"))
    })
    return {
      variables: providerOf([file, process.env]),
      root,
      dotEnv: file,
      resolve: (file) => path.resolve(Option.getOrElse(root, () => from), file)
    }
  })

/** These variables alone, outside a project. */
export const of = (
  variables: Readonly<Record<string, string>>,
  folder: string
): Effect.Effect<Environment, never, Path.Path> =>
  Effect.map(Path.Path, (path) => ({
    variables: providerOf([variables]),
    root: Option.none(),
    dotEnv: {},
    resolve: (file) => path.resolve(folder, file)
  }))

/** The last source that sets a variable wins. A blank variable counts as not set. */
const providerOf = (sources: ReadonlyArray<Readonly<Record<string, string | undefined>>>) =>
  ConfigProvider.fromMap(
    new Map(
      sources.flatMap((source) =>
        Object.entries(source).flatMap(([name, value = ""]) => value.trim() === "" ? [] : [[name, value] as const])
      )
    )
  )
