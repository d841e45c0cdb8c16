/** Temporary folders that record their owner, so that the next process deletes the folders of a process that was killed. */
import * as Host from "@airflow-resource/core/Host"
import { Owner } from "@airflow-resource/core/Slot"
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

const deleteAbandoned = (parent: string, prefix: string, host: Host.Host) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* fs.readDirectory(parent)
    yield* Effect.forEach(names.filter((name) => name.startsWith(prefix)), (name) =>
      fs.readFileString(path.join(parent, name, "owner.json")).pipe(
        Effect.flatMap(Schema.decode(Text)),
        Effect.flatMap((owner) =>
          host.isGone(owner) ? fs.remove(path.join(parent, name), { recursive: true, force: true }) : Effect.void
        ),
        // another user's folder, or one that another process is creating or deleting
        Effect.ignore
      ))
  }).pipe(Effect.ignore)
