/** The process that starts Airflow's processes, and kills them all when the supervisor ends, however it ends. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import * as path from "node:path"
import process from "node:process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as Zygote from "./Zygote.js"

/** A program to start, and the file that its output is added to. */
export interface Program {
  readonly name: string
  readonly argv: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly log: string
}

/** A program has ended. `launcher`: so has everything else. */
export interface Ended {
  readonly name: string
  /** Its exit code, or the negative number of the signal that ended it. */
  readonly status: number
}

export interface Launcher {
  readonly pid: number
  /** Whether its programs are forked from a zygote. */
  readonly isForked: boolean
  /** Returns its pid. It leads a session of its own. */
  readonly start: (program: Program) => Effect.Effect<number>
  /** The next program that has ended. */
  readonly ended: Effect.Effect<Ended>
}

/** Runs until the scope closes. By then every process that it has started is gone, and so is what those have started. */
export const make = (
  environment: string,
  { hasZygote }: { readonly hasZygote: boolean }
): Effect.Effect<Launcher, never, Scope.Scope> =>
  Effect.gen(function*() {
    const ended = yield* Queue.unbounded<Ended>()
    const waiting = new Map<string, (pid: number) => void>()
    let isForked = true
    const channel = yield* Effect.acquireRelease(
      Effect.flatMap(
        hasZygote ? Zygote.connect(environment) : Effect.succeedNone,
        Option.match({
          onNone: () => {
            isForked = false
            return ownProcess(path.join(environment, "bin", "python"))
          },
          onSome: Effect.succeed
        })
      ),
      ({ close, isClosed }) =>
        Effect.async<void>((resume) => {
          isClosed.then(() => resume(Effect.void))
          close()
        }).pipe(Effect.timeoutOption("15 seconds"))
    )
    let isOver = false
    channel.isClosed.then((status) => {
      isOver = true
      for (const started of waiting.values()) started(0)
      Queue.unsafeOffer(ended, { name: "launcher", status })
    })
    createInterface({ input: channel.input }).on("line", (line) => {
      const message = JSON.parse(line) as
        | { readonly started: string; readonly pid: number }
        | { readonly ended: string; readonly status: number }
      if ("started" in message) return waiting.get(message.started)?.(message.pid)
      Queue.unsafeOffer(ended, { name: message.ended, status: message.status })
    })
    return {
      pid: channel.pid,
      isForked,
      start: ({ name, ...program }) =>
        Effect.async<number>((resume) => {
          if (isOver) return resume(Effect.succeed(0))
          waiting.set(name, (pid) => {
            waiting.delete(name)
            resume(Effect.succeed(pid))
          })
          channel.write(`${JSON.stringify({ start: name, ...program })}\n`)
        }),
      ended: Queue.take(ended)
    }
  })

// internal

const script = fileURLToPath(new URL("../../../python/launcher.py", import.meta.url))

/** A launcher that is started for this Airflow alone. */
const ownProcess = (python: string) =>
  Effect.sync((): Zygote.Channel => {
    // isolated: neither the user's packages nor the current folder may get in its way
    const child = spawn(python, ["-I", "-S", script], { stdio: ["pipe", "pipe", "inherit"], detached: true })
    // it may have been killed
    child.stdin.on("error", () => {})
    return {
      pid: child.pid ?? 0,
      input: child.stdout,
      write: (text) => void child.stdin.write(text),
      close: () => void child.stdin.end(),
      isClosed: new Promise((resolve) => {
        child.once("error", (error) => {
          process.stderr.write(`${python} cannot be started: ${error.message}\n`)
          resolve(127)
        })
        child.once("exit", (code) => resolve(code ?? -9))
      })
    }
  })
