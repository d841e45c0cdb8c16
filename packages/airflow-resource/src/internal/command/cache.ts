import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as process from "node:process"
import * as Settings from "../../Settings.js"
import { json, PoolIsPrivate, print } from "./common.js"

const reset = Command.make("reset", { json }, ({ json }) =>
  Effect.gen(function*() {
    const cache = yield* Settings.cache(process.cwd())
    if (cache._tag === "Temporary") return yield* new PoolIsPrivate()
    const removed = yield* SqliteDeploymentCache.reset(cache.path)
    yield* print(json, { cache: cache.path, removed }, () =>
      removed
        ? `Deleted ${cache.path}. The next process creates a new one and finds the pool's deployments again.`
        : `There is no ${cache.path}: nothing to delete.`)
  })).pipe(Command.withDescription("Deletes the ledger's file, unless it is in use."))

export const cache = Command.make("cache").pipe(
  Command.withDescription("The ledger's file."),
  Command.withSubcommands([reset])
)
