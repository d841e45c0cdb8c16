import { Effect, Schedule } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createRequire } from "node:module"
import { fileURLToPath, pathToFileURL } from "node:url"

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const tsx = [
  "--conditions=@airflow-resource/source",
  `--import=${pathToFileURL(createRequire(import.meta.url).resolve("tsx"))}`
]

/** A process of this repository's sources, killed with the test. */
export const start = (program: string, args: ReadonlyArray<string>, env: Record<string, string>, cwd: string) =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [...tsx, here(program), ...args], {
          cwd,
          env: { PATH: process.env["PATH"], NODE_NO_WARNINGS: "1", ...env },
          stdio: ["ignore", "pipe", "pipe"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const said = { stdout: "", stderr: "" }
    child.stdout.on("data", (chunk) => said.stdout += chunk)
    child.stderr.on("data", (chunk) => said.stderr += chunk)
    const exited = once(child, "close")
    /** until it has said that, 60 seconds at most. */
    const says = (where: keyof typeof said, text: string) =>
      Effect.sync(() => said[where]).pipe(
        Effect.repeat({ until: (all) => all.includes(text), schedule: Schedule.spaced("20 millis") }),
        Effect.zipRight(Effect.sync(() => said[where].trim())),
        Effect.timeoutFail({ duration: "60 seconds", onTimeout: () => ({ _tag: "NotSaid", ...said }) })
      )
    return {
      child,
      says,
      ended: Effect.map(Effect.promise(() => exited), ([code]) => ({ ...said, code: code as number }))
    }
  })
