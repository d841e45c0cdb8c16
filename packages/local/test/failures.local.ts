import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Option, type Redacted, type Scope } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as DeploymentFolder from "../src/internal/DeploymentFolder.js"
import * as Processes from "../src/internal/Processes.js"
import * as Client from "./client.js"
import * as Dags from "./dags.js"
import * as Home from "./home.js"
import * as Occupied from "./occupied.js"

/** The leaders of all sessions of a deployment, and with them what has to end. */
const leadersOf = (folder: string) => [...Home.stateOf(folder).processes, Home.stateOf(folder).supervisor]

const gone = (leaders: ReadonlyArray<Processes.ProcessId>) =>
  Home.until(
    Effect.filterOrFail(
      Processes.sessionMembers(leaders),
      (members) => members.length === 0,
      (members) => `still there: ${members.map(({ pid, title }) => `${pid} ${title}`).join(", ")}`
    )
  )

/** What is logged at a warning's level or above, as text. */
const warningsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const warnings: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel._tag === "Warning") warnings.push(String(message))
  })
  return Effect.map(
    Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger)),
    (value) => [value, warnings] as const
  )
}

/** A process that has nothing to do with any Airflow, in a session of its own. */
const innocent = Effect.acquireRelease(
  Effect.sync(() => spawn("sleep", ["3600"], { detached: true, stdio: "ignore" })),
  (child) => Effect.sync(() => child.kill("SIGKILL"))
).pipe(Effect.flatMap(({ pid = 0 }) => Effect.map(Processes.startedAt(pid), (startedAt = "") => ({ pid, startedAt }))))

/** Runs a DAG to its success. Its Airflow may only just come up. */
const runOnce = (dag: string, token: Redacted.Redacted) =>
  Effect.gen(function*() {
    const send = (url: string, method: string, body?: object) =>
      Home.until(
        Home.request(url, { token, method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }).pipe(
          Effect.filterOrFail(({ status }) => status === 200, ({ status, text }) => `${status} ${text}`),
          Effect.map(({ text }) => JSON.parse(text) as Record<string, unknown>)
        )
      )
    yield* send(dag, "PATCH", { is_paused: false })
    const run = { conf: {}, ...(Home.major === 3 ? { logical_date: null } : {}) }
    const { dag_run_id: runId } = yield* send(`${dag}/dagRuns`, "POST", run)
    const { state } = yield* Home.until(
      Effect.filterOrFail(
        send(`${dag}/dagRuns/${encodeURIComponent(String(runId))}`, "GET"),
        ({ state }) => state === "success" || state === "failed",
        ({ state }) => `the run is ${state}`
      )
    )
    assert.strictEqual(state, "success")
  })

