import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { execFile, spawn } from "node:child_process"
import { promisify } from "node:util"
import * as Processes from "./chaos/processes.js"

const Hold = Schema.parseJson(Schema.Struct({
  deploymentId: Schema.String,
  epoch: Schema.Number,
  from: Schema.Number,
  to: Schema.Number
}))

const Held = Schema.parseJson(Schema.Struct({ deploymentId: Schema.String, epoch: Schema.Number }))

const canary = "canary-3f9c1e"

const environment = (emulator: Emulator.Service, folder: string, max: number) => ({
  ...Processes.environment(emulator, folder, max),
  AIRFLOW_PASSWORD: canary,
  // less than the 60 seconds after which a silent holder loses its slot anyway
  AIRFLOW_RESOURCE_ACQUIRE_TIMEOUT: "50 seconds"
})

const program = (name: string) => Processes.program(`../${name}`)

it.scopedLive(
  "processes that share a ledger never hold a deployment at once, and leave nothing behind",
  () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 200 })
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const env = environment(emulator, folder, 2)
      const hold = Effect.promise(() =>
        promisify(execFile)(process.execPath, program("holder.ts"), { env, timeout: 90_000 })
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

it.scopedLive(
  "a process that is killed with a deployment in hand leaves it to the next one at once",
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
      }).pipe(Effect.timeout("60 seconds"))
      assert.lengthOf((yield* emulator.audit).awake, 1)

      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, program("holder.ts"), { env, timeout: 90_000 })
      )
      const next = yield* Schema.decode(Hold)(stdout.trim())
      assert.deepInclude(next, { deploymentId: killed.deploymentId, epoch: killed.epoch + 1 })
      const audit = yield* emulator.audit
      assert.deepStrictEqual([audit.awake, audit.tokens], [[], []])
    }).pipe(Effect.provide(NodeContext.layer)),
  180_000
)
