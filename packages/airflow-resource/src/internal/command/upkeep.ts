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
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Durations from "../duration.js"
import { oneLine } from "../text.js"
import { json, output, sharedPool } from "./common.js"

/** The command did what it could, but deployments are still awake or held. */
export class Unfinished extends Schema.TaggedError<Unfinished>("airflow-resource/Unfinished")("Unfinished", {
  held: Schema.Array(Schema.String),
  awake: Schema.Array(Schema.String),
  tokens: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return [
      ...this.held.map((slot) => `still held: ${slot}`),
      ...this.awake.map((name) => `still awake: ${name}`),
      ...this.tokens.map((name) => `a token of the pool may still be valid: ${name}`)
    ].join("\n")
  }
}

export const reap = Command.make("reap", { json }, ({ json }) =>
  Effect.gen(function*() {
    const report = yield* output(
      json,
      Effect.gen(function*() {
        const pool = yield* sharedPool
        yield* Console.error("tidying up the pool …")
        return yield* Effect.provide(Effect.flatMap(DeploymentPool, ({ reap }) => reap), pool)
      }),
      renderReport
    )
    const { awake, tokens } = report
    if (awake.length + tokens.length > 0) return yield* new Unfinished({ held: [], awake, tokens })
  })).pipe(
    Command.withDescription(
      "Tidies up the pool once: expires overdue holders, hibernates free deployments, deletes leftovers."
    )
  )

const timeout = Options.text("timeout").pipe(
  Options.withDefault("15 minutes"),
  Options.mapEffect((text) =>
    Effect.mapError(
      Option.filter(Durations.parse(text), Duration.lessThanOrEqualTo("7 days")),
      () =>
        ValidationError.invalidValue(
          HelpDoc.p(`--timeout is "${text}", but must be a duration of 7 days at most, ${Durations.example}`)
        )
    )
  ),
  Options.withDescription(`How long to wait for holders, such as "90 seconds".`)
)

export const drain = Command.make("drain", { json, timeout }, ({ json, timeout }) =>
  Effect.gen(function*() {
    const report = yield* output(
      json,
      Effect.gen(function*() {
        const pool = yield* sharedPool
        yield* Console.error(`hibernating the pool, waiting for holders for ${Duration.format(timeout)} at most …`)
        let printed = ""
        const onReport = (report: Upkeep.Report) => {
          const waits = heldSlots(report).map((slot) => `waiting for ${slot}`)
          const text = [...report.actions.map(describe), ...waits].join("\n")
          if (text === printed || text === "") return Effect.void
          printed = text
          return Console.error(text)
        }
        const onPause = (wait: Duration.Duration) =>
          Console.error(
            `checking again in ${Duration.format(wait)}, because a request of an ended process may still land`
          )
        return yield* Effect.provide(
          Effect.flatMap(DeploymentPool, ({ drain }) => drain({ timeout, onReport, onPause })),
          pool
        )
      }),
      renderReport
    )
    const [held, { awake, tokens }] = [heldSlots(report), report]
    if (held.length + awake.length + tokens.length > 0) return yield* new Unfinished({ held, awake, tokens })
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
  "revoke": "freed of the tokens of ended leases",
  "left alone": "left alone"
}

const heldSlots = ({ held }: Upkeep.Report) =>
  held.map(({ activity, label, slot }) => oneLine(`slot ${slot}: ${label} (${activity})`))

const renderReport = (report: Upkeep.Report) =>
  report.actions.map(describe).join("\n") ||
  (report.held.length + report.awake.length + report.tokens.length === 0
    ? "Nothing to do: every deployment is hibernating."
    : "Nothing was done.")
