/** The commands `reap` and `drain`, which tidy up the pool. */
import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import type * as Upkeep from "@airflow-resource/core/Upkeep"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { oneLine } from "../text.js"
import { json, print, sharedPool } from "./common.js"

/** The command did what it could, but deployments are still awake or held. */
export class Unfinished extends Schema.TaggedError<Unfinished>("airflow-resource/Unfinished")("Unfinished", {
  held: Schema.Array(Schema.String),
  awake: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return [...this.held.map((slot) => `still held: ${slot}`), ...this.awake.map((name) => `still awake: ${name}`)]
      .join("\n")
  }
}

export const reap = Command.make("reap", { json }, ({ json }) =>
  Effect.gen(function*() {
    const pool = yield* sharedPool
    yield* Console.error("tidying up the pool …")
    const report = yield* Effect.provide(Effect.flatMap(DeploymentPool, ({ reap }) => reap), pool)
    yield* print(json, report, renderReport)
    if (report.awake.length > 0) return yield* new Unfinished({ held: [], awake: report.awake })
  })).pipe(
    Command.withDescription(
      "Tidies up the pool once: expires overdue holders, hibernates free deployments, deletes leftovers."
    )
  )

const timeout = Options.text("timeout").pipe(
  Options.withDefault("15 minutes"),
  Options.mapEffect((text) =>
    Effect.mapError(
      Duration.decodeUnknown(text),
      () =>
        ValidationError.invalidValue(
          HelpDoc.p(`--timeout is "${text}", which is not a duration: write "90 seconds", or "10 minutes"`)
        )
    )
  ),
  Options.withDescription(`How long to wait for holders, such as "90 seconds".`)
)

export const drain = Command.make("drain", { json, timeout }, ({ json, timeout }) =>
  Effect.gen(function*() {
    const pool = yield* sharedPool
    yield* Console.error(`hibernating the pool, for ${Duration.format(timeout)} at most …`)
    let printed = ""
    const onReport = (report: Upkeep.Report) => {
      const waits = heldSlots(report).map((slot) => `waiting for ${slot}`)
      const text = [...report.actions.map(describe), ...waits].join("\n")
      if (text === printed || text === "") return Effect.void
      printed = text
      return Console.error(text)
    }
    const report = yield* Effect.provide(
      Effect.flatMap(DeploymentPool, ({ drain }) => drain({ timeout, onReport })),
      pool
    )
    yield* print(json, report, renderReport)
    const held = heldSlots(report)
    if (held.length + report.awake.length > 0) return yield* new Unfinished({ held, awake: report.awake })
  })).pipe(
    Command.withDescription(
      "Waits for all holders, then hibernates every deployment; deletes those beyond AIRFLOW_RESOURCE_MAX."
    )
  )

const describe = ({ deployment, detail, did, slot }: Upkeep.Action) =>
  oneLine(`slot ${slot}: ${deployment} ${done[did]}${detail === "" ? "" : `: ${detail}`}`)

const done: Record<Upkeep.Action["did"], string> = {
  "hibernate": "hibernated",
  "reset": "reset",
  "recycle": "replaced",
  "delete": "deleted",
  "delete older": "kept, its older deployments deleted",
  "left alone": "left alone"
}

const heldSlots = ({ held }: Upkeep.Report) =>
  held.map(({ activity, label, slot }) => oneLine(`slot ${slot}: ${label} (${activity})`))

const renderReport = (report: Upkeep.Report) =>
  report.actions.map(describe).join("\n") ||
  (report.held.length + report.awake.length === 0
    ? "Nothing to do: every deployment is hibernating."
    : "Nothing was done.")
