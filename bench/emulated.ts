/** Starts the emulator in another process and talks to it. */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export interface Announcement {
  readonly token: string
  /** The URL of the Airflow of each requested runtime, in the same order. */
  readonly urls: ReadonlyArray<string>
}

/** Starts `server.ts`, and ends it with the scope. */
export const start = (runtimes: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        // with this process's arguments for Node: how to load TypeScript, and where the packages are
        spawn(
          process.execPath,
          [...process.execArgv, fileURLToPath(new URL("server.ts", import.meta.url)), ...runtimes],
          { stdio: ["pipe", "pipe", "inherit"] }
        )
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const line = Effect.promise(async () => {
      const { done, value } = await lines.next()
      if (done === true) throw new Error("bench/server.ts has ended unexpectedly")
      return JSON.parse(value) as unknown
    })
    const announcement = (yield* line) as Announcement
    const arrived = Effect.zipRight(
      Effect.sync(() => child.stdin.write("\n")),
      Effect.map(line, (requests) => requests as ReadonlyArray<string>)
    )
    return {
      ...announcement,
      /** The requests that arrive during `work`, such as `GET /path`. */
      requestsOf: <A, E>(work: Effect.Effect<A, E>): Effect.Effect<ReadonlyArray<string>, E> =>
        arrived.pipe(Effect.zipRight(work), Effect.zipRight(arrived))
    }
  })

export type Emulated = Effect.Effect.Success<ReturnType<typeof start>>
