import { DeploymentCache } from "@airflow-resource/core"
import { Effect } from "effect"
import { suite } from "./DeploymentCache.suite.js"

suite(
  "DeploymentCache in memory",
  Effect.sync(() => {
    const store = DeploymentCache.makeMemoryStore("memory")
    return (host) => DeploymentCache.make(store, host)
  })
)
