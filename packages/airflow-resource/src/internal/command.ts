/** `airflow-resource`: results to stdout, everything else to stderr. */
import { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import * as Host from "@airflow-resource/core/Host"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import type * as Upkeep from "@airflow-resource/core/Upkeep"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import * as AirflowResources from "../AirflowResources.js"
import * as Settings from "../Settings.js"
import * as Doctor from "./doctor.js"
import * as Emulated from "./emulator.js"
import * as Status from "./status.js"
import { oneLine } from "./text.js"

/** The command was carried out, and something is still awake or held. */
export class Unfinished extends Schema.TaggedError<Unfinished>("airflow-resource/Unfinished")("Unfinished", {
  held: Schema.Array(Schema.String),
  awake: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const lines = [...this.held.map((one) => `still held: ${one}`), ...this.awake.map((one) => `still awake: ${one}`)]
    return lines.join("\n")
  }
}

/** An emulator cannot be asked from outside. */
export class EmulatorIsPrivate extends Schema.TaggedError<EmulatorIsPrivate>("airflow-resource/EmulatorIsPrivate")(
  "EmulatorIsPrivate",
  {}
) {
  override get message(): string {
    return `AIRFLOW_RESOURCE_PROVIDER is emulator, and an emulator lives only within the process that started it: ` +
      `there is nothing to look at from here, and nothing that could stay awake. ` +
      `For the pool on Astro set AIRFLOW_RESOURCE_PROVIDER=api; \`airflow-resource emulator\` starts one that others can use.`
  }
}

const json = Options.boolean("json").pipe(Options.withDescription("prints one JSON document"))

const timeout = Options.text("timeout").pipe(
  Options.withDefault("15 minutes"),
  Options.mapEffect((text) =>
    Effect.mapError(
      Duration.decodeUnknown(text),
      () => ValidationError.invalidValue(HelpDoc.p(`"${text}" is no duration: write "90 seconds", or "10 minutes"`))
    )
  ),
  Options.withDescription(`how long to wait for those that hold a deployment, such as "90 seconds"`)
)

/** The pool alone: neither GitHub's variables nor GitHub. */
const Pool = Layer.unwrapEffect(
  Effect.map(Settings.load(process.cwd(), { delivers: false }), (settings) => AirflowResources.layerPool(settings))
)

const elsewhere = Effect.flatMap(
  Settings.provider(process.cwd()),
  (provider) => provider === "emulator" ? new EmulatorIsPrivate() : Effect.void
)

const print = <A>(asJson: boolean, value: A, render: (value: A) => string) =>
  Console.log(asJson ? JSON.stringify(value, undefined, 2) : render(value))

const status = Command.make("status", { json }, ({ json }) =>
  Effect.gen(function*() {
    yield* elsewhere
    const shown = yield* Effect.provide(
      Effect.gen(function*() {
        const pool = yield* DeploymentPool
        const { path } = yield* DeploymentCache
        return Status.of(yield* pool.inspect, yield* Host.live, path)
      }),
      Pool
    )
    yield* print(json, shown, Status.render)
  })).pipe(Command.withDescription("Shows who holds what, who waits, and what sleeps, by the ledger."))

const describe = ({ deployment, detail, did, slot }: Upkeep.Action) =>
  oneLine(`slot ${slot}: ${deployment} ${done[did]}${detail === "" ? "" : `: ${detail}`}`)

const done: Record<Upkeep.Action["did"], string> = {
  "hibernate": "put to sleep",
  "reset": "emptied",
  "recycle": "replaced",
  "delete": "deleted",
  "delete older": "freed of older deployments",
  "left alone": "left alone"
}

const heldOf = ({ held }: Upkeep.Report) =>
  held.map(({ activity, label, slot }) => oneLine(`slot ${slot}: ${label} (${activity})`))

const renderReport = (report: Upkeep.Report) =>
  report.actions.map(describe).join("\n") ||
  (report.held.length + report.awake.length === 0 ? "All is asleep, and there was nothing to do." : "Nothing was done.")

const reap = Command.make("reap", { json }, ({ json }) =>
  Effect.gen(function*() {
    yield* elsewhere
    yield* Console.error("looking after the pool …")
    const report = yield* Effect.provide(Effect.flatMap(DeploymentPool, ({ reap }) => reap), Pool)
    yield* print(json, report, renderReport)
    if (report.awake.length > 0) return yield* new Unfinished({ held: [], awake: report.awake })
  })).pipe(
    Command.withDescription(
      "Looks after the pool once: ends what is overdue, puts to sleep what nobody holds, deletes what was left behind."
    )
  )

const drain = Command.make("drain", { json, timeout }, ({ json, timeout }) =>
  Effect.gen(function*() {
    yield* elsewhere
    yield* Console.error(`putting the pool to sleep, for ${Duration.format(timeout)} at most …`)
    let said = ""
    const onReport = (report: Upkeep.Report) => {
      const waits = heldOf(report).map((one) => `waiting for ${one}`)
      const text = [...report.actions.map(describe), ...waits].join("\n")
      if (text === said || text === "") return Effect.void
      said = text
      return Console.error(text)
    }
    const report = yield* Effect.provide(
      Effect.flatMap(DeploymentPool, ({ drain }) => drain({ timeout, onReport })),
      Pool
    )
    yield* print(json, report, renderReport)
    const held = heldOf(report)
    if (held.length + report.awake.length > 0) return yield* new Unfinished({ held, awake: report.awake })
  })).pipe(
    Command.withDescription(
      "Waits for those that hold a deployment, then leaves nothing awake; deletes what is more than AIRFLOW_RESOURCE_MAX."
    )
  )

const reset = Command.make("reset", { json }, ({ json }) =>
  Effect.gen(function*() {
    yield* elsewhere
    const path = yield* Settings.cache(process.cwd())
    const removed = yield* SqliteDeploymentCache.reset(path)
    yield* print(json, { cache: path, removed }, () =>
      removed
        ? `Removed ${path}. The next process makes a new one, which finds the pool's deployments again.`
        : `There is no ${path}: nothing to remove.`)
  })).pipe(Command.withDescription("Removes the ledger's file, unless somebody uses it."))

const cache = Command.make("cache").pipe(
  Command.withDescription("The ledger's file."),
  Command.withSubcommands([reset])
)

const doctor = Command.make("doctor", { json }, ({ json }) =>
  Effect.gen(function*() {
    const lines = yield* Doctor.examine(process.cwd())
    yield* print(json, Doctor.report(lines), () => Doctor.render(lines))
    yield* Doctor.judge(lines)
  })).pipe(Command.withDescription("Looks whether everything is there that a lease needs; makes and changes nothing."))

const within = (name: string, isFine: (value: number) => boolean, what: string) => (value: number) =>
  isFine(value)
    ? Effect.succeed(value)
    : Effect.fail(ValidationError.invalidValue(HelpDoc.p(`--${name} is ${value}, and has to be ${what}`)))

const asLine = (shown: Emulated.Shown) => JSON.stringify(shown)

const emulator = Command.make("emulator", {
  port: Options.integer("port").pipe(
    Options.mapEffect(within("port", (port) => port >= 1 && port <= 65_535, "a port from 1 to 65535")),
    Options.withDefault(0),
    Options.withDescription("where to listen on 127.0.0.1; a free port by default")
  ),
  speed: Options.float("speed").pipe(
    Options.mapEffect(within("speed", (speed) => speed > 0 && speed < Infinity, "a number greater than 0")),
    Options.withDefault(100),
    Options.withDescription("how many times as fast as the real ones; 1 is as slow as they are")
  ),
  seed: Options.integer("seed").pipe(
    Options.withDefault(1),
    Options.withDescription("the same seed gives the same ids")
  ),
  astroHome: Options.text("astro-home").pipe(
    Options.optional,
    Options.withDescription("a folder that becomes an ASTRO_HOME for the astro CLI, as long as the emulator runs")
  ),
  as: Options.all({
    json: Options.boolean("json").pipe(Options.withDescription("prints one line of JSON")),
    env: Options.boolean("print-env").pipe(Options.withDescription("prints what a shell has to export"))
  }).pipe(
    Options.mapEffect(({ env, json }) =>
      env && json
        ? Effect.fail(ValidationError.invalidValue(HelpDoc.p("--json and --print-env exclude each other")))
        : Effect.succeed(json ? asLine : env ? Emulated.exports : Emulated.render)
    )
  )
}, ({ as, ...options }) =>
  Emulated.start(options).pipe(
    Effect.flatMap((shown) => Console.log(as(shown))),
    Effect.zipRight(Effect.never),
    Effect.scoped
  )).pipe(Command.withDescription("Runs Astro, GitHub and Airflow, emulated, until it is interrupted."))

export const command = Command.make("airflow-resource").pipe(
  Command.withDescription("The pool of Airflow deployments that tests lease from."),
  Command.withSubcommands([doctor, status, reap, drain, cache, emulator])
)
