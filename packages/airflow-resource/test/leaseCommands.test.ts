import type { Dags } from "@airflow-resource/emulator"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schedule, type Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { start } from "./child.js"
import { canary, world } from "./world.js"

/** What is left in Astro. */
const left = ({ emulator }: Effect.Effect.Success<ReturnType<typeof world>>) =>
  Effect.map(emulator.audit, ({ awake, tokens }) => ({ awake, tokens }))

const nothing = { awake: [], tokens: [] }

const test = (title: string, body: Effect.Effect<void, unknown, Scope.Scope>) =>
  it.scopedLive(title, () => body.pipe(Effect.provide(NodeContext.layer)), 300_000)

const node = (script: string) => ["--", process.execPath, "-e", script]

describe.concurrent("airflow-resource exec", () => {
  test(
    "runs a program with the lease in its environment, and ends with its exit code",
    Effect.gen(function*() {
      const all = yield* world()
      const script = `
        const { AIRFLOW_RESOURCE_FILE: file, ...env } = process.env
        const fs = require("node:fs")
        const facts = JSON.parse(fs.readFileSync(file, "utf8"))
        const parent = fs.existsSync("/proc") ? fs.readFileSync("/proc/" + process.ppid + "/cmdline", "utf8") : ""
        fetch(env.AIRFLOW_RESOURCE_API_URL + "/dags", { headers: JSON.parse(env.AIRFLOW_RESOURCE_API_HEADERS) })
          .then(({ status }) => {
            console.log(JSON.stringify({ env, facts, file, mode: fs.statSync(file).mode & 0o777, status, parent }))
            process.exitCode = 7
          })`
      const { child, ended } = yield* all.begin("exec", "--name", "my program", ...node(script))
      const { code, stderr, stdout } = yield* ended
      assert.strictEqual(code, 7, stderr)
      const { env, facts, file, mode, parent, status } = JSON.parse(stdout)
      assert.deepStrictEqual([mode, status], [0o600, 200])
      assert.deepInclude(facts, {
        type: "airflow_resource",
        status: "active",
        testName: "my program",
        reused: "created",
        fenced: true,
        unfencedReason: null,
        username: "airflow",
        password: canary,
        workerPid: child.pid
      })
      assert.deepInclude(env, {
        AIRFLOW_API_URL: facts.baseUrl,
        AIRFLOW_AUTH_TOKEN: facts.apiToken,
        AIRFLOW_CLI_TOKEN: facts.apiToken,
        AIRFLOW_USERNAME: "airflow",
        AIRFLOW_PASSWORD: canary,
        ASTRO_DEPLOYMENT_ID: facts.deploymentId,
        AIRFLOW_RESOURCE_DEPLOYMENT_NAME: facts.deploymentName,
        AIRFLOW_RESOURCE_CREATION_DURATION: String(facts.creationDuration),
        AIRFLOW_RESOURCE_UNFENCED_REASON: ""
      })
      // neither in the progress, nor in an argument, nor on the disk any more
      for (const secret of [facts.apiToken, canary]) assert.notInclude(stderr + parent, secret)
      assert.isFalse(fs.existsSync(path.dirname(file)))
      assert.match(stderr, /^airflow-resource: creating$/m)
      assert.deepStrictEqual(yield* left(all), nothing)
    })
  )

  test(
    "leases nothing for a program that cannot run",
    Effect.gen(function*() {
      const all = yield* world()
      fs.writeFileSync(`${all.cwd}/data`, "")
      for (
        const [program, code, says] of [["no-such-program", 127, "no-such-program"], [
          "./data",
          126,
          "executable"
        ]] as const
      ) {
        const ended = yield* all.run("exec", "--", program)
        assert.deepEqual([ended.code, ended.stdout], [code, ""])
        assert.include(ended.stderr, says)
      }
      const { code, stderr } = yield* (yield* start("../src/main.ts", ["exec", "true"], {}, all.cwd)).ended
      assert.strictEqual(code, 125)
      assert.include(stderr, "ASTRO_WORKSPACE_ID is missing")
      assert.lengthOf((yield* all.emulator.audit).deployments, 0)
    })
  )

  test(
    "passes signals on, and gives the Airflow back however the program ends",
    Effect.gen(function*() {
      const all = yield* world()
      const lives = "setInterval(() => {}, 1000); console.log('runs');"
      const polite = yield* all.begin("exec", ...node(`process.on("SIGTERM", () => process.exit(3));${lives}`))
      yield* polite.prints("stdout", "runs")
      polite.child.kill("SIGTERM")
      assert.strictEqual((yield* polite.ended).code, 3)

      const killed = yield* all.begin("exec", ...node(`process.kill(process.pid, "SIGKILL")`))
      assert.strictEqual((yield* killed.ended).code, 128 + 9)

      const stubborn = yield* all.begin(
        "exec",
        ...node(
          `for (const one of ["SIGINT", "SIGTERM"]) process.on(one, () => console.log("has " + one));console.log("pid " + process.pid);${lives}`
        )
      )
      yield* stubborn.prints("stdout", "runs")
      stubborn.child.kill("SIGINT")
      yield* stubborn.prints("stdout", "has SIGINT")
      stubborn.child.kill("SIGTERM")
      yield* stubborn.prints("stdout", "has SIGTERM")
      // again and again, until it is killed: those that follow each other at once count once, see `signals.ts`
      const pid = Number(/pid (\d+)/.exec(yield* stubborn.prints("stdout", "pid"))?.[1])
      const isAlive = Effect.sync(() => {
        try {
          return process.kill(pid, 0) && stubborn.child.kill("SIGINT")
        } catch {
          return false
        }
      })
      yield* Effect.repeat(isAlive, { while: (alive) => alive, schedule: Schedule.spaced("50 millis") })
      assert.strictEqual((yield* stubborn.ended).code, 128 + 9)
      assert.deepStrictEqual(yield* left(all), nothing)
    })
  )

  test(
    "ends the program when its lease is lost",
    Effect.gen(function*() {
      const all = yield* world()
      const running = yield* all.begin("exec", ...node("setInterval(() => {}, 1000); console.log('runs')"))
      yield* running.prints("stdout", "runs")
      const { deployments: [one] } = yield* all.emulator.audit
      yield* Effect.promise(() =>
        fetch(`${all.emulator.astroApiUrl}/v1/organizations/${all.emulator.organizationId}/deployments/${one?.id}`, {
          method: "DELETE",
          headers: { authorization: `Bearer ${Redacted.value(all.emulator.astroToken)}` }
        })
      )
      const { code, stderr } = yield* running.ended
      assert.strictEqual(code, 125, stderr)
      assert.match(stderr, /^ending .*node$/m)
      assert.match(stderr, /^Lost slot 1 .* deleted from outside the pool/m)
    })
  )

  test(
    "gives up its place in the queue at the first signal",
    Effect.gen(function*() {
      const all = yield* world()
      const first = yield* all.begin("exec", ...node("setInterval(() => {}, 1000); console.log('runs')"))
      yield* first.prints("stdout", "runs")
      const second = yield* all.begin("exec", "--", "true")
      yield* second.prints("stderr", "place 1 in the queue")
      second.child.kill("SIGINT")
      assert.strictEqual((yield* second.ended).code, 130)
      assert.lengthOf((yield* all.inspect).tickets.filter(({ state }) => state === "waiting"), 0)
      first.child.kill("SIGTERM")
      assert.strictEqual((yield* first.ended).code, 128 + 15)
      assert.deepStrictEqual(yield* left(all), nothing)
    })
  )

  test(
    "leaves what it holds to the reaper at the second signal",
    Effect.gen(function*() {
      // an Airflow that takes a while to wake
      const all = yield* world({ speed: 3 })
      const env = { ...all.env, AIRFLOW_RESOURCE_REAPER: "on" }
      const running = yield* start("../src/main.ts", ["exec", "--", "true"], env, all.cwd)
      yield* running.prints("stderr", "waiting for HEALTHY")
      running.child.kill("SIGINT")
      yield* running.prints("stderr", "hibernat").pipe(Effect.ignore, Effect.timeoutOption("700 millis"))
      running.child.kill("SIGINT")
      assert.strictEqual((yield* running.ended).code, 130)
      yield* Effect.repeat(left(all), {
        until: ({ awake, tokens }) => awake.length + tokens.length === 0,
        schedule: Schedule.spaced("200 millis")
      }).pipe(Effect.timeout("2 minutes"))
    })
  )
})

