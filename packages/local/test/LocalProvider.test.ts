import { DeploymentProvider } from "@airflow-resource/core"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import fs, { type StatsFs } from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as os from "node:os"
import * as path from "node:path"
import * as LocalProvider from "../src/LocalProvider.js"

const home = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "home-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

/** Every folder is on NFS. */
const onNfs = Effect.acquireRelease(
  Effect.sync(() => {
    const original = fs.statfsSync
    Object.assign(fs, { statfsSync: (folder: string): StatsFs => Object.assign(original(folder), { type: 0x6969 }) })
    syncBuiltinESMExports()
    return original
  }),
  (original) =>
    Effect.sync(() => {
      Object.assign(fs, { statfsSync: original })
      syncBuiltinESMExports()
    })
)

describe("LocalProvider.layer", () => {
  it.scoped("refuses a home on a network file system", () =>
    Effect.gen(function*() {
      const folder = yield* home
      const layer = LocalProvider.layer({
        home: folder,
        workspace: "test",
        idle: "15 minutes",
        environment: {
          spec: { runtimeVersion: "3.3.2", cloudProvider: "local", region: "python3.11" },
          ensure: () => Effect.die("not needed")
        }
      })
      const ready = Effect.flatMap(DeploymentProvider.DeploymentProvider, (provider) => provider.ready).pipe(
        Effect.provide(layer.pipe(Layer.provide(ProcessRunner.layer), Layer.provide(NodeContext.layer)))
      )
      assert.strictEqual((yield* ready).workspaceId, "test")
      yield* onNfs
      assert.include(
        (yield* Effect.flip(ready)).message,
        `${folder} is on NFS, where locks may not work. Set AIRFLOW_RESOURCE_LOCAL_HOME to a folder on a local disk.`
      )
    }))
})
