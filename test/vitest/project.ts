/** Where the scenes run: in this repository, from its sources; or in a project with another vitest, from what is published. */
import { Effect, type Scope } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Child from "../child.js"

export interface Project {
  /** The folder of vitest. */
  readonly vitest: string
  /** The folder of the test files. */
  readonly fixtures: string
  /** Vitest's configuration. */
  readonly config: URL
  /** What else vitest's process needs. */
  readonly env: Readonly<Record<string, string>>
}

const here = fileURLToPath(new URL(".", import.meta.url))
const root = path.join(here, "../..")

export const repository: Project = {
  vitest: Child.vitestFolder,
  fixtures: path.join(here, "fixtures"),
  config: pathToFileURL(path.join(here, "vitest.config.ts")),
  env: {}
}

/** A project in a temporary folder, with the vitest in this folder and copies of this repository's packages. */
export const make = (vitest: string): Effect.Effect<Project, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "airflow-resource-vitest-")))
      install(path.join(folder, "node_modules"), vitest)
      fs.cpSync(path.join(here, "fixtures"), folder, { recursive: true })
      fs.writeFileSync(path.join(folder, "package.json"), JSON.stringify({ type: "module", private: true }))
      fs.writeFileSync(path.join(folder, "vitest.config.js"), config)
      fs.writeFileSync(path.join(folder, "node20.cjs"), node20)
      return {
        vitest,
        fixtures: folder,
        config: pathToFileURL(path.join(folder, "vitest.config.js")),
        env: { NODE_OPTIONS: `--require=${path.join(folder, "node20.cjs")}` }
      }
    }),
    ({ fixtures }) => Effect.sync(() => fs.rmSync(fixtures, { recursive: true, force: true }))
  )

// internal

const config = `
const reporters = process.env.AIRFLOW_RESOURCE_TEST_REPORTERS

export default {
  test: {
    include: ["*.fixture.ts"],
    // only a safety net: on a busy machine everything takes longer
    testTimeout: 60_000,
    globalSetup: process.env.AIRFLOW_RESOURCE_TEST_SETUP ? ["@airflow-resource/testing/globalSetup"] : [],
    ...(reporters === undefined ? {} : { reporters: JSON.parse(reporters) })
  }
}
`

/** Vitest 5 is for Node 22 and later. This is all that it misses in Node 20. */
const node20 = `
Map.groupBy ??= (items, keyOf) => {
  const groups = new Map()
  for (const item of items) {
    const key = keyOf(item)
    groups.set(key, [...groups.get(key) ?? [], item])
  }
  return groups
}
`

/** Links to the packages that are installed here, and copies of our own, so that they import this project's vitest. */
const install = (modules: string, vitest: string) => {
  const installed = path.join(root, "node_modules")
  const link = (name: string, target: string) => {
    fs.mkdirSync(path.dirname(path.join(modules, name)), { recursive: true })
    fs.symlinkSync(target, path.join(modules, name))
  }
  const ours = path.join(root, "packages")
  const names = fs.readdirSync(ours).map((folder) => {
    const { name } = JSON.parse(fs.readFileSync(path.join(ours, folder, "package.json"), "utf8"))
    fs.cpSync(path.join(ours, folder), path.join(modules, name), {
      recursive: true,
      filter: (file) => !/\/(test|node_modules)$/.test(file)
    })
    return name
  })
  for (const entry of fs.readdirSync(installed)) {
    const inside = entry.startsWith("@")
      ? fs.readdirSync(path.join(installed, entry)).map((name) => `${entry}/${name}`)
      : [entry]
    for (
      const name of inside.filter((name) =>
        !/^(\.|vitest$|@vitest\/|@effect\/vitest$)/.test(name) && !names.includes(name)
      )
    ) {
      link(name, path.join(installed, name))
    }
  }
  link("vitest", vitest)
}
