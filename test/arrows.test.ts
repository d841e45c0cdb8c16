import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import ts from "typescript"

/** Which packages the sources of a package may import. */
const arrows: Record<string, ReadonlyArray<string>> = {
  airflow: [],
  core: ["airflow"],
  emulator: [],
  astro: ["core"],
  github: ["core"],
  local: ["core"],
  "airflow-resource": ["airflow", "core", "astro", "github", "local", "emulator"],
  testing: ["airflow-resource"]
}

/** The packages that run on Node only: the composition root, the server, and the Airflows on this machine. */
const onNode = new Set(["emulator", "local", "airflow-resource"])

const nativeOrNode = /^(node:|better-sqlite3$|@effect\/sql-sqlite-node(\/|$)|libsodium)/

interface Import {
  readonly from: string
  readonly to: string
  /** Loaded together with the importing module: neither a type nor a dynamic import. */
  readonly eager: boolean
}

/** The imports of each file, by a path such as `core/src/Lease.ts`. */
type Sources = ReadonlyMap<string, ReadonlyArray<Import>>

const importsOf = (path: string, text: string): ReadonlyArray<Import> => {
  const imports: Array<Import> = []
  const add = (specifier: ts.Node | undefined, eager: boolean) => {
    if (specifier !== undefined && ts.isStringLiteral(specifier)) {
      imports.push({ from: path, to: specifier.text, eager })
    }
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const { namedBindings, name, isTypeOnly } = node.importClause ?? {}
      const onlyTypes = name === undefined && namedBindings !== undefined && ts.isNamedImports(namedBindings) &&
        namedBindings.elements.length > 0 && namedBindings.elements.every((element) => element.isTypeOnly)
      add(node.moduleSpecifier, isTypeOnly !== true && !onlyTypes)
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, !node.isTypeOnly)
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, false)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false)
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.ES2022))
  return imports
}

const parse = (files: Readonly<Record<string, string>>): Sources =>
  new Map(Object.entries(files).map(([path, text]) => [path, importsOf(path, text)]))

const packageOf = (path: string): string => path.split("/")[0]!

/** The file that an import leads to, if it is in this repository. */
const resolve = ({ from, to }: Import): string | undefined => {
  if (to.startsWith(".")) return new URL(to, `file:///${from}`).pathname.slice(1).replace(/\.js$/, ".ts")
  const workspace = /^(?:@airflow-resource\/([^/]+)|(airflow-resource))(?:\/(.+))?$/.exec(to)
  return workspace === null ? undefined : `${workspace[1] ?? workspace[2]}/src/${workspace[3] ?? "index"}.ts`
}

/** Imports that the arrows do not allow. */
const forbidden = (sources: Sources): ReadonlyArray<string> =>
  [...sources].flatMap(([path, imports]) =>
    imports.flatMap((one) => {
      const target = resolve(one)
      if (target === undefined) return []
      const [importing, imported] = [packageOf(path), packageOf(target)]
      if (importing === imported) {
        return one.to.startsWith(".") ? [] : [`${path} imports its own package by name: ${one.to}`]
      }
      if (!arrows[importing]!.includes(imported)) return [`${path} imports ${one.to}`]
      return target.includes("/internal/") ? [`${path} imports internals: ${one.to}`] : []
    })
  )

/** Imported packages that package.json does not declare. */
const undeclared = (sources: Sources, declared: (name: string) => ReadonlySet<string>): ReadonlyArray<string> =>
  [...sources].flatMap(([path, imports]) =>
    imports
      .filter(({ to }) => !to.startsWith(".") && !to.startsWith("node:"))
      .map(({ to }) => /^(@[^/]+\/)?[^/]+/.exec(to)![0])
      .filter((name) => !declared(packageOf(path)).has(name))
      .map((name) => `${path} imports ${name}, which its package.json does not declare`)
  )

/** Cycles among the modules of a package, including imports of types. */
const cycles = (sources: Sources): ReadonlyArray<string> => {
  const found: Array<string> = []
  const done = new Set<string>()
  const walk = (path: string, trail: ReadonlyArray<string>): void => {
    if (trail.includes(path)) {
      found.push([...trail.slice(trail.indexOf(path)), path].join(" -> "))
      return
    }
    if (done.has(path)) return
    for (const one of sources.get(path) ?? []) {
      const target = resolve(one)
      if (target !== undefined && packageOf(target) === packageOf(path)) walk(target, [...trail, path])
    }
    done.add(path)
  }
  for (const path of sources.keys()) walk(path, [])
  return found
}

/** The chains of imports through which a barrel loads native code or Node's modules. */
const heavy = (sources: Sources, barrel: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  const seen = new Set<string>()
  const walk = (path: string, trail: ReadonlyArray<string>): void => {
    if (seen.has(path) || (packageOf(path) !== packageOf(barrel) && onNode.has(packageOf(path)))) return
    seen.add(path)
    for (const one of (sources.get(path) ?? []).filter(({ eager }) => eager)) {
      if (nativeOrNode.test(one.to)) found.push([...trail, path, one.to].join(" -> "))
      const target = resolve(one)
      if (target !== undefined) walk(target, [...trail, path])
    }
  }
  walk(barrel, [])
  return found
}

