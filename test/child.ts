/** What a test needs to run other processes: their environment, their arguments, and runs of vitest. */
import type { Emulator } from "@airflow-resource/emulator"
import { AirflowResources } from "airflow-resource"
import { Cause, type Duration, Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createRequire } from "node:module"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const require = createRequire(import.meta.url)

const root = fileURLToPath(new URL("..", import.meta.url))

/** The variables with which a process leases from this emulator, with the ledger in `folder`. */
export const environment = (emulator: Emulator.Service, folder: string, max: number) => ({
  PATH: process.env["PATH"] ?? "",
  ...AirflowResources.variablesOf(emulator),
  // the processes find the organization themselves
  ASTRO_ORGANIZATION_ID: "",
  AIRFLOW_RESOURCE_DELIVERY: "none",
  // a reaper would clean up what a test wants to find
  AIRFLOW_RESOURCE_REAPER: "off",
  AIRFLOW_RESOURCE_MAX: String(max),
  AIRFLOW_RESOURCE_CACHE: `${folder}/cluster_cache.db`
})

/** The arguments with which Node runs a TypeScript program from the sources, in any working directory. */
export const program = (url: URL): Array<string> => [
  "--conditions=@airflow-resource/source",
  `--import=${pathToFileURL(require.resolve("tsx"))}`,
  fileURLToPath(url)
]

/** How a run of vitest ended, and everything that it printed, with paths relative to the repository. */
export interface VitestRun {
  readonly text: string
  readonly code: number | null
  readonly signal: string | null
}

/** The folder of the repository's vitest. */
export const vitestFolder = path.dirname(require.resolve("vitest/package.json"))

/** Runs vitest with its own configuration. `onText` gets all text that was printed so far, and can send a signal. */
export const vitest = (options: {
  readonly config: URL
  /** The folder of vitest [the repository's]. */
  readonly vitest?: string
  /** [`run`] */
  readonly command?: "run" | "watch"
  /** A pattern for the titles of the tests to run [all]. */
  readonly tests?: string
  readonly args?: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** [5 minutes] */
  readonly timeout?: Duration.DurationInput
  readonly onText?: (text: string, kill: (signal: NodeJS.Signals) => void) => void
}): Effect.Effect<VitestRun> =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [
          path.join(options.vitest ?? vitestFolder, "vitest.mjs"),
          options.command ?? "run",
          "--config",
          fileURLToPath(options.config),
          ...(options.tests === undefined ? [] : ["-t", options.tests]),
          ...(options.args ?? [])
        ], {
          cwd: path.dirname(fileURLToPath(options.config)),
          env: { PATH: process.env["PATH"], NO_COLOR: "1", NODE_NO_WARNINGS: "1", ...options.env },
          stdio: ["ignore", "pipe", "pipe"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let text = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        text += chunk
        options.onText?.(text, (signal) => child.kill(signal))
      })
    }
    const [code, signal] = yield* Effect.promise(() => once(child, "close")).pipe(
      Effect.timeoutFailCause({
        duration: options.timeout ?? "5 minutes",
        onTimeout: () => Cause.die(new Error(`vitest did not end in time; it printed:\n${text}`))
      })
    )
    return { text: text.replaceAll(root, ""), code: code as number | null, signal: signal as string | null }
  }).pipe(Effect.scoped)
