// Checks that what is written about the code is true:
// 1. every module is in its package's barrel, or in the list of modules that are only reached by their own path;
// 2. every export has a docblock with @since and one @category;
// 3. every ```ts block of README.md and docs/, and every @example, compiles;
// 4. a block of a document under <!-- examples/NAME.ts --> equals that file (scripts/sync-readme.mjs copies it);
// 5. docs/environment.md documents every environment variable, with its default, and no other;
// 6. docs/errors.md names every error.
import { internalVariables, variables } from "airflow-resource/Settings"
import fs from "node:fs"
import path from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const root = fileURLToPath(new URL("..", import.meta.url))

/** Modules that load something native or Node-only, or that are run rather than imported. */
const subpathOnly = new Set([
  "packages/core/src/NetworkFileSystem.ts",
  "packages/core/src/ProcessRunner.ts",
  "packages/core/src/SqliteDeploymentCache.ts",
  "packages/airflow-resource/src/main.ts",
  "packages/testing/src/globalSetup.ts",
  "packages/testing/src/reporter.ts",
  "packages/testing/src/vitest.ts"
])

const categories = new Set(
  ["models", "errors", "tags", "constructors", "layers", "config", "combinators", "accessors", "refinements"]
)

const problems = []
const report = (file, line, text) => problems.push(`${file}:${line} ${text}`)

const read = (file) => fs.readFileSync(path.join(root, file), "utf8")
const list = (folder, wanted) =>
  fs.existsSync(path.join(root, folder))
    ? fs.readdirSync(path.join(root, folder)).filter((name) => wanted.test(name)).sort().map((name) =>
      `${folder}/${name}`
    )
    : []

const packages = fs.readdirSync(path.join(root, "packages")).sort().map((name) => `packages/${name}`)
const sources = packages.flatMap((folder) => list(`${folder}/src`, /\.ts$/))
const modules = sources.filter((file) => !file.endsWith("/index.ts"))
const documents = ["README.md", ...list("docs", /\.md$/), ...packages.map((folder) => `${folder}/README.md`)]
  .filter((file) => fs.existsSync(path.join(root, file)))

// 1. barrels

for (const file of modules) {
  const folder = path.posix.dirname(file)
  const inBarrel = read(`${folder}/index.ts`).includes(`from "./${path.posix.basename(file, ".ts")}.js"`)
  if (inBarrel && subpathOnly.has(file)) {
    report(`${folder}/index.ts`, 1, `exports ${file}, which is reached by its own path only`)
  }
  if (!inBarrel && !subpathOnly.has(file)) report(file, 1, "is not in the barrel index.ts")
}

// 2. docblocks

const namesOf = (statement) =>
  ts.isVariableStatement(statement)
    ? statement.declarationList.declarations.map((declaration) => declaration.name.getText())
    : [statement.name?.getText() ?? "default"]

const exported = (statement) =>
  ts.canHaveModifiers(statement) &&
  (ts.getModifiers(statement) ?? []).some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword)

let exportsSeen = 0
for (const file of modules) {
  const text = read(file)
  const sourceFile = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true)
  let previous = ""
  for (const statement of sourceFile.statements.filter(exported)) {
    const names = namesOf(statement).join(", ")
    const line = sourceFile.getLineAndCharacterOfPosition(statement.getStart()).line + 1
    // the overloads of a function share the docblock of the first
    const signature = ts.isFunctionDeclaration(statement) && names === previous
    previous = names
    if (signature) continue
    exportsSeen++
    const tags = ts.getJSDocCommentsAndTags(statement).filter(ts.isJSDoc).at(-1)?.tags ?? []
    const values = (name) =>
      tags.filter((tag) => tag.tagName.text === name).map((tag) => ts.getTextOfJSDocComment(tag.comment)?.trim() ?? "")
    if (!values("since").some((since) => /^\d+\.\d+\.\d+$/.test(since))) report(file, line, `${names} has no @since`)
    const given = values("category")
    if (given.length !== 1) report(file, line, `${names} has ${given.length} @category, not one`)
    else if (!categories.has(given[0])) report(file, line, `${names} has the unknown @category ${given[0]}`)
  }
}

// 3. and 4. blocks

