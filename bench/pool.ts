/**
 * What the pool costs: a claim with its release next to two bare transactions, with more and more processes and with a
 * long history; a hundred leases in one process; a slot whose process was killed; and the calls to Astro of a lease.
 * Ratios and counts can be compared between machines, milliseconds cannot. `npm run bench:pool`, about three minutes.
 */
import { AirflowApi } from "@airflow-resource/airflow"
import { DeploymentCache, DeploymentPool, DeploymentProvider, type LeasedSlot } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { AirflowResource, AirflowResources } from "airflow-resource"
import Database from "better-sqlite3"
import { Console, Effect, Layer } from "effect"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { quantile } from "./compare.js"
import * as Fleet from "./pool/fleet.js"

const folder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped({ prefix: "bench-pool-" }))

const ms = (value: number) => `${value.toFixed(2)} ms`.padStart(11)

/** All processes together claim about fifty times a second, alternately through the pool and bare. */
const claims = (size: number) =>
  Effect.gen(function*() {
    const fleet = yield* Fleet.start(`${yield* folder}/cache.db`, size)
    const task = { seconds: 2, think: size * 20 }
    const [pool, bare] = [[] as Array<number>, [] as Array<number>]
    for (let turn = 0; turn < 4; turn++) {
      const [first, second] = turn % 2 === 0 ? ["pool", "bare"] as const : ["bare", "pool"] as const
      for (const mode of [first, second]) {
        const times = yield* fleet.run({ ...task, mode })
        // the first turn is for warming up
        if (turn > 0) (mode === "pool" ? pool : bare).push(...times)
      }
    }
    const [p50, p99] = [quantile(pool, 0.5), quantile(pool, 0.99)]
    const [bare50, bare99] = [quantile(bare, 0.5), quantile(bare, 0.99)]
    yield* Console.log(
      `${String(size).padStart(9)}${ms(p50)}${ms(bare50)}${(p50 / bare50).toFixed(2).padStart(8)}` +
        `${ms(p99)}${ms(bare99)}${(p99 / bare99).toFixed(2).padStart(8)}${String(pool.length).padStart(9)}`
    )
  }).pipe(Effect.scoped)

/** A young ledger and one with a long history, with one process each, in turns. */
const history = Effect.gen(function*() {
  const [young, old] = [`${yield* folder}/cache.db`, `${yield* folder}/cache.db`]
  const fleets = { young: yield* Fleet.start(young, 1), old: yield* Fleet.start(old, 1) }
  fill(young, 100)
  fill(old, 100_000)
  const ratios: Array<number> = []
  for (let turn = 0; turn < 8; turn++) {
    const median = (fleet: typeof fleets.young) =>
      Effect.map(fleet.run({ mode: "pool", seconds: 1, think: 5 }), (times) => quantile(times, 0.5))
    const pair = turn % 2 === 0
      ? { young: yield* median(fleets.young), old: yield* median(fleets.old) }
      : { old: yield* median(fleets.old), young: yield* median(fleets.young) }
    if (turn > 1) ratios.push(pair.old / pair.young)
  }
  yield* Console.log(
    `\na claim with its release takes ${quantile(ratios, 0.5).toFixed(2)} times as long with 10^5 events as with 10^2`
  )
}).pipe(Effect.scoped)

const fill = (path: string, events: number) => {
  const db = new Database(path)
  const insert = db.prepare(
    "INSERT INTO events (pool, at, kind, slot, epoch, lease_id, detail) VALUES ('bench', ?, 'step', 1, 1, ?, 'filling')"
  )
  db.transaction(() => {
    for (let event = 0; event < events; event++) insert.run(Date.now(), `lease-${event % 1000}`)
  }).immediate()
  db.close()
}

/** Kills a process that holds the only slot, and measures how long it takes until a waiter has the slot. */
const reclaim = Effect.gen(function*() {
  const path = `${yield* folder}/cache.db`
  const holder = fileURLToPath(new URL("pool/holder.ts", import.meta.url))
  const times: Array<number> = []
  const layer = SqliteDeploymentCache.layer({ path })
  for (let turn = 0; turn < 7; turn++) {
    const child = fork(holder, [path])
    yield* Effect.promise(() => new Promise((resolve) => child.once("message", resolve)))
    const pool = yield* Layer.build(inMemory({ max: 1 }).pipe(Layer.provide(layer)))
    const { acquire } = yield* Effect.provide(DeploymentPool.DeploymentPool, pool)
    let killedAt = 0
    const onProgress = ({ wait }: LeasedSlot.Progress) =>
      Effect.sync(() => {
        if (wait === undefined || killedAt > 0) return
        killedAt = performance.now()
        child.kill("SIGKILL")
      })
    yield* Effect.scoped(acquire({ label: "waits", onProgress }))
    times.push(performance.now() - killedAt)
  }
  yield* Console.log(
    `a waiter has the slot of a killed process after ${ms(quantile(times, 0.5)).trim()} (at most ${
      ms(Math.max(...times)).trim()
    })`
  )
}).pipe(Effect.scoped)

