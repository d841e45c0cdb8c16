/** What the commands share: results go to stdout, everything else to stderr. */
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import * as AirflowResources from "../../AirflowResources.js"
import * as Settings from "../../Settings.js"
import * as Failure from "./failure.js"

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

/** With `--json`, prints a failure as a document. */
export const documented = (asJson: boolean) => <A, E, R>(command: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onError(command, (cause) => asJson ? Console.log(Failure.document(cause)) : Effect.void)

/** Prints the result of a command, as text or, with `--json`, as a document, and returns it. */
export const output = <A, E, R>(
  asJson: boolean,
  command: Effect.Effect<A, E, R>,
  render: (result: A) => string
): Effect.Effect<A, E, R> =>
  command.pipe(
    Effect.map((result) => [result, asJson ? JSON.stringify(result, undefined, 2) : render(result)] as const),
    documented(asJson),
    Effect.flatMap(([result, text]) => Effect.as(Console.log(text), result))
  )

/** The settings of a pool that other processes can use. They need no variable of the delivery. */
export const sharedSettings = Effect.suspend(() => Settings.load(process.cwd(), { delivers: false })).pipe(
  Effect.filterOrFail((settings) => settings.cache._tag === "File", () => new PoolIsPrivate())
)

/** The layer of that pool alone. It sends nothing to GitHub. */
export const sharedPool = Effect.map(sharedSettings, (settings) => AirflowResources.layerPool(settings))
