/** Runs of vitest over the fixtures, each with an emulator of its own, which afterwards has nothing awake and no valid token. */
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { assert } from "@effect/vitest"
import { AirflowResources, DeploymentPool } from "airflow-resource"
import { Effect, Redacted, Schedule, type Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import { text } from "node:stream/consumers"
import * as Child from "../child.js"
import type { Project } from "./project.js"

export type Scene = (project: Project) => Effect.Effect<void, unknown, FileSystem.FileSystem | Scope.Scope>

/** A test of a run, by its full name. */
interface Outcome {
  readonly status: string
  readonly failure: string
}

interface Run extends Child.VitestRun {
  readonly tests: Readonly<Record<string, Outcome>>
}

interface World {
  readonly emulator: Emulator.Service
  readonly env: Readonly<Record<string, string>>
  /** A temporary folder. */
  readonly folder: string
  readonly run: (files: ReadonlyArray<string>, options?: Options) => Effect.Effect<Run>
}

type Options = Partial<Pick<Parameters<typeof Child.vitest>[0], "args" | "command" | "env" | "onText" | "tests">> & {
  /** Besides vitest's own. */
  readonly reporter?: readonly [name: string, options: unknown]
}

const inWorld = (
  { max = 1, reaper = "off" }: { readonly max?: number; readonly reaper?: "on" | "off" },
  play: (world: World, project: Project) => Effect.Effect<void, unknown, FileSystem.FileSystem | Scope.Scope>
): Scene =>
(project) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed: 200 })
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
    const env = { ...Child.environment(emulator, folder, max), AIRFLOW_RESOURCE_REAPER: reaper }
    let runs = 0
    const run: World["run"] = (files, { reporter, ...options } = {}) =>
      Effect.suspend(() => {
        const outputFile = `${folder}/${++runs}.json`
        const reporters = ["default", ["json", { outputFile }], ...(reporter === undefined ? [] : [reporter])]
        return Effect.map(
          Child.vitest({
            ...options,
            config: project.config,
            vitest: project.vitest,
            env: {
              ...project.env,
              ...env,
              AIRFLOW_RESOURCE_TEST_REPORTERS: JSON.stringify(reporters),
              ...options.env
            },
            args: [...files.map((file) => `${file}.fixture.ts`), ...options.args ?? []]
          }),
          (ended) => ({ ...ended, tests: testsOf(outputFile) })
        )
      })
    yield* play({ emulator, env, folder, run }, project)
    // with a reaper, soon
    yield* until(emulator.audit, ({ awake, tokens }) => reaper === "off" || awake.length + tokens.length === 0)
    if (reaper === "on") yield* untilReaperEnds(emulator, env)
    const { awake, tokens } = yield* emulator.audit
    assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] })
  })

const until = <A, E>(poll: Effect.Effect<A, E>, isOver: (a: A) => boolean) =>
  Effect.repeat(poll, { until: isOver, schedule: Schedule.spaced("100 millis") }).pipe(Effect.timeout("3 minutes"))

/** Otherwise it would look for its emulator for a day. */
const untilReaperEnds = (emulator: Emulator.Service, env: Parameters<typeof AirflowResources.settingsOf>[1]) =>
  Effect.gen(function*() {
    const settings = yield* AirflowResources.settingsOf(emulator, { ...env, AIRFLOW_RESOURCE_REAPER: "off" })
    const inspect = Effect.flatMap(DeploymentPool.DeploymentPool, (pool) => pool.inspect).pipe(
      Effect.provide(AirflowResources.layerPool(settings))
    )
    yield* until(inspect, ({ upkeep }) => upkeep.holder === null)
  })

/** What vitest's JSON reporter has written. */
const testsOf = (file: string): Run["tests"] => {
  if (!fs.existsSync(file)) return {}
  const { testResults } = JSON.parse(fs.readFileSync(file, "utf8"))
  return Object.fromEntries(
    testResults.flatMap((file: { assertionResults: Array<Record<string, unknown>> }) =>
      file.assertionResults.map(({ ancestorTitles, failureMessages, status, title }) => [
        [...ancestorTitles as Array<string>, title].join(" > "),
        { status, failure: (failureMessages as Array<string>).join("\n") }
      ])
    )
  )
}

