import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResource } from "airflow-resource"
import { Effect } from "effect"
import { environment } from "../child.js"
import type { Hold } from "./checker.js"
import * as History from "./history.js"
import type { Orders } from "./processes.js"
import * as Processes from "./processes.js"

const isLong = process.env["AIRFLOW_RESOURCE_CHAOS"] === "1"

/** The calls to die at, and how many of each. Every failpoint gets its own process. */
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

/** Long enough to tell: the slot of a process that died on the same machine is free before the deadline. */
const pool = { ...History.poolOptions, ttl: 20_000 }

/** Together they make all calls: the second lease wakes the deployment of the first, and the third replaces it. */
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
    const worker = yield* Processes.start(environment(emulator, folder, 1), { ...orders, failpoint })
    // a slot is only handed over if a ticket waits for it
    const needsWaiter = failpoint.startsWith("cache.handOver") && failpoint.endsWith(":1")
    yield* History.until(
      "the process has died, or holds a lease",
      Effect.sync(() => !worker.isAlive() || (needsWaiter && worker.lines.length > 0))
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
      const tags = worker.lines.map(({ _tag }) =>
        _tag
      )
      assert.notInclude(tags, "Failed")
      assert.strictEqual(worker.end(), "SIGKILL", worker.errors())
      const { history, violations } = yield* History.conclude(emulator, 1, {
        holds: [...worker.holds(), next.hold],
        findings: worker.findings()
      })
      assert.deepStrictEqual(violations, [])
      if (!needsWaiter) {
        const [queued, granted] = ["queued", "granted"].map((kind) =>
          history.events.find((event) => event.leaseId === next.leaseId && event.kind === kind)?.at ?? NaN
        )
        assert.isAtMost(granted! - queued!, History.bounds.longestRequest + 2_000, "the slot was usable too late")
      }
      assert.deepStrictEqual((yield* (yield* DeploymentPool).inspect).slots.map(({ quarantine }) => quarantine), [null])
    }).pipe(Effect.provide(History.layer(emulator, folder, { ...pool, max: 1 })))
  }).pipe(Effect.provide(NodeContext.layer))

describe.concurrent("the next process repairs what a killed process left behind", () => {
  for (const failpoint of failpoints) {
    it.scopedLive(failpoint, () => dieAndRepair(failpoint), 900_000)
  }
})
