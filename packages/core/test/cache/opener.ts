// Opens the ledger at the given path when a line arrives on stdin, and prints its id.
import { DeploymentCache } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"

process.stdout.write("ready\n")
process.stdin.once("data", () => {
  const layer = SqliteDeploymentCache.layer({ path: process.argv[2] ?? "" }).pipe(Layer.provide(NodeContext.layer))
  void Effect.runPromise(
    DeploymentCache.DeploymentCache.pipe(
      Effect.andThen((cache) => void process.stdout.write(`${cache.ledgerId}\n`)),
      Effect.provide(layer)
    )
  ).then(() => process.exit())
})
