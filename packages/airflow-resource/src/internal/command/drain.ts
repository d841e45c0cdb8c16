import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import type * as Upkeep from "@airflow-resource/core/Upkeep"
import { Option } from "commander"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { output, say } from "./output.js"
import { sharedPool } from "./pool.js"
import * as Tidied from "./tidied.js"
import * as Usage from "./usage.js"

export const drain: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("drain"))
    .summary("wait for all holders, then hibernate everything")
    .description(
      "Waits for all holders, then hibernates every deployment, and deletes those beyond AIRFLOW_RESOURCE_MAX. " +
        "For the end of a CI job. Others can still lease while it runs."
    )
    .addOption(
      new Option("--timeout <duration>", "how long to wait for holders")
        .argParser(Usage.duration).default(Duration.minutes(15), "15 minutes")
    )
    .addHelpText(
      "after",
      Usage.footer({
        examples: ["airflow-resource drain", `airflow-resource drain --timeout "5 minutes"`],
        exitCodes: { 3: "deployments are still held or awake, or tokens may still be valid" }
      })
    )
    .action(({ timeout, ...format }: Usage.Format & { readonly timeout: Duration.Duration }) =>
      run(
        Effect.gen(function*() {
          const report = yield* output(Usage.isJson(format), drained(timeout), Tidied.render)
          const [held, { awake, tokens }] = [Tidied.heldSlots(report), report]
          if (held.length + awake.length + tokens.length > 0) {
            return yield* new Tidied.Unfinished({ held, awake, tokens })
          }
        }),
        { Unfinished: 3 }
      )
    )

// internal

const drained = (timeout: Duration.Duration) =>
  Effect.gen(function*() {
    const pool = yield* sharedPool
    yield* say(`hibernating the pool, waiting for holders for ${Duration.format(timeout)} at most …`)
    let printed = ""
    const onReport = (report: Upkeep.Report) => {
      const waits = Tidied.heldSlots(report).map((slot) => `waiting for ${slot}`)
      const text = [...report.actions.map(Tidied.describe), ...waits].join("\n")
      if (text === printed || text === "") return Effect.void
      printed = text
      return say(text)
    }
    const onPause = (wait: Duration.Duration) =>
      say(`checking again in ${Duration.format(wait)}, because a request of an ended process may still land`)
    return yield* Effect.provide(
      Effect.flatMap(DeploymentPool, ({ drain }) => drain({ timeout, onReport, onPause })),
      pool
    )
  })
