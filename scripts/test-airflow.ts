/**
 * `npm run test:airflow [version… | all]` runs all `*.airflow.ts` suites against real Airflow servers, one server after
 * the other. Without a version it takes the newest Airflow 2 and the newest Airflow 3.
 */
import { Console, Duration, Effect } from "effect"
import * as RealAirflow from "./airflow/RealAirflow.js"
import * as Run from "./run.js"

const newest = ["2.", "3."].flatMap((major) =>
  RealAirflow.versions.filter((version) => version.startsWith(major)).slice(-1)
)

/** The versions that the arguments name. */
const versionsOf = (args: ReadonlyArray<string>) => {
  if (args.length === 0) return Effect.succeed(newest)
  if (args.length === 1 && args[0] === "all") return Effect.succeed(RealAirflow.versions)
  const unknown = args.filter((version) => !RealAirflow.versions.includes(version))
  return unknown.length === 0 ? Effect.succeed(args) : new RealAirflow.AirflowFailed({
    message: `Unknown versions: ${unknown.join(", ")}. Use any of ${RealAirflow.versions.join(", ")}, or "all".`
  })
}

const config = new URL("airflow/vitest.config.ts", import.meta.url)

/** The environment variables that tell the suites about the server. */
const environment = (airflow: RealAirflow.RealAirflow) => ({
  AIRFLOW_VERSION: airflow.version,
  AIRFLOW_URL: airflow.url,
  AIRFLOW_USERNAME: airflow.username,
  AIRFLOW_PASSWORD: airflow.password,
  AIRFLOW_VIEWER_USERNAME: airflow.viewer.username,
  AIRFLOW_VIEWER_PASSWORD: airflow.viewer.password,
  AIRFLOW_AUTHORIZATION: airflow.authorization,
  AIRFLOW_DAGS_FOLDER: airflow.dagsFolder,
  AIRFLOW_DATABASE: airflow.database,
  AIRFLOW_PIDS_FILE: airflow.pidsFile
})

const test = (version: string) =>
  Run.outcome(
    `Airflow ${version}`,
    Effect.scoped(Effect.gen(function*() {
      const [took, airflow] = yield* Effect.timed(RealAirflow.start(version))
      yield* Console.log(
        `Airflow ${version} is ready at ${airflow.url} after ${Math.round(Duration.toSeconds(took))} s`
      )
      // if processes of Airflow end, the tests may still pass but prove nothing
      const suites = Run.vitest(config, { duration: "20 minutes", env: environment(airflow) })
      yield* Effect.raceFirst(suites, airflow.ended)
    }))
  )

await Run.main(Effect.flatMap(versionsOf(process.argv.slice(2)), (versions) => Effect.forEach(versions, test)))
