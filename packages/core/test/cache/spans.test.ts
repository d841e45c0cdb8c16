/** The spans of the ledger's operations. */
import { DeploymentCache, Lease } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, TestClock, Tracer } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import { granted, needs, rules } from "./DeploymentCache.suite.js"

type Recorded = readonly [name: string, attributes: Record<string, unknown>]

/** The spans of an effect, in the order in which they begin. */
const spansOf = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { context, span } = yield* Effect.tracer
    const spans: Array<Tracer.Span> = []
    yield* Effect.withTracer(
      self,
      Tracer.make({
        context,
        span: (...args) => {
          const begun = span(...args)
          spans.push(begun)
          return begun
        }
      })
    )
    return spans.map(({ attributes, name }): Recorded => [name, Object.fromEntries(attributes)])
  })

describe.each(["memory", "SQLite"] as const)("over %s", (store) => {
  const open = Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/spans-`)),
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
    )
    const sqlite = SqliteDeploymentCache.layer({ path: `${folder}/cache.db` }).pipe(Layer.provide(NodeContext.layer))
    const built = yield* Layer.build(store === "SQLite" ? sqlite : DeploymentCache.layerMemory)
    return Context.get(built, DeploymentCache.DeploymentCache)
  })

  it.scoped("each operation is one span, with the ids of what it touches", () =>
    Effect.gen(function*() {
      const cache = yield* open
      const spans = yield* spansOf(Effect.gen(function*() {
        const { epoch, number } = yield* granted(cache, "a")
        yield* cache.update(rules, number, epoch, { name: "d1", spec: needs, power: "awake" })
        yield* cache.handOver(rules, number, epoch)
        yield* cache.free(rules, number, epoch, { clean: false, usable: true })
        yield* cache.claim(rules, number, { leaseId: Lease.LeaseId.make("upkeep-1"), label: "upkeep" })
        yield* cache.giveBack(rules, number, epoch + 1, 1_000)
        yield* cache.withdraw(rules, Lease.LeaseId.make("lease-a"))
        yield* cache.sweep(rules)
        yield* cache.reconcile(rules, { all: [], own: [], adoptable: [] })
        yield* cache.inspect(rules.poolId)
        yield* cache.events(rules.poolId, { leaseId: Lease.LeaseId.make("lease-a") })
        yield* Effect.scoped(
          cache.lock("repo", { label: "one", holderId: "one", onWait: () => Effect.void })
        )
      }))
      const pool = { "pool.id": "p1" }
      assert.deepStrictEqual(spans, [
        ["DeploymentCache.enqueue", { ...pool, "ticket.key": "a", "lease.id": "lease-a" }],
        ["DeploymentCache.step", { ...pool, "ticket.key": "a" }],
        ["DeploymentCache.update", { ...pool, slot: 1, epoch: 1 }],
        ["DeploymentCache.handOver", { ...pool, slot: 1, epoch: 1 }],
        ["DeploymentCache.free", { ...pool, slot: 1, epoch: 1 }],
        ["DeploymentCache.claim", { ...pool, slot: 1, "lease.id": "upkeep-1" }],
        ["DeploymentCache.giveBack", { ...pool, slot: 1, epoch: 2 }],
        ["DeploymentCache.withdraw", { ...pool, "lease.id": "lease-a" }],
        ["DeploymentCache.sweep", pool],
        ["DeploymentCache.reconcile", pool],
        ["DeploymentCache.inspect", pool],
        ["DeploymentCache.events", { ...pool, "lease.id": "lease-a" }],
        ["DeploymentCache.lock", { "lock.name": "repo" }]
      ])
    }))

  it.scoped("a beat is no span, and neither is a poll for a lock", () =>
    Effect.gen(function*() {
      const cache = yield* open
      const spans = yield* spansOf(Effect.scoped(Effect.gen(function*() {
        const { epoch, number } = yield* granted(cache, "a")
        yield* cache.beat(rules, number, epoch)
        yield* cache.keepAlive(rules, number, epoch)
        const options = (label: string) => ({ label, holderId: label, onWait: () => Effect.void })
        yield* cache.lock("repo", options("one"))
        yield* Effect.fork(Effect.scoped(cache.lock("repo", options("two"))))
        yield* TestClock.adjust("2 minutes")
      })))
      const operations = ["enqueue", "step", "lock", "lock"]
      assert.deepStrictEqual(spans.map(([name]) => name), operations.map((name) => `DeploymentCache.${name}`))
    }))
})
