/** Whole leases over real local Airflows, with the environment's variables as a user sets them. */
import { AirflowResource, DeploymentPool } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Effect, Option, Redacted, type Scope } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as DeploymentFolder from "../packages/local/src/internal/DeploymentFolder.js"
import * as Processes from "../packages/local/src/internal/Processes.js"
import * as Dags from "../packages/local/test/dags.js"
import * as Home from "../packages/local/test/home.js"
import * as Worker from "./chaos/processes.js"
import * as Child from "./child.js"
import * as Local from "./local.js"

/** The first column of what a deployment's database returns. */
const query = (folder: string, sql: string) =>
  Effect.sync(() => {
    const connection = new Database(path.join(folder, "airflow.db"), { readonly: true })
    try {
      return connection.prepare(sql).pluck().all()
    } finally {
      connection.close()
    }
  })

const dagRows = ({ home }: Local.Scene, { deploymentId }: AirflowResource.AirflowResource) =>
  query(path.join(home, "deployments", deploymentId), "SELECT dag_id FROM dag ORDER BY dag_id")

const lingerer = (file: string) =>
  Home.until(Effect.gen(function*() {
    if (!fs.existsSync(file)) return yield* Effect.fail("the task has no child yet")
    const pid = Number(fs.readFileSync(file, "utf8"))
    return { pid, startedAt: (yield* Processes.startedAt(pid)) ?? "it has ended" }
  }))

