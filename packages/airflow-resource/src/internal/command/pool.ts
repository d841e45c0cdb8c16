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
    return `AIRFLOW_RESOURCE_PROVIDER is emulator: such an emulator exists only inside the process that starts it, ` +
      `so this command has no pool to work on, and nothing stays awake after the process. ` +
      `For a pool on Astro, set AIRFLOW_RESOURCE_PROVIDER to cli or api. ` +
      `For an emulator that several processes can use, run \`airflow-resource emulator\`.`
  }
}

/** The settings of a pool that other processes can use. They need no variable of the delivery. */
export const sharedSettings = Effect.suspend(() => Settings.load(process.cwd(), { delivers: false })).pipe(
  Effect.filterOrFail((settings) => settings.cache._tag === "File", () => new PoolIsPrivate())
)

/** The layer of that pool alone. It sends nothing to GitHub. */
export const sharedPool = Effect.map(sharedSettings, (settings) => AirflowResources.layerPool(settings))
