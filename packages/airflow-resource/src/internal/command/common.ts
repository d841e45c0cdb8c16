/** What the commands share: results go to stdout, everything else to stderr. */
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
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

export const json = Options.boolean("json").pipe(Options.withDescription("Print one JSON document."))

export const print = <A>(asJson: boolean, value: A, render: (value: A) => string) =>
  Console.log(asJson ? JSON.stringify(value, undefined, 2) : render(value))

/** The layer of the pool alone. It needs no variable of the delivery, and sends nothing to GitHub. */
export const sharedPool = Effect.suspend(() => Settings.load(process.cwd(), { delivers: false })).pipe(
  Effect.flatMap((settings) =>
    settings.cache._tag === "Temporary" ? new PoolIsPrivate() : Effect.succeed(AirflowResources.layerPool(settings))
  )
)
