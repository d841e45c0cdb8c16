/** The pool that a command works on. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import * as AirflowResources from "../../AirflowResources.js"
import * as Settings from "../../Settings.js"

/** The pool belongs to an emulator, which no other process can reach. */
export class PoolIsPrivate extends Schema.TaggedError<PoolIsPrivate>("airflow-resource/PoolIsPrivate")(
  "PoolIsPrivate",
  {}
) {
  override get message(): string {
    return `There is no pool to work on: with AIRFLOW_RESOURCE_PROVIDER=emulator, each process has an emulator of its own, ` +
      `which exists only inside the process that starts it. To keep one, run \`airflow-resource emulator\`, and this command ` +
      `and the tests in another shell with the exports that it prints. Or set AIRFLOW_RESOURCE_PROVIDER to local, cli or api.`
  }
}

/** The settings of a pool that other processes can use. They need no variable of the delivery. */
export const sharedSettings = Effect.suspend(() => Settings.load(process.cwd(), { delivers: false })).pipe(
  Effect.filterOrFail((settings) => settings.cache._tag === "File", () => new PoolIsPrivate())
)

/** The layer of that pool alone. It sends nothing to GitHub. */
export const sharedPool = Effect.map(sharedSettings, (settings) => AirflowResources.layerPool(settings))
