import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import * as Effect from "effect/Effect"
import { output, say } from "./output.js"
import { sharedPool } from "./pool.js"
import * as Tidied from "./tidied.js"
import * as Usage from "./usage.js"

export const reap: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("reap"))
    .summary("tidy the pool up once")
    .description(
      "Tidies the pool up once: expires overdue holders, hibernates free deployments, deletes tokens of ended leases " +
        "and leftovers. It waits for no holder, and touches nothing that is held."
    )
    .addHelpText(
      "after",
      Usage.footer({
        examples: ["airflow-resource reap"],
        exitCodes: { 3: "deployments are still awake, or tokens may still be valid" }
      })
    )
    .action((format: Usage.Format) =>
      run(
        Effect.gen(function*() {
          const { awake, tokens } = yield* output(
            Usage.isJson(format),
            Effect.gen(function*() {
              const pool = yield* sharedPool
              yield* say("tidying up the pool …")
              return yield* Effect.provide(Effect.flatMap(DeploymentPool, ({ reap }) => reap), pool)
            }),
            Tidied.render
          )
          if (awake.length + tokens.length > 0) return yield* new Tidied.Unfinished({ held: [], awake, tokens })
        }),
        { Unfinished: 3 }
      )
    )
