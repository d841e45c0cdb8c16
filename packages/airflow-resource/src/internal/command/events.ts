import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import type { RecordedEvent } from "@airflow-resource/core/Slot"
import { Option } from "commander"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { oneLine } from "../text.js"
import { documented, print } from "./output.js"
import { sharedPool } from "./pool.js"
import * as Usage from "./usage.js"

export const events: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("events"), "print one line of JSON for each event")
    .summary("what happened in the pool, oldest first")
    .description("Prints what happened in the pool, oldest first: tickets, grants, steps of leases, releases.")
    .option("-f, --follow", "go on until interrupted, with each new event")
    .addOption(
      new Option("--last <n>", "begin with the last n events (default: all that the ledger has)")
        .argParser(Usage.number((n) => Number.isInteger(n) && n >= 0, "a whole number"))
    )
    .addHelpText(
      "after",
      Usage.footer({ examples: ["airflow-resource events --last 20", "airflow-resource events --follow --json"] })
    )
    .action((
      { follow = false, last, ...format }: Usage.Format & { readonly follow?: boolean; readonly last?: number }
    ) => run(show(follow, last, Usage.isJson(format))))

// internal

const show = (follows: boolean, last: number | undefined, asJson: boolean) =>
  Effect.gen(function*() {
    const layer = yield* documented(asJson)(sharedPool)
    yield* Effect.gen(function*() {
      const pool = yield* DeploymentPool
      const printAll = (events: ReadonlyArray<RecordedEvent>) =>
        events.length === 0 ? Effect.void : print(events.map(asJson ? encode : render).join("\n"))
      // one more, so that it is known where to go on
      const first = yield* documented(asJson)(pool.events({ last: last === undefined ? undefined : Math.max(1, last) }))
      yield* printAll(last === 0 ? [] : first)
      let seen = first.at(-1)?.seq ?? 0
      const next = Effect.gen(function*() {
        const events = yield* pool.events({ after: seen })
        seen = events.at(-1)?.seq ?? seen
        yield* printAll(events)
      })
      // a ledger that is busy has the events a little later
      const patient = Effect.catchIf(
        next,
        (error) => error._tag === "CacheError" && error.retryable,
        () => Effect.void
      )
      if (follows) yield* Effect.repeat(patient, Schedule.spaced("500 millis"))
    }).pipe(Effect.provide(layer), Effect.withTracerEnabled(false))
  })

const time = (millis: number) => DateTime.formatIso(DateTime.unsafeMake(millis))

const encode = ({ at, ...event }: RecordedEvent) => JSON.stringify({ at: time(at), ...event })

const render = ({ at, detail, epoch, kind, leaseId, slot }: RecordedEvent) =>
  [
    time(at),
    (slot === null ? "" : `slot ${slot} e${epoch}`).padEnd(10),
    (leaseId ?? "").padEnd(19),
    kind.padEnd(14),
    oneLine(detail)
  ].join("  ").trimEnd()
