import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import * as Effect from "effect/Effect"
import { output, say } from "./output.js"
import { sharedPool } from "./pool.js"
import * as Usage from "./usage.js"

export const reset: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("reset"))
    .summary("empty a free deployment now")
    .description(
      "Empties a free deployment, verifies that it is empty, and hibernates it again, unless it is kept awake for a run " +
        "of tests. Every lease does this by itself; it takes as long as waking the deployment."
    )
    .argument("<deployment>", "its name or its id, as `airflow-resource status` shows them", Usage.text)
    .addHelpText("after", Usage.footer({ examples: ["airflow-resource reset airflow-resource-f8cc8a7d-s1-g1"] }))
    .action((deployment: string, format: Usage.Format) =>
      run(output(
        Usage.isJson(format),
        Effect.gen(function*() {
          const layer = yield* sharedPool
          yield* say(`emptying ${deployment} …`)
          return yield* Effect.provide(Effect.flatMap(DeploymentPool, ({ reset }) => reset(deployment)), layer)
        }),
        ({ deployment, isAwake, slot }) =>
          `slot ${slot}: ${deployment} is empty, and ${isAwake ? "stays awake for a run of tests" : "hibernates"}`
      ))
    )
