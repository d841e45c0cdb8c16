import { DeploymentCache, Host } from "@airflow-resource/core"
import { Effect } from "effect"
import * as MemoryLedger from "../../src/internal/ledger/memory.js"
import { suite } from "./DeploymentCache.suite.js"

suite(
  "DeploymentCache in memory",
  Effect.sync(() => {
    const open = MemoryLedger.make("memory")
    return (host = Host.alone) => Effect.flatMap(open(host), (store) => DeploymentCache.make(store, host))
  })
)