const statusesOf = ({ tests }: Run) =>
  Object.fromEntries(Object.entries(tests).map(([name, { status }]) => [name, status]))

/** The first line of a stack. */
const firstFrame = ({ failure }: Outcome) => failure.split("\n").find((line) => line.startsWith("    at "))

/** The file and line of a text in a fixture. */
const lineOf = ({ fixtures }: Project, file: string, text: string) => {
  const lines = fs.readFileSync(`${fixtures}/${file}.fixture.ts`, "utf8").split("\n")
  return `${file}.fixture.ts:${lines.findIndex((line) => line.includes(text)) + 1}:`
}

/** Passes, failures, timeouts and retries. */
export const outcomes = (pool: "forks" | "threads"): Scene =>
  inWorld({}, ({ run }, project) =>
    Effect.gen(function*() {
      const ended = yield* run(["basic"], { args: [`--pool=${pool}`] })
      assert.deepStrictEqual(statusesOf(ended), {
        "passes": "passed",
        "fails": "failed",
        "uses nothing": "passed",
        "times out": "failed",
        "a retry > has a lease of its own": "passed"
      }, ended.text)
      const { fails, "times out": timesOut } = ended.tests
      assert.match(fails!.failure, /^AirflowApiError: Could not trigger no_such_dag: /)
      assert.include(firstFrame(fails!), lineOf(project, "basic", "runDag(\"no_such_dag\")"))
      assert.match(timesOut!.failure, /^BodyTimeout: The test's body took longer than 2s, not counting/)
      assert.include(firstFrame(timesOut!), lineOf(project, "basic", "test(\"times out\""))
      assert.include(ended.text, "aborted\nthen: LeaseEnded\nlate: LeaseEnded\n")
      assert.notMatch(ended.text, /Unhandled/)
      assert.strictEqual(ended.code, 1)
    }))

/** What else vitest's `test` can do, hooks and fake timers. */
export const variants: Scene = inWorld({}, ({ run }) =>
  Effect.gen(function*() {
    const ended = yield* run(["variants"])
    assert.deepStrictEqual(statusesOf(ended), {
      "for hello_world_dag": "passed",
      "for no_such_dag": "passed",
      "each 1": "passed",
      "is skipped": "skipped",
      "fails, as it should": "passed",
      "has fixtures of its own": "passed",
      "a hook > prepares the test's Airflow": "passed",
      "fake timers > stop neither the body's timeout nor the release": "failed",
      "fake timers > before the lease > are refused": "failed",
      "a test without an Airflow > gets one when it is retried": "passed",
      "does not wait for its release": "passed",
      "has no time to get an Airflow": "failed"
    }, ended.text)
    assert.match(ended.text, /giving back the Airflow of "variants.fixture.ts > does not wait for its release" takes/)
    assert.match(ended.tests["has no time to get an Airflow"]!.failure, /^AcquireBudgetSpent: No Airflow was ready for/)
    assert.match(ended.tests["fake timers > stop neither the body's timeout nor the release"]!.failure, /^BodyTimeout/)
    assert.match(
      ended.tests["fake timers > before the lease > are refused"]!.failure,
      /^TimersAreFake: .*useRealTimers/
    )
  }))

export const effects: Scene = inWorld({}, ({ run }) =>
  Effect.gen(function*() {
    const ended = yield* run(["effect"])
    assert.deepStrictEqual(statusesOf(ended), {
      "passes in Effect": "passed",
      "fails in Effect": "failed",
      "times out in Effect": "failed",
      "has the case 1": "passed",
      "has the case 2": "passed",
      "is skipped in Effect": "skipped"
    }, ended.text)
    assert.match(ended.tests["fails in Effect"]!.failure, /^AirflowApiError: Could not trigger no_such_dag/)
    assert.match(ended.tests["fails in Effect"]!.failure, /at Airflow\.runDag \(.*effect\.fixture\.ts:\d+/)
    assert.match(ended.tests["times out in Effect"]!.failure, /^BodyTimeout/)
  }))

export const scopeOfFile: Scene = inWorld({}, ({ emulator, run }) =>
  Effect.gen(function*() {
    const ended = yield* run(["file"])
    assert.deepStrictEqual(new Set(Object.values(statusesOf(ended))), new Set(["passed"]), ended.text)
    assert.lengthOf(Object.keys(ended.tests), 4)
    const { requests } = yield* emulator.audit
    assert.lengthOf(requests.filter(({ method, path }) => method === "POST" && path.endsWith("/deployments")), 1)
  }))

/** The reaper does for a lost lease what its holder may not do any more. */
export const lost: Scene = inWorld({ reaper: "on" }, ({ run }) =>
  Effect.gen(function*() {
    const ended = yield* run(["lost"], { env: { AIRFLOW_RESOURCE_MAX_HOLD: "1 second" } })
    assert.match(ended.tests["is lost"]!.failure, /^LeaseLost: /, ended.text)
    assert.match(firstFrame(ended.tests["is lost"]!)!, /lost\.fixture\.ts:3:/)
    assert.notMatch(ended.text, /Unhandled/)
  }))

/** One worker for two files, whose modules they share. */
export const notIsolated = (pool: "forks" | "threads"): Scene =>
  inWorld({}, ({ emulator, run }) =>
    Effect.gen(function*() {
      const ended = yield* run(["one", "two"], {
        args: [`--pool=${pool}`, "--no-isolate", "--no-file-parallelism"]
      })
      assert.deepStrictEqual(statusesOf(ended), {
        "one a": "passed",
        "one b": "passed",
        "two a": "passed",
        "two b": "passed"
      }, ended.text)
      assert.lengthOf(new Set(ended.text.match(/worker \d+/g)), 1)
      const { requests } = yield* emulator.audit
      const checks = requests.filter(({ path }) => /^\/v1\/organizations(\?|$)/.test(path))
      assert.lengthOf(checks, 1, "there is one pool")
    }))

export const shards: Scene = inWorld({ max: 2 }, ({ run }) =>
  Effect.gen(function*() {
    const shards = yield* Effect.forEach(
      ["1/2", "2/2"],
      (shard) => run(["one", "two"], { args: [`--shard=${shard}`] }),
      { concurrency: 2 }
    )
    for (const { code, text } of shards) assert.strictEqual(code, 0, text)
    assert.lengthOf(shards.flatMap(({ text }) => text.match(/^worker \d+$/gm) ?? []), 4)
  }))

/** One file fails while the other one has its Airflow. */
export const bail: Scene = inWorld({ reaper: "on" }, ({ folder, run }) =>
  Effect.gen(function*() {
    const { code, text } = yield* run(["holds", "bails"], {
      args: ["--bail=1", "--maxWorkers=2"],
      env: { AIRFLOW_RESOURCE_TEST_MARKER: `${folder}/marker` }
    })
    assert.strictEqual(code, 1, text)
    assert.include(text, "it holds")
  }))

/** A rerun after a change, and the end of the watch. */
export const watch: Scene = inWorld({ reaper: "on" }, ({ run }, { fixtures }) =>
  Effect.gen(function*() {
    let touched = false
    let ended = false
    const watched = yield* run(["one"], {
      command: "watch",
      onText: (text, kill) => {
        // or "Watching", after a failure
        const waits = text.match(/(Waiting|Watching) for file changes/g)?.length ?? 0
        if (waits === 1 && !touched) {
          touched = true
          fs.appendFileSync(`${fixtures}/one.fixture.ts`, "// changed\n")
        }
        if (waits === 2 && !ended) {
          ended = true
          kill("SIGTERM")
        }
      }
    })
    assert.lengthOf(watched.text.match(/^worker \d+$/gm) ?? [], 4, watched.text)
  }))

/** A signal while a test has its Airflow. */
export const killed: Scene = inWorld({ reaper: "on" }, ({ folder, run }) =>
  Effect.gen(function*() {
    const { text } = yield* run(["holds"], {
      env: { AIRFLOW_RESOURCE_TEST_MARKER: `${folder}/marker`, AIRFLOW_RESOURCE_TEST_SETUP: "true" },
      onText: (text, kill) => {
        if (text.includes("it holds\n")) kill("SIGTERM")
      }
    })
    assert.include(text, "it holds")
  }))

const withoutAccount = { ASTRO_ACCESS_TOKEN: "", ASTRO_WORKSPACE_ID: "", ASTRO_REGION: "" }

/** Says what is wrong and what to do, and leases nothing. */
export const badInput: Scene = inWorld({}, ({ emulator, folder, run }, project) =>
  Effect.gen(function*() {
    const incomplete = yield* run(["basic"], { tests: "passes|uses nothing", env: withoutAccount })
    assert.deepInclude(statusesOf(incomplete), { "passes": "failed", "uses nothing": "passed" }, incomplete.text)
    assert.match(incomplete.tests["passes"]!.failure, /^ConfigurationError: [^]*ASTRO_WORKSPACE_ID is missing/)
    assert.match(firstFrame(incomplete.tests["passes"]!)!, /basic\.fixture\.ts:4:/)

    fs.writeFileSync(`${folder}/otherNode.cjs`, otherNode)
    const driver = yield* run(["basic"], {
      tests: "passes",
      args: ["--pool=forks"],
      env: { NODE_OPTIONS: `--require=${folder}/otherNode.cjs ${project.env["NODE_OPTIONS"] ?? ""}` }
    })
    assert.match(
      driver.tests["passes"]!.failure,
      /^CacheError: .*better-sqlite3 is not built for this Node.*npm rebuild/
    )
    const { deployments } = yield* emulator.audit
    assert.deepStrictEqual(deployments, [])
  }))

const otherNode = `
const { dlopen } = process
process.dlopen = (module, file, ...flags) => {
  if (!file.endsWith("better_sqlite3.node")) return dlopen.call(process, module, file, ...flags)
  const message = "The module '" + file + "' was compiled against a different Node.js version using NODE_MODULE_VERSION 83."
  throw Object.assign(new Error(message), { code: "ERR_DLOPEN_FAILED" })
}
`

/** The pools that run each file in a VM context. */
export const vmPool = (pool: "vmThreads" | "vmForks"): Scene =>
  inWorld({}, ({ run }) =>
    Effect.gen(function*() {
      const ended = yield* run(["basic"], { tests: "passes|fails", args: [`--pool=${pool}`] })
      assert.deepInclude(statusesOf(ended), { "passes": "passed", "fails": "failed" }, ended.text)
      assert.match(ended.tests["fails"]!.failure, /^AirflowApiError/)
    }))

interface Reported {
  readonly test: string
  readonly outcome: string
  readonly passed: boolean | null
  readonly phases: ReadonlyArray<{ readonly name: string }>
}

const reporterName = "@airflow-resource/testing/reporter"

/** What the reporter prints and writes. */
export const reporter: Scene = inWorld({}, ({ emulator, folder, run }) =>
  Effect.gen(function*() {
    const [html, json, junit] = ["html", "json", "xml"].map((type) => `${folder}/a/new folder/report.${type}`)
    const ended = yield* run(["report", "file"], {
      reporter: [reporterName, { html, json, junit }],
      args: ["--no-file-parallelism", "--testTimeout=120000"]
    })
    assert.strictEqual(ended.code, 1, ended.text)
    assert.match(ended.text, /^outcome +Airflow +waited +started in +reset +used +deployment +test$/m)
    assert.match(ended.text, /^passed +(created|woken) .* airflow-resource-\S+-s1-g1 +report\.fixture\.ts > passes$/m)
    assert.match(ended.text, /^failed +woken .* report\.fixture\.ts > fails &<by> itself$/m)
    assert.match(ended.text, /^no Airflow +- .* report\.fixture\.ts > has no time to get an Airflow$/m)
    assert.match(ended.text, /^2 tests failed, 1 had no Airflow$/m)
    // the run's own result
    assert.match(ended.text, /Tests +3 failed/)
    assert.notMatch(ended.text, /may be awake|could not be written/)

    const report = JSON.parse(fs.readFileSync(json!, "utf8"))
    assert.deepInclude(report.tests, { failed: 2, withoutAirflow: 1, passed: 7 })
    const leases = report.leases.map(({ outcome, passed, phases, test }: Reported) => [
      test,
      outcome,
      passed,
      // how far one got that had too little time depends on the machine
      outcome === "released"
        ? phases.map(({ name }) => name).filter((name) => !/^(creating|waking)$/.test(name)).join(" ")
        : ""
    ])
    const whole = "waiting resetting delivering using releasing"
    assert.sameDeepMembers(leases, [
      ["file.fixture.ts", "released", null, whole],
      ["report.fixture.ts > passes", "released", true, whole],
      ["report.fixture.ts > passes in Effect", "released", true, whole],
      ["report.fixture.ts > fails &<by> itself", "released", false, whole],
      ["report.fixture.ts > is retried", "released", false, whole],
      ["report.fixture.ts > is retried", "released", true, whole],
      ["report.fixture.ts > fails before its Airflow, in Effect", "no Airflow", false, ""],
      ["report.fixture.ts > has no time to get an Airflow", "no Airflow", false, ""]
    ])

    const xml = fs.readFileSync(junit!, "utf8")
    assert.match(xml, /<testsuites name="vitest" tests="10" failures="2" errors="1" time="[\d.]+">/)
    assert.match(xml, /<testcase [^>]*name="fails &#38;&#60;by&#62; itself"[^>]*>\s*<failure message="[^"]*no_such_dag/)
    assert.match(
      xml,
      /name="has no time to get an Airflow"[^>]*>\s*<error message="No Airflow[^"]*" type="AcquireBudgetSpent">/
    )
    assert.include(fs.readFileSync(html!, "utf8"), "fails &#38;&#60;by&#62; itself")
    for (const file of [html!, json!, junit!]) {
      assert.notInclude(fs.readFileSync(file, "utf8"), Redacted.value(emulator.astroToken))
    }

    fs.writeFileSync(`${folder}/file`, "")
    const wrong = yield* run(["one"], { reporter: [reporterName, { html: `${folder}/file/report.html`, xml: "x" }] })
    assert.match(wrong.text, /Tests +2 passed/)
    assert.match(wrong.text, /there is no option xml; there are json, html, junit/)
    assert.match(wrong.text, /html: \S+\/file\/report\.html could not be written: .*Choose another path/)
    assert.strictEqual(wrong.code, 1, wrong.text)
  }))

