import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { createServer } from "node:net"
import * as os from "node:os"
import { start } from "./child.js"

/** A folder that is a project. */
const project = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = fs.realpathSync(fs.mkdtempSync(`${os.tmpdir()}/emulator-command-`))
    fs.mkdirSync(`${folder}/.git`)
    return folder
  }),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

const emulator = (cwd: string, ...args: ReadonlyArray<string>) =>
  start("../src/main.ts", ["emulator", ...args], {}, cwd)

/** Once it has answered there is one line at least. */
const shown = (running: Effect.Effect.Success<ReturnType<typeof emulator>>, end = "\n") => running.says("stdout", end)

/** The answer's JSON, where it is a success. */
const get = (url: string, token: string) =>
  Effect.promise(async () => {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
    assert.strictEqual(answer.status, 200, url)
    return JSON.parse(await answer.text())
  })

/** As a shell understands it, and nothing but what it was told. */
const evaluated = (text: string): Record<string, string> =>
  JSON.parse(
    execFileSync("/bin/sh", ["-c", `${text}\nexec "$0" -p "JSON.stringify(process.env)"`, process.execPath], {
      env: {}
    }).toString()
  )

const test = (title: string, body: (cwd: string) => Effect.Effect<void, unknown, Scope.Scope>) =>
  it.scopedLive(title, () => Effect.flatMap(project, body).pipe(Effect.provide(NodeContext.layer)), 120_000)

describe.concurrent("airflow-resource emulator", () => {
  test("tells programs in one line where it is and what it has, and is gone once it is interrupted", (cwd) =>
    Effect.gen(function*() {
      const running = yield* emulator(cwd, "--json", "--seed", "7", "--speed", "0.5")
      const line = yield* shown(running)
      const told = JSON.parse(line)
      assert.deepInclude(told, { repository: "example/dags", speed: 0.5, seed: 7, astroHome: null })
      assert.include(told.runtimeVersions, "13.1.0")
      assert.deepInclude(told.regions, { cloudProvider: "gcp", region: "us-central1" })
      const { organizations } = yield* get(`${told.astroApiUrl}/v1/organizations`, told.astroToken)
      assert.strictEqual(organizations[0].id, told.organizationId)
      const path = `organizations/${told.organizationId}/workspaces/${told.workspaceId}`
      assert.strictEqual((yield* get(`${told.astroApiUrl}/v1/${path}`, told.astroToken)).id, told.workspaceId)
      const repository = yield* get(`${told.githubApiUrl}/repos/${told.repository}`, told.githubToken)
      assert.strictEqual(repository.full_name, told.repository)

      running.child.kill("SIGINT")
      assert.deepStrictEqual(yield* running.ended, { code: 130, stdout: `${line}\n`, stderr: "" })
      const again = yield* Effect.exit(Effect.tryPromise(() => fetch(told.url)))
      assert.strictEqual(again._tag, "Failure")
    }))

  test("is what the library leases from, in the environment that it prints", (cwd) =>
    Effect.gen(function*() {
      const home = `${cwd}/it's a home`
      const running = yield* emulator(cwd, "--print-env", "--speed", "1000", "--astro-home", "it's a home")
      const env = evaluated(yield* shown(running, "ASTRO_HOME="))
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

  test("tells people what to do with it", (cwd) =>
    Effect.gen(function*() {
      const text = yield* shown(yield* emulator(cwd), "--astro-home")
      const url = /^Astro +(http:\/\/127\.0\.0\.1:\d+)\/v1$/m.exec(text)?.[1]
      assert.include(text, "100 times as fast")
      assert.include(text, "aws us-east-1")
      assert.strictEqual(
        evaluated(text.split("\n").filter((line) => line.startsWith("export")).join("\n"))["ASTRO_API_URL"],
        url
      )
    }))

  test("names what keeps it from starting", (cwd) =>
    Effect.gen(function*() {
      const taken = createServer()
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => void taken.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => taken.close())
      )
      const { port } = taken.address() as { readonly port: number }
      const inUse = yield* (yield* emulator(cwd, "--json", "--port", String(port))).ended
      assert.deepInclude(inUse, { code: 1, stdout: "" })
      assert.include(inUse.stderr, `port ${port} is in use`)
      assert.notMatch(inUse.stderr, /^\s+at /m)

      for (
        const [args, said] of [
          [["--port", "0"], "--port is 0, and has to be a port from 1 to 65535"],
          [["--port", "70000"], "--port is 70000"],
          [["--speed", "0"], "--speed is 0, and has to be a number greater than 0"],
          [["--json", "--print-env"], "exclude each other"]
        ] as const
      ) {
        const { code, stderr, stdout } = yield* (yield* emulator(cwd, ...args)).ended
        assert.strictEqual(code, 2, args.join(" "))
        assert.include(stdout + stderr, said)
      }
    }))

  test("writes over no config but one of its own", (cwd) =>
    Effect.gen(function*() {
      const refused = (folder: string) =>
        Effect.flatMap(emulator(cwd, "--json", "--astro-home", folder), ({ ended }) => ended)
      fs.writeFileSync(`${cwd}/file`, "mine")
      const file = yield* refused("file")
      assert.deepInclude(file, { code: 1, stdout: "" })
      assert.include(file.stderr, `${cwd}/file cannot be the astro CLI's home`)
      assert.include(file.stderr, "not a folder")
      assert.strictEqual(fs.readFileSync(`${cwd}/file`, "utf8"), "mine")

      const config = `${cwd}/home/.astro/config.yaml`
      fs.mkdirSync(`${cwd}/home/.astro`, { recursive: true })
      fs.writeFileSync(config, "context: astronomer.io\n")
      const foreign = yield* refused("home")
      assert.deepInclude(foreign, { code: 1, stdout: "" })
      assert.include(foreign.stderr, "written by somebody else")
      assert.strictEqual(fs.readFileSync(config, "utf8"), "context: astronomer.io\n")
      fs.rmSync(config)

      // killed, so that it stays
      const killed = yield* emulator(cwd, "--json", "--astro-home", "home")
      yield* shown(killed)
      killed.child.kill("SIGKILL")
      yield* killed.ended
      const left = fs.readFileSync(config, "utf8")
      fs.chmodSync(config, 0o644)
      const next = yield* emulator(cwd, "--json", "--astro-home", "home")
      const { astroApiUrl } = JSON.parse(yield* shown(next))
      assert.notStrictEqual(fs.readFileSync(config, "utf8"), left)
      assert.include(fs.readFileSync(config, "utf8"), astroApiUrl)
      assert.strictEqual(fs.statSync(config).mode & 0o777, 0o600)

      // somebody else's by now
      fs.writeFileSync(config, "context: astronomer.io\n")
      next.child.kill("SIGTERM")
      yield* next.ended
      assert.strictEqual(fs.readFileSync(config, "utf8"), "context: astronomer.io\n")
    }))
})
