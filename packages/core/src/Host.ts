/**
 * The process that uses a ledger, and what it can tell of the others on its host: which of them have ended, and a time that no
 * change of the wall clock disturbs.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type { Owner } from "./Slot.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Host {
  /** This process. */
  readonly owner: Owner
  /**
   * Whether another process has provably ended. Of other hosts, other boots and other containers nothing is known; nor is it
   * where there is no `/proc`.
   */
  readonly isGone: (other: Owner) => boolean
  /** Milliseconds since the host's boot, time asleep included. `null`: unknown, the wall clock has to do. */
  readonly uptime: () => number | null
}

/**
 * Reads boot id and start time from `/proc` where there is one; elsewhere they are empty, and only the deadline tells that
 * a process is gone.
 *
 * @example
 * ```ts
 * import * as Host from "@airflow-resource/core/Host"
 * import * as Effect from "effect/Effect"
 *
 * const whoAmI = Effect.map(Host.live, ({ owner }) => owner.pid)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const live: Effect.Effect<Host, never, FileSystem.FileSystem> = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  // nobody needs Node who has no processes to tell apart
  const [{ readFileSync }, os] = yield* Effect.promise(() => Promise.all([import("node:fs"), import("node:os")]))
  const read = (path: string) => Effect.orElseSucceed(fs.readFileString(path), () => "")
  const bootId = yield* read("/proc/sys/kernel/random/boot_id")
  // containers of one machine share its boot, and count their processes by themselves
  const namespace = yield* Effect.orElseSucceed(fs.readLink("/proc/self/ns/pid"), () => "")
  const owner: Owner = {
    host: os.hostname(),
    bootId: bootId === "" ? "" : `${bootId.trim()} ${namespace}`.trim(),
    pid: process.pid,
    startedAt: factsOf(yield* read("/proc/self/stat")).startedAt
  }
  return {
    owner,
    isGone: (other) => isGone(owner, other, (path) => readFileSync(path, "utf8")),
    uptime: () => owner.bootId === "" ? null : os.uptime() * 1000
  }
})

/**
 * A process that knows nothing of others: deadlines alone decide, on the Clock at hand.
 *
 * @since 0.1.0
 * @category constructors
 */
export const alone: Host = {
  owner: { host: "", bootId: "", pid: globalThis.process?.pid ?? 0, startedAt: "" },
  isGone: () => false,
  uptime: () => null
}

/**
 * The boot of the machine that a process runs on: containers of one machine share it, and with it the uptime.
 *
 * @since 0.1.0
 * @category accessors
 */
export const bootOf = (owner: Owner): string => owner.bootId.split(" ")[0] ?? ""

// internal

const isGone = (self: Owner, other: Owner, read: (path: string) => string): boolean => {
  if (self.bootId === "" || other.host !== self.host || other.bootId !== self.bootId) return false
  try {
    const { startedAt, state } = factsOf(read(`/proc/${other.pid}/stat`))
    return startedAt !== other.startedAt || state === "Z"
  } catch {
    return !exists(other.pid)
  }
}

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
