/**
 * `npm run test:pytest [file…]` runs pytest with the fixture of `examples/pytest`, over the emulator and over real Airflows on this
 * machine: all suites of `test/pytest`, or those whose path contains an argument. Pytest is installed once, into an environment outside the
 * repository, with the Python that `AIRFLOW_RESOURCE_PYTHON` names, by default the first python3 on the PATH.
 */
import { Data, Effect } from "effect"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Run from "./run.js"

class NotInstalled extends Data.TaggedError("NotInstalled")<{ readonly message: string }> {}

const requirements = fileURLToPath(new URL("pytest/requirements.txt", import.meta.url))

const python = process.env["AIRFLOW_RESOURCE_PYTHON"] ?? "python3"

const run = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] })
    const [code] = yield* Effect.tryPromise({
      try: () => once(child, "exit"),
      catch: (cause) => new NotInstalled({ message: `${command} did not start: ${cause}` })
    })
    if (code !== 0) return yield* new NotInstalled({ message: `${command} ${args.join(" ")} exited with ${code}` })
  })

/** A Python with pytest. */
const install = Effect.gen(function*() {
  const key = createHash("sha256").update(python).update(fs.readFileSync(requirements)).digest("hex").slice(0, 16)
  const folder = path.join(
    process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache"),
    "airflow-resource",
    "pytest",
    key
  )
  const installed = path.join(folder, "bin", "python")
  if (fs.existsSync(path.join(folder, "installed"))) return installed
  fs.rmSync(folder, { recursive: true, force: true })
  yield* run(python, "-m", "venv", folder)
  yield* run(installed, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements)
  fs.writeFileSync(path.join(folder, "installed"), "")
  return installed
})

const config = new URL("pytest/vitest.config.ts", import.meta.url)
const files = process.argv.slice(2)

await Run.main(
  Effect.map(
    Run.outcome(
      "pytest",
      Effect.flatMap(
        install,
        (installed) =>
          Run.vitest(config, { duration: "30 minutes", env: { AIRFLOW_RESOURCE_TEST_PYTHON: installed }, files })
      )
    ),
    (outcome) => [outcome]
  )
)
