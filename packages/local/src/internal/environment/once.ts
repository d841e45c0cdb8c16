/** Folders that are made once, however many processes ask at the same time. */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import process from "node:process"
import * as FileLock from "../FileLock.js"
import * as Processes from "../Processes.js"

/**
 * The folder is complete when it has this file, which is written last. An environment cannot be moved into place instead, because pip
 * writes its path into its programs.
 */
const marker = "complete"

/** Whether the folder was made to its end, and still has the program that it is made for. */
export const isComplete = (folder: string, program: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return (yield* fs.exists(`${folder}/${marker}`)) && (yield* fs.exists(`${folder}/${program}`))
  })

/** Makes the folder unless it is complete. While another process makes it, `onWait` runs once, and this waits. */
export const once = <E, R>(folder: string, { make, onFile, onWait, program }: {
  readonly program: string
  readonly make: Effect.Effect<void, ProviderError | E, R>
  readonly onWait: Effect.Effect<unknown, E>
  /** What a failure of the file system means. */
  readonly onFile: (error: PlatformError | FileLock.LockError) => ProviderError
}): Effect.Effect<void, ProviderError | E, R | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const parent = (yield* Path.Path).dirname(folder)
    const complete = Effect.mapError(isComplete(folder, program), onFile)
    if (yield* complete) return
    yield* Effect.mapError(fs.makeDirectory(parent, { recursive: true, mode: 0o700 }), onFile)
    if (!(yield* Effect.mapError(FileLock.tryAcquire(lockOf(folder)), onFile))) {
      yield* onWait
      yield* Effect.mapError(FileLock.acquire(lockOf(folder)), onFile)
    }
    if (yield* complete) return
    yield* Effect.ignore(removeLeftovers(parent))
    yield* Effect.mapError(remove(folder), onFile)
    yield* make.pipe(
      Effect.zipRight(Effect.mapError(fs.writeFileString(`${folder}/${marker}`, ""), onFile)),
      Effect.onError(() => Effect.ignore(remove(folder)))
    )
  }).pipe(Effect.scoped)

/** Held while the folder is made. */
export const lockOf = (folder: string): string => `${folder}.lock`

/** Deletes a folder whose lock this process holds. */
export const remove = (folder: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    if (!(yield* fs.exists(`${folder}/${marker}`))) yield* endWriters(folder)
    // first: without it the folder is not complete, even if this process is killed halfway
    yield* fs.remove(`${folder}/${marker}`, { force: true })
    yield* fs.remove(folder, { recursive: true, force: true })
  })

// internal

/** Ends what a killed process has started, which goes on to write to the folder that it was making. */
const endWriters = (folder: string) =>
  Effect.gen(function*() {
    const all = yield* Processes.list
    const writers = all.filter(({ pid, title }) => pid !== process.pid && title.includes(folder))
    yield* Effect.forEach(writers, (writer) => Processes.kill(writer, "SIGKILL"), { discard: true })
    const running = Effect.filter(writers, Processes.isSame)
    yield* Effect.repeat(Effect.delay(running, "10 millis"), { until: ({ length }) => length === 0, times: 1_000 })
  })

/** Deletes what processes have left that were killed while they made a folder next to this one. */
const removeLeftovers = (parent: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    for (const name of yield* fs.readDirectory(parent)) {
      const folder = `${parent}/${name}`
      if (name.endsWith(".lock") || (yield* fs.exists(`${folder}/${marker}`))) continue
      const isFree = yield* FileLock.tryAcquire(lockOf(folder))
      if (isFree) yield* remove(folder)
    }
  }).pipe(Effect.scoped)
