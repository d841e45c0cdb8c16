/** Temporary folders that record their owner, so that the next process deletes the folders of a process that was killed. */
import * as Host from "@airflow-resource/core/Host"
import { Owner } from "@airflow-resource/core/Slot"
import * as TimeLimit from "@airflow-resource/core/TimeLimit"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** Closing the scope deletes the folder. */
export const make = (
  prefix: string
): Effect.Effect<string, PlatformError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = yield* fs.makeTempDirectoryScoped({ prefix })
    const host = yield* Host.live
    yield* fs.writeFileString(path.join(folder, "owner.json"), Schema.encodeSync(Text)(host.owner))
    yield* deleteAbandoned(path.dirname(folder), prefix, host)
    return folder
  })

// internal

const Text = Schema.parseJson(Owner)

/** Only tidies up, so that it may neither fail nor take long. */
const deleteAbandoned = (parent: string, prefix: string, host: Host.Host) =>
  TimeLimit.fail(
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const names = yield* fs.readDirectory(parent)
      yield* Effect.forEach(names.filter((name) => name.startsWith(prefix)), (name) => {
        const folder = path.join(parent, name)
        return Effect.tryPromise(() => readOwner(folder, path.join(folder, "owner.json"))).pipe(
          Effect.flatMap(Schema.decode(Text)),
          Effect.flatMap((owner) =>
            host.isGone(owner) ? fs.remove(folder, { recursive: true, force: true }) : Effect.void
          ),
          // another user's folder, or one that another process is creating or deleting
          Effect.ignore
        )
      })
    }),
    { limit: "5 seconds", onTimeout: () => "too many folders" }
  ).pipe(Effect.ignore)

/**
 * In the system's temporary folder, anyone can create a folder of that name: with a link to a file of ours, with a FIFO that never ends,
 * or as a bait for root. So only this user's own folder counts, and only a small regular file in it.
 */
const readOwner = async (folder: string, file: string): Promise<string> => {
  const { constants: { O_NOFOLLOW, O_NONBLOCK, O_RDONLY }, promises: { lstat, open } } = await import("node:fs")
  const stat = await lstat(folder)
  if (!stat.isDirectory() || !isOwn(stat)) throw new Error("not this user's folder")
  // a system without such flags has none of these dangers
  const opened = await open(file, O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0))
  try {
    const stat = await opened.stat()
    if (!stat.isFile() || !isOwn(stat) || stat.size > 4096) throw new Error("not a file of this library's")
    return await opened.readFile("utf8")
  } finally {
    await opened.close()
  }
}

/** Systems without numbers of users have a temporary folder for each of them. */
const isOwn = ({ uid }: { readonly uid: number }) => uid === (globalThis.process.getuid?.() ?? uid)
