// A process that claims and frees slots, through the pool's ledger or bare, and reports how long each time took.
import * as DeploymentCache from "@airflow-resource/core/DeploymentCache"
import * as Lease from "@airflow-resource/core/Lease"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, ManagedRuntime } from "effect"
import { setTimeout } from "node:timers/promises"
import * as Bare from "./bare.js"
import type { Result, Task } from "./fleet.js"

const [path = "", size = "1"] = process.argv.slice(2)

const rules = { poolId: "bench", max: Number(size), ttl: 60_000, maxHold: 3_600_000, longestRequest: 35_000 }
const needs = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

const runtime = ManagedRuntime.make(SqliteDeploymentCache.layer({ path }).pipe(Layer.provide(NodeContext.layer)))
const cache = await runtime.runPromise(DeploymentCache.DeploymentCache)
const bare = Bare.open(`${path}.bare`, Number(size))

const claimAndFree = (key: string) =>
  Effect.gen(function*() {
    yield* cache.enqueue(rules, { key, leaseId: Lease.LeaseId.make(key), needs, lock: null, label: key })
    const status = yield* cache.step(rules, key)
    if (status._tag !== "Granted") {
      return yield* Effect.dieMessage(`bench:pool: no free slot, although there is one per process: ${status._tag}`)
    }
    yield* cache.free(rules, status.slot.number, status.slot.epoch, { clean: false, usable: true })
  })

process.on("message", async ({ mode, seconds, think }: Task) => {
  const times: Array<number> = []
  const startedAt = performance.now()
  for (let count = 0; performance.now() - startedAt < seconds * 1000; count++) {
    await setTimeout(-Math.log(1 - Math.random()) * think)
    const key = `${process.pid}-${mode}-${startedAt}-${count}`
    const before = performance.now()
    if (mode === "pool") await runtime.runPromise(claimAndFree(key))
    else bare.claimAndRelease(key)
    times.push(performance.now() - before)
  }
  process.send?.({ times } satisfies Result)
})
process.on("disconnect", () => process.exit())
process.send?.({ times: [] } satisfies Result)