describe(`a lease of a local Airflow ${Home.version}`, () => {
  const test = (title: string, body: (scene: Local.Scene) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scopedLive(title, () => Effect.flatMap(Local.make(), body), 60 * 60_000)

  test("runs the project's DAG; the next one finds nothing of it, and the files as they are then", (scene) =>
    Effect.gen(function*() {
      yield* Local.write(scene, "hello.py", Dags.hello("hello", "Hello World from a file"))
      yield* Local.write(scene, "other.py", Dags.hello("before", "unchanged"))
      yield* Local.write(scene, "deferring.py", Dags.deferring("deferring"))
      const first = yield* AirflowResource.use({ testName: "first" }, (resource) =>
        Effect.gen(function*() {
          const { airflow, deploymentId } = resource
          const { runId } = yield* airflow.runDag("hello", { timeout: "10 minutes" })
          const { text } = yield* airflow.taskLog("hello", runId, "hello")
          assert.include(text, "Hello World from a file")
          const deferred = yield* airflow.runDag("deferring", { timeout: "10 minutes" })
          assert.strictEqual(yield* airflow.xcom("deferring", deferred.runId, "wait"), "resumed")
          yield* airflow.variables.put({ key: "planted", value: "x" })
          assert.deepStrictEqual(yield* dagRows(scene, resource), ["before", "deferring", "hello"])
          return deploymentId
        }))

      yield* Local.write(scene, "hello.py", Dags.hello("hello", "Hello World, changed"))
      yield* Local.write(scene, "other.py", Dags.hello("after", "unchanged"))
      yield* AirflowResource.use({ testName: "second" }, (resource) =>
        Effect.gen(function*() {
          const { airflow, deploymentId, reused } = resource
          assert.deepStrictEqual([deploymentId, reused], [first, "woken"])
          assert.deepStrictEqual(yield* airflow.runs(), [])
          assert.deepStrictEqual(yield* airflow.variables.list, [])
          assert.deepStrictEqual(yield* dagRows(scene, resource), ["after", "deferring", "hello"])
          const { runId } = yield* airflow.runDag("hello", { timeout: "10 minutes" })
          assert.strictEqual(yield* airflow.xcom("hello", runId, "hello"), "Hello World, changed")
          const { text } = yield* airflow.taskLog("hello", runId, "hello")
          assert.include(text, "Hello World, changed")
        }))

      yield* Local.write(scene, "broken.py", "from airflow import DAG\n1 / 0\n")
      // the second time, nothing is copied
      for (const testName of ["third", "third again"]) {
        const broken = yield* Effect.flip(AirflowResource.use({ testName }, () => Effect.void))
        assert.match(String(broken.message), /broken\.py[^]*line 2[^]*ZeroDivisionError: division by zero/)
      }

      fs.rmSync(path.join(scene.project, "dags", "broken.py"))
      yield* AirflowResource.use({ testName: "fourth" }, ({ airflow }) =>
        Effect.gen(function*() {
          assert.isTrue(yield* airflow.verifyAirflowDagExists("hello"))
          assert.deepStrictEqual(yield* airflow.importErrors, [])
        }))
    }).pipe(Effect.provide(scene.layer())))

  test("test_simple_airflow_pipeline", (scene) =>
    Effect.gen(function*() {
      yield* Local.write(scene, "hello_world_dag.py", Dags.hello("hello_world_dag", "Hello World from Airflow"))
      const resource = yield* AirflowResource.acquire({ testName: "test_simple_airflow_pipeline" })
      const { airflowInstance, apiHeaders, apiToken, apiUrl, baseUrl } = resource
      assert.deepStrictEqual(Redacted.value(apiHeaders), {
        Authorization: `Bearer ${Redacted.value(apiToken)}`,
        "Cache-Control": "no-cache"
      })
      assert.strictEqual(apiUrl, `${baseUrl}/api/v${Home.major - 1}`)
      const { password, status, testName, type, username, workerPid } = resource
      assert.deepStrictEqual({ password: Redacted.value(password), status, testName, type, username, workerPid }, {
        password: "airflow",
        status: "active",
        testName: "test_simple_airflow_pipeline",
        type: "airflow_resource",
        username: "airflow",
        workerPid: process.pid
      })
      yield* airflowInstance.waitForAirflowToBeReady()

      const call = (method: string, route: string, body?: object) =>
        Effect.promise(async () => {
          const response = await fetch(`${apiUrl}${route}`, {
            method,
            headers: { ...Redacted.value(apiHeaders), "content-type": "application/json" },
            ...(body === undefined ? {} : { body: JSON.stringify(body) })
          })
          return { status: response.status, json: (await response.json()) as Record<string, unknown> }
        })
      // whether the DAG exists
      assert.strictEqual((yield* call("GET", "/dags/hello_world_dag")).status, 200)
      assert.strictEqual((yield* call("PATCH", "/dags/hello_world_dag", { is_paused: false })).status, 200)
      const triggered = yield* call("POST", "/dags/hello_world_dag/dagRuns", {
        conf: {},
        // Airflow 3 requires it
        ...(apiUrl.endsWith("/v2") ? { logical_date: null } : {})
      })
      assert.strictEqual(triggered.status, 200)
      const state = yield* Home.until(Effect.gen(function*() {
        const { json } = yield* call("GET", `/dags/hello_world_dag/dagRuns/${triggered.json["dag_run_id"]}`)
        const { state } = json
        return state === "success" || state === "failed" ? state : yield* Effect.fail(`the run is ${state}`)
      }))
      assert.strictEqual(state, "success")

      // the same with the helper methods
      assert.isTrue(yield* airflowInstance.verifyAirflowDagExists("hello_world_dag"))
      const runId = yield* airflowInstance.unpauseAndTriggerAirflowDag("hello_world_dag")
      yield* airflowInstance.verifyDagIdRan("hello_world_dag", runId)
      assert.include(
        yield* airflowInstance.getTaskInstanceLogs("hello_world_dag", runId, "hello"),
        "Hello World from Airflow"
      )
      assert.lengthOf(yield* airflowInstance.checkDagTaskInstances("hello_world_dag", runId), 1)
    }).pipe(Effect.provide(scene.layer())))

  test("leaves no process of a task that forks and lingers, handed over awake as well as hibernated", (scene) =>
    Effect.gen(function*() {
      const file = path.join(scene.home, "child.pid")
      yield* Local.write(scene, "lingering.py", Dags.lingering("lingering", file))
      const pool = yield* DeploymentPool.DeploymentPool
      const leave = (body: Effect.Effect<unknown, unknown>) =>
        AirflowResource.use({ testName: "lingers" }, ({ airflow, reused }) =>
          Effect.gen(function*() {
            fs.rmSync(file, { force: true })
            yield* airflow.trigger("lingering")
            const child = yield* lingerer(file)
            assert.isTrue(yield* Processes.isSame(child))
            yield* body
            return { child, reused }
          }))
      const waiting = Home.holds(
        "the next lease waits",
        Effect.map(pool.inspect, ({ tickets }) => tickets.some(({ state }) => state === "waiting"))
      )
      const [first, second] = yield* Effect.all([
        leave(waiting),
        Effect.zipRight(lingerer(file), leave(Effect.void))
      ], { concurrency: "unbounded" })
      assert.strictEqual(second.reused, "awake")
      assert.isFalse(yield* Processes.isSame(first.child), "after the reset")
      yield* Home.holds(
        "the child has ended",
        Effect.map(Processes.isSame(second.child), (is) => !is)
      )
    }).pipe(Effect.provide(scene.layer())))

  test("ends with a test process that is killed, through the reaper: asleep, without a token and without a process", (scene) =>
    Effect.gen(function*() {
      yield* Local.write(scene, "hello.py", Dags.hello("hello", "Hello"))
      const held = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const child = spawn(process.execPath, Child.program(new URL("stuck.ts", import.meta.url)), {
            cwd: scene.project,
            env: { ...scene.env, AIRFLOW_RESOURCE_REAPER: "on" },
            stdio: ["ignore", "pipe", "inherit"]
          })
          const held = { child, text: "" }
          child.stdout.on("data", (chunk) => held.text += chunk)
          return held
        }),
        ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
      )
      yield* Home.holds("it has a lease", Effect.sync(() => held.text.includes("deploymentId")))
      const [folder = ""] = Home.foldersOf(scene.home)
      const { processes, supervisor } = Home.stateOf(folder)
      assert.lengthOf(DeploymentFolder.tokens(folder), 1)
      held.child.kill("SIGKILL")

      yield* Home.holds(
        "it is asleep",
        Effect.sync(() => Option.exists(DeploymentFolder.request.read(folder), ({ hibernate }) => hibernate))
      )
      yield* Home.holds(
        "no process is left",
        Effect.map(Processes.sessionMembers([...processes, supervisor]), (members) => members.length === 0)
      )
      yield* Home.holds("no token is left", Effect.sync(() => DeploymentFolder.tokens(folder).length === 0))
      const pool = yield* DeploymentPool.DeploymentPool
      yield* Home.holds("the reaper has ended", Effect.map(pool.inspect, ({ upkeep }) => upkeep.holder === null))
    }).pipe(Effect.provide(scene.layer())))

  test("passes on when its holder is stopped past its deadline, and that one's token is worth nothing", (scene) =>
    Effect.gen(function*() {
      yield* Local.write(scene, "hello.py", Dags.hello("hello", "Hello"))
      const env = { ...scene.env, AIRFLOW_DAG_PATH: path.join(scene.project, "dags") }
      const worker = yield* Worker.start(env, {
        pool: { ttl: "5 seconds" },
        // one that ends would not go on writing
        leases: null,
        hold: [3_600_000, 3_600_000],
        writeEvery: 20,
        writeFor: 3_600_000
      })
      const lineOf = (tag: Worker.Line["_tag"]) => {
        const line = worker.lines.find(({ _tag }) => _tag === tag)
        return line === undefined ? Effect.fail(`no ${tag}: ${JSON.stringify(worker.lines)}`) : Effect.succeed(line)
      }
      yield* Home.until(Effect.suspend(() => lineOf("Ready")))
      const [folder = ""] = Home.foldersOf(scene.home)
      yield* Home.holds(
        "it has written",
        Effect.map(query(folder, "SELECT key FROM variable"), (keys) => keys.length > 0)
      )
      yield* worker.send("SIGSTOP")
      const [token] = DeploymentFolder.tokens(folder)

      yield* AirflowResource.use({ testName: "next" }, ({ airflow, epoch }) =>
        Effect.gen(function*() {
          yield* worker.send("SIGCONT")
          yield* Home.until(Effect.suspend(() => lineOf("Refused")))
          const lost = yield* Home.until(Effect.suspend(() => lineOf("Expected")))
          assert.deepInclude(lost, { error: "LeaseLost" })
          yield* Effect.zipRight(worker.endInput, worker.exited)
          assert.isAbove(epoch, worker.holds()[0]?.epoch ?? Infinity)
          assert.notInclude(DeploymentFolder.tokens(folder).map(({ id }) => id), token?.id)
          assert.deepStrictEqual(yield* airflow.variables.list, [])
          yield* airflow.runDag("hello", { timeout: "10 minutes" })
        }))
      yield* Local.isAsleep(scene)
    }).pipe(Effect.provide(scene.layer())))
})
