import { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { program } from "../child.js"
import type { Hold } from "./checker.js"
import * as Checker from "./checker.js"
import { report } from "./history.js"
import { deployments, rules } from "./pools.js"

const processes = 4

interface Claimer {
  /** Its next line of output. */
  readonly line: Effect.Effect<unknown>
  readonly go: Effect.Effect<void>
  readonly end: Effect.Effect<void>
}

const start = (kind: "original" | "pool", path: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const claims = String(deployments.length / processes)
      const child = spawn(process.execPath, [...program(new URL("claimer.ts", import.meta.url)), kind, path, claims], {
        stdio: ["pipe", "pipe", "inherit"]
      })
      return { child, exited: once(child, "exit") }
    }),
    ({ child, exited }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return exited
      })
  ).pipe(Effect.map(({ child }): Claimer => {
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
    return {
      line: Effect.promise(() => lines.next().then(({ value }) => JSON.parse(String(value)) as unknown)),
      go: Effect.sync(() => void child.stdin.write("go\n")),
      end: Effect.sync(() => void child.stdin.end())
    }
  }))

/**
 * Several processes claim all deployments at once. Every claim is held until the last process has its own.
 */
const claimAtOnce = (kind: "original" | "pool", path: string) =>
  Effect.scoped(Effect.gen(function*() {
    const claimers = yield* Effect.replicateEffect(start(kind, path), processes)
    const each = <A>(f: (claimer: Claimer) => Effect.Effect<A>) =>
      Effect.forEach(claimers, f, { concurrency: "unbounded" })
    yield* each(({ line }) => line)
    yield* each(({ go }) => go)
    yield* each(({ line }) => line)
    const holds = yield* each(({ end, line }) => Effect.zipRight(end, line))
    return (holds as ReadonlyArray<ReadonlyArray<Hold>>).flat()
  }))

const folder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

it.scopedLive(
  "the original's way of claiming gives one deployment to several holders, and the checker finds it",
  () =>
    Effect.gen(function*() {
      const round = Effect.gen(function*() {
        const holds = yield* claimAtOnce("original", `${yield* folder}/original.db`)
        assert.lengthOf(holds, deployments.length)
        const claimed = new Set(holds.map(({ deploymentId }) => deploymentId))
        yield* report(`${holds.length - claimed.size} of ${holds.length} claims were duplicates`)
        return Checker.doubleHolds(holds)
      })
      // the original tells claims apart by the second only, and a new second may begin during a round
      const violations = yield* Effect.repeat(round, { until: (violations) => violations.length > 0, times: 4 })
      assert.isAbove(violations.length, 0)
    }).pipe(Effect.provide(NodeContext.layer)),
  900_000
)

it.scopedLive("the pool gives each deployment to one holder", () =>
  Effect.gen(function*() {
    const path = `${yield* folder}/pool.db`
    const holds = yield* claimAtOnce("pool", path)
    assert.deepStrictEqual(Checker.doubleHolds(holds), [])
    assert.deepStrictEqual(holds.map(({ deploymentId }) => deploymentId).sort(), [...deployments].sort())
    const events = yield* Effect.provide(
      Effect.flatMap(DeploymentCache, (cache) => cache.events(rules.poolId)),
      SqliteDeploymentCache.layer({ path })
    )
    assert.deepStrictEqual([...Checker.grants(events), ...Checker.inversions(events)], [])
  }).pipe(Effect.provide(NodeContext.layer)))
