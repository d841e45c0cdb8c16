import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResource } from "airflow-resource"
import { Effect } from "effect"
import type { Hold } from "./checker.js"
import * as History from "./history.js"
import type { Orders } from "./processes.js"
import * as Processes from "./processes.js"

const isLong = process.env["AIRFLOW_RESOURCE_CHAOS"] === "1"

/** How many of its calls are tried, each in a process of its own. */
const calls: Readonly<Record<string, number>> = {
  "provider.ready": 1,
  "provider.list": 4,
  "provider.get": 2,
  "provider.create": 2,
  "provider.delete": 1,
  "provider.hibernate": 3,
  "provider.wake": 1,
  "provider.createToken": 4,
  "provider.listTokens": 4,
  "provider.deleteToken": 3,
  "cache.enqueue": 3,
  "cache.step": 3,
  "cache.update": 30,
  "cache.beat": 3,
  "cache.handOver": 3,
  "cache.free": 3
}

const chosen = [
  "provider.create:after:1",
  "provider.hibernate:before:1",
  "provider.createToken:after:2",
  "cache.handOver:after:1"
]

const failpoints = isLong
  ? Object.entries(calls).flatMap(([call, count]) =>
    Array.from({ length: count }, (_, index) => ["before", "after"].map((when) => `${call}:${when}:${index + 1}`))
      .flat()
  )
  : chosen

/** Nobody waits for the deadline of a process that is gone from the same machine. */
const pool = { ...History.poolOptions, ttl: 20_000 }

/** All calls are made: the second lease wakes what the first one left, and the third replaces it. */
const orders: Orders = {
  pool,
  leases: 3,
  hold: [200, 200],
  writeEvery: 10,
  runtimes: ["13.1.0", "13.1.0", "12.7.1"]
}

const dieAndRepair = (failpoint: string) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed: History.speed, durations: History.durations })
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
    const worker = yield* Processes.start(Processes.environment(emulator, folder, 1), { ...orders, failpoint })
    // a slot is handed over to who waits for it
    const isAwaited = failpoint.startsWith("cache.handOver") && failpoint.endsWith(":1")
    yield* History.until(
      "it is killed, or awaited",
      Effect.sync(() => !worker.isAlive() || (isAwaited && worker.lines.length > 0))
    )

    yield* Effect.gen(function*() {
      const next = yield* AirflowResource.use({ testName: "next" }, ({ deploymentId, epoch, leaseId }) =>
        Effect.gen(function*() {
          const from = Date.now()
          yield* Effect.sleep("50 millis")
          const hold: Hold = { deploymentId, epoch, slot: 1, from, to: Date.now() }
          return { hold, leaseId }
        }))
      yield* worker.exited
      assert.notInclude(
        worker.lines.map(({ _tag }) =>
          _tag
        ),
        "Failed"
      )
      assert.strictEqual(worker.end(), "SIGKILL", worker.errors())
      const { history, violations } = yield* History.conclude(emulator, 1, {
        holds: [...worker.holds(), next.hold],
        finds: worker.finds()
      })
      assert.deepStrictEqual(violations, [])
      if (!isAwaited) {
        const [queued, granted] = ["queued", "granted"].map((kind) =>
          history.events.find((event) => event.leaseId === next.leaseId && event.kind === kind)?.at ?? NaN
        )
        assert.isAtMost(granted! - queued!, History.bounds.longestRequest + 2_000, "the slot was not usable again")
      }
      assert.deepStrictEqual((yield* (yield* DeploymentPool).inspect).slots.map(({ quarantine }) => quarantine), [null])
    }).pipe(Effect.provide(History.layer(emulator, folder, { ...pool, max: 1 })))
  }).pipe(Effect.provide(NodeContext.layer))

describe.concurrent("a process that is killed is repaired by the next one", () => {
  for (const failpoint of failpoints) {
    it.scopedLive(failpoint, () => dieAndRepair(failpoint), 300_000)
  }
})
