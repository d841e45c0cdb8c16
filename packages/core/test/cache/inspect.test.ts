import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Effect, Layer, Option, type Scope } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import { schemaVersion } from "../../src/internal/sqlite/schema.js"

const node = Effect.provide(NodeContext.layer)

describe("inspecting the SQLite file", () => {
  const test = (title: string, body: (path: string) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scoped(title, () =>
      Effect.flatMap(
        Effect.acquireRelease(
          Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/inspect-`)),
          (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
        ),
        (folder) => body(`${folder}/cache.db`)
      ))
  const inspect = (path: string) => Effect.map(node(SqliteDeploymentCache.inspect(path)), Option.getOrNull)
  const open = (path: string) =>
    Layer.build(SqliteDeploymentCache.layer({ path }).pipe(Layer.provide(NodeContext.layer)))
  const refusal = (path: string) => Effect.map(Effect.flip(inspect(path)), ({ kind }) => kind)
  const filesBeside = (path: string) => fs.readdirSync(path.replace("/cache.db", "")).sort()
  const makeFile = (path: string, statements: string) => {
    const db = new Database(path)
    db.exec(statements)
    db.close()
  }

  test("returns the version of a ledger, open or closed, and leaves nothing beside it", (path) =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        yield* open(path)
        assert.include(filesBeside(path), "cache.db-wal")
        assert.strictEqual(yield* inspect(path), 5)
      }))
      const closed = fs.readFileSync(path)
      assert.strictEqual(yield* inspect(path), 5)
      assert.deepStrictEqual(filesBeside(path), ["cache.db"])
      assert.isTrue(closed.equals(fs.readFileSync(path)))
    }))

  test("returns a version that is only in the -wal so far", (path) =>
    Effect.gen(function*() {
      const db = yield* Effect.acquireRelease(
        Effect.sync(() => new Database(path)),
        (db) => Effect.sync(() => db.close())
      )
      db.exec(
        `PRAGMA journal_mode = WAL; PRAGMA application_id = ${0x41524c31}; PRAGMA user_version = ${schemaVersion}`
      )
      assert.strictEqual(fs.readFileSync(path).readInt32BE(60), 0)
      assert.strictEqual(yield* inspect(path), 5)
    }))

  test("creates nothing where there is no ledger", (path) =>
    Effect.gen(function*() {
      assert.isNull(yield* inspect(path))
      assert.isNull(yield* inspect(path.replace("cache.db", "deep/er/cache.db")))
      assert.deepStrictEqual(filesBeside(path), [])
      fs.writeFileSync(path, "")
      assert.isNull(yield* inspect(path))
      fs.rmSync(path)
      makeFile(path, "PRAGMA journal_mode = WAL")
      assert.isNull(yield* inspect(path))
    }))

  test("refuses what opening would refuse", (path) =>
    Effect.gen(function*() {
      makeFile(path, "PRAGMA journal_mode = WAL; CREATE TABLE deployments (id TEXT)")
      assert.strictEqual(yield* refusal(path), "foreign")
      makeFile(path, `PRAGMA application_id = ${0x41524c31}; PRAGMA user_version = 99`)
      assert.strictEqual(yield* refusal(path), "newer")
      makeFile(path, "PRAGMA user_version = 1")
      assert.strictEqual(yield* refusal(path), "older")
      fs.writeFileSync(path, "short")
      assert.strictEqual(yield* refusal(path), "corrupt")
      assert.strictEqual(yield* refusal(`${path}/deeper/cache.db`), "notWritable")
      fs.rmSync(path)
      fs.mkdirSync(path)
      assert.strictEqual(yield* refusal(path), "foreign")
    }))
})
