/** A lease for as long as a command needs it. */
import * as AirflowResource from "@airflow-resource/core/AirflowResource"
import * as Effect from "effect/Effect"
import process from "node:process"
import * as AirflowResources from "../../AirflowResources.js"
import * as Settings from "../../Settings.js"
import * as Progress from "./progress.js"

/** Shows the steps before and after `body`, but none meanwhile. */
export const leased = <A, E, R>(
  testName: string,
  body: (resource: AirflowResource.AirflowResource, settings: Settings.Settings) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    const settings = yield* Settings.load(process.cwd())
    const display = yield* Progress.make
    return yield* AirflowResource.use(
      { testName, onProgress: display.onProgress },
      (resource) => Effect.zipRight(display.pause, body(resource, settings))
    ).pipe(Effect.provide(AirflowResources.layer(settings)))
  }).pipe(Effect.scoped, Effect.provide(Progress.logger))
