/**
 * `npm run test:airflow [version…]`: the contract suite of AirflowApi and a whole lease over real Airflow servers.
 */
import { Cause, Console, Effect, Exit } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as RealAirflow from "./airflow/RealAirflow.js"

const versions = process.argv.slice(2).length > 0 ? process.argv.slice(2) : ["2.11.2"]

const cli = fileURLToPath(new URL("vitest.mjs", import.meta.resolve("vitest/package.json")))
const config = fileURLToPath(new URL("airflow/vitest.config.ts", import.meta.url))

/** vitest's exit code. It leads a group of its own, so that its workers end with it. */
const vitest = (env: Record<string, string>) =>
  Effect.async<number>((resume) => {
    const child = spawn(process.execPath, [cli, "run", "--config", config], {
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", "inherit", "inherit"]
    })
    child.once("error", () => resume(Effect.succeed(1)))
    child.once("exit", (code) => resume(Effect.succeed(code ?? 1)))
    return Effect.sync(() => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL")
      } catch {
        // it has ended
      }
    })
  }).pipe(Effect.timeoutTo({ duration: "20 minutes", onSuccess: (code) => code, onTimeout: () => 1 }))

const test = (version: string) =>
  Effect.scoped(Effect.gen(function*() {
    const { password, url, username } = yield* RealAirflow.start(version)
    yield* Console.log(`Airflow ${version} answers at ${url}`)
    return yield* vitest({ AIRFLOW_URL: url, AIRFLOW_USERNAME: username, AIRFLOW_PASSWORD: password })
  }))

const program = Effect.forEach(versions, test).pipe(
  Effect.catchAll((error) => Effect.as(Console.error(error.message), [1]))
)

// nothing may be left running when a terminal or a CI job takes us down
const stop = new AbortController()
process.once("SIGINT", () => stop.abort())
process.once("SIGTERM", () => stop.abort())
const exit = await Effect.runPromiseExit(program, { signal: stop.signal })
process.exitCode = Exit.isSuccess(exit) ? Math.max(...exit.value) : 1
if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) process.stderr.write(`${Cause.pretty(exit.cause)}\n`)
