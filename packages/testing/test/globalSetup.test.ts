import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import * as Child from "../../../test/child.js"

/** Runs the tests of the fixtures whose title matches, with the global setup. */
const run = (
  tests: string,
  env: Record<string, string>,
  onText: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => {}
) => Child.vitest({ config: new URL("globalSetup.config.ts", import.meta.url), tests, env, onText })

const world = Effect.gen(function*() {
  const emulator = yield* Emulator.make({ speed: 200 })
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  return {
    audit: emulator.audit,
    env: {
      ...Child.environment(emulator, folder, 1),
      AIRFLOW_RESOURCE_REAPER: "on",
      AIRFLOW_RESOURCE_HIBERNATE_AFTER: "1 hour"
    }
  }
})

it.scopedLive(
  "tests leave their deployments awake for each other, and the run leaves none awake",
  () =>
    Effect.gen(function*() {
      const { audit, env } = yield* world
      const { code, text } = yield* run("leases", env)
      assert.strictEqual(code, 0, text)
      assert.notInclude(text, "upkeep")
      const { awake, deployments, tokens } = yield* audit
      assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] })
      assert.lengthOf(deployments, 1)
    }).pipe(Effect.provide(NodeContext.layer)),
  330_000
)

it.scopedLive("four workers need one check of the account", () =>
  Effect.gen(function*() {
    const { audit, env } = yield* world
    const { code, text } = yield* run("in its own worker", { ...env, AIRFLOW_RESOURCE_MAX: "4" })
    assert.strictEqual(code, 0, text)
    assert.lengthOf(new Set(text.match(/^worker \d+$/gm)), 4, text)
    const { awake, requests } = yield* audit
    const checks = requests.filter(({ path }) => /^\/v1\/organizations(\?|$|\/[^/]+\/workspaces)/.test(path))
    assert.deepStrictEqual(checks.map(({ path }) => path.replace(/c[a-z0-9]{24}/g, "ID")), [
      "/v1/organizations?limit=100",
      "/v1/organizations/ID/workspaces/ID"
    ])
    assert.deepStrictEqual(awake, [])
  }).pipe(Effect.provide(NodeContext.layer)), 330_000)

it.scopedLive(
  "after a run that a signal ends, the reaper hibernates what is awake and revokes all tokens",
  () =>
    Effect.gen(function*() {
      const { audit, env } = yield* world
      const { code, signal, text } = yield* run("leases$|hangs", env, (text, kill) => {
        if (/it hangs in \d+\n/.test(text)) kill("SIGTERM")
      })
      assert.isTrue(code === 143 || signal === "SIGTERM", text)
      const { deployments } = yield* Effect.repeat(audit, {
        until: ({ awake, tokens }) => awake.length + tokens.length === 0,
        schedule: Schedule.spaced("250 millis")
      }).pipe(Effect.zipRight(audit), Effect.timeout("3 minutes"))
      assert.lengthOf(deployments, 1)
      const worker = Number(/it hangs in (\d+)/.exec(text)![1])
      yield* Effect.repeat(Effect.sync(() => isRunning(worker)), {
        until: (isRunning) => !isRunning,
        schedule: Schedule.spaced("100 millis")
      }).pipe(Effect.timeout("1 minute"))
    }).pipe(Effect.provide(NodeContext.layer)),
  330_000
)

it.scopedLive("an incomplete environment is reported in one line, and fails no test", () =>
  Effect.gen(function*() {
    const { env } = yield* world
    const { code, text } = yield* run("needs nothing", { AIRFLOW_RESOURCE_CACHE: env.AIRFLOW_RESOURCE_CACHE })
    assert.strictEqual(code, 0, text)
    const lines = text.split("\n").filter((line) => line.includes("airflow-resource"))
    assert.deepStrictEqual(lines, [
      "airflow-resource: no upkeep in this run: ASTRO_ACCESS_TOKEN is missing, ASTRO_WORKSPACE_ID is missing, " +
      "ASTRO_CLOUD_PROVIDER is missing, ASTRO_REGION is missing"
    ])
    const refused = yield* run("needs nothing", { ...env, ASTRO_WORKSPACE_ID: "another" })
    assert.strictEqual(refused.code, 0, refused.text)
    assert.match(
      refused.text,
      /^airflow-resource: no upkeep in this run: .*does not see the workspace another.*ASTRO_WORKSPACE_ID/m
    )
    const emulated = yield* run("needs nothing", { AIRFLOW_RESOURCE_PROVIDER: "emulator" })
    assert.strictEqual(emulated.code, 0, emulated.text)
    assert.notInclude(emulated.text, "airflow-resource")
  }).pipe(Effect.provide(NodeContext.layer)), 330_000)

const isRunning = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
