// A process that claims and gives back slots of a ledger, in our way and in the bare one, and tells how long each took.
import * as DeploymentCache from "@airflow-resource/core/DeploymentCache"
import * as Lease from "@airflow-resource/core/Lease"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, ManagedRuntime } from "effect"
import { setTimeout } from "node:timers/promises"
import * as Bare from "./bare.js"
import type { Answer, Order } from "./fleet.js"

const [path = "", size = "1"] = process.argv.slice(2)

const rules = { poolId: "bench", max: Number(size), ttl: 60_000, maxHold: 3_600_000, lockDelay: 35_000 }
const needs = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

const runtime = ManagedRuntime.make(SqliteDeploymentCache.layer({ path }).pipe(Layer.provide(NodeContext.layer)))
const cache = await runtime.runPromise(DeploymentCache.DeploymentCache)
const bare = Bare.open(`${path}.bare`, Number(size))

const ours = (key: string) =>
  Effect.gen(function*() {
    yield* cache.enqueue(rules, { key, leaseId: Lease.LeaseId.make(key), needs, label: key })
    const status = yield* cache.step(rules, key)
    if (status._tag !== "Granted") {
      return yield* Effect.dieMessage(`there is a slot for everybody, and yet ${status._tag}`)
    }
    yield* cache.free(rules, status.slot.number, status.slot.epoch, { clean: false, usable: true })
  })

process.on("message", async ({ mode, seconds, think }: Order) => {
  const times: Array<number> = []
  const startedAt = performance.now()
  for (let count = 0; performance.now() - startedAt < seconds * 1000; count++) {
    await setTimeout(-Math.log(1 - Math.random()) * think)
    const key = `${process.pid}-${mode}-${startedAt}-${count}`
    const before = performance.now()
    if (mode === "ours") await runtime.runPromise(ours(key))
    else bare.claimAndRelease(key)
    times.push(performance.now() - before)
  }
  process.send?.({ times } satisfies Answer)
})
process.on("disconnect", () => process.exit())
process.send?.({ times: [] } satisfies Answer)
