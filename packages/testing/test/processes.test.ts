import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const Hold = Schema.parseJson(Schema.Struct({
  deploymentId: Schema.String,
  epoch: Schema.Number,
  from: Schema.Number,
  to: Schema.Number
}))

const canary = "canary-3f9c1e"

it.scopedLive(
  "processes that share a ledger never hold a deployment at once, and leave nothing behind",
  () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 200 })
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const env = {
        PATH: process.env["PATH"] ?? "",
        ASTRO_API_URL: emulator.astroApiUrl,
        ASTRO_ACCESS_TOKEN: Redacted.value(emulator.astroToken),
        ASTRO_WORKSPACE_ID: emulator.workspaceId,
        ASTRO_CLOUD_PROVIDER: "aws",
        ASTRO_REGION: "us-east-1",
        AIRFLOW_PASSWORD: canary,
        AIRFLOW_RESOURCE_DELIVERY: "none",
        AIRFLOW_RESOURCE_MAX: "2",
        AIRFLOW_RESOURCE_CACHE: `${folder}/cluster_cache.db`
      }
      const holder = fileURLToPath(new URL("holder.ts", import.meta.url))
      const hold = Effect.promise(() =>
        promisify(execFile)(
          process.execPath,
          ["--conditions=@airflow-resource/source", "--import=tsx", holder],
          { env, timeout: 90_000 }
        )
      )
      const outputs = yield* Effect.all(Array.from({ length: 4 }, () => hold), { concurrency: "unbounded" })
      const holds = yield* Effect.forEach(outputs, ({ stdout }) => Schema.decode(Hold)(stdout.trim()))

      for (const one of holds) {
        for (const other of holds) {
          if (one === other || one.deploymentId !== other.deploymentId) continue
          assert.isTrue(one.to <= other.from || other.to <= one.from, "held at once")
          assert.notStrictEqual(one.epoch, other.epoch)
        }
      }
      const audit = yield* emulator.audit
      assert.isAtMost(audit.deployments.length, 2)
      assert.deepStrictEqual(audit.awake, [])
      assert.deepStrictEqual(audit.tokens, [])
      for (const { stderr, stdout } of outputs) {
        assert.notInclude(stdout + stderr, Redacted.value(emulator.astroToken))
        assert.notInclude(stdout + stderr, canary)
      }
    }).pipe(Effect.provide(NodeContext.layer)),
  120_000
)
