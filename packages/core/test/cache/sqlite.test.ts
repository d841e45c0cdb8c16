import { DeploymentCache } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Effect, Layer } from "effect"
import { needs, owner, rules, suite } from "./DeploymentCache.suite.js"

const open = (path: string) => SqliteDeploymentCache.layer({ path }).pipe(Layer.provide(NodeContext.layer))

suite(
  "DeploymentCache in SQLite",
  Layer.unwrapScoped(
    Effect.map(
      Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
      (folder) => open(`${folder}/deep/cluster_cache.db`)
    )
  ).pipe(Layer.provide(NodeContext.layer))
)

describe("the SQLite file", () => {
  const inFolder = <A, E>(body: (folder: string) => Effect.Effect<A, E>) =>
    Effect.scoped(Effect.flatMap(
      Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
      body
    )).pipe(Effect.provide(NodeContext.layer))
  const refusal = (path: string) => Effect.flip(Effect.scoped(Layer.build(open(path))))

  it.effect("keeps its ledger from one opening to the next", () =>
    inFolder((folder) => {
      const path = `${folder}/cache.db`
      const ticket = { key: "a", leaseId: "l" as never, needs, owner, label: "a" }
      const id = (grant: boolean) =>
        Effect.gen(function*() {
          const cache = yield* DeploymentCache.DeploymentCache
          if (grant) {
            yield* cache.enqueue(rules, ticket)
            yield* cache.step(rules, "a")
          }
          return [cache.ledgerId, (yield* cache.slots(rules.poolId)).length] as const
        }).pipe(Effect.provide(open(path)))
      return Effect.gen(function*() {
        const first = yield* id(true)
        assert.match(first[0], /^[0-9a-f]{12}$/)
        assert.deepStrictEqual(yield* id(false), [first[0], 1])
      })
    }))

  it.effect("of somebody else is refused, untouched", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const path = `${folder}/cache.db`
        const db = new Database(path)
        db.exec("CREATE TABLE astronomer_deployments (deployment_id TEXT)")
        db.close()
        const error = yield* refusal(path)
        assert.strictEqual(error.kind, "foreign")
        assert.include(error.message, path)
        assert.include(error.message, "AIRFLOW_RESOURCE_CACHE")
        const tables = new Database(path).prepare("SELECT name FROM sqlite_master").all()
        assert.deepStrictEqual(tables, [{ name: "astronomer_deployments" }])
        assert.strictEqual(new Database(path).pragma("journal_mode", { simple: true }), "delete")
      })
    ))

  it.effect("of a newer version is refused", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const path = `${folder}/cache.db`
        yield* Effect.scoped(Layer.build(open(path)))
        const db = new Database(path)
        db.pragma("user_version = 99")
        db.close()
        const error = yield* refusal(path)
        assert.strictEqual(error.kind, "newer")
        assert.include(error.message, "99")
      })
    ))

  it.effect("that is no database is refused, untouched", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = `${folder}/cache.db`
        yield* fs.writeFileString(path, "notes of mine ".repeat(100))
        assert.strictEqual((yield* refusal(path)).kind, "corrupt")
        assert.include(yield* fs.readFileString(path), "notes of mine")
      }).pipe(Effect.provide(NodeContext.layer))
    ))

  it.effect("in a folder that cannot be made or written to is refused", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* fs.writeFileString(`${folder}/file`, "")
        const error = yield* refusal(`${folder}/file/cache.db`)
        assert.strictEqual(error.kind, "notWritable")
        assert.strictEqual((yield* refusal("/proc/cache.db")).kind, "notWritable")
      }).pipe(Effect.provide(NodeContext.layer))
    ))
})