describe.concurrent("airflow-resource lease", () => {
  test(
    "prints one line of JSON, and holds the Airflow until stdin closes",
    Effect.gen(function*() {
      const all = yield* world()
      const { child, ended, prints } = yield* start("../src/main.ts", ["lease", "--json"], all.env, all.cwd, {
        stdin: "pipe"
      })
      const facts = JSON.parse(yield* prints("stdout", "\n"))
      assert.lengthOf((yield* all.emulator.audit).awake, 1)
      const response = yield* Effect.promise(() => fetch(`${facts.apiUrl}/dags`, { headers: facts.apiHeaders }))
      assert.strictEqual(response.status, 200)
      child.stdin?.end()
      const { code, stdout } = yield* ended
      assert.deepEqual([code, stdout.trim().split("\n").length], [0, 1])
      assert.deepStrictEqual(yield* left(all), nothing)
    })
  )

  test(
    "gives the Airflow back when the process that reads from it is gone",
    Effect.gen(function*() {
      const all = yield* world()
      const { child, ended, prints } = yield* start("../src/main.ts", ["lease", "--json"], all.env, all.cwd, {
        stdin: "pipe"
      })
      yield* prints("stdout", "\n")
      child.stdout?.destroy()
      child.stderr?.destroy()
      child.stdin?.destroy()
      assert.strictEqual((yield* ended).code, 0)
      assert.deepStrictEqual(yield* left(all), nothing)
    })
  )

  test(
    "ends at a signal, and shows a person no token",
    Effect.gen(function*() {
      const all = yield* world()
      const { child, ended, prints } = yield* all.begin("lease", "--no-stdin", "--name", "a person")
      const shown = yield* prints("stdout", "--json")
      assert.match(shown, /^airflow-resource-\S+ is yours until you press Ctrl-C/)
      assert.notInclude(shown, "eyJ")
      assert.include((yield* all.run("status")).stdout, "leased to a person")
      child.kill("SIGTERM")
      assert.strictEqual((yield* ended).code, 0)
      assert.deepStrictEqual(yield* left(all), nothing)
    })
  )

  test(
    "needs a stdin that stays open",
    Effect.gen(function*() {
      const all = yield* world()
      const { code, stderr, stdout } = yield* all.run("lease", "--json")
      assert.strictEqual(code, 1)
      assert.deepInclude(JSON.parse(stdout).error, { tag: "StdinClosed", retryable: false })
      assert.include(stderr, "--no-stdin")
      assert.deepStrictEqual(yield* left(all), nothing)
    })
  )
})