/** All modules of this repository that are loaded together with `module`. */
const loadedWith = (sources: Sources, module: string): ReadonlySet<string> => {
  const loaded = new Set<string>()
  const walk = (path: string): void => {
    if (loaded.has(path)) return
    loaded.add(path)
    for (const one of (sources.get(path) ?? []).filter(({ eager }) => eager)) {
      const target = resolve(one)
      if (target !== undefined) walk(target)
    }
  }
  walk(module)
  return loaded
}

const packages = fileURLToPath(new URL("../packages", import.meta.url))

const real = parse(Object.fromEntries(
  Object.keys(arrows).flatMap((name) =>
    readdirSync(`${packages}/${name}/src`, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => [`${name}/src/${file}`, readFileSync(`${packages}/${name}/src/${file}`, "utf8")] as const)
  )
))

const declared = (name: string): ReadonlySet<string> => {
  const { dependencies = {}, peerDependencies = {} } = JSON.parse(
    readFileSync(`${packages}/${name}/package.json`, "utf8")
  )
  return new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)])
}

const barrels = Object.keys(arrows).filter((name) => !onNode.has(name)).map((name) => `${name}/src/index.ts`)

describe("the arrows between packages", () => {
  it("name every package", () => {
    assert.deepStrictEqual(readdirSync(packages).sort(), Object.keys(arrows).sort())
  })

  it("allow every import", () => assert.deepStrictEqual(forbidden(real), []))

  it("are declared in package.json", () => assert.deepStrictEqual(undeclared(real, declared), []))

  it("lead to no cycle of modules", () => assert.deepStrictEqual(cycles(real), []))

  for (const barrel of barrels) {
    it(`${barrel} loads neither native code nor Node's modules`, () => assert.deepStrictEqual(heavy(real, barrel), []))
  }

  it("AstroApi loads the astro CLI's error, but not the CLI", () => {
    const loaded = loadedWith(real, "astro/src/AstroApi.ts")
    assert.isTrue(loaded.has("astro/src/AstroCliError.ts"))
    assert.deepStrictEqual(
      [...loaded].filter((path) => /\/(AstroCli|ProcessRunner|astroHome|cliOutput)\.ts$/.test(path)),
      []
    )
  })
})

describe("the check finds a planted mistake", () => {
  it("forbidden imports of every form", () => {
    for (
      const text of [
        `import * as GithubSecrets from "@airflow-resource/github/GithubSecrets"`,
        `import type { Deployment } from "@airflow-resource/github"`,
        `export * from "@airflow-resource/github"`,
        `export type A = import("@airflow-resource/github").B`,
        `export const later = () => import("@airflow-resource/github")`,
        `import "../../github/src/index.js"`
      ]
    ) assert.lengthOf(forbidden(parse({ "astro/src/A.ts": text })), 1, text)
    assert.lengthOf(forbidden(parse({ "emulator/src/A.ts": `import "@airflow-resource/core/Lease"` })), 1)
    assert.lengthOf(forbidden(parse({ "testing/src/A.ts": `import "@airflow-resource/core"` })), 1)
    assert.lengthOf(forbidden(parse({ "core/src/A.ts": `import "airflow-resource"` })), 1)
    assert.lengthOf(forbidden(parse({ "astro/src/A.ts": `import "@airflow-resource/core/internal/x"` })), 1)
    assert.lengthOf(forbidden(parse({ "core/src/A.ts": `import "@airflow-resource/core/Lease"` })), 1)
    assert.lengthOf(forbidden(parse({ "astro/src/A.ts": `import "@airflow-resource/core/Lease"` })), 0)
  })

  it("undeclared packages", () => {
    const sources = parse({ "core/src/A.ts": `import * as Effect from "effect/Effect"\nimport x from "@scope/x/y"` })
    assert.lengthOf(undeclared(sources, () => new Set(["effect"])), 1)
  })

  it("cycles", () => {
    const found = cycles(parse({
      "core/src/A.ts": `import * as B from "./B.js"`,
      "core/src/B.ts": `import { c } from "./internal/c.js"`,
      "core/src/internal/c.ts": `import type { A } from "../A.js"`
    }))
    assert.deepStrictEqual(found, ["core/src/A.ts -> core/src/B.ts -> core/src/internal/c.ts -> core/src/A.ts"])
  })

  it("barrels that load too much, also through other packages", () => {
    const files = {
      "github/src/index.ts": `export * as Lock from "./Lock.js"`,
      "github/src/Lock.ts": `import * as Core from "@airflow-resource/core/Cache"`,
      "core/src/Cache.ts": `import Database from "better-sqlite3"`
    }
    assert.lengthOf(heavy(parse(files), "github/src/index.ts"), 1)
    const lazy = {
      ...files,
      "core/src/Cache.ts": `import type { A } from "node:fs"\nexport const f = () => import("node:os")`
    }
    assert.lengthOf(heavy(parse(lazy), "github/src/index.ts"), 0)
    assert.lengthOf(
      heavy(parse({ "core/src/index.ts": `import { type A, b } from "node:fs"` }), "core/src/index.ts"),
      1
    )
  })

  it("modules that are loaded with another, but not those that only give types", () => {
    const loaded = loadedWith(
      parse({
        "astro/src/A.ts": `import type { B } from "./B.js"\nimport { c } from "./internal/c.js"`,
        "astro/src/internal/c.ts": `import * as D from "@airflow-resource/core/D"`
      }),
      "astro/src/A.ts"
    )
    assert.deepStrictEqual([...loaded], ["astro/src/A.ts", "astro/src/internal/c.ts", "core/src/D.ts"])
  })
})
