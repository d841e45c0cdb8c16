import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { PythonEnvironment } from "@airflow-resource/local"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, type Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const makeHome = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/environments-`)),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

const ended = (exitCode: number, stdout = "", stderr = ""): ProcessRunner.Ended => ({
  exitCode,
  signal: null,
  stdout,
  stderr,
  isCut: false
})

/** A machine with these programs. What is not here is not installed. */
interface Machine {
  /** What each Python prints about itself. */
  readonly pythons?: Readonly<Record<string, ProcessRunner.Ended>>
  readonly uvOnPath?: boolean
  /** What else a call returns, by a part of its command line [success]. */
  readonly calls?: Readonly<Record<string, ProcessRunner.Ended>>
}

const python = (minor: string) => ended(0, `${minor}\n/opt/python${minor}\n`)

/** Records each call as a line, with the home as `HOME`. A new environment has a link to its Python. */
const machine = (
  { calls = {}, pythons = { "python3.11": python("3.11") }, uvOnPath = true }: Machine,
  home: string
) => {
  const lines: Array<string> = []
  const commands: Array<ProcessRunner.Command> = []
  const run = (command: ProcessRunner.Command): Effect.Effect<ProcessRunner.Ended, ProcessRunner.ProcessError> =>
    Effect.gen(function*() {
      const { args, command: name } = command
      const notFound = new ProcessRunner.ProcessError({ kind: "notFound", command: name, detail: "no", remedy: "r" })
      if (args[0] === "-c") return pythons[name] ?? (yield* notFound)
      if (args[0] === "--version") return uvOnPath ? ended(0) : yield* notFound
      commands.push(command)
      const line = [name, ...args].join(" ")
      lines.push(line.replaceAll(home, "HOME").replace(/\/\S+\/(pins\/\S+)/, "$1"))
      const stubbed = Object.entries(calls).find(([part]) => line.includes(part))
      if (stubbed !== undefined) return stubbed[1]
      // what the program would create
      const bin = (folder: string) => path.join(folder, "bin")
      const target = args[args.indexOf("--target") + 1] ?? ""
      if (args.includes("--target")) {
        fs.mkdirSync(bin(target), { recursive: true })
        fs.writeFileSync(`${bin(target)}/uv`, "")
      } else if (args.includes("venv")) {
        fs.mkdirSync(bin(args.at(-1) ?? ""), { recursive: true })
        fs.symlinkSync(process.execPath, `${bin(args.at(-1) ?? "")}/python`)
      }
      return ended(0)
    })
  return { lines, commands, layer: Layer.merge(ProcessRunner.layerTest(run), NodeContext.layer) }
}

const defaults = (home: string): PythonEnvironment.Options => ({
  home,
  version: "3.3.2",
  python: Option.none(),
  requirements: Option.none(),
  database: "sqlite",
  environment: { PATH: "/bin" }
})

const ensure = (
  home: string,
  on: ReturnType<typeof machine>,
  options: Partial<PythonEnvironment.Options> = {},
  progress: Array<string> = []
) =>
  PythonEnvironment.ensure(
    { ...defaults(home), ...options },
    (activity) => Effect.sync(() => void progress.push(activity))
  )
    .pipe(Effect.provide(on.layer))

const find = (home: string, on: ReturnType<typeof machine>, options: Partial<PythonEnvironment.Options> = {}) =>
  Effect.provide(PythonEnvironment.find({ ...defaults(home), ...options }), on.layer)

const environmentsIn = (home: string) =>
  fs.existsSync(`${home}/environments`)
    ? fs.readdirSync(`${home}/environments`).filter((name) => !name.endsWith(".lock"))
    : []

describe("PythonEnvironment", () => {
  const test = (title: string, body: (home: string) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scopedLive(title, () => Effect.flatMap(makeHome, body))

  test("installs the pins of a tested version with uv, compiles it, and finds it from then on", (home) =>
    Effect.gen(function*() {
      const on = machine({}, home)
      assert.isTrue(Option.isNone(yield* find(home, on)))
      const progress: Array<string> = []
      const environment = yield* ensure(home, on, {}, progress)
      assert.deepInclude(environment, { version: "3.3.2", python: "3.11" })
      assert.match(environment.folder, /\/environments\/3\.3\.2-py3\.11-[0-9a-f]{12}$/)
      assert.strictEqual(environment.bin("airflow"), `${environment.folder}/bin/airflow`)
      const folder = environment.folder.replace(home, "HOME")
      assert.deepStrictEqual(on.lines, [
        `uv venv --quiet --python /opt/python3.11 ${folder}`,
        `uv pip install --quiet --python ${folder}/bin/python -r pins/airflow-3.3.2.txt`,
        `${folder}/bin/python -m compileall -q -j 2 ${folder}/lib`
      ])
      assert.deepStrictEqual(progress, ["installing Airflow 3.3.2 for Python 3.11", "compiling Airflow 3.3.2"])

      assert.strictEqual((yield* ensure(home, on, {}, progress)).folder, environment.folder)
      assert.lengthOf(on.lines, 3)
      assert.lengthOf(progress, 2)
      assert.strictEqual(Option.getOrThrow(yield* find(home, on)).folder, environment.folder)
      assert.strictEqual(fs.statSync(`${home}/environments`).mode & 0o777, 0o700)
    }))

  test("may have files that cannot be compiled", (home) =>
    ensure(home, machine({ calls: { compileall: ended(1, "*** SyntaxError: invalid syntax\n") } }, home)))

  test("is made again if its Python is gone", (home) =>
    Effect.gen(function*() {
      const on = machine({}, home)
      const { bin } = yield* ensure(home, on)
      fs.rmSync(bin("python"))
      fs.symlinkSync(`${home}/removed`, bin("python"))
      assert.isTrue(Option.isNone(yield* find(home, on)))
      yield* ensure(home, on)
      assert.isTrue(fs.existsSync(bin("python")))
    }))

  test("adds requirements and a driver, and keeps Airflow's version", (home) =>
    Effect.gen(function*() {
      const on = machine({}, home)
      const requirements = Option.some("# a comment\n\npandas  # here too\nx @ https://example.com/x#sha256=1\r\n")
      const { folder } = yield* ensure(home, on, { requirements, database: "postgresql" })
      assert.include(on.lines[2]?.replaceAll("HOME", home), `apache-airflow==3.3.2 -r ${folder}/requirements.txt`)
      assert.strictEqual(
        fs.readFileSync(`${folder}/requirements.txt`, "utf8"),
        "pandas\nx @ https://example.com/x#sha256=1\npsycopg2-binary\nasyncpg\n"
      )
      assert.strictEqual(fs.statSync(`${folder}/requirements.txt`).mode & 0o777, 0o600)
    }))

  test("has one folder for equal requirements, and another for each other choice", (home) =>
    Effect.gen(function*() {
      const pythons = { "python3.11": python("3.11"), "python3.12": python("3.12") }
      const on = machine({ pythons }, home)
      const folderOf = (options: Partial<PythonEnvironment.Options>) =>
        Effect.map(ensure(home, on, options), ({ folder }) => folder)
      const folders = yield* Effect.forEach([
        {},
        { version: "3.2.2" },
        { python: Option.some("python3.12") },
        { database: "postgresql" as const },
        { requirements: Option.some("a\nb") },
        { requirements: Option.some("ab") }
      ], folderOf)
      assert.lengthOf(new Set(folders), 6)
      assert.strictEqual(yield* folderOf({ requirements: Option.some("# only this\n\n") }), folders[0])
      assert.strictEqual(yield* folderOf({ requirements: Option.some("\na # why\n b\n") }), folders[4])
    }))

  test("is described by its Python, its requirements and its database", (home) =>
    Effect.gen(function*() {
      const on = machine({}, home)
      const describe = (requirements: string, database: PythonEnvironment.Options["database"] = "sqlite") =>
        PythonEnvironment.describe({ ...defaults(home), requirements: Option.some(requirements), database }).pipe(
          Effect.provide(on.layer)
        )
      assert.strictEqual(yield* describe("# nothing\n"), "python3.11")
      const pandas = yield* describe("pandas\n")
      assert.match(pandas, /^python3\.11-[0-9a-f]{8}$/)
      assert.strictEqual(yield* describe("\npandas # for the DAGs"), pandas)
      assert.notStrictEqual(yield* describe("numpy"), pandas)
      assert.strictEqual(yield* describe("pandas", "postgresql"), `${pandas}-postgresql`)
      assert.deepStrictEqual(on.lines, [])
    }))

  test("resolves other versions, and other Pythons, as of the release date", (home) =>
    Effect.gen(function*() {
      const locked = ended(0, `wheels = [{ url = "x", upload-time = 2026-04-22T08:00:18Z, size = 1 }]`)
      const on = machine({
        pythons: { "python3.11": python("3.11"), mine: python("3.13") },
        calls: { "pylock.toml": locked }
      }, home)
      const { folder } = yield* ensure(home, on, { version: "3.2.1" })
      const packages = "apache-airflow==3.2.1 --exclude-newer 2026-04-24T08:00:18.000Z"
      assert.strictEqual(on.commands[1]?.stdin, "apache-airflow==3.2.1")
      assert.deepStrictEqual(on.lines.slice(1, 3), [
        "uv pip compile - --quiet --no-deps --format pylock.toml --python /opt/python3.11",
        `uv pip install --quiet --python ${folder}/bin/python ${packages}`.replace(home, "HOME")
      ])
      yield* ensure(home, on, { python: Option.some("mine") })
      assert.include(on.lines.at(-2), "apache-airflow==3.3.2 --exclude-newer 2026-04-24T08:00:18.000Z")
    }))

  test("uses the newest packages if the index does not know the release date", (home) =>
    Effect.gen(function*() {
      const on = machine({}, home)
      yield* ensure(home, on, { version: "3.2.1" })
      assert.match(on.lines[2] ?? "", /bin\/python apache-airflow==3\.2\.1$/)
    }))

  describe("the Python", () => {
    const chosen = (home: string, version: string, pythons: Record<string, ProcessRunner.Ended>, named?: string) =>
      ensure(home, machine({ pythons }, home), { version, python: Option.fromNullable(named) })
    const all = Object.fromEntries(["3.10", "3.11", "3.12", "3.13"].map((minor) => [`python${minor}`, python(minor)]))
    const launcher = ended(127, "", "pyenv: python3.11: command not found")
    const bare = ended(1, "3.11\n/opt/python3.11\n", "ModuleNotFoundError: No module named '_sqlite3'")

    test("is the one with pins, else the first suitable one", (home) =>
      Effect.gen(function*() {
        assert.strictEqual((yield* chosen(home, "3.3.2", all)).python, "3.11")
        assert.strictEqual((yield* chosen(home, "3.3.2", { ...all, "python3.11": launcher })).python, "3.12")
        assert.strictEqual((yield* chosen(home, "3.3.2", { ...all, "python3.11": bare })).python, "3.12")
        assert.strictEqual((yield* chosen(home, "3.3.2", { python3: python("3.13") })).python, "3.13")
        assert.strictEqual((yield* chosen(home, "3.3.2", all, "python3.10")).python, "3.10")
      }))

    test("is missing or unsuitable", (home) =>
      Effect.gen(function*() {
        const refusal = (...args: [string, Record<string, ProcessRunner.Ended>, string?]) =>
          Effect.map(Effect.flip(chosen(home, ...args)), (error) => {
            assert.strictEqual(error.kind, "unusable")
            return error.message
          })
        assert.strictEqual(
          yield* refusal("3.0.6", {}),
          "Could not find a Python for Airflow 3.0.6: there is no python3.11, python3.12, python3.10 or python3. " +
            "It needs Python 3.10, 3.11 or 3.12: install one, or set AIRFLOW_RESOURCE_PYTHON to its path."
        )
        assert.include(yield* refusal("3.3.2", all, "/usr/bin/python"), "there is no /usr/bin/python.")
        assert.include(
          yield* refusal("2.11.2", all, "python3.13"),
          "python3.13 is Python 3.13. It needs Python 3.10, 3.11"
        )
        assert.include(yield* refusal("2.11.2", { python3: python("3.13") }), "python3 is Python 3.13")
        assert.include(
          yield* refusal("3.3.2", { "python3.11": bare, python3: python("3.14") }),
          "python3.11 is Python 3.11 without its module _sqlite3, and python3 is Python 3.14"
        )
        assert.deepStrictEqual(environmentsIn(home), [])
      }))
  })

  describe("without uv on the PATH", () => {
    const noPip = ended(1, "", "/opt/python3.11: No module named pip")

    test("installs uv from PyPI, once", (home) =>
      Effect.gen(function*() {
        const on = machine({ uvOnPath: false }, home)
        const progress: Array<string> = []
        yield* ensure(home, on, {}, progress)
        assert.match(on.lines[0] ?? "", /^\/opt\/python3\.11 -m pip install .* --target HOME\/tools\/\S+ uv==\S+$/)
        assert.match(on.lines[1] ?? "", /^HOME\/tools\/\S+\/bin\/uv venv/)
        assert.strictEqual(progress[0], "installing uv")
        yield* ensure(home, on, { version: "3.2.2" }, progress)
        assert.lengthOf(progress.filter((activity) => activity === "installing uv"), 1)
      }))

    test("takes pip into an environment where this Python has none", (home) =>
      Effect.gen(function*() {
        const on = machine({ uvOnPath: false, calls: { "--target": noPip } }, home)
        yield* ensure(home, on)
        assert.match(on.lines[1] ?? "", /^\/opt\/python3\.11 -m venv HOME\/tools\/\S+$/)
        assert.match(on.lines[2] ?? "", /^HOME\/tools\/\S+\/bin\/python -m pip install .* uv==/)
      }))

    test("installs with pip where there is no uv for this machine", (home) =>
      Effect.gen(function*() {
        const noUv = ended(1, "", "ERROR: No matching distribution found for uv==0.13.9")
        const on = machine({ uvOnPath: false, calls: { "--target": noUv } }, home)
        const requirements = Option.some("pandas")
        const folder = (yield* ensure(home, on, { requirements })).folder.replace(home, "HOME")
        assert.deepStrictEqual(on.lines.slice(1, 4), [
          `/opt/python3.11 -m venv ${folder}`,
          `${folder}/bin/python -m pip install --quiet -r pins/airflow-3.3.2.txt`,
          `${folder}/bin/python -m pip install --quiet apache-airflow==3.3.2 -r ${folder}/requirements.txt`
        ])
        yield* ensure(home, on, { version: "3.2.1" })
        assert.match(on.lines.at(-2) ?? "", /pip install --quiet apache-airflow==3\.2\.1$/)
      }))

    test("says what to install where nothing can create environments", (home) =>
      Effect.gen(function*() {
        const noVenv = ended(1, "The virtual environment was not created because ensurepip is not available.")
        const calls = { "--target": noPip, "-m venv": noVenv }
        const error = yield* Effect.flip(ensure(home, machine({ uvOnPath: false, calls }, home)))
        assert.strictEqual(error.kind, "unusable")
        assert.include(error.message, "this Python cannot create environments. Install uv")
        assert.include(error.message, "python3-venv")
      }))
  })

  describe("an installation that fails", () => {
    const failure = (home: string, call: string, output: string, options: Partial<PythonEnvironment.Options> = {}) =>
      Effect.flip(ensure(home, machine({ calls: { [call]: ended(2, "", output) } }, home), options))

    // what the programs really print
    const cases: Record<string, readonly [call: string, output: string, kind: string, ...message: Array<string>]> = {
      "without a network": [
        "pip install",
        "error: Request failed after 3 retries in 8.9s\n  cause: Failed to fetch: http://127.0.0.1:9/simple/a2wsgi/\n" +
        "  cause: error sending request for url (http://127.0.0.1:9/simple/a2wsgi/)\n  cause: tcp connect error\n",
        "unreachable",
        "tcp connect error. An installation needs PyPI"
      ],
      "without a network, while it creates nothing yet": [
        "--target",
        "WARNING: Retrying after connection broken by 'NewConnectionError('refused')': /simple/uv/\n" +
        "ERROR: No matching distribution found for uv==0.13.9\n",
        "unreachable",
        "An installation needs PyPI"
      ],
      "on a full disk": [
        "pip install",
        "error: Failed to install: babel-2.18.0-py3-none-any.whl (babel==2.18.0)\n" +
        "  cause: failed to copy file from /c/is.dat to /h/.tmp8: No space left on device (os error 28)\n",
        "quota",
        "No space left on device",
        "set AIRFLOW_RESOURCE_LOCAL_HOME to a folder on another one"
      ],
      "on a disk that is full once it compiles": [
        "compileall",
        "*** Error compiling '/h/a.py'...\n*** OSError: [Errno 28] No space left on device: '/h/a.pyc'\n",
        "quota",
        "No space left on device"
      ],
      "in a folder that is not writable": [
        "venv",
        "error: Failed to create virtual environment\n  cause: failed to create directory: Permission denied (os error 13)",
        "unusable",
        "Make the folder writable"
      ],
      "by the index's refusal": [
        "pip install",
        "error: Failed to fetch: `https://u:p4ss@example.com/simple/x/`\n  cause: HTTP status client error (401 Unauthorized)",
        "unauthorized",
        "https://***@example.com",
        "Check the credentials of the package index"
      ],
      "for a version that does not exist": [
        "pip install",
        "error: No solution found when resolving dependencies\n  cause: Because there is no version of " +
        "apache-airflow==3.3.2 and you require apache-airflow==3.3.2, we can conclude that your requirements are unsatisfiable.",
        "unknownRuntime",
        "the package index has no apache-airflow==3.3.2"
      ],
      "for requirements that do not resolve": [
        "requirements.txt",
        "error: No solution found when resolving dependencies\n  cause: Because you require apache-airflow==3.3.2 and " +
        "apache-airflow==3.1.0, we can conclude that your requirements are unsatisfiable.\n",
        "invalid",
        "No solution found when resolving dependencies Because you require apache-airflow==3.3.2 and",
        "are unsatisfiable. Change requirements.txt"
      ],
      "for a reason that is not known": [
        "venv",
        "error: it broke\n",
        "unusable",
        "it broke. Run the installation by hand"
      ]
    }
    for (const [title, [call, output, kind, ...messages]] of Object.entries(cases)) {
      test(`${title}`, (home) =>
        Effect.gen(function*() {
          const on = machine({ uvOnPath: call !== "--target", calls: { [call]: ended(2, "", output) } }, home)
          const error = yield* Effect.flip(ensure(home, on, { requirements: Option.some("x") }))
          assert.strictEqual(error.kind, kind, error.message)
          for (const message of messages) assert.include(error.message, message)
          assert.notInclude(error.message, "p4ss")
          assert.deepStrictEqual(environmentsIn(home), [], "nothing is left")
        }))
    }

    test("shows the end of a long output, without secrets", (home) =>
      Effect.gen(function*() {
        const secrets =
          "https://user:canary-1@example.com/x https://canary-2@example.com/x https://x.org/?token=canary-3"
        const error = yield* failure(home, "venv", `${"line\n".repeat(2000)}${secrets}\n`)
        assert.isBelow(error.detail.length, 1001)
        assert.notInclude(error.message, "canary")
        assert.include(error.detail, "https://***@example.com/x https://***@example.com/x https://x.org/?***")
      }))

    test("is found in a home that cannot be written to", (home) =>
      Effect.gen(function*() {
        fs.writeFileSync(`${home}/file`, "")
        const error = yield* Effect.flip(ensure(`${home}/file`, machine({}, home)))
        assert.strictEqual(error.kind, "unusable")
        assert.include(error.message, "set AIRFLOW_RESOURCE_LOCAL_HOME")
      }))
  })

  test("deletes what killed installations have left, and keeps what is complete", (home) =>
    Effect.gen(function*() {
      const on = machine({}, home)
      yield* ensure(home, on)
      const folder = `${home}/environments/3.1.8-py3.11-0123`
      fs.mkdirSync(folder, { recursive: true })
      // what the killed process had started lives on
      const script =
        "process.stdout.write('runs'); setInterval(() => require('fs').mkdirSync(process.argv[1] + '/bin', { recursive: true }), 5)"
      const writer = spawn(process.execPath, ["-e", script, folder], { stdio: ["ignore", "pipe", "inherit"] })
      yield* Effect.addFinalizer(() => Effect.sync(() => writer.kill("SIGKILL")))
      yield* Effect.promise(() => once(writer.stdout, "data"))
      yield* ensure(home, on, { version: "3.2.2" })
      assert.deepStrictEqual(environmentsIn(home).map((name) => name.split("-")[0]).sort(), ["3.2.2", "3.3.2"])
    }))

  test("is installed once by fibers that ask at the same time", (home) =>
    Effect.gen(function*() {
      const on = machine({}, home)
      const progress: Array<string> = []
      yield* Effect.all([ensure(home, on, {}, progress), ensure(home, on, {}, progress)], { concurrency: "unbounded" })
      assert.lengthOf(on.lines.filter((line) => line.includes(" venv ")), 1)
      assert.include(progress, "waiting for another process that installs Airflow 3.3.2")
    }))

  test("passes on what installations need, and nothing else", (home) =>
    Effect.gen(function*() {
      const on = machine({}, home)
      const environment = {
        PATH: "/bin",
        https_proxy: "http://proxy",
        UV_DEFAULT_INDEX: "https://index",
        UV_SYSTEM_PYTHON: "1",
        PYTHONDONTWRITEBYTECODE: "1",
        PYTHONPATH: "/mine",
        VIRTUAL_ENV: "/mine",
        AWS_SECRET_ACCESS_KEY: "secret"
      }
      yield* ensure(home, on, { environment })
      for (const { env } of on.commands) {
        assert.deepStrictEqual(env, {
          PATH: "/bin",
          https_proxy: "http://proxy",
          UV_DEFAULT_INDEX: "https://index",
          UV_SYSTEM_PYTHON: "0",
          PIP_REQUIRE_VIRTUALENV: "0",
          PIP_USER: "0",
          NO_COLOR: "1"
        })
      }
    }))
})
