/**
 * Installs Airflow from PyPI into a Python environment with exactly the pinned packages. Each environment is created
 * once, in a cache outside the repository.
 */
import { Console, Effect } from "effect"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { AirflowFailed, run } from "./processes.js"

const here = import.meta.dirname

/** The versions that have pins, oldest first. */
export const versions: ReadonlyArray<string> = fs.readdirSync(here)
  .flatMap((name) => /^airflow-(.+)\.txt$/.exec(name)?.[1] ?? [])
  .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))

const cache = path.join(
  process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache"),
  "airflow-resource",
  "airflow"
)

/** The pins are for Python 3.11. With another version they may not install, or install other files. */
const findPython = Effect.gen(function*() {
  const python = process.env["PYTHON"] ?? "python3.11"
  yield* run(python, ["-c", "import sys; sys.exit(sys.version_info[:2] != (3, 11))"], process.env, 1).pipe(
    Effect.mapError(() =>
      new AirflowFailed({
        message:
          `A real Airflow needs Python 3.11, but ${python} is missing or another version: set PYTHON to a Python 3.11.`
      })
    )
  )
  return python
})

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => {
    fs.mkdirSync(cache, { recursive: true })
    return fs.mkdtempSync(path.join(cache, "installing-"))
  }),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
)

const createEnvironment = (version: string, pins: string, venv: string) =>
  Effect.scoped(Effect.gen(function*() {
    const python = yield* findPython
    yield* Console.log(`Installing Airflow ${version} into ${venv}`)
    const folder = yield* temporaryFolder
    const tools = path.join(folder, "tools")
    yield* run(python, ["-m", "venv", tools], process.env, 5)
    yield* run(path.join(tools, "bin/pip"), ["install", "--quiet", "uv==0.13.9"], process.env, 10)
    const uv = path.join(tools, "bin/uv")
    const newVenv = path.join(folder, "venv")
    yield* run(uv, ["venv", "--relocatable", "--python", path.join(tools, "bin/python"), newVenv], process.env, 5)
    yield* run(uv, ["pip", "install", "--python", path.join(newVenv, "bin/python"), "-r", pins], process.env, 20)
    // moved in one step, so that the environment is always complete, even if another process installs it at the same
    // time
    yield* Effect.try({
      try: () => fs.renameSync(newVenv, venv),
      catch: (cause) =>
        new AirflowFailed({ message: `Airflow ${version} was installed but cannot be moved to ${venv}: ${cause}` })
    }).pipe(Effect.catchIf(() => fs.existsSync(venv), () => Effect.void))
  }))

/** Installs a version unless it is in the cache, and returns the folder of its environment. */
export const install = (version: string) =>
  Effect.gen(function*() {
    if (!versions.includes(version)) {
      return yield* new AirflowFailed({
        message: `There are no pins for Airflow ${version}. Use one of ${versions.join(", ")}.`
      })
    }
    const pins = path.join(here, `airflow-${version}.txt`)
    const hash = createHash("sha256").update(fs.readFileSync(pins)).digest("hex").slice(0, 12)
    const venv = path.join(cache, `${version}-${hash}`)
    if (!fs.existsSync(venv)) yield* createEnvironment(version, pins, venv)
    return venv
  })
