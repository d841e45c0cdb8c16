import { DeploymentPool } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { execFile, spawn } from "node:child_process"
import { promisify } from "node:util"
import * as History from "./chaos/history.js"
import * as Child from "./child.js"

const Hold = Schema.parseJson(Schema.Struct({
  deploymentId: Schema.String,
  epoch: Schema.Number,
  from: Schema.Number,
  to: Schema.Number
}))

const Held = Schema.parseJson(Schema.Struct({ deploymentId: Schema.String, epoch: Schema.Number }))

const canary = "canary-3f9c1e"

const environment = (emulator: Emulator.Service, folder: string, max: number) => ({
  ...Child.environment(emulator, folder, max),
  AIRFLOW_PASSWORD: canary
})

const program = (name: string) => Child.program(new URL(name, import.meta.url))

/** Runs `holder.ts` to its end. Returns what it printed. */
const hold = (env: Record<string, string>) =>
  Effect.promise(() => promisify(execFile)(process.execPath, program("holder.ts"), { env, timeout: 300_000 }))

it.scopedLive(
  "processes that share a ledger never hold the same deployment, and leave nothing behind",
  () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 200 })
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const env = environment(emulator, folder, 2)
      const outputs = yield* Effect.all(Array.from({ length: 4 }, () => hold(env)), { concurrency: "unbounded" })
      const holds = yield* Effect.forEach(outputs, ({ stdout }) => Schema.decode(Hold)(stdout.trim()))

      for (const one of holds) {
        for (const other of holds) {
          if (one === other || one.deploymentId !== other.deploymentId) continue
          assert.isTrue(one.to <= other.from || other.to <= one.from, "two processes held it at the same time")
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
  330_000
)

it.scopedLive(
  "the next process gets the deployment of a killed one without waiting for the deadline",
  () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 200 })
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const env = environment(emulator, folder, 1)
      const killed = yield* Effect.async<typeof Held.Type, unknown>((resume) => {
        const child = spawn(process.execPath, program("stuck.ts"), { env, stdio: ["ignore", "pipe", "inherit"] })
        child.stdout.once("data", (line: Buffer) => {
          child.once("exit", () => resume(Schema.decode(Held)(line.toString().trim())))
          child.kill("SIGKILL")
        })
        child.once("error", (error) => resume(Effect.fail(error)))
        return Effect.sync(() => child.kill("SIGKILL"))
      }).pipe(Effect.timeout("5 minutes"))
      assert.lengthOf((yield* emulator.audit).awake, 1)

      const { stdout } = yield* hold(env)
      const next = yield* Schema.decode(Hold)(stdout.trim())
      assert.deepInclude(next, { deploymentId: killed.deploymentId, epoch: killed.epoch + 1 })
      const events = yield* Effect.flatMap(DeploymentPool.DeploymentPool, (pool) => pool.events()).pipe(
        Effect.provide(History.layer(emulator, folder, { max: 1 }))
      )
      const expiry = events.find(({ kind }) => kind === "expired")
      assert.deepInclude(expiry, { epoch: killed.epoch, detail: "its process has ended" })
      const queued = events.filter(({ kind }) => kind === "queued").at(-1)
      assert.isBelow((expiry?.at ?? NaN) - (queued?.at ?? NaN), 20_000, "its deadline was 60 seconds away")
      const audit = yield* emulator.audit
      assert.deepStrictEqual([audit.awake, audit.tokens], [[], []])
    }).pipe(Effect.provide(NodeContext.layer)),
  660_000
)
