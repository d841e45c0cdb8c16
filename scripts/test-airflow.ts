/**
 * `npm run test:airflow [version… | all]`: the contract suite of AirflowApi and a whole lease over real Airflow servers,
 * one after the other. Without a version: the newest of Airflow 2 and of Airflow 3.
 */
import { Cause, Console, Duration, Effect, Exit } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as RealAirflow from "./airflow/RealAirflow.js"

const newest = ["2.", "3."].flatMap((major) =>
  RealAirflow.versions.filter((version) => version.startsWith(major)).slice(-1)
)

/** The versions that the arguments ask for. */
const chosen = (args: ReadonlyArray<string>) => {
  if (args.length === 0) return Effect.succeed(newest)
  if (args.length === 1 && args[0] === "all") return Effect.succeed(RealAirflow.versions)
  const unknown = args.filter((version) => !RealAirflow.versions.includes(version))
  return unknown.length === 0 ? Effect.succeed(args) : new RealAirflow.AirflowFailed({
    message: `Unknown: ${unknown.join(", ")}. Give any of ${RealAirflow.versions.join(", ")}, or "all".`
  })
}

const cli = fileURLToPath(new URL("vitest.mjs", import.meta.resolve("vitest/package.json")))
const config = fileURLToPath(new URL("airflow/vitest.config.ts", import.meta.url))

/** Runs the suites. Vitest leads a group of its own, so that its workers end with it. */
const vitest = (env: Record<string, string>) =>
  Effect.async<void, RealAirflow.AirflowFailed>((resume) => {
    const child = spawn(process.execPath, [cli, "run", "--config", config], {
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", "inherit", "inherit"]
    })
    const fail = (message: string) => resume(new RealAirflow.AirflowFailed({ message }))
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
    duration: "20 minutes",
    onTimeout: () => new RealAirflow.AirflowFailed({ message: "vitest took longer than 20 minutes" })
  }))

/** What the suites are told of the server. */
const environment = (airflow: RealAirflow.RealAirflow) => ({
  AIRFLOW_VERSION: airflow.version,
  AIRFLOW_URL: airflow.url,
  AIRFLOW_USERNAME: airflow.username,
  AIRFLOW_PASSWORD: airflow.password,
  AIRFLOW_VIEWER_USERNAME: airflow.viewer.username,
  AIRFLOW_VIEWER_PASSWORD: airflow.viewer.password,
  AIRFLOW_AUTHORIZATION: airflow.authorization,
  AIRFLOW_DAGS_FOLDER: airflow.dagsFolder,
  AIRFLOW_PIDS: Object.entries(airflow.pids).map(([name, pid]) => `${name}=${pid}`).join(",")
})

const test = (version: string) =>
  Effect.gen(function*() {
    const [took, airflow] = yield* Effect.timed(RealAirflow.start(version))
    yield* Console.log(`Airflow ${version} answers at ${airflow.url} after ${Math.round(Duration.toSeconds(took))} s`)
    // an Airflow that lost a process may pass tests that prove nothing any more
    yield* Effect.raceFirst(vitest(environment(airflow)), airflow.ended)
  }).pipe(
    Effect.scoped,
    Effect.tapError((error) => Console.error(error.message)),
    Effect.match({
      onFailure: ({ message }) => ({ ok: false, line: `Airflow ${version}: failed, ${message.split("\n", 1)[0]}` }),
      onSuccess: () => ({ ok: true, line: `Airflow ${version}: passed` })
    })
  )

const program = Effect.gen(function*() {
  const results = yield* Effect.forEach(yield* chosen(process.argv.slice(2)), test)
  for (const { line } of results) yield* Console.log(line)
  return results.every(({ ok }) => ok)
}).pipe(
  Effect.catchTag("AirflowFailed", ({ message }) => Effect.as(Console.error(message), false))
)

// nothing may be left running when a terminal or a CI job takes us down, however often it says so
const stop = new AbortController()
process.on("SIGINT", () => stop.abort())
process.on("SIGTERM", () => stop.abort())
const exit = await Effect.runPromiseExit(program, { signal: stop.signal })
process.exitCode = Exit.isSuccess(exit) && exit.value ? 0 : 1
if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) process.stderr.write(`${Cause.pretty(exit.cause)}\n`)