/** Fenced blocks: language, text, first line, and the example that the line above names. */
const blocksOf = (lines) => {
  const blocks = []
  for (let at = 0; at < lines.length; at++) {
    const fence = /^(\s*)```(\w+)/.exec(lines[at])
    if (fence === null) continue
    const end = lines.findIndex((line, index) => index > at && line.trim() === "```")
    const above = lines.slice(0, at).findLast((line) => line.trim() !== "")
    blocks.push({
      language: fence[2],
      line: at + 2,
      text: lines.slice(at + 1, end).map((line) => `${line.slice(fence[1].length)}\n`).join(""),
      example: /^<!--\s*(examples\/\S+)\s*-->$/.exec(above?.trim() ?? "")?.[1]
    })
    at = end < 0 ? lines.length : end
  }
  return blocks
}

/** The comments of a source, line by line, without their asterisks. Lines keep their numbers. */
const commentLines = (text) => text.split("\n").map((line) => /^\s*\* ?(.*)$/.exec(line)?.[1] ?? "")

const blocks = []
for (const file of documents) {
  for (const block of blocksOf(read(file).split("\n"))) {
    if (block.example === undefined) blocks.push({ file, ...block })
    else if (!fs.existsSync(path.join(root, block.example))) {
      report(file, block.line, `names ${block.example}, which does not exist`)
    } else if (read(block.example) !== block.text) report(file, block.line, `differs from ${block.example}`)
  }
}
for (const file of modules) for (const block of blocksOf(commentLines(read(file)))) blocks.push({ file, ...block })

const folder = path.join(root, ".examples")
fs.rmSync(folder, { recursive: true, force: true })
fs.mkdirSync(folder)
const written = new Map()
for (const block of blocks.filter(({ language }) => language === "ts")) {
  const name = path.join(folder, `${block.file.replace(/[/.]/g, "-")}-${block.line}.ts`)
  // without an import or export, its names would clash with those of the other blocks
  fs.writeFileSync(name, /^(import|export)\b/m.test(block.text) ? block.text : `${block.text}export {}\n`)
  written.set(name, block)
}
// The check itself must work: this block does not compile.
const planted = path.join(folder, "planted.ts")
fs.writeFileSync(planted, `import * as Effect from "effect/Effect"\nexport const n: number = Effect.succeed(1)\n`)

const options = ts.parseJsonConfigFileContent(
  {
    extends: "../tsconfig.base.json",
    compilerOptions: {
      noEmit: true,
      declaration: false,
      declarationMap: false,
      sourceMap: false,
      noUnusedLocals: false
    }
  },
  ts.sys,
  folder
).options
const program = ts.createProgram([...written.keys(), planted], options)
const faults = (name) => {
  const sourceFile = program.getSourceFile(name)
  return [...program.getSyntacticDiagnostics(sourceFile), ...program.getSemanticDiagnostics(sourceFile)]
}
for (const [name, block] of written) {
  for (const { file, messageText, start } of faults(name)) {
    const line = file === undefined || start === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line
    report(block.file, block.line + line, ts.flattenDiagnosticMessageText(messageText, "\n  "))
  }
}
if (faults(planted).length === 0) report("scripts/check-docs.mjs", 1, "finds no error in a block that does not compile")
fs.rmSync(planted)

// 5. environment variables

/** Names that look like variables of ours, but are not read as settings. */
const otherNames = new Set([
  // secrets of the repository, which its workflow reads
  "ASTRO_DEPLOYMENT_ID",
  "ASTRO_DEPLOYMENT_NAME",
  // variables of Airflow
  "AIRFLOW_HOME",
  "AIRFLOW_VAR_REGION",
  "AIRFLOW_CTX_DAG_ID",
  // variables of the fixture for pytest
  "AIRFLOW_RESOURCE_COMMAND",
  // variables of the astro CLI
  "ASTRO_HOME",
  "ASTRO_TELEMETRY_DISABLED",
  // variables of the programs that `exec` runs
  "AIRFLOW_API_URL",
  "AIRFLOW_AUTH_TOKEN",
  "AIRFLOW_CLI_TOKEN",
  "AIRFLOW_RESOURCE_FILE",
  "AIRFLOW_RESOURCE_RESOURCE_ID",
  "AIRFLOW_RESOURCE_TYPE",
  "AIRFLOW_RESOURCE_TEST_NAME",
  "AIRFLOW_RESOURCE_CREATION_TIME",
  "AIRFLOW_RESOURCE_WORKER_PID",
  "AIRFLOW_RESOURCE_CREATION_DURATION",
  "AIRFLOW_RESOURCE_DESCRIPTION",
  "AIRFLOW_RESOURCE_STATUS",
  "AIRFLOW_RESOURCE_PROJECT_NAME",
  "AIRFLOW_RESOURCE_BASE_URL",
  "AIRFLOW_RESOURCE_DEPLOYMENT_ID",
  "AIRFLOW_RESOURCE_DEPLOYMENT_NAME",
  "AIRFLOW_RESOURCE_API_URL",
  "AIRFLOW_RESOURCE_API_TOKEN",
  "AIRFLOW_RESOURCE_API_HEADERS",
  "AIRFLOW_RESOURCE_USERNAME",
  "AIRFLOW_RESOURCE_PASSWORD",
  "AIRFLOW_RESOURCE_LEASE_ID",
  "AIRFLOW_RESOURCE_EPOCH",
  "AIRFLOW_RESOURCE_FENCED",
  "AIRFLOW_RESOURCE_UNFENCED_REASON",
  "AIRFLOW_RESOURCE_REUSED",
  "AIRFLOW_RESOURCE_USER",
  "AIRFLOW_RESOURCE_UI_URL",
  "AIRFLOW_RESOURCE_PROJECT_DIRECTORY",
  // variables of this repository's tests
  "AIRFLOW_RESOURCE_CHAOS",
  "AIRFLOW_RESOURCE_CHAOS_SECONDS",
  "AIRFLOW_RESOURCE_CHAOS_SEED",
  "AIRFLOW_RESOURCE_RUNS",
  "AIRFLOW_RESOURCE_SEED",
  "ASTRO_RECORDINGS"
])

