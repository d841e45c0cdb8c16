/** The folder of an Airflow's logs: those of its parts, of its parses, and of its tasks. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as DeploymentFolder from "../DeploymentFolder.js"

export const folderOf = (home: string): string => path.join(home, "logs")

export const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0

/** The end of a file, of at most this many bytes. Empty if there is no such file. */
export const tail = (file: string, bytes: number): string => {
  const stat = fs.statSync(file, { throwIfNoEntry: false })
  if (stat?.isFile() !== true) return ""
  const buffer = Buffer.alloc(Math.min(stat.size, bytes))
  const descriptor = fs.openSync(file, "r")
  try {
    return buffer.toString("utf8", 0, fs.readSync(descriptor, buffer, 0, buffer.length, stat.size - buffer.length))
  } finally {
    fs.closeSync(descriptor)
  }
}

/**
 * Deletes what tasks have logged. A later run may have the same id, and its log would continue the old one. Airflow 3 logs it a second
 * time, with its scheduler's.
 */
export const deleteOfTasks = (home: string): void => {
  for (const name of DeploymentFolder.names(folderOf(home))) {
    const file = path.join(folderOf(home), name)
    if (!isOfAirflow(name)) fs.rmSync(file, { recursive: true, force: true })
    else if (name.endsWith(".log") && sizeOf(file) > longest) {
      const end = tail(file, longest / 2)
      // the part goes on writing at its end
      fs.truncateSync(file)
      fs.appendFileSync(file, end)
    }
  }
}

/** Deletes all of them. Airflow must not be running. */
export const deleteAll = (home: string): void => fs.rmSync(folderOf(home), { recursive: true, force: true })

// internal

/** How long the log of a part may be when a lease ends, in bytes. */
const longest = 8 * 1024 * 1024

/** Logs of parts and of parses, in Airflow 2 and 3. */
const isOfAirflow = (name: string) =>
  name.endsWith(".log") || /^(scheduler|dag_processor|dag_processor_manager)$/.test(name)
