import { DeploymentCache } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

describe("the ledger's folder", () => {
  const open = (path: string) =>
    DeploymentCache.DeploymentCache.pipe(Effect.provide(SqliteDeploymentCache.layer({ path })), Effect.asVoid)

  it.scoped("is ignored by git if the ledger created it, and never changed otherwise", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const root = yield* fs.makeTempDirectoryScoped()
      const folder = `${root}/Environment/CacheManager`
      const ignored = fs.readFileString(`${folder}/.gitignore`)

      yield* open(`${folder}/cluster_cache.db`)
      assert.strictEqual(yield* ignored, "*\n")
      // so git ignores the folder above it too
      assert.deepStrictEqual(yield* fs.readDirectory(`${root}/Environment`), ["CacheManager"])

      yield* fs.writeFileString(`${folder}/.gitignore`, "*.db\n")
      yield* open(`${folder}/cluster_cache.db`)
      yield* open(`${folder}/other.db`)
      assert.strictEqual(yield* ignored, "*.db\n")

      yield* open(`${root}/cluster_cache.db`)
      assert.isFalse(yield* fs.exists(`${root}/.gitignore`))
    }).pipe(Effect.provide(NodeContext.layer)))
})
