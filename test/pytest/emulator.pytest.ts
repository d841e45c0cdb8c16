/** Pytest over the emulator: the original's examples, what a test gets, and runs that end badly. Afterwards nothing is awake, and no token is valid. */
import { Emulator } from "@airflow-resource/emulator"
import type { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Effect, type Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Child from "../child.js"
import * as Project from "./project.js"

interface World {
  readonly emulator: Emulator.Service
  /** The folder of the ledger. */
  readonly folder: string
  readonly project: string
  readonly run: (
    args: ReadonlyArray<string>,
    options?: Partial<Pick<Project.Options, "env" | "onStarted">>
  ) => Effect.Effect<Project.Ended>
  /** Runs `airflow-resource`, and returns what it prints. */
  readonly command: (...args: ReadonlyArray<string>) => Effect.Effect<string>
}

const dags: Emulator.Options["dags"] = [
  { dagId: "hello_world_dag", tasks: [{ taskId: "hello", duration: "1 second", log: "Hello World from Airflow" }] },
  { dagId: "my_dag", tasks: [{ taskId: "my_task", duration: "1 second", log: "expected_output" }] },
  {
    dagId: "failing_dag",
    tasks: [
      { taskId: "boom", outcome: "failed", log: "about to fail" },
      { taskId: "after", upstream: ["boom"], log: "never reached" }
    ]
  }
]

const password = "canary-5d2f"

/** Without a reaper: what a test leaves awake stays awake. */
const scene = (
  title: string,
  play: (world: World) => Effect.Effect<void, unknown, FileSystem.FileSystem | Scope.Scope>
) =>
  it.live(title, () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 200, dags })
      const { folder, project } = yield* Project.make
      const env = {
        ...Child.environment(emulator, folder, 2),
        AIRFLOW_PASSWORD: password,
        EXPECTED_API: "v1"
      }
      yield* play({
        emulator,
        folder,
        project,
        run: (args, options = {}) => Project.pytest({ ...options, project, args, env: { ...env, ...options.env } }),
        command: (...args) => Project.command(project, env, ...args)
      })
      const { awake, tokens } = yield* emulator.audit
      assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] })
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))

const airflow3 = { ASTRO_RUNTIME_VERSION: "3.3-3", EXPECTED_API: "v2" }

const basic = ["test_seed", "-k", "my_airflow"]

const asleep = (
  { awake, tokens }: { readonly awake: ReadonlyArray<unknown>; readonly tokens: ReadonlyArray<unknown> }
) => awake.length + tokens.length === 0

describe.concurrent("pytest, over the emulator", () => {
  for (const workers of [[], ["-n", "2"]]) {
    scene(
      `the original's examples pass${workers.length > 0 ? ", in two workers" : ""}`,
      ({ emulator, run }) =>
        Effect.gen(function*() {
          const { code, text } = yield* run(["test_seed", ...workers])
          assert.strictEqual(code, 0, text)
          assert.match(text, /^\| =+ 4 passed /m)
          // without a DAG it passes too
          assert.include(text, "DAG run completed successfully!")
          assert.lengthOf((yield* emulator.audit).deployments, workers.length > 0 ? 2 : 1)
        })
    )
  }

  for (const [airflow, env] of [["Airflow 2", {}], ["Airflow 3", airflow3]] as const) {
    scene(`a test gets all keys and methods, with ${airflow}`, ({ run }) =>
      Effect.gen(function*() {
        const { code, text } = yield* run(["test_contract"], { env })
        assert.strictEqual(code, 0, text)
      }))
  }

  scene("a test that fails shows no secrets", ({ project, run }) =>
    Effect.gen(function*() {
      const { code, text } = yield* run(["test_shows", "-vv", "--showlocals", "--full-trace"])
      assert.strictEqual(code, 1, text)
      assert.include(text, "'***'")
      const token = fs.readFileSync(path.join(project, "TOKEN"), "utf8")
      assert.strictEqual(fs.readFileSync(path.join(project, "PASSWORD"), "utf8"), password)
      assert.notInclude(text, token)
      assert.notInclude(text, token.slice(-20))
      assert.notInclude(text, password)
    }))

  scene("what is missing is named", ({ project, run }) =>
    Effect.gen(function*() {
      const refused = yield* run(basic, {
        env: { ASTRO_WORKSPACE_ID: "", ASTRO_REGION: "" }
      })
      assert.strictEqual(refused.code, 1, refused.text)
      assert.match(refused.text, /There is no Airflow for this test\.[^]*ASTRO_WORKSPACE_ID/, refused.text)
      assert.include(refused.text, "1 error")

      const noNode = yield* run(basic, { env: { PATH: "/nowhere" } })
      assert.strictEqual(noNode.code, 1, noNode.text)
      assert.include(noNode.text, "There is no node on the PATH. Install Node.js")

      const wrong = yield* run(basic, {
        env: { AIRFLOW_RESOURCE_COMMAND: "/nowhere/airflow-resource --flag" }
      })
      assert.include(wrong.text, "/nowhere/airflow-resource cannot be started")

      const wrongUsage = yield* run(basic, {
        env: { AIRFLOW_RESOURCE_COMMAND: `${process.execPath} --no-such-option` }
      })
      assert.match(wrongUsage.text, /There is no Airflow for this test\. .*bad option/)

      fs.rmSync(path.join(project, "node_modules"), { recursive: true })
      const missing = yield* run(basic, {
        env: { PATH: path.dirname(process.execPath) }
      })
      assert.strictEqual(missing.code, 1, missing.text)
      assert.include(missing.text, "Run `npm install --save-dev airflow-resource` in the project.")
    }))

  scene("a lost lease fails its test", ({ command, folder, run }) =>
    Effect.gen(function*() {
      const lose = () => {
        const ledger = new Database(path.join(folder, "cluster_cache.db"))
        ledger.exec("UPDATE slots SET deadline = 0")
        ledger.close()
      }
      const used = yield* run(["tests/test_holds.py::test_uses_it_until_it_is_lost"], { onStarted: lose })
      assert.strictEqual(used.code, 1, used.text)
      assert.match(used.text, /= FAILURES =[^]*The lease of this test has ended\. Lost slot/, used.text)
      const unused = yield* run(["tests/test_holds.py::test_does_not_notice_that_it_is_lost"], { onStarted: lose })
      assert.strictEqual(unused.code, 1, unused.text)
      assert.match(unused.text, /ERROR at teardown[^]*The lease of this test ended badly\. Lost slot/, unused.text)
      yield* command("reap")
    }))

  scene("Ctrl-C gives the Airflow back before pytest ends", ({ emulator, run }) =>
    Effect.gen(function*() {
      const { code, text } = yield* run(["tests/test_holds.py::test_holds"], {
        onStarted: (pid) => process.kill(-pid, "SIGINT")
      })
      assert.strictEqual(code, 2, text)
      assert.include(text, "KeyboardInterrupt")
      assert.isTrue(asleep(yield* emulator.audit), text)
    }))

  for (const workers of [[], ["-n", "1"]]) {
    scene(
      `kill -9 gives it back soon after${workers.length > 0 ? ", also in a worker" : ""}`,
      ({ emulator, run }) =>
        Effect.gen(function*() {
          const { signal } = yield* run(["tests/test_holds.py::test_holds", ...workers], {
            onStarted: (pid) => process.kill(pid, "SIGKILL")
          })
          assert.strictEqual(signal, "SIGKILL")
          yield* Project.until(emulator.audit, asleep)
        })
    )
  }
})