describe.concurrent("airflow-resource run", () => {
  const dags: ReadonlyArray<Dags.DagSpec> = [
    {
      dagId: "good",
      tasks: [{ taskId: "one", log: "first words" }, { taskId: "two", log: "then more", upstream: ["one"] }]
    },
    { dagId: "bad", tasks: [{ taskId: "one", log: "last words", outcome: "failed" }] },
    { dagId: "slow", tasks: [{ taskId: "one", log: "", duration: "1 hour" }] },
    { dagId: "broken", tasks: [{ taskId: "one", log: "" }], importError: "SyntaxError: never closed" }
  ]

  test(
    "prints the result on stdout, the logs on stderr, and has an exit code for each outcome",
    Effect.gen(function*() {
      const all = yield* world({ dags })
      const good = yield* all.run("run", "good", "--conf", `{"day": "2026-01-01"}`)
      assert.strictEqual(good.code, 0, good.stderr)
      assert.match(good.stdout, /^good success in [\d.]+ s \(\S+\)\n {2}one {2}success .*\n {2}two {2}success/)
      assert.match(good.stderr, /^one: .*first words$/m)
      assert.match(good.stderr, /^two: .*then more$/m)

      const bad = yield* all.run("run", "bad", "--json")
      assert.strictEqual(bad.code, 4)
      const result = JSON.parse(bad.stdout)
      assert.deepInclude(result, { dagId: "bad", state: "failed" })
      assert.deepInclude(result.tasks[0], { task: "one", state: "failed" })
      assert.match(bad.stderr, /^one: .*last words$/m)

      const absent = yield* all.run("run", "god", "-o", "json")
      assert.strictEqual(absent.code, 5)
      assert.strictEqual(JSON.parse(absent.stdout).error.tag, "NoSuchDag")
      assert.match(absent.stderr, /There is no DAG god\. There is: .*good/)
      const broken = yield* all.run("run", "broken")
      assert.deepEqual([broken.code, broken.stdout], [5, ""])
      assert.include(broken.stderr, "never closed")

      const slow = yield* all.run("run", "slow", "--timeout", "2 seconds")
      assert.deepEqual([slow.code, slow.stdout], [6, ""])
      assert.include(slow.stderr, "is still running after 2s")

      for (const conf of ["[1]", "day", "7"]) {
        const wrong = yield* all.run("run", "good", "--conf", conf)
        assert.strictEqual(wrong.code, 2)
        assert.include(wrong.stderr, "It must be a JSON object")
      }
      assert.deepStrictEqual(yield* left(all), nothing)
    })
  )
})

describe("many exec at once", () => {
  it.scopedLive(
    "with random kills, leave nothing awake and no token",
    () =>
      Effect.gen(function*() {
        const many = Number(process.env["AIRFLOW_RESOURCE_CHAOS"] === "1" ? 50 : 10)
        const all = yield* world({}, 4)
        const env = { ...all.env, AIRFLOW_RESOURCE_REAPER: "on" }
        const codes = yield* Effect.forEach(Array.from({ length: many }, (_, index) => index), (index) =>
          Effect.gen(function*() {
            const { child, ended } = yield* start(
              "../src/main.ts",
              ["exec", ...node("setTimeout(() => {}, 200)")],
              env,
              all.cwd
            )
            const signal = ([undefined, "SIGKILL", "SIGTERM", "SIGINT"] as const)[index % 4]
            if (signal !== undefined) {
              // at any step, from the start of the process to its end
              yield* Effect.sleep((index * 7919) % 9000)
              child.kill(signal)
            }
            return (yield* ended).code
          }), { concurrency: 8 })
        assert.include(codes, 0)
        yield* Effect.repeat(left(all), {
          until: ({ awake, tokens }) =>
            awake.length + tokens.length === 0,
          schedule: Schedule.spaced("500 millis")
        }).pipe(Effect.timeout("2 minutes"))
        assert.isAtMost((yield* all.emulator.audit).deployments.length, 4)
      }).pipe(Effect.provide(NodeContext.layer)),
    900_000
  )
})
