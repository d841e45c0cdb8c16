/**
 * `npm run test:astro [program…]`: the contract suite of DeploymentProvider and whole leases through real astro CLIs over the
 * emulator, one program after the other. Without one: `ASTRO_BIN`, else the `astro` on the PATH. Nothing but loopback is asked.
 */
import { AstroCli } from "@airflow-resource/astro"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { NodeContext } from "@effect/platform-node"
import { Cause, Console, Data, Effect, Exit, Layer, Option, Redacted } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

class Failed extends Data.TaggedError("Failed")<{ readonly message: string }> {}

const vitest = fileURLToPath(new URL("vitest.mjs", import.meta.resolve("vitest/package.json")))
const config = fileURLToPath(new URL("vitest.config.ts", import.meta.url))

/** Runs the suites; vitest leads a group of its own, so that its workers end with it. */
const suites = (bin: string) =>
  Effect.async<void, Failed>((resume) => {
    const child = spawn(process.execPath, [vitest, "run", "--config", config], {
      env: { ...process.env, ASTRO_BIN: bin },
      detached: true,
      stdio: ["ignore", "inherit", "inherit"]
    })
    const fail = (message: string) => resume(new Failed({ message }))
    child.once("error", (error) => fail(`vitest did not start: ${error.message}`))
    child.once("exit", (code) => code === 0 ? resume(Effect.void) : fail(`vitest ended with ${code}`))
    return Effect.sync(() => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL")
      } catch {
        // it has ended
      }
    })
  }).pipe(Effect.timeoutFail({
    duration: "10 minutes",
    onTimeout: () => new Failed({ message: "vitest took longer than 10 minutes" })
  }))

/** No request is made: the account need not be there. */
const programAt = (bin: string | undefined) =>
  Effect.flatMap(AstroCli.AstroCli, ({ program }) => program).pipe(
    Effect.provide(
      AstroCli.layer({
        apiUrl: "http://127.0.0.1:1",
        token: Redacted.make("none"),
        workspaceId: "none",
        organizationId: Option.none(),
        bin
      }).pipe(Layer.provide([ProcessRunner.layer, NodeContext.layer]))
    )
  )

const test = (bin: string | undefined) =>
  Effect.gen(function*() {
    const { path, version } = yield* programAt(bin)
    yield* Console.log(`astro ${version} (${path})`)
    yield* suites(path)
    return `astro ${version}: passed`
  }).pipe(
    Effect.tapError((error) => Console.error(error.message)),
    Effect.match({
      onFailure: ({ message }) => ({ ok: false, line: `${bin ?? "astro"}: failed, ${message.split("\n", 1)[0]}` }),
      onSuccess: (line) => ({ ok: true, line })
    })
  )

const given = process.argv.slice(2)
const program = Effect.gen(function*() {
  const results = yield* Effect.forEach(given.length > 0 ? given : [process.env.ASTRO_BIN], test)
  for (const { line } of results) yield* Console.log(line)
  return results.every(({ ok }) => ok)
})

// nothing may be left running when a terminal or a CI job takes us down, however often it says so
const stop = new AbortController()
process.on("SIGINT", () => stop.abort())
process.on("SIGTERM", () => stop.abort())
const exit = await Effect.runPromiseExit(program, { signal: stop.signal })
process.exitCode = Exit.isSuccess(exit) && exit.value ? 0 : 1
if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) process.stderr.write(`${Cause.pretty(exit.cause)}\n`)
