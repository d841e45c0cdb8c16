/** Processes of `claimer.ts` that share one ledger and work on the same task at the same time. */
import { Effect } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface Task {
  readonly mode: "pool" | "bare"
  readonly seconds: number
  /** Mean pause between two claims of a process, in milliseconds. */
  readonly think: number
}

export interface Result {
  /** How long each claim with its release took, in milliseconds. */
  readonly times: ReadonlyArray<number>
}

const result = (child: ChildProcess) =>
  new Promise<Result>((resolve, reject) => {
    child.once("message", resolve)
    child.once("exit", (code) => reject(new Error(`bench:pool: a process ended with exit code ${code}`)))
  })

/** Starts the processes, which end with the scope. */
export const start = (path: string, size: number) =>
  Effect.gen(function*() {
    const program = fileURLToPath(new URL("claimer.ts", import.meta.url))
    const children = yield* Effect.acquireRelease(
      Effect.sync(() => Array.from({ length: size }, () => fork(program, [path, String(size)]))),
      (children) => Effect.sync(() => children.forEach((child) => child.kill("SIGKILL")))
    )
    yield* Effect.promise(() => Promise.all(children.map(result)))
    const run = (task: Task) =>
      Effect.map(
        Effect.promise(() =>
          Promise.all(children.map((child) => {
            child.send(task)
            return result(child)
          }))
        ),
        (results) => results.flatMap(({ times }) => times)
      )
    return { run }
  })
