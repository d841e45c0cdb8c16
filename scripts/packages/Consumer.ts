/** A project outside the workspace that uses the packed packages: its files are in `consumers`. */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Shell from "./Shell.js"
import type { Tarball } from "./Tarballs.js"
import type { Node, Toolchain } from "./Toolchain.js"

type Manager = "npm" | "pnpm" | "yarn"

export interface Consumer {
  /** Its folder in `consumers`. */
  readonly project: string
  readonly manager: Manager
  readonly node: Node
}

/** The packages that may run an install script, and those that need none here. */
const scripts = { "better-sqlite3": true, esbuild: true, "@parcel/watcher": false, "msgpackr-extract": false }

/** Where our packages are, by their names: also those that our packages depend on are not on the registry. */
type Ours = Readonly<Record<string, string>>

/** Writes the settings of a package manager, and returns those that go into package.json. */
const configure: Record<Manager, (folder: string, ours: Ours) => Record<string, unknown>> = {
  npm: (_, ours) => ({ overrides: ours, allowScripts: scripts }),
  pnpm: (folder, ours) => {
    // JSON is YAML
    fs.writeFileSync(
      path.join(folder, "pnpm-workspace.yaml"),
      JSON.stringify({ overrides: ours, allowBuilds: scripts })
    )
    return {}
  },
  yarn: (folder, ours) => {
    const settings = { nodeLinker: "node-modules", enableScripts: true, enableTelemetry: false }
    fs.writeFileSync(path.join(folder, ".yarnrc.yml"), JSON.stringify(settings))
    // otherwise the project would be a part of one above it
    fs.writeFileSync(path.join(folder, "yarn.lock"), "")
    return { resolutions: ours }
  }
}

/** With `CI` set, pnpm and yarn otherwise insist on a complete lock file. */
const install: Record<Manager, ReadonlyArray<string>> = {
  npm: ["install"],
  pnpm: ["install", "--no-frozen-lockfile"],
  yarn: ["install", "--no-immutable"]
}

/** Lines that report a problem: warnings, deprecated packages, and yarn's codes for peers. Not what an install script prints, as pnpm shows. */
const complaints = (output: string) =>
  output.split("\n").filter((line) =>
    /\bwarn|ERESOLVE|EBADENGINE|deprecated|YN0002|YN0060|YN0086/i.test(line) &&
    !/^\S*node_modules\/\S+ \w+: /.test(line)
  )

/** Copies the project into a folder, installs it, and runs its script `test`. */
export const test = ({ manager, node, project }: Consumer, { folder, tarballs, tools }: {
  readonly folder: string
  readonly tarballs: ReadonlyArray<Tarball>
  readonly tools: Toolchain
}) =>
  Effect.gen(function*() {
    const cwd = fs.mkdtempSync(path.join(folder, `${project}-`))
    fs.cpSync(fileURLToPath(new URL(`consumers/${project}`, import.meta.url)), cwd, { recursive: true })
    const ours = Object.fromEntries(tarballs.map(({ name, url }) => [name, url]))
    const file = path.join(cwd, "package.json")
    const { devDependencies, ...manifest } = JSON.parse(fs.readFileSync(file, "utf8"))
    for (const name of Object.keys(devDependencies)) devDependencies[name] = ours[name] ?? devDependencies[name]
    fs.writeFileSync(file, JSON.stringify({ ...manifest, devDependencies, ...configure[manager](cwd, ours) }))

    const { stdout: registry } = yield* Shell.run("npm", ["config", "get", "registry"], { cwd })
    const options = {
      cwd,
      paths: tools.paths(node),
      env: { YARN_NPM_REGISTRY_SERVER: registry, AIRFLOW_RESOURCE_PROVIDER: "emulator" }
    }
    const { stderr, stdout } = yield* Shell.run(manager, install[manager], options)
    const problems = complaints(`${stdout}\n${stderr}`)
    if (problems.length > 0) {
      return yield* new Shell.PackagesFailed({ message: `${manager} warned\n${problems.join("\n")}` })
    }
    yield* Shell.run(manager, ["run", "test"], options)
  })
