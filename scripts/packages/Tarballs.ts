/** The packages as npm publishes them: built from nothing, packed, and checked as files. */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Shell from "./Shell.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const bin = (name: string) => path.join(root, "node_modules/.bin", name)

export interface Tarball {
  readonly name: string
  readonly file: string
  readonly url: string
  /** The paths in it. */
  readonly contents: ReadonlyArray<string>
}

interface Packed {
  readonly name: string
  readonly filename: string
  readonly files: ReadonlyArray<{ readonly path: string }>
}

/** Builds and packs all packages into `folder`. */
export const pack = (folder: string) =>
  Effect.gen(function*() {
    for (const name of fs.readdirSync(path.join(root, "packages"))) {
      fs.rmSync(path.join(root, "packages", name, "dist"), { recursive: true, force: true })
    }
    yield* Shell.run(bin("tsc"), ["-b"], { cwd: root })
    const { stdout } = yield* Shell.run("npm", ["pack", "--workspaces", "--json", "--pack-destination", folder], {
      cwd: root
    })
    return (JSON.parse(stdout) as ReadonlyArray<Packed>).map(({ filename, files, name }): Tarball => {
      const file = path.join(folder, filename)
      return { name, file, url: pathToFileURL(file).href, contents: files.map((one) => one.path) }
    })
  })

/** Checks what a tarball contains, and whether Node.js and TypeScript find each of its modules. */
export const check = ({ contents, file }: Tarball) =>
  Effect.gen(function*() {
    const cwd = path.dirname(file)
    const missing = ["README.md", "LICENSE"].filter((name) => !contents.includes(name))
    const unwanted = contents.filter((name) => /^(test|node_modules)\/|tsbuildinfo$|__pycache__/.test(name))
    if (missing.length > 0 || unwanted.length > 0) {
      return yield* new Shell.PackagesFailed({ message: `it lacks [${missing}], and has [${unwanted}] too much` })
    }
    yield* Shell.run(bin("publint"), ["run", file, "--strict"], { cwd })
    // without their names, attw checks none of the modules that a pattern of `exports` stands for
    const modules = contents.flatMap((name) => /^dist\/([^/]+)\.d\.ts$/.exec(name)?.[1] ?? [])
    yield* Shell.run(bin("attw"), [
      file,
      "--profile",
      "esm-only",
      "--include-entrypoints",
      ...modules.filter((name) => name !== "index").map((name) => `./${name}`)
    ], { cwd })
  })
