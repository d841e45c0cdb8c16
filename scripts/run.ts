/** What the scripts share that run several things, most of them with vitest, and report how each ended. */
import { Cause, Console, Data, type Duration, Effect, Exit } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

export class VitestFailed extends Data.TaggedError("VitestFailed")<{ readonly message: string }> {}

const cli = fileURLToPath(new URL("vitest.mjs", import.meta.resolve("vitest/package.json")))

/** Runs suites. Vitest gets its own process group, so that its workers are killed together with it. */
export const vitest = (config: URL, { duration, env, files = [] }: {
  /** The test files to run, by a part of their path [all]. */
  readonly files?: ReadonlyArray<string>
  readonly duration: Duration.DurationInput
  readonly env: Record<string, string>
}) =>
  Effect.async<void, VitestFailed>((resume) => {
    const child = spawn(process.execPath, [cli, "run", ...files, "--config", fileURLToPath(config)], {
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", "inherit", "inherit"]
    })
    const fail = (message: string) => resume(new VitestFailed({ message }))
    child.once("error", (error) => fail(`vitest: it did not start: ${error.message}`))
    child.once("exit", (code) =>
      code === 0 ? resume(Effect.void) : fail(`vitest: it exited with ${code}; its output is above`))
    return Effect.sync(() => {
      try {
        if (child.pid !== undefined) {
          process.kill(-child.pid, "SIGKILL")
        }
      } catch {
        // it has ended already
      }
    })
  }).pipe(Effect.timeoutFail({
    duration,
    onTimeout: () =>
      new VitestFailed({ message: `vitest: it took longer than ${duration} and was killed` })
  }))

interface Outcome {
  readonly ok: boolean
  readonly line: string
}

/** Reports in one line whether `what` passed or failed. */
export const outcome = <E extends { readonly message: string }, R>(
  what: string,
  self: Effect.Effect<void, E, R>
): Effect.Effect<Outcome, never, R> =>
  self.pipe(
    Effect.tapError((error) => Console.error(error.message)),
    Effect.match({
      onFailure: ({ message }) => ({ ok: false, line: `${what}: failed, ${message.split("\n", 1)[0]}` }),
      onSuccess: () => ({ ok: true, line: `${what}: passed` })
    })
  )

/** The last line of a script whose outcomes are its tests, in vitest's form, which `.ci/run` counts. */
export const summary = (outcomes: ReadonlyArray<Outcome>): Outcome => {
  const passed = outcomes.filter(({ ok }) => ok).length
  const failed = outcomes.length - passed
  return {
    ok: outcomes.length > 0 && failed === 0,
    line: `Tests  ${failed === 0 ? "" : `${failed} failed | `}${passed} passed (${outcomes.length})`
  }
}

/** Runs the script, and prints all lines at its end. */
export const main = async <E extends { readonly message: string }>(
  script: Effect.Effect<ReadonlyArray<Outcome>, E>
): Promise<void> => {
  const program = Effect.gen(function*() {
    const outcomes = yield* script
    for (const { line } of outcomes) yield* Console.log(line)
    return outcomes.every(({ ok }) => ok)
  }).pipe(Effect.catchAll(({ message }) => Effect.as(Console.error(message), false)))

  // when a terminal or a CI job ends this script, even with several signals, nothing may be left running
  const stop = new AbortController()
  process.on("SIGINT", () => stop.abort())
  process.on("SIGTERM", () => stop.abort())
  process.on("SIGHUP", () => stop.abort())
  const exit = await Effect.runPromiseExit(program, { signal: stop.signal })
  process.exitCode = Exit.isSuccess(exit) && exit.value ? 0 : 1
  if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) {
    process.stderr.write(`${Cause.pretty(exit.cause)}\n`)
  }
}
