/**
 * Airflow's processes: commands that end by themselves, and servers that run until their scope closes.
 */
import { Data, Effect, Schedule } from "effect"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"

export class AirflowFailed extends Data.TaggedError("AirflowFailed")<{ readonly message: string }> {}

/** Runs a command until it has ended. */
export const run = (command: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv, minutes: number) =>
  Effect.tryPromise({
    try: (signal) =>
      promisify(execFile)(command, args, { env, signal, timeout: minutes * 60_000, maxBuffer: 64 * 1024 * 1024 }),
    catch: (cause) => {
      const output = cause instanceof Error && "stderr" in cause ? String(cause.stderr).slice(-2000) : ""
      return new AirflowFailed({ message: `${path.basename(command)} ${args[0] ?? ""} failed: ${cause}\n${output}` })
    }
  })

/** A process that runs until its scope closes. */
export interface Running {
  readonly name: string
  readonly child: ChildProcess
  readonly log: string
}

/** Starts `command` with the argument `name`, in a session of its own. Its output goes to a log file in `home`. */
export const launch = (command: string, name: string, env: NodeJS.ProcessEnv, home: string) =>
  Effect.acquireRelease(
    Effect.sync((): Running => {
      const log = path.join(home, `${name}.log`)
      const output = fs.openSync(log, "a")
      const child = spawn(command, [name], { env, cwd: home, detached: true, stdio: ["ignore", output, output] })
      fs.closeSync(output)
      return { name, child, log }
    }),
    ({ child }) => stop(child)
  )

export const tail = ({ log }: Running) => fs.readFileSync(log, "utf8").slice(-3000)

const hasEnded = (child: ChildProcess) => (child.exitCode ?? child.signalCode) !== null

/** Fails when one of the processes ends, with its name and the end of its log. */
export const watch = (all: ReadonlyArray<Running>) =>
  Effect.forEach(all, (process) =>
    Effect.async<never, AirflowFailed>((resume) => {
      const { child, name } = process
      const ended = () =>
        resume(
          new AirflowFailed({
            message: `Airflow's ${name} ended (${child.signalCode ?? child.exitCode}). The end of its log:\n${
              tail(process)
            }`
          })
        )
      if (hasEnded(child)) return ended()
      child.once("exit", ended)
      return Effect.sync(() => child.off("exit", ended))
    }), { concurrency: "unbounded" }).pipe(Effect.zipRight(Effect.never))

/** The processes of the session that `leader` started. Without `/proc`, only its process group. */
const sessionOf = (leader: number): ReadonlyArray<number> =>
  !fs.existsSync("/proc/self/stat") ?
    [-leader] :
    fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
      try {
        // after the name in parentheses come state, parent, group and session
        const [, , , session] = fs.readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")
        return session === String(leader) ? [Number(name)] : []
      } catch {
        return []
      }
    })

/**
 * Ends the whole session of a process: tasks have process groups of their own, and workers may outlive the scheduler.
 */
const stop = (child: ChildProcess) =>
  Effect.gen(function*() {
    const { pid } = child
    if (pid === undefined) return
    const kill = (target: number, signal: NodeJS.Signals) => {
      try {
        process.kill(target, signal)
      } catch {
        // the process has ended already
      }
    }
    kill(-pid, "SIGTERM")
    yield* Effect.sync(() => sessionOf(pid).length === 0 || hasEnded(child)).pipe(
      Effect.repeat({ until: (ended) => ended, schedule: Schedule.spaced("100 millis") }),
      Effect.timeoutOption("5 seconds")
    )
    for (const left of sessionOf(pid)) kill(left, "SIGKILL")
  })