const inMemory = (options: Partial<DeploymentPool.PoolOptions>) =>
  DeploymentPool.layer({
    spec: { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" },
    readyPolls: 1,
    revocationWait: 0,
    ...options
  }).pipe(Layer.provide(AirflowApi.layerMemory()), Layer.provide(DeploymentProvider.layerMemory()))

const memory = Effect.gen(function*() {
  const path = `${yield* folder}/cache.db`
  const ledger = SqliteDeploymentCache.layer({ path })
  const used = Effect.sync(() => {
    globalThis.gc?.()
    return process.memoryUsage()
  })
  const [before, after] = yield* Effect.gen(function*() {
    const { acquire } = yield* DeploymentPool.DeploymentPool
    const lease = (index: number) => acquire({ label: `lease ${index}` })
    yield* lease(0)
    const before = yield* used
    yield* Effect.forEach(Array.from({ length: 100 }, (_, index) => index + 1), lease, { concurrency: 4 })
    return [before, yield* used] as const
  }).pipe(Effect.scoped, Effect.provide(inMemory({ max: 101 }).pipe(Layer.provide(ledger))))
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
  yield* Console.log(
    `a hundred more leases in a process: ${mib(after.heapUsed - before.heapUsed)} of heap, ${
      mib(after.rss - before.rss)
    } of memory in total`
  )
}).pipe(Effect.scoped)

/** The calls to Astro of a lease: polls of the status while a deployment wakes, and all others. */
const calls = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  const counted = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const before = (yield* emulator.audit).requests.length
      yield* work
      const sent = (yield* emulator.audit).requests.slice(before).filter(({ path }) => path.startsWith("/v1"))
      const polls = sent.filter(({ method, path }) => method === "GET" && /\/deployments(\?|$)/.test(path)).length
      return `${sent.length - polls} calls, ${polls} polls of the status`
    })
  const lease = (testName: string) => AirflowResource.use({ testName }, () => Effect.void)
  yield* Console.log(`\ncalls to Astro of a fenced lease, including its release`)
  yield* Console.log(`  the first of a process, a new deployment   ${yield* counted(lease("first"))}`)
  yield* Console.log(`  woken                                      ${yield* counted(lease("woken"))}`)
  const waiting = AirflowResource.use({ testName: "holds" }, () => Effect.sleep("1 seconds"))
  yield* Console.log(
    `  woken, and handed over to a second lease   ${yield* counted(
      Effect.all([waiting, Effect.delay(lease("handed over"), "500 millis")], { concurrency: 2 })
    )}`
  )
}).pipe(Effect.provide(AirflowResources.layerEmulator({ pool: { max: 1 }, delivery: "none" })))

/** With a deployment that upkeep keeps awake and empty. Upkeep makes calls too; only the lease's are counted. */
const callsAwake = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  const cache = yield* DeploymentCache.DeploymentCache
  const pool = yield* DeploymentPool.DeploymentPool
  const lease = (testName: string) => AirflowResource.use({ testName }, () => Effect.void)
  yield* Effect.scoped(Effect.gen(function*() {
    yield* pool.upkeep({ hibernateAfter: "1 hours", every: "100 millis" })
    yield* lease("first")
    const { rules: { poolId } } = yield* pool.inspect
    const isReady = Effect.map(
      cache.inspect(poolId),
      ({ slots }) => slots.some((slot) => slot.clean && slot.holder === null)
    )
    yield* Effect.repeat(Effect.delay(isReady, "50 millis"), { until: (ready) => ready })
    const before = (yield* emulator.audit).requests.length
    let sent = 0
    yield* AirflowResource.use({ testName: "second" }, () =>
      Effect.map(emulator.audit, ({ requests }) => {
        sent = requests.slice(before).filter(({ method, path }) =>
          path.startsWith("/v1") && !(method === "GET" && /\/deployments(\?|$)/.test(path))
        ).length
      }))
    yield* Console.log(`  awake and empty, thanks to upkeep          ${sent} calls`)
  }))
}).pipe(Effect.provide(AirflowResources.layerEmulator({ pool: { max: 1 }, delivery: "none" })))

Effect.gen(function*() {
  yield* Console.log("claim and release of a slot in an SQLite file: pool, bare better-sqlite3, and their ratio\n")
  yield* Console.log("processes   p50 pool       bare   ratio   p99 pool       bare   ratio   claims")
  for (const size of [1, 4, 16, 64]) yield* claims(size)
  yield* history
  yield* reclaim
  yield* memory
  yield* calls
  yield* callsAwake
}).pipe(
  Effect.timeoutFail({
    duration: "10 minutes",
    onTimeout: () => new Error("bench:pool: it did not finish within 10 minutes")
  }),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
