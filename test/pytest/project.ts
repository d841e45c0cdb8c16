/** Projects with the fixture of `examples/pytest`, and runs of pytest in them. */
import { FileSystem } from "@effect/platform"
import { Cause, type Duration, Effect, Schedule } from "effect"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const root = fileURLToPath(new URL("../..", import.meta.url))
const examples = path.join(root, "examples", "pytest")
const fixtures = path.join(root, "test", "pytest", "fixtures")

/** `npm run test:pytest` has installed it. */
export const python = process.env["AIRFLOW_RESOURCE_TEST_PYTHON"]!

/** What a user has, such as a proxy and its certificates, without the settings for this library, for Node and for vitest. */
const inherited = Object.fromEntries(
  Object.entries(process.env).filter(([name]) =>
    !/^(AIRFLOW|ASTRO_|GITHUB_|VITEST|NODE_(OPTIONS|PATH|ENV)$|npm_|PYTEST_)/.test(name)
  )
)

const dags = [
  path.join(root, "examples", "dags", "hello_world_dag.py"),
  path.join(examples, "dags", "my_dag.py"),
  path.join(root, "scripts", "airflow", "dags", "failing_dag.py")
]

/** A project in a temporary folder, in which npm has installed the command. */
export const make = Effect.gen(function*() {
  const folder = fs.realpathSync(yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped())
  const project = path.join(folder, "project")
  const copy = (files: ReadonlyArray<string>, to: string) => {
    fs.mkdirSync(to, { recursive: true })
    for (const file of files) fs.copyFileSync(file, path.join(to, path.basename(file)))
  }
  copy(dags, path.join(project, "dags"))
  for (const from of [examples, fixtures]) {
    copy(
      fs.readdirSync(from).filter((name) => name.endsWith(".py")).map((name) => path.join(from, name)),
      path.join(project, "tests")
    )
  }
  fs.writeFileSync(path.join(project, "package.json"), JSON.stringify({ private: true }))
  fs.mkdirSync(path.join(project, "node_modules", ".bin"), { recursive: true })
  fs.symlinkSync(
    path.join(root, "node_modules", ".bin", "airflow-resource"),
    path.join(project, "node_modules", ".bin", "airflow-resource")
  )
  return { folder, project }
})

/** Runs `airflow-resource`, and returns what it prints. */
export const command = (project: string, env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const { stdout } = await promisify(execFile)("node_modules/.bin/airflow-resource", args, {
      cwd: project,
      env: { ...inherited, ...env }
    })
    return stdout
  })

export interface Ended {
  readonly text: string
  readonly code: number | null
  readonly signal: string | null
}

export interface Options {
  readonly project: string
  /** Test files without their ending, and options. */
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** [4 minutes] */
  readonly timeout?: Duration.DurationInput
  /** Called once, when a test has written the file that `STARTED` names. */
  readonly onStarted?: (pid: number) => void
}

/** Runs pytest in a process group of its own, as a terminal does. */
export const pytest = ({ args, env, onStarted, project, timeout = "4 minutes" }: Options): Effect.Effect<Ended> =>
  Effect.gen(function*() {
    const started = path.join(project, "started")
    fs.rmSync(started, { force: true })
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(python, [
          "-m",
          "pytest",
          "--strict-markers",
          "-p",
          "no:cacheprovider",
          "-rA",
          ...args.map((arg) => arg.startsWith("test_") ? path.join("tests", `${arg}.py`) : arg)
        ], {
          cwd: project,
          env: { ...inherited, NO_COLOR: "1", ...env, STARTED: started },
          stdio: ["ignore", "pipe", "pipe"],
          detached: true
        })
      ),
      (child) => Effect.sync(() => child.exitCode === null && child.signalCode === null && child.kill("SIGKILL"))
    )
    let text = ""
    child.stdout.on("data", (chunk) => (text += chunk))
    child.stderr.on("data", (chunk) => (text += chunk))
    const exited = once(child, "exit")
    if (onStarted !== undefined) {
      yield* until(Effect.sync(() => fs.existsSync(started)), (is) => is || child.exitCode !== null)
      if (child.exitCode === null) onStarted(child.pid!)
    }
    const [code, signal] = yield* Effect.promise(() => exited).pipe(
      Effect.timeoutFailCause({
        duration: timeout,
        onTimeout: () => Cause.die(new Error(`pytest did not end in time; it printed:\n${text}`))
      })
    )
    // marked, so that nothing takes its summary for that of this run
    return { text: text.replace(/^/gm, "| "), code: code as number | null, signal: signal as string | null }
  }).pipe(Effect.scoped)

/** Polls. What it waits for takes seconds, on a busy machine more. */
export const until = <A, E, R>(poll: Effect.Effect<A, E, R>, isOver: (a: A) => boolean): Effect.Effect<A, E, R> =>
  Effect.repeat(poll, { until: isOver, schedule: Schedule.spaced("100 millis") }).pipe(
    Effect.timeoutFailCause({
      duration: "3 minutes",
      onTimeout: () => Cause.die(new Error("what was waited for did not come true"))
    }),
    Effect.zipRight(poll)
  )
