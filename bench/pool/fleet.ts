/** Processes of `claimer.ts` that share one ledger and do as they are told, all at once. */
import { Effect } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface Order {
  readonly mode: "ours" | "bare"
  readonly seconds: number
  /** Mean milliseconds between two claims of a process. */
  readonly think: number
}

export interface Answer {
  /** Milliseconds of each claim with its release. */
  readonly times: ReadonlyArray<number>
}

const answer = (child: ChildProcess) =>
  new Promise<Answer>((resolve, reject) => {
    child.once("message", resolve)
    child.once("exit", (code) => reject(new Error(`a process has ended with ${code}`)))
  })

/** They end with the scope. */
export const start = (path: string, size: number) =>
  Effect.gen(function*() {
    const program = fileURLToPath(new URL("claimer.ts", import.meta.url))
    const children = yield* Effect.acquireRelease(
      Effect.sync(() => Array.from({ length: size }, () => fork(program, [path, String(size)]))),
      (children) => Effect.sync(() => children.forEach((child) => child.kill("SIGKILL")))
    )
    yield* Effect.promise(() => Promise.all(children.map(answer)))
    const run = (order: Order) =>
      Effect.map(
        Effect.promise(() =>
          Promise.all(children.map((child) => {
            child.send(order)
            return answer(child)
          }))
        ),
        (answers) => answers.flatMap(({ times }) => times)
      )
    return { run }
  })
