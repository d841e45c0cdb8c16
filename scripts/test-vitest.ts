/**
 * `npm run test:vitest [version…]` runs the scenes of `test/vitest` in projects with these versions of vitest, one after the other. Without
 * a version it takes the oldest one that is supported, which is the repository's own, and the newest 4 and 5 that are known to work. Others
 * are installed once, into a folder outside the repository.
 */
import { Data, Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Run from "./run.js"

const own = path.dirname(fileURLToPath(import.meta.resolve("vitest/package.json")))

const versionOf = (folder: string): string =>
  JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8")).version

const versions = [versionOf(own), "4.1.12", "5.1.2"]

class NotInstalled extends Data.TaggedError("NotInstalled")<{ readonly message: string }> {}

const cache = path.join(
  process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache"),
  "airflow-resource",
  "vitest"
)

/** The folder of a version of vitest. */
const install = (version: string) =>
  Effect.gen(function*() {
    if (version === versionOf(own)) return own
    const folder = path.join(cache, version)
    const vitest = path.join(folder, "node_modules", "vitest")
    if (fs.existsSync(path.join(folder, "installed"))) return vitest
    fs.rmSync(folder, { recursive: true, force: true })
    fs.mkdirSync(folder, { recursive: true })
    fs.writeFileSync(path.join(folder, "package.json"), JSON.stringify({ private: true }))
    const npm = spawn("npm", ["install", "--save-exact", `vitest@${version}`], {
      cwd: folder,
      stdio: ["ignore", "inherit", "inherit"]
    })
    const [code] = yield* Effect.tryPromise({
      try: () => once(npm, "exit"),
      catch: (cause) => new NotInstalled({ message: `npm did not start: ${cause}` })
    })
    if (code !== 0) return yield* new NotInstalled({ message: `npm could not install vitest ${version}` })
    fs.writeFileSync(path.join(folder, "installed"), "")
    return vitest
  })

const config = new URL("vitest/vitest.config.ts", import.meta.url)

const test = (version: string) =>
  Run.outcome(
    `vitest ${version}`,
    Effect.flatMap(install(version), (folder) =>
      Run.vitest(config, { duration: "15 minutes", env: { AIRFLOW_RESOURCE_TEST_VITEST: folder } }))
  )

const args = process.argv.slice(2)

await Run.main(Effect.forEach(args.length === 0 ? versions : args, test))
