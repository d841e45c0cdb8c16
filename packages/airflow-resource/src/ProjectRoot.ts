/**
 * The root of a project: paths are relative to it, and its `.env` is read.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/**
 * Finds the nearest folder with a `.git`, or else the topmost one with a `package.json`, from this folder upwards. Does not fall back to
 * the current folder: two processes would then use two ledgers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const find = (
  from: string
): Effect.Effect<Option.Option<string>, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const has = (folder: string, name: string) => Effect.orElseSucceed(fs.exists(path.join(folder, name)), () => false)
    const folders = ancestors(path, path.resolve(from))
    const repository = yield* Effect.findFirst(folders, (folder) => has(folder, ".git"))
    if (Option.isSome(repository)) return repository
    return yield* Effect.findFirst([...folders].reverse(), (folder) => has(folder, "package.json"))
  })

// internal

const ancestors = (path: Path.Path, folder: string): ReadonlyArray<string> => {
  const parent = path.dirname(folder)
  return parent === folder ? [folder] : [folder, ...ancestors(path, parent)]
}
