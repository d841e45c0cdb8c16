import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { createServer } from "node:net"
import { project, start } from "./child.js"

const emulator = (cwd: string, ...args: ReadonlyArray<string>) =>
  start("../src/main.ts", ["emulator", ...args], {}, cwd)

/** What it prints, up to this text: the first line by default. */
const printed = (running: Effect.Effect.Success<ReturnType<typeof emulator>>, end = "\n") =>
  running.prints("stdout", end)

/** The JSON of a successful response. */
const get = (url: string, token: string) =>
  Effect.promise(async () => {
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
    assert.strictEqual(response.status, 200, url)
    return JSON.parse(await response.text())
  })

/** The environment of a shell that has evaluated the text, and had no other variable. */
const evaluated = (text: string): Record<string, string> =>
  JSON.parse(
    execFileSync("/bin/sh", ["-c", `${text}\nexec "$0" -p "JSON.stringify(process.env)"`, process.execPath], {
      env: {}
    }).toString()
  )

const test = (title: string, body: (cwd: string) => Effect.Effect<void, unknown, Scope.Scope>) =>
  it.scopedLive(title, () => Effect.flatMap(project, body).pipe(Effect.provide(NodeContext.layer)), 300_000)

describe.concurrent("airflow-resource emulator", () => {
  test("prints what programs need in one line, and ends when it is interrupted", (cwd) =>
    Effect.gen(function*() {
      const running = yield* emulator(cwd, "--json", "--seed", "7", "--speed", "0.5")
      const line = yield* printed(running)
      const facts = JSON.parse(line)
      assert.deepInclude(facts, { repository: "example/dags", speed: 0.5, seed: 7, astroHome: null })
      assert.include(facts.runtimeVersions, "13.1.0")
      assert.deepInclude(facts.regions, { cloudProvider: "gcp", region: "us-central1" })
      const { organizations } = yield* get(`${facts.astroApiUrl}/v1/organizations`, facts.astroToken)
      assert.strictEqual(organizations[0].id, facts.organizationId)
      const path = `organizations/${facts.organizationId}/workspaces/${facts.workspaceId}`
      assert.strictEqual((yield* get(`${facts.astroApiUrl}/v1/${path}`, facts.astroToken)).id, facts.workspaceId)
      const repository = yield* get(`${facts.githubApiUrl}/repos/${facts.repository}`, facts.githubToken)
      assert.strictEqual(repository.full_name, facts.repository)

      running.child.kill("SIGINT")
      assert.deepStrictEqual(yield* running.ended, { code: 130, stdout: `${line}\n`, stderr: "" })
      const again = yield* Effect.exit(Effect.tryPromise(() => fetch(facts.url)))
      assert.strictEqual(again._tag, "Failure")
    }))

  test("serves the library in the environment that it prints", (cwd) =>
    Effect.gen(function*() {
      const home = `${cwd}/it's a home`
      const running = yield* emulator(cwd, "--print-env", "--speed", "1000", "--astro-home", "it's a home")
      const env = evaluated(yield* printed(running, "ASTRO_HOME="))
      assert.strictEqual(env["ASTRO_HOME"], home)
      const config = `${home}/.astro/config.yaml`
      assert.include(fs.readFileSync(config, "utf8"), env["ASTRO_ACCESS_TOKEN"] ?? "nothing")
      assert.include(fs.readFileSync(config, "utf8"), `core: "${env["ASTRO_API_URL"]}"`)
      assert.strictEqual(fs.statSync(config).mode & 0o777, 0o600)

      const leased = yield* (yield* start("once.ts", [], env, cwd)).ended
      assert.strictEqual(leased.code, 0, leased.stderr)
      assert.deepInclude(JSON.parse(leased.stdout), { fenced: true, dags: ["hello_world_dag"] })
      const secrets = yield* get(
        `${env["GITHUB_API_URL"]}/repos/${env["AIRFLOW_REPO"]}/actions/secrets`,
        env["AIRFLOW_GITHUB_TOKEN"] ?? ""
      )
      assert.strictEqual(secrets.total_count, 3)

      running.child.kill("SIGTERM")
      assert.strictEqual((yield* running.ended).code, 130)
      assert.isFalse(fs.existsSync(config))
    }))

  test("has the DAGs of a file, which it refuses before it starts if they cannot run", (cwd) =>
    Effect.gen(function*() {
      const task = { taskId: "load", duration: "1 second", log: ["loaded", "3 orders"], xcom: { return_value: 3 } }
      const write = (dags: unknown) => fs.writeFileSync(`${cwd}/dags.json`, JSON.stringify(dags))
      write([{ dagId: "orders", tasks: [task] }])
      const running = yield* emulator(cwd, "--print-env", "--speed", "1000", "--dags", "dags.json")
      const env = evaluated(yield* printed(running, "AIRFLOW_REPO="))
      const leased = yield* (yield* start("once.ts", [], { ...env, AIRFLOW_RESOURCE_DELIVERY: "none" }, cwd)).ended
      assert.strictEqual(leased.code, 0, leased.stderr)
      assert.deepInclude(JSON.parse(leased.stdout), { dags: ["orders"] })

      for (
        const [dags, problem] of [
          [
            [{ dagId: "orders", tasks: [{ ...task, duration: "soon" }] }],
            /0\.tasks\.0\.duration: .*must be a duration/
          ],
          [[{ dagId: "orders", task: [] }], /0\.task: is unexpected/],
          [[{ dagId: "orders", tasks: [task, task] }], /two tasks named load/]
        ] as const
      ) {
        write(dags)
        const refused = yield* (yield* emulator(cwd, "--json", "--dags", "dags.json")).ended
        assert.strictEqual(refused.code, 1)
        assert.match(JSON.parse(refused.stdout).error.message, problem)
      }
      const missing = yield* (yield* emulator(cwd, "--json", "--dags", "nowhere.json")).ended
      assert.deepInclude(JSON.parse(missing.stdout).error, { tag: "DagFileRefused", retryable: false })
    }))

  test("prints how to use it", (cwd) =>
    Effect.gen(function*() {
      const text = yield* printed(yield* emulator(cwd), "--astro-home")
      const url = /^Astro +(http:\/\/127\.0\.0\.1:\d+)\/v1$/m.exec(text)?.[1]
      assert.include(text, "100 times as fast")
      assert.include(text, "aws us-east-1")
      assert.strictEqual(
        evaluated(text.split("\n").filter((line) => line.startsWith("export")).join("\n"))["ASTRO_API_URL"],
        url
      )
    }))

  test("names what prevents it from starting", (cwd) =>
    Effect.gen(function*() {
      const taken = createServer()
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => void taken.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => taken.close())
      )
      const { port } = taken.address() as { readonly port: number }
      const inUse = yield* (yield* emulator(cwd, "--json", "--port", String(port))).ended
      assert.strictEqual(inUse.code, 1)
      assert.include(inUse.stderr, `port ${port} is in use`)
      assert.strictEqual(`${JSON.parse(inUse.stdout).error.message}\n`, inUse.stderr)
      assert.notMatch(inUse.stderr, /^\s+at /m)

      for (
        const [args, message] of [
          [["--port", "0"], "'--port <number>' argument '0' is invalid. It must be a port from 1 to 65535"],
          [["--port", "abc"], "'--port <number>' argument 'abc'"],
          [["--speed", "0"], "It must be a number greater than 0"],
          [["--json", "--print-env"], "'--print-env' cannot be used with"],
          [["--prot", "1"], "Did you mean --port?"]
        ] as const
      ) {
        const { code, stderr, stdout } = yield* (yield* emulator(cwd, ...args)).ended
        assert.strictEqual(code, 2, args.join(" "))
        assert.include(stdout + stderr, message)
      }
    }))

  test("overwrites no config but one of an emulator", (cwd) =>
    Effect.gen(function*() {
      const refused = (folder: string) =>
        Effect.flatMap(emulator(cwd, "--json", "--astro-home", folder), ({ ended }) => ended)
      fs.writeFileSync(`${cwd}/file`, "mine")
      const file = yield* refused("file")
      assert.strictEqual(file.code, 1)
      assert.deepInclude(JSON.parse(file.stdout).error, { tag: "AstroHomeRefused", retryable: false })
      assert.include(file.stderr, `${cwd}/file cannot be the astro CLI's home`)
      assert.include(file.stderr, "not a folder")
      assert.strictEqual(fs.readFileSync(`${cwd}/file`, "utf8"), "mine")

      const config = `${cwd}/home/.astro/config.yaml`
      fs.mkdirSync(`${cwd}/home/.astro`, { recursive: true })
      fs.writeFileSync(config, "context: astronomer.io\n")
      const foreign = yield* refused("home")
      assert.strictEqual(foreign.code, 1)
      assert.include(foreign.stderr, "was not written by an emulator")
      assert.strictEqual(fs.readFileSync(config, "utf8"), "context: astronomer.io\n")
      fs.rmSync(config)

      // killed, so that its config stays
      const killed = yield* emulator(cwd, "--json", "--astro-home", "home")
      yield* printed(killed)
      killed.child.kill("SIGKILL")
      yield* killed.ended
      const left = fs.readFileSync(config, "utf8")
      fs.chmodSync(config, 0o644)
      const next = yield* emulator(cwd, "--json", "--astro-home", "home")
      const { astroApiUrl } = JSON.parse(yield* printed(next))
      assert.notStrictEqual(fs.readFileSync(config, "utf8"), left)
      assert.include(fs.readFileSync(config, "utf8"), astroApiUrl)
      assert.strictEqual(fs.statSync(config).mode & 0o777, 0o600)

      // replaced by another program
      fs.writeFileSync(config, "context: astronomer.io\n")
      next.child.kill("SIGTERM")
      yield* next.ended
      assert.strictEqual(fs.readFileSync(config, "utf8"), "context: astronomer.io\n")
    }))
})
