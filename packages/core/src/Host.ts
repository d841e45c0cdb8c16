/**
 * The process that uses a ledger, and what it knows about its host: which other processes have ended, and a time that
 * does not change with the wall clock.
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
   * Whether another process has provably ended. Always `false` for processes of other hosts, boots and containers, and
   * on a host without `/proc`.
   */
  readonly isGone: (other: Owner) => boolean
  /**
   * Milliseconds since the host booted, including the time that it was suspended. `null`: unknown, so that the wall
   * clock is used instead.
   */
  readonly uptime: () => number | null
}

/**
 * This process. Boot id and start time come from `/proc`. On a host without `/proc` they are empty, and a dead process
 * loses what it holds only at its deadline.
 *
 * @example
 * ```ts
 * import * as Host from "@airflow-resource/core/Host"
 * import * as Effect from "effect/Effect"
 *
 * const ownPid = Effect.map(Host.live, ({ owner }) => owner.pid)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const live: Effect.Effect<Host, never, FileSystem.FileSystem> = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  // imported here, so that importing this module does not need Node
  const [{ readFileSync }, os] = yield* Effect.promise(() => Promise.all([import("node:fs"), import("node:os")]))
  const read = (path: string) => Effect.orElseSucceed(fs.readFileString(path), () => "")
  const bootId = yield* read("/proc/sys/kernel/random/boot_id")
  // containers of one machine share its boot id but number their processes separately
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
 * A process that knows nothing about others: only deadlines decide, on the current Clock.
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
 * The boot id of the machine that a process runs on, which the machine's containers share.
 *
 * @since 0.1.0
 * @category accessors
 */
export const bootOf = (owner: Owner): string => owner.bootId.split(" ")[0] ?? ""

/**
 * Where a process can tell which other processes have ended: a machine since its last boot, or a container on it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const machineOf = ({ bootId, host }: Owner): string => `${host} ${bootId}`.trim()

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

/** Parses `/proc/PID/stat`. The name in parentheses may contain anything; field 22 of the line is the 20th after it. */
const factsOf = (stat: string) => {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return { state: fields[0], startedAt: fields[19] ?? "" }
}

/** Also finds processes of other users, which `/proc` may hide. */
const exists = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH"
  }
}
