/**
 * `npm run test:airflow [version… | all]`: the contract suite of AirflowApi and a whole lease over real Airflow servers,
 * one after the other. Without a version: the newest of Airflow 2 and of Airflow 3.
 */
import { Console, Duration, Effect } from "effect"
import * as RealAirflow from "./airflow/RealAirflow.js"
import * as Run from "./run.js"

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

const config = new URL("airflow/vitest.config.ts", import.meta.url)

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
  Run.outcome(
    `Airflow ${version}`,
    Effect.scoped(Effect.gen(function*() {
      const [took, airflow] = yield* Effect.timed(RealAirflow.start(version))
      yield* Console.log(`Airflow ${version} answers at ${airflow.url} after ${Math.round(Duration.toSeconds(took))} s`)
      // an Airflow that lost a process may pass tests that prove nothing any more
      const suites = Run.vitest(config, { duration: "20 minutes", env: environment(airflow) })
      yield* Effect.raceFirst(suites, airflow.ended)
    }))
  )

await Run.main(Effect.flatMap(chosen(process.argv.slice(2)), (versions) => Effect.forEach(versions, test)))
