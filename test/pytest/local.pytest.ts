/** Pytest over real Airflows on this machine. Afterwards no process of them runs, and no token is valid. */
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Home from "../../packages/local/test/home.js"
import { isAsleep } from "../local.js"
import * as Project from "./project.js"

/** A project whose leases are local Airflows. The first of a version installs it. */
const world = (version: string) =>
  Effect.gen(function*() {
    const home = yield* Home.make
    Home.shareEnvironments(home)
    const { folder, project } = yield* Project.make
    const env = {
      AIRFLOW_RESOURCE_PROVIDER: "local",
      AIRFLOW_RESOURCE_AIRFLOW_VERSION: version,
      AIRFLOW_RESOURCE_LOCAL_HOME: home,
      AIRFLOW_RESOURCE_CACHE: `${folder}/cluster_cache.db`,
      AIRFLOW_RESOURCE_REAPER: "off",
      EXPECTED_API: version.startsWith("2") ? "v1" : "v2"
    }
    const asleep = Effect.gen(function*() {
      const { slots } = JSON.parse(yield* Project.command(project, env, "status", "--json"))
      assert.isNotEmpty(slots)
      for (const { holder, power, tokensMayExist } of slots) {
        assert.deepStrictEqual({ holder, power, tokensMayExist }, {
          holder: null,
          power: "asleep",
          tokensMayExist: false
        })
      }
      yield* isAsleep({ home })
    })
    return { env, project, asleep }
  })

/** Runs pytest, which has to pass. */
const scene = (title: string, version: string, args: ReadonlyArray<string>, check: (text: string) => void = () => {}) =>
  it.scopedLive(title, () =>
    Effect.gen(function*() {
      const { asleep, env, project } = yield* world(version)
      const { code, text } = yield* Project.pytest({ project, args, env, timeout: "25 minutes" })
      assert.strictEqual(code, 0, text)
      check(text)
      yield* asleep
    }).pipe(Effect.provide(NodeContext.layer)), 60 * 60_000)

const ranItsDag = (text: string) => assert.include(text, "DAG run completed successfully!")

describe("pytest, over local Airflows", () => {
  scene("the original's examples pass with Airflow 2, which they were written for", "2.11.2", ["test_seed"], ranItsDag)
  scene("so they do in two workers", "2.11.2", ["test_seed", "-n", "2"], ranItsDag)
  scene("a test gets all keys and methods, with Airflow 3, in two workers", Home.version, ["test_contract", "-n", "2"])

  it.scopedLive("the command runs a DAG, and a program", () =>
    Effect.gen(function*() {
      const { asleep, env, project } = yield* world(Home.version)
      const run = JSON.parse(yield* Project.command(project, env, "run", "hello_world_dag", "--json"))
      assert.deepInclude(run, { dagId: "hello_world_dag", state: "success" })
      assert.deepInclude(run.tasks[0], { task: "hello", state: "success" })
      const program = `
        import json, os, urllib.request
        request = urllib.request.Request(os.environ["AIRFLOW_RESOURCE_API_URL"] + "/dags", headers=json.loads(os.environ["AIRFLOW_RESOURCE_API_HEADERS"]))
        print(json.load(urllib.request.urlopen(request))["total_entries"])`
      const dags = yield* Project.command(
        project,
        env,
        "exec",
        "--",
        Project.python,
        "-c",
        program.replace(/^ {8}/gm, "")
      )
      assert.strictEqual(dags.trim(), "3")
      yield* asleep
    }).pipe(Effect.provide(NodeContext.layer)), 60 * 60_000)
})
