import type { PoolOptions } from "@airflow-resource/core/DeploymentPool"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { program } from "../child.js"
import type { Finding, Hold } from "./checker.js"

/** What a worker has to do. Times are in milliseconds. */
export interface Orders {
  readonly pool: Partial<PoolOptions>
  /** How many leases; `null`: as many as it gets until its input ends. */
  readonly leases: number | null
  /** The shortest and the longest time of a lease. */
  readonly hold: readonly [number, number]
  readonly writeEvery: number
  /** How long a lease writes [10 seconds]; it does not stop at the lease's end. */
  readonly writeFor?: number
  /** Runtime versions that its leases use in turn [what the environment says]. */
  readonly runtimes?: ReadonlyArray<string>
  readonly failpoint?: string
}

export interface Lease {
  readonly leaseId: string
  readonly deploymentId: string
  readonly slot: number
  readonly epoch: number
}

/** A line that a worker prints. */
export type Line =
  | Lease & { readonly _tag: "Ready" | "Done" | "Released" | "Refused"; readonly at: number }
  | Finding & { readonly _tag: "Found" }
  | { readonly _tag: "Expected" | "Failed"; readonly at: number; readonly error: string; readonly message: string }

export interface Worker {
  readonly pid: number
  /** What it has printed so far. */
  readonly lines: ReadonlyArray<Line>
  readonly isAlive: () => boolean
  /** How it ended: a signal or an exit code. */
  readonly end: () => string | number | null
  readonly send: (signal: "SIGKILL" | "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
  /** Ends its input, which makes it exit. */
  readonly endInput: Effect.Effect<void>
  readonly exited: Effect.Effect<void>
  readonly holds: () => ReadonlyArray<Hold>
  readonly findings: () => ReadonlyArray<Finding>
  /** What it wrote to stderr. */
  readonly errors: () => string
}

/** Starts a worker that does not outlive the scope. */
export const start = (env: Readonly<Record<string, string>>, orders: Orders) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, program(new URL("worker.ts", import.meta.url)), {
        env: { ...env, CHAOS: JSON.stringify(orders) },
        stdio: ["pipe", "pipe", "pipe"]
      })
      const lines: Array<Line> = []
      let errors = ""
      let endedAt: number | null = null
      let end: string | number | null = null
      createInterface(child.stdout).on("line", (line) => lines.push(JSON.parse(line) as Line))
      child.stderr.on("data", (chunk: Buffer) => errors += chunk.toString())
      // the process may have ended already
      child.stdin.on("error", () => undefined)
      // at "close", unlike at "exit", its last lines have been read
      const exited = new Promise<void>((resolve) => child.once("close", () => resolve()))
      child.once("exit", (code, signal) => {
        endedAt ??= Date.now()
        end = signal ?? code
      })
      const worker: Worker = {
        pid: child.pid ?? 0,
        lines,
        isAlive: () => endedAt === null,
        end: () => end,
        send: (signal) =>
          Effect.sync(() => {
            if (endedAt !== null) return
            if (signal === "SIGKILL") endedAt = Date.now()
            child.kill(signal)
          }),
        endInput: Effect.sync(() => void child.stdin.end()),
        exited: Effect.promise(() => exited),
        holds: () =>
          lines.flatMap((line, index) => {
            if (line._tag !== "Ready") return []
            const done = lines.find((other) => other._tag === "Done" && other.leaseId === line.leaseId)
            const isOver = lines.slice(index).some(({ _tag }) => _tag === "Expected" || _tag === "Failed")
            const to = done !== undefined ? done.at : isOver ? null : endedAt
            const { deploymentId, epoch, slot } = line
            return [{ deploymentId, slot, epoch, from: line.at, to }]
          }),
        findings: () => lines.flatMap((line) => line._tag === "Found" ? line : []),
        errors: () => errors
      }
      return worker
    }),
    (worker) => Effect.zipRight(worker.send("SIGKILL"), worker.exited)
  )
