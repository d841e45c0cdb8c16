import { DeploymentCache } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Context, Effect, Layer, type Scope } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import { granted, rules } from "./DeploymentCache.suite.js"

// `airflow-resource cache reset` has the tests with other processes: packages/airflow-resource/test/command.test.ts
describe("resetting the SQLite file", () => {
  const test = (title: string, body: (path: string) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scopedLive(title, () =>
      Effect.flatMap(
        Effect.acquireRelease(
          Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/reset-`)),
          (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
        ),
        (folder) => body(`${folder}/cache.db`)
      ))
  const reset = (path: string) => SqliteDeploymentCache.reset(path).pipe(Effect.provide(NodeContext.layer))
  const open = (path: string) =>
    Effect.map(
      Layer.build(SqliteDeploymentCache.layer({ path }).pipe(Layer.provide(NodeContext.layer))),
      Context.get(DeploymentCache.DeploymentCache)
    )
  const ledgerId = (path: string) => Effect.scoped(Effect.map(open(path), (cache) => cache.ledgerId))

  test("deletes a ledger that no process uses, and nothing where there is none", (path) =>
    Effect.gen(function*() {
      assert.isFalse(yield* reset(path))
      const before = yield* ledgerId(path)
      assert.isTrue(yield* reset(path))
      assert.isFalse(fs.existsSync(path))
      assert.notStrictEqual(yield* ledgerId(path), before)
    }))

  test("follows a link, which leads to the new ledger afterwards", (path) =>
    Effect.gen(function*() {
      const link = `${path}.link`
      yield* ledgerId(path)
      fs.symlinkSync(path, link)
      assert.isTrue(yield* reset(link))
      assert.strictEqual(fs.statSync(link).size, 0)
      assert.strictEqual(yield* ledgerId(link), yield* ledgerId(path))
    }))

  test("refuses while a slot is held, and while a connection is open", (path) =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const cache = yield* open(path)
        const slot = yield* granted(cache, "a\n\u001b[2J")
        const held = yield* Effect.flip(reset(path))
        assert(held._tag === "CacheInUse")
        assert.deepStrictEqual(held.by, [`slot 1: test a [2J (process ${process.pid} on ${os.hostname()})`])
        assert.include(held.message, "Nothing was touched")
        yield* cache.free(rules, slot.number, slot.epoch, { clean: false, usable: true })
        const used = yield* Effect.flip(reset(path))
        assert(used._tag === "CacheInUse")
        assert.include(used.message, "another process has it open")
        assert.lengthOf((yield* cache.inspect(rules.poolId)).slots, 1)
      }))
      assert.isTrue(yield* reset(path))
    }))

  test("refuses what is not a ledger", (path) =>
    Effect.gen(function*() {
      const refusal = Effect.map(Effect.flip(reset(path)), (error) => error._tag === "CacheError" ? error.kind : "")
      const db = new Database(path)
      db.exec("CREATE TABLE deployments (id TEXT)")
      db.close()
      assert.strictEqual(yield* refusal, "foreign")
      fs.writeFileSync(path, "notes of mine ".repeat(100))
      assert.strictEqual(yield* refusal, "corrupt")
      fs.rmSync(path)
      fs.mkdirSync(path)
      assert.strictEqual(yield* refusal, "foreign")
    }))
})
