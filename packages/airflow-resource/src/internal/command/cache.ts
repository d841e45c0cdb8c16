import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import * as Effect from "effect/Effect"
import * as process from "node:process"
import * as Settings from "../../Settings.js"
import { output } from "./output.js"
import { PoolIsPrivate } from "./pool.js"
import * as Usage from "./usage.js"

export const cache: Usage.Subcommand = (parent, run) => {
  const cache = parent.command("cache").summary("the ledger's file").description("The ledger's file.")
  Usage.formats(cache.command("reset"))
    .summary("delete the ledger's file, unless it is in use")
    .description("Deletes the ledger's file, unless it is in use. The next process finds the deployments again.")
    .addHelpText("after", Usage.footer({ examples: ["airflow-resource cache reset"] }))
    .action((format: Usage.Format) =>
      run(output(Usage.isJson(format), reset, ({ cache, removed }) =>
        removed
          ? `Deleted ${cache}. The next process creates a new one and finds the pool's deployments again.`
          : `There is no ${cache}: nothing to delete.`))
    )
  return cache
}

// internal

const reset = Effect.gen(function*() {
  const cache = yield* Settings.cache(process.cwd())
  if (cache._tag === "Temporary") return yield* new PoolIsPrivate()
  return { cache: cache.path, removed: yield* SqliteDeploymentCache.reset(cache.path) }
})
