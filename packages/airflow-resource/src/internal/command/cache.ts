import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as process from "node:process"
import * as Settings from "../../Settings.js"
import { json, output, PoolIsPrivate } from "./common.js"

const reset = Command.make("reset", { json }, ({ json }) =>
  output(
    json,
    Effect.gen(function*() {
      const cache = yield* Settings.cache(process.cwd())
      if (cache._tag === "Temporary") return yield* new PoolIsPrivate()
      return { cache: cache.path, removed: yield* SqliteDeploymentCache.reset(cache.path) }
    }),
    ({ cache, removed }) =>
      removed
        ? `Deleted ${cache}. The next process creates a new one and finds the pool's deployments again.`
        : `There is no ${cache}: nothing to delete.`
  )).pipe(Command.withDescription("Deletes the ledger's file, unless it is in use."))

export const cache = Command.make("cache").pipe(
  Command.withDescription("The ledger's file."),
  Command.withSubcommands([reset])
)
