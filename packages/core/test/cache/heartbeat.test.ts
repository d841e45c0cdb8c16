import { DeploymentCache, Host } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Context, Effect, Fiber, Layer, Option, Schedule, type Scope } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import type { Worker } from "node:worker_threads"
import { vi } from "vitest"
import { granted, rules as slow } from "./DeploymentCache.suite.js"
import { emptyWal } from "./faults.js"

const started: Array<Worker> = []
vi.mock(import("node:worker_threads"), async (original) => {
  const threads = await original()
  return {
    ...threads,
    Worker: class extends threads.Worker {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        super(...args)
        started.push(this)
      }
    }
  }
})

const rules = { ...slow, ttl: 3_000, max: 200 }
type Cache = DeploymentCache.DeploymentCache["Type"]

const test = (title: string, body: (cache: Cache, path: string) => Effect.Effect<void, unknown, Scope.Scope>) =>
  it.scopedLive(title, () =>
    Effect.gen(function*() {
      started.length = 0
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/ledger-`)),
        (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
      )
      const host = yield* Host.live
      const layer = SqliteDeploymentCache.layer({ path: `${folder}/cache.db`, host })
      const cache = Context.get(yield* Layer.build(layer), DeploymentCache.DeploymentCache)
      yield* body(cache, `${folder}/cache.db`)
    }).pipe(Effect.provide(NodeContext.layer)))

const until = <E>(condition: Effect.Effect<boolean, E>) =>
  condition.pipe(
    Effect.filterOrFail((done) => done, () => "not yet" as const),
    Effect.retry({ while: (error) => error === "not yet", schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("1 minute")
  )

const deadline = (cache: Cache) =>
  Effect.map(cache.inspect(rules.poolId), ({ slots }) => slots[0]?.holder?.deadline ?? 0)

const block = (millis: number) =>
  Effect.sync(() => {
    const end = performance.now() + millis
    while (performance.now() < end);
  })

test("a lease outlives a test that blocks the event loop", (cache) =>
  Effect.gen(function*() {
    const slot = yield* granted(cache, "a", { rules })
    yield* cache.keepAlive(rules, slot.number, slot.epoch)
    const before = yield* deadline(cache)
    yield* until(Effect.map(deadline(cache), (now) => now > before))
    const unblocked = yield* deadline(cache)
    yield* block(3 * rules.ttl)
    assert.isAbove(yield* deadline(cache), unblocked + rules.ttl)
    assert.isTrue(yield* cache.beat(rules, slot.number, slot.epoch))
  }))

test(
  "a lease is lost with its file, even before the thread has opened the file",
  (cache, path) =>
    Effect.gen(function*() {
      const slot = yield* granted(cache, "a", { rules })
      const { lost } = yield* cache.keepAlive(rules, slot.number, slot.epoch)
      fs.rmSync(path)
      assert.include((yield* Effect.flip(lost)).reason, "moved, deleted or replaced")
    })
)

test("a lease still ends at max hold, and its holder is told", (cache) =>
  Effect.gen(function*() {
    const short = { ...rules, maxHold: 1_500 }
    const slot = yield* granted(cache, "a", { rules: short })
    const { lost } = yield* cache.keepAlive(short, slot.number, slot.epoch)
    assert.include((yield* Effect.flip(lost)).reason, "MAX_HOLD")
    assert.isFalse(yield* cache.beat(short, slot.number, slot.epoch))
  }))

test("a lease is lost with its file", (cache, path) =>
  Effect.gen(function*() {
    const slot = yield* granted(cache, "a", { rules })
    const { lost } = yield* cache.keepAlive(rules, slot.number, slot.epoch)
    const at = yield* deadline(cache)
    yield* until(Effect.map(deadline(cache), (now) => now > at))
    fs.rmSync(path)
    assert.include((yield* Effect.flip(lost)).reason, "moved, deleted or replaced")
  }))

/** Runs statements on the file as another program. */
const edit = (path: string, statements: string) => {
  const db = new Database(path)
  db.exec(statements)
  db.close()
}

test("a lease survives a ledger that fails for less than its deadline", (cache, path) =>
  Effect.gen(function*() {
    const patient = { ...rules, ttl: 12_000 }
    const slot = yield* granted(cache, "a", { rules: patient })
    const { lost } = yield* cache.keepAlive(patient, slot.number, slot.epoch)
    const loss = yield* Effect.fork(lost)
    edit(path, `CREATE TRIGGER failing BEFORE UPDATE ON slots BEGIN SELECT RAISE(ABORT, 'disk'); END`)
    const missesBeats = Effect.map(cache.inspect(rules.poolId), ({ now, slots }) =>
      (slots[0]?.holder?.deadline ?? 0) < now + patient.ttl * 0.6)
    yield* until(missesBeats)
    edit(path, "DROP TRIGGER failing")
    yield* until(Effect.map(missesBeats, (misses) =>
      !misses))
    assert.isTrue(Option.isNone(yield* Fiber.poll(loss)))
  }))

test(
  "a lease is lost at its deadline if its ledger cannot be used, and its holder is told why",
  (cache, path) =>
    Effect.gen(function*() {
      const slot = yield* granted(cache, "a", { rules })
      const { lost } = yield* cache.keepAlive(rules, slot.number, slot.epoch)
      const at = yield* deadline(cache)
      yield* until(Effect.map(deadline(cache), (now) => now > at))
      emptyWal(path)
      assert.strictEqual(
        (yield* Effect.flip(lost)).reason,
        "no beat could be recorded before its deadline: SQLITE_IOERR_SHORT_READ disk I/O error"
      )
    })
)

test(
  "one thread serves a hundred leases, starts with the first one and ends with the layer",
  (_, path) =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const host = yield* Host.live
        const cache = Context.get(
          yield* Layer.build(SqliteDeploymentCache.layer({ path, host })),
          DeploymentCache.DeploymentCache
        )
        assert.lengthOf(started, 0)
        const slots = yield* Effect.forEach(
          Array.from({ length: 100 }),
          (_, n) => granted(cache, `t${n}`, { rules: { ...rules, ttl: 20_000 } })
        )
        yield* Effect.forEach(slots, ({ epoch, number }) => cache.keepAlive(rules, number, epoch))
        yield* until(Effect.map(cache.inspect(rules.poolId), ({ now, slots }) =>
          slots.every(({ holder }) =>
            holder !== null && holder.deadline < now + rules.ttl + 1
          )))
        assert.lengthOf(started, 1)
        assert.isAbove(started[0]?.threadId ?? 0, 0)
      }))
      assert.strictEqual(started[0]?.threadId, -1, "the thread has ended")
    }).pipe(Effect.provide(NodeContext.layer))
)

test("a lease is kept alive from the event loop when the thread dies", (cache) =>
  Effect.gen(function*() {
    const slot = yield* granted(cache, "a", { rules })
    const { lost } = yield* cache.keepAlive(rules, slot.number, slot.epoch)
    const loss = yield* Effect.fork(lost)
    yield* Effect.promise(() => started[0]!.terminate())
    const at = yield* deadline(cache)
    yield* until(Effect.map(deadline(cache), (now) => now > at + rules.ttl))
    assert.isTrue(Option.isNone(yield* Fiber.poll(loss)))
    const later = yield* granted(cache, "b", { rules })
    yield* cache.keepAlive(rules, later.number, later.epoch)
    assert.lengthOf(started, 1)
  }))
