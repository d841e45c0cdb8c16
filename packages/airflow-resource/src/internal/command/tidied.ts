/** What `reap` and `drain` have in common: they say what was done, and what is left. */
import type * as Upkeep from "@airflow-resource/core/Upkeep"
import * as Schema from "effect/Schema"
import { oneLine } from "../text.js"

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

export const describe = ({ deployment, detail, did, slot }: Upkeep.Action): string =>
  oneLine(`slot ${slot}: ${deployment} ${done[did]}${detail === "" ? "" : `: ${detail}`}`)

export const heldSlots = ({ held }: Upkeep.Report): ReadonlyArray<string> =>
  held.map(({ activity, label, slot }) => oneLine(`slot ${slot}: ${label} (${activity})`))

export const render = (report: Upkeep.Report): string =>
  report.actions.map(describe).join("\n") ||
  (report.held.length + report.awake.length + report.tokens.length === 0
    ? "Nothing to do: every deployment is hibernating."
    : "Nothing was done.")

// internal

const done: Record<Upkeep.Action["did"], string> = {
  "hibernate": "hibernated",
  "reset": "reset",
  "recycle": "replaced",
  "delete": "deleted",
  "delete older": "kept, its older deployments deleted",
  "revoke": "freed of the tokens of ended leases",
  "left alone": "left alone"
}