/** The fixtures, with the types of this version of vitest. */
export const types: Scene = ({ fixtures }) =>
  Effect.gen(function*() {
    const compilerOptions = {
      module: "NodeNext",
      target: "ES2022",
      lib: ["ES2022", "DOM"],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true,
      types: ["node"],
      noEmit: true
    }
    fs.writeFileSync(`${fixtures}/tsconfig.json`, JSON.stringify({ compilerOptions, include: ["*.fixture.ts"] }))
    const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
    // not `spawnSync`: the emulators of the other scenes live in this process
    const child = spawn(process.execPath, [tsc, "-p", fixtures], { stdio: ["ignore", "pipe", "ignore"] })
    const [problems, [code]] = yield* Effect.promise(() => Promise.all([text(child.stdout), once(child, "exit")]))
    assert.strictEqual(problems, "")
    assert.strictEqual(code, 0)
  })

export const all: Readonly<Record<string, Scene>> = {
  "a body passes, fails, times out and is retried": outcomes("forks"),
  "the same in threads": outcomes("threads"),
  "hooks, variants and fake timers": variants,
  "bodies in Effect": effects,
  "a file shares a lease": scopeOfFile,
  "a lost lease fails its test": lost,
  "files that are not isolated share a pool": notIsolated("forks"),
  "so do files in threads": notIsolated("threads"),
  "shards share deployments": shards,
  "a failure of another file ends the run": bail,
  "a change runs a file again": watch,
  "a signal ends the run": killed,
  "bad input is explained": badInput,
  "a lease in a VM context, in a thread": vmPool("vmThreads"),
  "a lease in a VM context, in a process": vmPool("vmForks"),
  "leases are reported": reporter,
  "the fixtures have types": types
}
