/**
 * The ledger's files: where they are, whether they can be used, and whether they are still the ones that were opened.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as nodeFs from "node:fs"
import { CacheError } from "../../CacheError.js"
import * as NetworkFileSystem from "../../NetworkFileSystem.js"

/**
 * Creates the folder and the file if they are missing, for this user alone, and returns the file's real path, so that
 * all links to a file open the same ledger. Git ignores a folder that is created here.
 */
export const locate = (path: string): Effect.Effect<string, CacheError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { dirname, join } = yield* Path.Path
    const folder = dirname(path)
    const isNew = !(yield* fs.exists(folder))
    yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
    yield* refuseNetwork(path, folder)
    yield* fs.access(folder, { writable: true })
    if (isNew) yield* unlessExists(fs.writeFileString(join(folder, ".gitignore"), "*\n", { flag: "wx" }))
    // to root everything seems writable, even on a read-only file system
    const probe = yield* fs.makeTempDirectory({ directory: folder, prefix: ".writable-" })
    yield* fs.remove(probe, { recursive: true })
    // exclusive: opening and closing a file that SQLite has open in this process would drop SQLite's locks on it
    yield* unlessExists(Effect.scoped(fs.open(path, { flag: "wx", mode: 0o600 })))
    yield* fs.access(path, { writable: true })
    return yield* fs.realPath(path)
  }).pipe(notWritable(path))

/**
 * The file's real path, if the file exists. Creates nothing; fails where {@link locate} would fail, as far as can be
 * told without writing.
 */
export const find = (
  path: string
): Effect.Effect<Option.Option<string>, CacheError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { dirname } = yield* Path.Path
    const nearestExisting = (folder: string): Effect.Effect<string, PlatformError> =>
      Effect.flatMap(fs.exists(folder), (exists) =>
        exists || dirname(folder) === folder ? Effect.succeed(folder) : nearestExisting(dirname(folder)))
    const folder = yield* nearestExisting(dirname(path))
    yield* refuseNetwork(path, folder)
    yield* fs.access(folder, { writable: true })
    if ((yield* fs.stat(folder)).type !== "Directory") {
      return yield* new CacheError({ kind: "notWritable", path, detail: `${folder} is not a folder` })
    }
    if (!(yield* fs.exists(path))) {
      return Option.none()
    }
    yield* fs.access(path, { writable: true })
    return Option.some(yield* fs.realPath(path))
  }).pipe(notWritable(path))

/** The first bytes of a file; zeros beyond its end. */
export const readStart = (path: string, file: string, length: number): Effect.Effect<Buffer, CacheError> =>
  Effect.try({
    try: () => {
      const bytes = Buffer.alloc(length)
      const descriptor = nodeFs.openSync(file, "r")
      try {
        nodeFs.readSync(descriptor, bytes, 0, length, 0)
      } finally {
        nodeFs.closeSync(descriptor)
      }
      return bytes
    },
    catch: ioError(path)
  })

/** A path, and the file that was found there (device and inode). */
export type Watched = readonly [path: string, identity: string | undefined]

export const watch = (path: string, file: string): Effect.Effect<Watched, CacheError> =>
  Effect.try({ try: (): Watched => [file, identify(file)], catch: ioError(path) })

export const stat = (path: string, file: string): Effect.Effect<nodeFs.Stats, CacheError> =>
  Effect.try({ try: () => nodeFs.statSync(file), catch: ioError(path) })

/** Fails if another process that opens the ledger now would get another file. */
export const refuseReplaced = (path: string, watched: ReadonlyArray<Watched>): Effect.Effect<void, CacheError> =>
  Effect.try({
    try: () => watched.find(([file, identity]) => identify(file) !== identity)?.[0],
    catch: ioError(path)
  }).pipe(
    Effect.flatMap((file) =>
      file === undefined
        ? Effect.void
        : new CacheError({ kind: "replaced", path, detail: `${file} was moved, deleted or replaced while it was open` })
    )
  )

/** A failure of the file system is one of the ledger: its folder or file cannot be written, or the disk is full. */
export const notWritable =
  (path: string) => <A, R>(self: Effect.Effect<A, CacheError | PlatformError, R>): Effect.Effect<A, CacheError, R> =>
    Effect.mapError(self, (error) =>
      error._tag === "CacheError"
        ? error
        : new CacheError({ kind: isFull(error.cause) ? "full" : "notWritable", path, detail: error.message }))

// internal

const unlessExists = <A, R>(create: Effect.Effect<A, PlatformError, R>): Effect.Effect<void, PlatformError, R> =>
  Effect.catchIf(
    Effect.asVoid(create),
    (error) => error._tag === "SystemError" && error.reason === "AlreadyExists",
    () => Effect.void
  )

/** `heartbeatThread.mjs` has the same function. */
const identify = (path: string): string | undefined => {
  const stat = nodeFs.statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat && `${stat.dev}:${stat.ino}`
}

const ioError = (path: string) => (cause: unknown) =>
  new CacheError({ kind: isFull(cause) ? "full" : "io", path, detail: String(cause) })

/** Whether the disk has no room left, or none for this user. */
const isFull = (cause: unknown) =>
  Predicate.hasProperty(cause, "code") && (cause.code === "ENOSPC" || cause.code === "EDQUOT")

const refuseNetwork = (path: string, folder: string) =>
  Effect.gen(function*() {
    const name = yield* Effect.try({ try: () => NetworkFileSystem.of(folder), catch: ioError(path) })
    if (name !== undefined) {
      return yield* new CacheError({ kind: "network", path, detail: `${folder} is on ${name}` })
    }
  })
