import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { AirflowResource } from "airflow-resource"
import { Deferred, Effect, FiberSet, Random } from "effect"
import { environment } from "../child.js"
import * as Checker from "./checker.js"
import * as History from "./history.js"
import type { Orders, Worker } from "./processes.js"
import * as Processes from "./processes.js"

const isLong = process.env["AIRFLOW_RESOURCE_CHAOS"] === "1"
const size = {
  processes: isLong ? 16 : 4,
  slots: isLong ? 4 : 2,
  seconds: Number(process.env["AIRFLOW_RESOURCE_CHAOS_SECONDS"] ?? (isLong ? 120 : 12))
}
const { ttl } = History.bounds
const orders: Orders = { pool: History.poolOptions, leases: null, hold: [100, 600], writeEvery: 5 }

const isHolding = ({ lines }: Worker) => {
  const last = lines.filter(({ _tag }) => _tag !== "Refused" && _tag !== "Found").at(-1)
  return last?._tag === "Ready"
}

/** The shortest and the longest pause between two signals, so that killed processes can be replaced on two cores. */
const pauseBetween: readonly [number, number] = isLong ? [400, 1_600] : [300, 1_300] as const

it.scopedLive(
  `${size.processes} processes on ${size.slots} slots, killed and stopped at random, never break a rule`,
  () =>
    Effect.gen(function*() {
      const seed = Number(process.env["AIRFLOW_RESOURCE_CHAOS_SEED"] ?? (yield* Random.nextIntBetween(0, 2 ** 31)))
      const emulator = yield* Emulator.make({ seed, speed: History.speed, durations: History.durations })
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const env = { ...environment(emulator, folder, size.slots), AIRFLOW_RESOURCE_REAPER: isLong ? "on" : "off" }
      const start = Processes.start(env, orders)
      const all: Array<Worker> = []
      const stopped = new Set<Worker>()
      const add = Effect.map(start, (worker) => void all.push(worker))
      yield* Effect.replicateEffect(add, size.processes)

      yield* History.until("a process gets a lease", Effect.sync(() => all.some(isHolding)))

      let [kills, stops] = [0, 0]
      yield* Effect.gen(function*() {
        const pauses = yield* FiberSet.make()
        const until = Date.now() + size.seconds * 1_000
        while (Date.now() < until) {
          yield* Effect.sleep(yield* Random.nextIntBetween(pauseBetween[0], pauseBetween[1]))
          const running = all.filter((worker) => worker.isAlive() && !stopped.has(worker))
          const holding = running.filter(isHolding)
          const [victim] = yield* Random.shuffle(
            holding.length > 0 && (yield* Random.nextBoolean) ? holding : running
          )
          if (victim === undefined) continue
          if (yield* Random.nextBoolean) {
            kills += 1
            yield* victim.send("SIGKILL")
            yield* add
          } else if (stopped.size < size.processes / 2) {
            stops += 1
            stopped.add(victim)
            yield* victim.send("SIGSTOP")
            const length = yield* Random.nextIntBetween(1.2 * ttl, 2 * ttl)
            yield* FiberSet.run(
              pauses,
              Effect.zipRight(
                Effect.delay(victim.send("SIGCONT"), length),
                Effect.sync(() => stopped.delete(victim))
              )
            )
          }
        }
        yield* FiberSet.awaitEmpty(pauses)
      }).pipe(Effect.scoped, Effect.withRandom(Random.make(seed)))

      yield* Effect.forEach(all, (worker) => worker.endInput)
      yield* History.until("all processes end", Effect.sync(() => !all.some((worker) => worker.isAlive())))
      yield* Effect.forEach(all, (worker) => worker.exited)

      yield* Effect.gen(function*() {
        const { waits } = yield* allAtOnce(size.slots)
        const { history, violations } = yield* History.conclude(emulator, size.slots, {
          holds: all.flatMap((worker) => worker.holds()),
          findings: all.flatMap((worker) => worker.findings())
        })
        const lines = all.flatMap(({ lines }) => lines)
        const count = (tag: string) => lines.filter(({ _tag }) => _tag === tag).length
        const tried = {
          kills,
          stops,
          leases: history.holds.length,
          released: count("Released"),
          expected: count("Expected"),
          // leases whose body ended before the process noticed that the lease was lost
          unaware: Checker.unaware(history.holds, history.events).length,
          expired: history.events.filter(({ kind }) => kind === "expired").length,
          writes: Checker.writes(history.audit).length,
          refused: history.audit.requests.filter(({ status }) => status === 401).length,
          waits
        }
        yield* History.report(`chaos, seed ${seed}: ${JSON.stringify(tried)}`)
        const failures = [
          ...lines.flatMap((line) => line._tag === "Failed" ? line.message : []),
          ...all.flatMap((worker) => worker.end() === 0 || worker.end() === "SIGKILL" ? [] : worker.errors())
        ]
        assert.deepStrictEqual([violations, failures], [[], []], `seed ${seed}`)
        assert.isAbove(history.holds.length, 0)
        assert.isAtMost(Math.max(...waits), ttl + History.bounds.longestRequest + 1_000, "a slot was usable too late")
      }).pipe(Effect.provide(History.layer(emulator, folder, { ...History.poolOptions, max: size.slots })))
    }).pipe(Effect.provide(NodeContext.layer)),
  (size.seconds + 1_200) * 1_000
)

/** Leases every slot at the same time. Returns how long each ticket waited for its grant. */
const allAtOnce = (slots: number) =>
  Effect.gen(function*() {
    const together = yield* Deferred.make<void>()
    let held = 0
    const leaseIds = yield* Effect.forEach(Array.from({ length: slots }), (_, index) =>
      AirflowResource.use({ testName: `at the end ${index}` }, ({ leaseId }) =>
        Effect.gen(function*() {
          held += 1
          if (held === slots) {
            yield* Deferred.succeed(together, undefined)
          }
          yield* Deferred.await(together)
          return leaseId
        })), { concurrency: "unbounded" })
    const pool = yield* DeploymentPool
    const waits = yield* Effect.forEach(leaseIds, (leaseId) =>
      Effect.map(pool.events({ leaseId }), (events) => {
        const at = (kind: string) =>
          events.find((event) =>
            event.kind === kind
          )?.at ?? NaN
        return at("granted") - at("queued")
      }))
    return { waits }
  })
