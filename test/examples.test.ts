/** The examples that are not TypeScript: scripts for a shell, over the emulator, and workflows. Those for pytest: `npm run test:pytest`. */
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { parse } from "yaml"
import * as Child from "./child.js"

const root = fileURLToPath(new URL("..", import.meta.url))

const airflowResource = new URL("../packages/airflow-resource/src/main.ts", import.meta.url)

/** A project in which npm has installed the command. */
const project = Effect.gen(function*() {
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  const bin = path.join(folder, "node_modules", ".bin")
  fs.mkdirSync(bin, { recursive: true })
  fs.writeFileSync(path.join(folder, "package.json"), JSON.stringify({ private: true }))
  const command = [process.execPath, ...Child.program(airflowResource)].map((word) => `'${word}'`).join(" ")
  fs.writeFileSync(path.join(bin, "airflow-resource"), `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 })
  return folder
})

const run = (script: string, cwd: string, env: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn("sh", [path.join(root, "examples", "shell", script)], {
        cwd,
        env: { ...env, HOME: cwd },
        stdio: ["ignore", "pipe", "pipe"]
      })
    ),
    (child) => Effect.sync(() => child.exitCode === null && child.kill("SIGKILL"))
  ).pipe(
    Effect.flatMap((child) =>
      Effect.promise(async () => {
        const code = new Promise((resolve) => child.once("exit", resolve))
        const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
        return { stdout, stderr, code: await code }
      })
    ),
    Effect.scoped
  )

describe("scripts for a shell", () => {
  for (const [script, failureCode] of [["exec.sh", 125], ["lease.sh", 1]] as const) {
    it.live(script, () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.make({ speed: 200 })
        const folder = yield* project
        const env = Child.environment(emulator, folder, 1)
        const done = yield* run(script, folder, env)
        assert.strictEqual(done.code, 0, done.stderr)
        assert.strictEqual(JSON.parse(done.stdout).dag_id, "hello_world_dag")
        const { awake, deployments, tokens } = yield* emulator.audit
        assert.deepStrictEqual([deployments.length, awake, tokens], [1, [], []])

        const refused = yield* run(script, folder, { ...env, ASTRO_WORKSPACE_ID: "" })
        assert.strictEqual(refused.code, failureCode, refused.stderr)
        assert.include(refused.stderr, "ASTRO_WORKSPACE_ID")
        assert.strictEqual(refused.stdout, "")
      }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
  }
})

describe("workflows", () => {
  for (const folder of [".github/workflows", "examples/github-actions"]) {
    for (const name of fs.readdirSync(path.join(root, folder))) {
      it(`${folder}/${name} has few rights and pinned actions`, () => {
        const source = fs.readFileSync(path.join(root, folder, name), "utf8")
        const { concurrency, jobs, permissions } = parse(source)
        assert.deepStrictEqual(permissions, { contents: "read" })
        assert.isDefined(concurrency)
        const used = source.match(/uses: .*/g) ?? []
        assert.isNotEmpty(used)
        for (const action of used) assert.match(action, /^uses: [\w/-]+@[0-9a-f]{40} # v[\d.]+/)
        for (const job of Object.values<{ "runs-on": string; steps: ReadonlyArray<object> }>(jobs)) {
          assert.match(job["runs-on"], /-\d/)
        }
      })
    }
  }

  it("a job for the pool ends with a drain, whatever its tests have done", () => {
    const { jobs } = parse(fs.readFileSync(path.join(root, "examples/github-actions/airflow.yml"), "utf8"))
    assert.deepStrictEqual(jobs.test.steps.at(-1), {
      if: "always()",
      run: `npx airflow-resource drain --timeout "10 minutes"`
    })
  })
})