describe("a local Airflow", () => {
  const test = (
    title: string,
    body: (
      scene: { readonly home: string; readonly provider: Home.Provider }
    ) => Effect.Effect<void, unknown, Scope.Scope>
  ) =>
    it.scopedLive(
      title,
      () =>
        Effect.gen(function*() {
          const home = yield* Home.make
          yield* body({ home, provider: yield* Home.provider(home) })
        }),
      30 * 60_000
    )

  test("ends with its supervisor, which the next client reports; then it can be woken", ({ home, provider }) =>
    Effect.gen(function*() {
      const { id } = yield* Home.create(provider)
      const [folder] = Home.foldersOf(home) as [string]
      const leaders = leadersOf(folder)
      yield* Home.kill(folder, "supervisor")
      yield* gone(leaders)

      const [deployment, warnings] = yield* warningsOf(provider.get(id))
      assert.deepInclude(deployment, { status: "UNHEALTHY", problem: "its supervisor has ended without a request" })
      assert.lengthOf(warnings, 1)
      assert.include(warnings[0], folder)
      const [again, more] = yield* warningsOf(provider.get(id))
      assert.strictEqual(again.status, "UNHEALTHY")
      assert.deepStrictEqual(more, [], "it is reported once")

      yield* provider.wake(id)
      assert.isUndefined((yield* Home.awake(provider, id)).problem)
    }))

  test("ends with its launcher, and can be woken", ({ home, provider }) =>
    Effect.gen(function*() {
      const { id } = yield* Home.create(provider)
      const [folder] = Home.foldersOf(home) as [string]
      const { processes } = Home.stateOf(folder)
      yield* Home.kill(folder, "launcher")
      assert.include((yield* Home.inStatus(provider, id, "UNHEALTHY")).problem, "Airflow's launcher ended (signal 9)")
      yield* gone(processes)
      yield* provider.wake(id)
      yield* Home.awake(provider, id)
    }))

  test("ends when its supervisor and its launcher are killed at once", ({ home, provider }) =>
    Effect.gen(function*() {
      const { id } = yield* Home.create(provider)
      const [folder] = Home.foldersOf(home) as [string]
      const leaders = leadersOf(folder)
      yield* Home.kill(folder, "supervisor", "launcher")
      yield* Home.inStatus(provider, id, "UNHEALTHY")
      yield* gone(leaders)
      yield* provider.wake(id)
      yield* Home.awake(provider, id)
    }))

  test("starts a part again that was killed, but not for ever", ({ home, provider }) =>
    Effect.gen(function*() {
      const deployment = yield* Home.create(provider)
      const { airflowUrl, id } = deployment
      const [folder] = Home.foldersOf(home) as [string]
      const leaders = leadersOf(folder)
      const dags = path.join(home, "dags")
      fs.mkdirSync(dags)
      fs.writeFileSync(path.join(dags, "hello.py"), Dags.hello("hello", "Hello"))
      yield* Home.deliver({ home, dags, root: home, variables: {}, allowBroken: false }, deployment)
      const killAndWait = (part: string) =>
        Effect.gen(function*() {
          const before = Home.processOf(folder, part)
          yield* Home.kill(folder, part)
          yield* Home.holds(
            `the ${part} runs again`,
            Effect.sync(() => Home.processOf(folder, part).pid !== before.pid)
          )
          yield* gone([before])
          leaders.push(...leadersOf(folder))
          assert.strictEqual((yield* provider.get(id)).status, "HEALTHY")
        })
      const { value } = yield* provider.createToken(id, "of a test")
      yield* killAndWait("scheduler")
      yield* killAndWait(Home.webserver)
      yield* runOnce(`${airflowUrl}/api/v${Home.major - 1}/dags/hello`, value)

      yield* killAndWait("scheduler")
      yield* Home.kill(folder, "scheduler")
      const { problem } = yield* Home.inStatus(provider, id, "UNHEALTHY")
      assert.match(problem ?? "", /Airflow's scheduler ended \(signal 9\)\. The end of its log, .*scheduler\.log:\n.+/)
      yield* gone(leaders.filter(({ pid }) => pid !== Home.stateOf(folder).supervisor.pid))
      const response = yield* Home.request(`${airflowUrl}/api/v2/dags`, { token: value })
      assert.deepInclude(response, { status: 503, retryAfter: "1" })
      yield* provider.wake(id)
      yield* Home.awake(provider, id)
    }))

  test("is created once under a name, and follows the last of requests that processes make at once", ({ home, provider }) =>
    Effect.gen(function*() {
      const creators = yield* Effect.all([Client.make(home, "create"), Client.make(home, "create")], {
        concurrency: "unbounded"
      })
      assert.sameMembers(yield* Client.race("one", creators), ["success", "nameTaken"])
      const [deployment, ...others] = yield* provider.list
      assert.deepStrictEqual(others, [])
      const { id } = deployment!
      yield* Home.awake(provider, id)

      const rivals = yield* Effect.all([Client.make(home, "hibernate"), Client.make(home, "wake")], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(yield* Client.race(id, rivals), ["success", "success"])
      const { hibernationRequested } = yield* provider.get(id)
      const settled = yield* Home.inStatus(provider, id, hibernationRequested ? "HIBERNATING" : "HEALTHY")
      assert.strictEqual(settled.hibernationRequested, hibernationRequested)
      yield* provider.wake(id)
      yield* Home.awake(provider, id)
    }))

  test("is up again after a reboot, and its old processes' numbers belong to others", ({ home, provider }) =>
    Effect.gen(function*() {
      const { id } = yield* Home.create(provider)
      const [folder] = Home.foldersOf(home) as [string]
      const leaders = leadersOf(folder)
      const state = Home.stateOf(folder)
      yield* Home.kill(folder, "supervisor")
      yield* gone(leaders)
      const other = yield* innocent
      const processes = state.processes.map(({ name }) => ({ name, ...other }))
      for (
        const changed of [
          { supervisor: { ...other, bootId: "another boot" }, processes },
          // a number that was given away within this boot
          {
            supervisor: { ...state.supervisor, pid: other.pid },
            processes: processes.map((process) => ({ ...process, startedAt: state.supervisor.startedAt }))
          }
        ]
      ) {
        DeploymentFolder.state.write(folder, { ...state, ...changed })
        assert.strictEqual((yield* provider.get(id)).status, "UNHEALTHY")
        assert.isTrue(yield* Processes.isSame(other), "a process that is not of the deployment was killed")
      }
      yield* provider.wake(id)
      yield* Home.awake(provider, id)
      assert.isTrue(yield* Processes.isSame(other))
    }))

  it.scopedLive(
    "starts with other ports when another process takes the one it has chosen",
    () =>
      Effect.gen(function*() {
        const home = yield* Home.make
        // an installed environment has a seed
        yield* Home.provider(home)
        const provider = yield* Home.provider(home, { pythonOf: (folder) => Occupied.environment(home, folder, 2) })
        const { uiUrl } = yield* Home.create(provider)
        const taken = Occupied.ports(home)
        assert.lengthOf(taken, 2)
        assert.notInclude(taken, new URL(uiUrl).port)
      }),
    30 * 60_000
  )

  test("ends when its home is deleted", ({ home, provider }) =>
    Effect.gen(function*() {
      yield* Home.create(provider)
      const [folder] = Home.foldersOf(home) as [string]
      const leaders = leadersOf(folder)
      fs.rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
      yield* gone(leaders)
    }))

  test("is deleted while it starts", ({ home, provider }) =>
    Effect.gen(function*() {
      const { id } = yield* provider.create({ name: "one", description: "", spec: yield* Home.spec })
      const [folder] = Home.foldersOf(home) as [string]
      yield* Home.holds(
        "Airflow's processes run",
        Effect.sync(() => Option.exists(DeploymentFolder.state.read(folder), ({ processes }) => processes.length > 1))
      )
      const leaders = leadersOf(folder)
      yield* provider.delete(id)
      assert.deepStrictEqual(yield* provider.list, [])
      assert.deepStrictEqual(Home.foldersOf(home), [])
      yield* gone(leaders)
    }))
})

describe("an idle local Airflow", () => {
  it.scopedLive("hibernates, unless a process that lives has a token of it", () =>
    Effect.gen(function*() {
      const home = yield* Home.make
      const provider = yield* Home.provider(home, { idle: "2 seconds" })
      // it has more time than the others, and would be the first
      const { id } = yield* provider.create({ name: "in use", description: "", spec: yield* Home.spec })
      const token = yield* provider.createToken(id, "of this process")
      yield* Home.awake(provider, id)

      const client = yield* Client.make(home, "mint")
      const orphan = yield* provider.create({ name: "orphan", description: "", spec: yield* Home.spec })
      yield* client.go(orphan.id)
      assert.strictEqual(yield* client.outcome, "success")
      yield* Home.awake(provider, orphan.id)

      const idle = yield* provider.create({ name: "idle", description: "", spec: yield* Home.spec })
      yield* Home.inStatus(provider, idle.id, "HIBERNATING")
      assert.include(fs.readFileSync(DeploymentFolder.logOf(Home.folderOf(home, idle)), "utf8"), "is healthy")
      assert.strictEqual((yield* provider.get(orphan.id)).status, "HEALTHY")
      yield* client.kill
      yield* Home.inStatus(provider, orphan.id, "HIBERNATING")
      assert.lengthOf(yield* provider.listTokens(orphan.id), 1)
      assert.strictEqual((yield* provider.get(id)).status, "HEALTHY")

      const leaders = leadersOf(`${home}/deployments/${id}`)
      yield* provider.deleteToken(id, token.id)
      yield* Home.inStatus(provider, id, "HIBERNATING")
      yield* gone(leaders)
    }), 30 * 60_000)
})
