import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as DeploymentFolder from "../../local/src/internal/DeploymentFolder.js"
import * as Identity from "../../local/src/internal/Identity.js"
import { folder, project, start } from "./child.js"

const id = "d0123456789abcdef"
const name = "airflow-resource-01234567-s1-g1"
const password = "canary-0a1b2c"

/** A project with a deployment that hibernates, and the command in that project. */
const world = Effect.gen(function*() {
  const cwd = yield* project
  const home = path.join(yield* folder, "home")
  const python = path.join(home, "python3.11")
  const one = DeploymentFolder.folderOf(home, id)
  fs.mkdirSync(path.join(one, "tokens"), { recursive: true })
  fs.mkdirSync(path.join(one, "logs"))
  fs.writeFileSync(python, "#!/bin/sh\necho 3.11\necho /opt/python3.11\n", { mode: 0o700 })
  fs.writeFileSync(path.join(one, "logs", "scheduler.log"), "first\nsecond\n")
  fs.writeFileSync(DeploymentFolder.logOf(one), "awake\n")
  DeploymentFolder.request.write(one, { hibernate: true, at: 1 })
  DeploymentFolder.facts.write(one, {
    id,
    workspace: `${cwd}/Environment/CacheManager/cluster_cache.db`,
    name,
    description: "",
    version: "3.3.2",
    environmentName: "python3.11",
    environment: path.join(home, "environments", "used"),
    createdAt: 0,
    username: "airflow-1",
    password,
    secret: "s",
    fernetKey: "f"
  })
  const env = { AIRFLOW_RESOURCE_LOCAL_HOME: home, AIRFLOW_RESOURCE_PYTHON: python }
  const run = (...args: ReadonlyArray<string>) =>
    Effect.flatMap(start("../src/main.ts", ["local", ...args], env, cwd), ({ ended }) => ended)
  const json = (...args: ReadonlyArray<string>) =>
    Effect.map(run(...args, "--json"), ({ code, stderr, stdout }) => ({ code, stderr, body: JSON.parse(stdout) }))
  return { home, one, run, json }
})

describe("airflow-resource local", () => {
  it.scopedLive("lists, explains, stops and deletes the deployments of a project", () =>
    Effect.gen(function*() {
      const { home, json, one, run } = yield* world
      const row = {
        name,
        id,
        status: "HIBERNATING",
        airflow: "3.3.2",
        environment: "python3.11",
        leased: false,
        uiUrl: `file://${one}`,
        folder: one,
        problem: null
      }
      assert.deepStrictEqual((yield* json("list")).body, [row])
      const list = yield* run("list")
      assert.strictEqual(list.stdout, `${name}  HIBERNATING  Airflow 3.3.2, python3.11\n  ${one}\n`)

      assert.strictEqual((yield* run("logs", name, "scheduler")).stdout, "first\nsecond\n")
      const logs = yield* run("logs", id)
      assert.include(logs.stdout, `== supervisor: ${DeploymentFolder.logOf(one)}\nawake\n`)
      assert.include(logs.stdout, "first\nsecond\n")
      const unknown = yield* run("logs", name, "webserver")
      assert.deepStrictEqual([unknown.code, unknown.stdout], [1, ""])
      assert.include(unknown.stderr, `There is no log webserver of ${name}. There is: supervisor, scheduler.`)

      const open = yield* run("open", name)
      assert.include(open.stdout, `${name} is HIBERNATING: its pages are there while a test leases it.`)
      assert.notInclude(open.stdout + open.stderr, password)
      assert.deepStrictEqual(
        (yield* json("open", name)).body,
        { name, status: "HIBERNATING", uiUrl: null, username: "airflow-1", password }
      )

      // leased, by this process
      const owner = yield* Identity.self
      DeploymentFolder.token("1a").write(one, { id: "1a", name: "t", createdAt: 0, hash: "00", owner })
      assert.isTrue((yield* json("list")).body[0].leased)
      for (const command of ["stop", "remove"]) {
        const refused = yield* json(command, name)
        assert.deepInclude(refused.body.error, { tag: "InUse", retryable: false })
        assert.strictEqual(refused.code, 1)
        assert.match(refused.stderr, /is leased\. Wait until its test has ended/)
      }
      DeploymentFolder.token("1a").remove(one)

      assert.deepStrictEqual((yield* json("stop", name)).body, { name, id })
      assert.strictEqual((yield* run("remove", name)).stdout, `${name} is deleted.\n`)
      assert.isFalse(fs.existsSync(one))
      assert.include((yield* run("list")).stdout, "There are no local deployments of this project")
      assert.strictEqual((yield* json("remove", name)).body.error.tag, "NotFound")

      const unused = path.join(home, "environments", "unused")
      fs.mkdirSync(unused, { recursive: true })
      assert.deepStrictEqual((yield* json("prune")).body, [unused])
      assert.strictEqual((yield* run("prune")).stdout, "There is nothing to delete.\n")
    }), 300_000)
})
