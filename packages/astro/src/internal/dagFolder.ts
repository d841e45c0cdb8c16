/** What a folder of DAGs contributes to a deploy, through the CLI or the API, and to a lease's project. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** A folder of DAGs that cannot be used. */
export class DagFolderUnusable extends Data.TaggedError("DagFolderUnusable")<{
  readonly kind: "refused"
  readonly detail: string
  readonly remedy: string
}> {}

export const unusable = (
  dags: string,
  problem: string,
  remedy = "Set AIRFLOW_DAG_PATH to the folder that holds the DAGs."
) => new DagFolderUnusable({ kind: "refused", detail: `the DAG folder ${dags} ${problem}`, remedy })

export interface DagFolder {
  /** Without links, which would be copied in place of the folder. */
  readonly path: string
  /** The names of what belongs to a deploy. */
  readonly names: ReadonlyArray<string>
}

/** Fails with what is wrong with the folder. */
export const open = (dags: string): Effect.Effect<DagFolder, DagFolderUnusable> =>
  Effect.tryPromise({
    try: async () => {
      // imported here, so that importing this module does not need Node
      const { readdir, realpath } = await import("node:fs/promises")
      const path = await realpath(dags)
      const entries = await readdir(path, { withFileTypes: true })
      return { path, names: entries.filter((entry) => isDelivered(entry.name, entry)).map(({ name }) => name) }
    },
    catch: (error) => {
      const problem = problems[codeOf(error)]
      return problem === undefined ? incomplete(dags, "read", error) : unusable(dags, problem)
    }
  })

/** Fails also if a deploy of the folder would only delete the DAGs that the deployment has. */
export const openForDelivery = (dags: string): ReturnType<typeof open> =>
  Effect.filterOrFail(open(dags), ({ names }) => names.length > 0, () => unusable(dags, "is empty"))

/** Something in the folder cannot be read, or not be copied. */
export const incomplete = (dags: string, done: "read" | "copied", error: unknown): DagFolderUnusable => {
  const { path } = error as NodeJS.ErrnoException
  return unusable(
    dags,
    `could not be ${done} completely (${codeOf(error)}${path === undefined ? "" : `: ${path}`})`,
    "Check that its files may be read, have names in UTF-8 and are not changed meanwhile" +
      (done === "read" ? "." : ", and that the system's folder for temporary files is writable and not full.")
  )
}

/**
 * Repositories and files of secrets stay on this machine. So does what is neither a file, a folder nor a link: to read a FIFO or a socket
 * would never end, or fail.
 */
export const isDelivered = (path: string, type: FileType): boolean =>
  !/(^|\/)(\.git|\.env(\..*)?)$/s.test(path) && (type.isFile() || type.isDirectory() || type.isSymbolicLink())

interface FileType {
  readonly isFile: () => boolean
  readonly isDirectory: () => boolean
  readonly isSymbolicLink: () => boolean
}

/** Copies what belongs to a deploy, and replaces files that are already there. */
export const copy = ({ path }: DagFolder, to: string): Effect.Effect<void, DagFolderUnusable> =>
  Effect.tryPromise({
    try: async () => {
      const { cp, lstat, rm } = await import("node:fs/promises")
      await cp(path, to, {
        recursive: true,
        // a link stays what it is
        verbatimSymlinks: true,
        filter: async (source, target) => {
          const type = await lstat(source)
          if (source !== path && !isDelivered(source, type)) return false
          // `cp` does not replace a file by a link
          if (type.isSymbolicLink()) await rm(target, { force: true })
          return true
        }
      })
    },
    catch: (error) => incomplete(path, "copied", error)
  })

// internal

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error)

const problems: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  ENOTDIR: "is not a folder",
  ELOOP: "is a link that leads to itself"
}