const environment = "docs/environment.md"
const documented = new Set()
for (const [at, line] of read(environment).split("\n").entries()) {
  const name = /^\| `([A-Z_]+)` \|/.exec(line)?.[1]
  if (name === undefined) continue
  const [, , defaultCell = "", meaning = ""] = line.split("|").map((cell) => cell.trim())
  const variable = Object.hasOwn(variables, name) ? variables[name] : undefined
  if (documented.has(name)) report(environment, at + 1, `documents ${name} twice`)
  documented.add(name)
  if (variable === undefined) {
    report(environment, at + 1, `documents ${name}, which is not in Settings.variables`)
    continue
  }
  const hasDefault = variable.default !== undefined
  if (hasDefault ? defaultCell !== `\`${variable.default}\`` : !/^(required\b.*)?$/.test(defaultCell)) {
    report(
      environment,
      at + 1,
      `says "${defaultCell}" for the default of ${name}, which is ${variable.default ?? "none"}`
    )
  }
  for (const value of variable.values ?? []) {
    if (!meaning.includes(`\`${value}\``)) {
      report(environment, at + 1, `does not explain \`${value}\`, a value of ${name}`)
    }
  }
}
for (const name of Object.keys(variables)) {
  if (!documented.has(name)) report(environment, 1, `has no row for ${name}`)
}

const known = new Set([...Object.keys(variables), ...Object.keys(internalVariables), ...otherNames])
const allFiles = (folder) =>
  fs.readdirSync(path.join(root, folder), { recursive: true }).filter((name) => /\.(ts|mjs)$/.test(name)).sort()
    .map((name) => `${folder}/${name}`)
/** Names with our prefixes, in code and messages; and every other name that a `Config` reads. */
const namesIn = (text) => [
  ...text.matchAll(/\b((?:AIRFLOW|ASTRO|GITHUB)_[A-Z][A-Z_]*[A-Z])\b/g),
  ...text.matchAll(/\bConfig\.\w+(?:\([^()]*\))?\(\s*"([A-Z][A-Z0-9_]*)"/g)
]
for (
  const file of [...packages.flatMap((folder) => allFiles(`${folder}/src`)), ...allFiles("examples"), ...documents]
) {
  const text = read(file)
  for (const match of namesIn(text)) {
    const line = text.slice(0, match.index).split("\n").length
    if (!known.has(match[1])) report(file, line, `names ${match[1]}, which is not in Settings.variables`)
  }
}

// 6. errors

for (const file of modules) {
  for (const [, name] of read(file).matchAll(/^export class (\w+)\s+extends (?:Schema|Data)\.TaggedError/gm)) {
    if (!read("docs/errors.md").includes(`\`${name}\``)) report("docs/errors.md", 1, `does not name ${name} (${file})`)
  }
}

for (const problem of problems) process.stdout.write(`${problem}\n`)
process.stdout.write(
  `${modules.length} modules, ${exportsSeen} exports, ${documents.length} documents, ${written.size} blocks of code, ` +
    `${documented.size} variables: ${problems.length} problems\n`
)
if (problems.length > 0 || modules.length === 0) process.exitCode = 1
