/**
 * Which process this is: enough to tell it from every other one of its host, past ones included.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as nodeFs from "node:fs"
import * as os from "node:os"
import * as process from "node:process"
import type { Owner } from "./Slot.js"

/**
 * Reads boot id and start time from `/proc` where there is one; elsewhere they are empty, and only the deadline tells that
 * this process is gone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const current: Effect.Effect<Owner, never, FileSystem.FileSystem> = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const read = (path: string) => Effect.orElseSucceed(fs.readFileString(path), () => "")
  const bootId = yield* read("/proc/sys/kernel/random/boot_id")
  // containers of one machine share its boot, and count their processes by themselves
  const namespace = yield* Effect.orElseSucceed(fs.readLink("/proc/self/ns/pid"), () => "")
  return {
    host: os.hostname(),
    bootId: bootId === "" ? "" : `${bootId.trim()} ${namespace}`.trim(),
    pid: process.pid,
    startedAt: factsOf(yield* read("/proc/self/stat")).startedAt
  }
})

/**
 * Whether another process, as seen from this one, has provably ended. Of other hosts, other boots and other containers nothing is
 * known; nor is it where there is no `/proc`.
 *
 * @example
 * ```ts
 * import * as Owner from "@airflow-resource/core/Owner"
 * import * as Effect from "effect/Effect"
 *
 * export const isGone = Effect.map(Owner.current, Owner.isGone)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const isGone = (self: Owner) => (other: Owner): boolean => {
  if (self.bootId === "" || other.host !== self.host || other.bootId !== self.bootId) return false
  try {
    const { startedAt, state } = factsOf(nodeFs.readFileSync(`/proc/${other.pid}/stat`, "utf8"))
    return startedAt !== other.startedAt || state === "Z"
  } catch {
    return !exists(other.pid)
  }
}

// internal

/** The name in parentheses may contain anything; field 22 of the line is the 20th after it. */
const factsOf = (stat: string) => {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return { state: fields[0], startedAt: fields[19] ?? "" }
}

/** A machine may hide the processes of other users from `/proc`; signals still find them. */
const exists = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH"
  }
}
