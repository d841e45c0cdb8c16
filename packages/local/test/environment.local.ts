import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { AirflowVersion, PythonEnvironment } from "@airflow-resource/local"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, type Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as os from "node:os"
import { fileURLToPath, pathToFileURL } from "node:url"

const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href

const makeHome = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/environments-`)),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

const defaults = (home: string): PythonEnvironment.Options => ({
  home,
  version: AirflowVersion.newest,
  python: Option.none(),
  requirements: Option.none(),
  database: "sqlite"
})

const layer = Layer.merge(ProcessRunner.layer, NodeContext.layer)

const ensure = (options: PythonEnvironment.Options, progress: Array<string> = []) =>
  PythonEnvironment.ensure(options, (activity) => Effect.sync(() => void progress.push(activity))).pipe(
    Effect.provide(layer)
  )

/** Another process that installs the same. */
const installing = (options: { home: string; version: string; requirements?: string }) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, [
        "--conditions=@airflow-resource/source",
        `--import=${tsx}`,
        fileURLToPath(new URL("ensure.fixture.ts", import.meta.url)),
        JSON.stringify(options)
      ], { stdio: ["ignore", "pipe", "inherit"] })
      let text = ""
      child.stdout.on("data", (chunk) => text += chunk)
      const says = (part: string) =>
        Effect.suspend(() =>
          text.includes(part) ? Effect.succeed(text.split("\n")) : Effect.fail(`no ${part}: ${text}`)
        )
          .pipe(
            Effect.retry({ while: () => Effect.as(Effect.sleep("20 millis"), child.exitCode === null) }),
            Effect.timeout("10 minutes")
          )
      return { child, says }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const packageVersion = (environment: PythonEnvironment.Environment, name: string) =>
  execFileSync(environment.bin("python"), ["-c", `import importlib.metadata as m; print(m.version("${name}"))`], {
    encoding: "utf8"
  }).trim()

describe("PythonEnvironment, for real", () => {
  const test = (title: string, body: (home: string) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scopedLive(title, () => Effect.flatMap(makeHome, body), 20 * 60_000)

  test("is installed once by two processes at once, with requirements, and then found", (home) =>
    Effect.gen(function*() {
      const requirements = "# what the DAGs need\napache-airflow-providers-ssh\ntabulate\n"
      const options = { home, version: "3.3.2", requirements }
      const both = yield* Effect.all([installing(options), installing(options)])
      const outputs = yield* Effect.forEach(both, ({ says }) => says("\ndone "), { concurrency: "unbounded" })
      const [folder, ...others] = outputs.map((lines) => lines.find((line) => line.startsWith("done ")))
      assert.deepStrictEqual(others, [folder])
      const count = (text: string) => outputs.flat().filter((line) => line.includes(text)).length
      assert.strictEqual(count("installing Airflow 3.3.2"), 1)
      assert.isAtLeast(count("waiting for another process"), 1)

      const progress: Array<string> = []
      const again = { ...defaults(home), requirements: Option.some(requirements.replace("\n", "\n\n")) }
      const environment = yield* ensure(again, progress)
      assert.deepStrictEqual(progress, [])
      assert.deepStrictEqual(`done ${environment.folder}`, folder)
      const version = execFileSync(environment.bin("airflow"), ["version"], {
        encoding: "utf8",
        env: { PATH: process.env["PATH"], AIRFLOW_HOME: home }
      })
      assert.strictEqual(version.trim(), "3.3.2")
      assert.match(packageVersion(environment, "apache-airflow-providers-ssh"), /^\d/)
      const pins = fs.readFileSync(new URL("../pins/airflow-3.3.2.txt", import.meta.url), "utf8")
      assert.include(pins, `pydantic==${packageVersion(environment, "pydantic")}\n`)
      assert.isTrue(fs.existsSync(`${environment.folder}/lib/python3.11/site-packages/airflow/__pycache__`))
    }))

  test("has the packages of a release's date where there are no pins", (home) =>
    Effect.gen(function*() {
      const environment = yield* ensure({ ...defaults(home), version: "3.2.1", database: "postgresql" })
      assert.strictEqual(packageVersion(environment, "apache-airflow-core"), "3.2.1")
      const pins = fs.readFileSync(new URL("../pins/airflow-3.3.2.txt", import.meta.url), "utf8")
      const later = /^apache-airflow-providers-standard==(.+)$/m.exec(pins)?.[1] ?? ""
      const installed = packageVersion(environment, "apache-airflow-providers-standard")
      assert.isBelow(AirflowVersion.order(installed, later), 0, `${installed} is older than ${later}`)
      assert.match(packageVersion(environment, "psycopg2-binary"), /^\d/)
    }))

  test("of a process that was killed is deleted by the next; requirements that do not resolve are explained", (home) =>
    Effect.gen(function*() {
      const killed = yield* installing({ home, version: "3.1.8" })
      yield* killed.says("installing Airflow")
      const environments = () => fs.readdirSync(`${home}/environments`).filter((name) => !name.endsWith(".lock"))
      yield* Effect.suspend(() => environments().length === 1 ? Effect.void : Effect.fail("no folder yet")).pipe(
        Effect.retry({ while: () => Effect.as(Effect.sleep("5 millis"), true) }),
        Effect.timeout("1 minute")
      )
      killed.child.kill("SIGKILL")

      const requirements = "flask<1\napache-airflow-providers-fab==3.6.0\n"
      const error = yield* Effect.flip(ensure({ ...defaults(home), requirements: Option.some(requirements) }))
      assert.strictEqual(error.kind, "invalid", error.message)
      assert.match(error.message, /depends on flask>=.*and you require flask<1.*Change requirements\.txt/)
      assert.deepStrictEqual(environments(), [])

      const other = yield* Effect.flip(
        ensure({ ...defaults(home), requirements: Option.some("apache-airflow==3.1.0\n") })
      )
      assert.include(other.message, "you require apache-airflow==3.3.2 and apache-airflow==3.1.0")
      const included = yield* Effect.flip(ensure({ ...defaults(home), requirements: Option.some("-r other.txt\n") }))
      assert.match(included.message, /other\.txt.*No such file/)
    }))

  test("of a version that does not exist is refused", (home) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(ensure({ ...defaults(home), version: "3.2.77" }))
      assert.strictEqual(error.kind, "unknownRuntime", error.message)
      assert.include(error.message, "the package index has no apache-airflow==3.2.77")
    }))

  test("cannot be installed without a network, which is said without the index's password", (home) =>
    Effect.gen(function*() {
      const canary = "canary-5d0e"
      const index = `http://user:${canary}@127.0.0.1:9/simple`
      const closed = { ...process.env, PIP_INDEX_URL: index, UV_DEFAULT_INDEX: index, UV_CACHE_DIR: `${home}/cache` }
      const offline = {
        ...defaults(home),
        environment: { ...closed, PIP_NO_INDEX: undefined, PIP_FIND_LINKS: undefined }
      }
      const refused = yield* Effect.flip(ensure(offline))
      assert.strictEqual(refused.kind, "unreachable", refused.message)
      assert.notInclude(JSON.stringify(refused) + refused.message, canary)

      // a uv that is there already
      const ended = yield* Effect.flip(ensure({ ...defaults(home), version: "3.2.77" }))
      assert.strictEqual(ended.kind, "unknownRuntime")
      const installing = yield* Effect.flip(ensure(offline))
      assert.strictEqual(installing.kind, "unreachable", installing.message)
      assert.notInclude(JSON.stringify(installing) + installing.message, canary)
    }))

  test("needs a suitable Python", (home) =>
    Effect.gen(function*() {
      fs.writeFileSync(`${home}/python`, "#!/bin/sh\nprintf '3.9\\n/usr/bin/python3.9\\n'\n", { mode: 0o755 })
      const unsuitable = yield* Effect.flip(ensure({ ...defaults(home), python: Option.some(`${home}/python`) }))
      assert.strictEqual(unsuitable.kind, "unusable")
      assert.include(unsuitable.message, "python is Python 3.9")
      const none = yield* Effect.flip(ensure({ ...defaults(home), environment: { PATH: home } }))
      assert.include(none.message, "there is no python3.11, python3.12, python3.10, python3.13 or python3")
    }))
})
