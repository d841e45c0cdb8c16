/** A headless Chromium, driven by its own protocol over two pipes. */
import { Data, Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Duplex, Readable } from "node:stream"

export class BrowserFailed extends Data.TaggedError("BrowserFailed")<{ readonly message: string }> {}

/** Calls a method of the Chrome DevTools Protocol. */
export type Call = <A = unknown>(method: string, params?: object) => Effect.Effect<A, BrowserFailed>

/** The first of these programs on the PATH. */
const find = Effect.suspend(() => {
  const folders = (process.env["PATH"] ?? "").split(path.delimiter)
  const programs = ["chromium", "google-chrome", "chromium-browser"].flatMap((name) =>
    folders.map((folder) => path.join(folder, name))
  )
  const program = programs.find((file) => fs.existsSync(file))
  return program === undefined
    ? new BrowserFailed({
      message: "there is no chromium and no google-chrome on the PATH. On Debian: apt-get install chromium"
    })
    : Effect.succeed(program)
})

/** A browser with one empty page, until the scope closes. */
export const open: Effect.Effect<Call, BrowserFailed, Scope.Scope> = Effect.gen(function*() {
  const program = yield* find
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "airflow-resource-browser-"))
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(program, [
        "--headless=new",
        "--remote-debugging-pipe",
        `--user-data-dir=${profile}`,
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--force-color-profile=srgb",
        "--hide-scrollbars",
        "--no-first-run",
        ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
        "about:blank"
      ], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true })
    ),
    (child) =>
      Effect.promise(() =>
        new Promise<void>((resolve) => {
          child.once("close", resolve)
          // with its group: Chromium has many processes
          if (child.pid === undefined || child.exitCode !== null) resolve()
          else process.kill(-child.pid, "SIGKILL")
        })
      ).pipe(Effect.zipRight(Effect.sync(() => fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 }))))
  )
  const calls = connect(child.stdio[3] as Duplex, child.stdio[4] as Readable)
  child.once("error", ({ message }) => calls.end(`${program} did not start: ${message}`))
  child.once("exit", (code, signal) => calls.end(`${program} ended with ${code ?? signal}`))
  const { targetInfos } = yield* calls.call<{ targetInfos: ReadonlyArray<{ type: string; targetId: string }> }>(
    undefined,
    "Target.getTargets",
    {}
  )
  const targetId = targetInfos.find(({ type }) => type === "page")?.targetId
  const { sessionId } = yield* calls.call<{ sessionId: string }>(undefined, "Target.attachToTarget", {
    targetId,
    flatten: true
  })
  return <A>(method: string, params: object = {}) => calls.call<A>(sessionId, method, params)
})

/** The value of an expression in the page. */
export const evaluate = <A>(call: Call, expression: string): Effect.Effect<A, BrowserFailed> =>
  Effect.flatMap(
    call<{ result: { value: A }; exceptionDetails?: { text: string } }>("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true
    }),
    ({ exceptionDetails, result }) =>
      exceptionDetails === undefined
        ? Effect.succeed(result.value)
        : new BrowserFailed({ message: `${exceptionDetails.text}: ${expression}` })
  )

// internal

interface Response {
  readonly id?: number
  readonly result?: unknown
  readonly error?: { readonly message: string }
}

const connect = (input: Duplex, output: Readable) => {
  const waiting = new Map<number, (response: Response) => void>()
  let last = 0
  let ended: string | undefined
  let rest = ""
  output.setEncoding("utf8").on("data", (chunk: string) => {
    const messages = (rest + chunk).split("\0")
    rest = messages.pop()!
    for (const message of messages) {
      const response: Response = JSON.parse(message)
      if (response.id !== undefined) waiting.get(response.id)?.(response)
    }
  })
  input.on("error", () => {})
  return {
    end: (why: string) => {
      ended ??= why
      for (const respond of waiting.values()) respond({ error: { message: why } })
    },
    call: <A>(sessionId: string | undefined, method: string, params: object) =>
      Effect.async<A, BrowserFailed>((resume) => {
        const id = ++last
        waiting.set(id, ({ error, result }) => {
          waiting.delete(id)
          resume(
            error === undefined
              ? Effect.succeed(result as A)
              : new BrowserFailed({ message: `${method}: ${error.message}` })
          )
        })
        if (ended === undefined) input.write(`${JSON.stringify({ id, sessionId, method, params })}\0`)
        else waiting.get(id)!({ error: { message: ended } })
      }).pipe(Effect.timeoutFail({
        duration: "1 minute",
        onTimeout: () => new BrowserFailed({ message: `${method}: no response within a minute` })
      }))
  }
}
