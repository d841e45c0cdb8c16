import type { PoolOptions } from "@airflow-resource/core/DeploymentPool"
import type { Emulator } from "@airflow-resource/emulator"
import { Effect, Redacted } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Find, Hold } from "./checker.js"

/** What a worker is told to do. Times are milliseconds. */
export interface Orders {
  readonly pool: Partial<PoolOptions>
  /** How many leases; `null`: until its input ends. */
  readonly leases: number | null
  /** A lease lasts from so long to so long. */
  readonly hold: readonly [number, number]
  readonly writeEvery: number
  /** Runtime versions, in turn; none: what the environment says. */
  readonly runtimes?: ReadonlyArray<string>
  readonly failpoint?: string
}

export interface Lease {
  readonly leaseId: string
  readonly deploymentId: string
  readonly slot: number
  readonly epoch: number
}

/** What a worker says. */
export type Line =
  | Lease & { readonly _tag: "Ready" | "Done" | "Released" | "Refused"; readonly at: number }
  | Find & { readonly _tag: "Found" }
  | { readonly _tag: "Expected" | "Failed"; readonly at: number; readonly error: string; readonly message: string }

export interface Worker {
  readonly pid: number
  /** Grows while it runs. */
  readonly lines: ReadonlyArray<Line>
  readonly isAlive: () => boolean
  /** How it ended: `SIGKILL`, or its exit code. */
  readonly end: () => string | number | null
  readonly send: (signal: "SIGKILL" | "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
  /** Ends its input, and with it the worker. */
  readonly tell: Effect.Effect<void>
  readonly exited: Effect.Effect<void>
  readonly holds: () => ReadonlyArray<Hold>
  readonly finds: () => ReadonlyArray<Find>
  /** What it wrote elsewhere. */
  readonly errors: () => string
}

/** Everything that a process needs to lease from this emulator, by one ledger. */
export const environment = (emulator: Emulator.Service, folder: string, max: number) => ({
  PATH: process.env["PATH"] ?? "",
  AIRFLOW_RESOURCE_PROVIDER: "api",
  ASTRO_API_URL: emulator.astroApiUrl,
  ASTRO_ACCESS_TOKEN: Redacted.value(emulator.astroToken),
  ASTRO_WORKSPACE_ID: emulator.workspaceId,
  ASTRO_CLOUD_PROVIDER: "aws",
  ASTRO_REGION: "us-east-1",
  AIRFLOW_RESOURCE_DELIVERY: "none",
  AIRFLOW_RESOURCE_MAX: String(max),
  AIRFLOW_RESOURCE_CACHE: `${folder}/cluster_cache.db`
})

/** The arguments with which Node runs a program of this folder from the sources. */
export const program = (name: string): Array<string> => [
  "--conditions=@airflow-resource/source",
  "--import=tsx",
  fileURLToPath(new URL(name, import.meta.url))
]

/** Starts a worker that does not outlive the scope. */
export const start = (env: Readonly<Record<string, string>>, orders: Orders) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, program("worker.ts"), {
        env: { ...env, CHAOS: JSON.stringify(orders) },
        stdio: ["pipe", "pipe", "pipe"]
      })
      const lines: Array<Line> = []
      let errors = ""
      let endedAt: number | null = null
      let end: string | number | null = null
      createInterface(child.stdout).on("line", (line) => lines.push(JSON.parse(line) as Line))
      child.stderr.on("data", (chunk: Buffer) => errors += chunk.toString())
      // it may be gone already
      child.stdin.on("error", () => undefined)
      // the last lines, too, have been read by then
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
        tell: Effect.sync(() => void child.stdin.end()),
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
        finds: () => lines.flatMap((line) => line._tag === "Found" ? line : []),
        errors: () => errors
      }
      return worker
    }),
    (worker) => Effect.zipRight(worker.send("SIGKILL"), worker.exited)
  )
