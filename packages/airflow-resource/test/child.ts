import { Effect, Schedule } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as os from "node:os"
import { fileURLToPath, pathToFileURL } from "node:url"

const tsx = [
  "--conditions=@airflow-resource/source",
  `--import=${pathToFileURL(createRequire(import.meta.url).resolve("tsx"))}`
]

/** A folder that is deleted with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => fs.realpathSync(fs.mkdtempSync(`${os.tmpdir()}/airflow-resource-test-`))),
  (path) => Effect.sync(() => fs.rmSync(path, { recursive: true }))
)

/** A folder that is the root of a project. */
export const project = Effect.tap(folder, (path) => Effect.sync(() => fs.mkdirSync(`${path}/.git`)))

/**
 * Runs a program of this repository from its sources, and kills it with the scope. It sees these variables and no others: those of an
 * emulator are `AirflowResources.variablesOf(emulator)`.
 */
export const start = (
  program: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
  cwd: string,
  { stdin = "ignore" }: { readonly stdin?: "ignore" | "pipe" } = {}
) =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [...tsx, fileURLToPath(new URL(program, import.meta.url)), ...args], {
          cwd,
          env: { PATH: process.env["PATH"], NODE_NO_WARNINGS: "1", ...env },
          stdio: [stdin, "pipe", "pipe"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const output = { stdout: "", stderr: "" }
    if (child.stdout === null || child.stderr === null) return yield* Effect.dieMessage("both are pipes")
    child.stdout.on("data", (chunk) => output.stdout += chunk)
    child.stderr.on("data", (chunk) => output.stderr += chunk)
    const closed = once(child, "close")
    /** Waits until the program has printed the text, two minutes at most. Returns everything that it has printed. */
    const prints = (stream: keyof typeof output, text: string) =>
      Effect.sync(() => output[stream]).pipe(
        Effect.repeat({ until: (all) => all.includes(text), schedule: Schedule.spaced("20 millis") }),
        Effect.zipRight(Effect.sync(() => output[stream].trim())),
        Effect.timeoutFail({ duration: "2 minutes", onTimeout: () => ({ _tag: "NotPrinted", ...output }) })
      )
    return {
      child,
      prints,
      ended: Effect.map(Effect.promise(() => closed), ([code]) => ({ ...output, code: code as number }))
    }
  })
