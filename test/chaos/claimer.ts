// Run as a process: claims several deployments of one ledger at once, prints which it has, and gives them back when its
// input ends.
import * as DeploymentCache from "@airflow-resource/core/DeploymentCache"
import * as Host from "@airflow-resource/core/Host"
import { LeaseId } from "@airflow-resource/core/Lease"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import { Deferred, Effect, Layer } from "effect"
import type { Hold } from "./checker.js"
import * as OldFixture from "./oldFixture.js"
import { deployments, rules, spec } from "./pools.js"

const [kind, path = "", claims = "1"] = process.argv.slice(2)
const names = Array.from({ length: Number(claims) }, (_, index) => `${process.pid} ${index}`)

interface Ledger {
  readonly begin: Effect.Effect<void>
  readonly claim: (name: string) => Effect.Effect<Pick<Hold, "deploymentId" | "slot" | "epoch">>
  readonly release: (hold: Pick<Hold, "deploymentId" | "slot" | "epoch">) => Effect.Effect<void>
}

const original: Effect.Effect<Ledger> = Effect.sync(() => {
  const db = OldFixture.open(path)
  return {
    begin: Effect.sync(() => OldFixture.populate(db, deployments)),
    claim: (name) =>
      Effect.promise(() => OldFixture.allocate(db, process.pid)).pipe(
        Effect.map((claimed) => ({ deploymentId: claimed ?? `created for ${name}`, slot: 0, epoch: 0 }))
      ),
    release: ({ deploymentId }) => Effect.sync(() => OldFixture.release(db, deploymentId))
  }
})

const pool: Effect.Effect<Ledger, never, DeploymentCache.DeploymentCache> = Effect.map(
  DeploymentCache.DeploymentCache,
  (cache) => ({
    begin: Effect.void,
    claim: (name) =>
      Effect.gen(function*() {
        yield* cache.enqueue(rules, { key: name, leaseId: LeaseId.make(name), needs: spec, lock: null, label: name })
        const status = yield* Effect.repeat(Effect.delay(cache.step(rules, name), "20 millis"), {
          until: ({ _tag }) => _tag !== "Waiting"
        })
        if (status._tag !== "Granted") return yield* Effect.dieMessage(status._tag)
        const { epoch, number } = status.slot
        return { deploymentId: deployments[number - 1] ?? `slot ${number}`, slot: number, epoch }
      }).pipe(Effect.orDie),
    release: ({ epoch, slot }) => Effect.orDie(cache.free(rules, slot, epoch, { clean: false, usable: true }))
  })
)

const print = (line: unknown) => Effect.sync(() => void process.stdout.write(`${JSON.stringify(line)}\n`))

await Effect.gen(function*() {
  const [go, end] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  process.stdin.once("data", () => Deferred.unsafeDone(go, Effect.void))
  process.stdin.once("end", () => Deferred.unsafeDone(end, Effect.void))
  const ledger = kind === "original" ? yield* original : yield* pool
  yield* print("up")
  yield* Deferred.await(go)
  yield* ledger.begin
  const holds = yield* Effect.forEach(
    names,
    (name) => Effect.map(ledger.claim(name), (hold) => ({ ...hold, from: Date.now() })),
    { concurrency: "unbounded" }
  )
  yield* print(holds)
  yield* Deferred.await(end)
  yield* print(holds.map((hold) => ({ ...hold, to: Date.now() })))
  yield* Effect.forEach(holds, (hold) => ledger.release(hold))
}).pipe(
  Effect.provide(
    kind === "original"
      ? DeploymentCache.layerMemory
      : Layer.unwrapEffect(Effect.map(Host.live, (host) => SqliteDeploymentCache.layer({ path, host }))).pipe(
        Layer.provide(NodeContext.layer)
      )
  ),
  Effect.runPromise
)
