/**
 * Breaks the code on purpose, one rule at a time, in a scratch copy, and checks that the test of the rule fails.
 * `npm run mutants [part of a name]`
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

interface Mutant {
  readonly name: string
  readonly file: string
  /** Occurs once in the file. */
  readonly find: string
  readonly replace: string
  /** The test file. */
  readonly test: string
  /** A part of the full name of the test that has to fail. */
  readonly title: string
}

interface NotApplicable {
  readonly name: string
  /** Why this code has nothing that could be broken in this way. */
  readonly notApplicable: string
}

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = path.dirname(fileURLToPath(import.meta.url))

const read = (file: string): ReadonlyArray<Mutant | NotApplicable> => JSON.parse(fs.readFileSync(file, "utf8"))

/**
 * A copy of the repository. Its packages resolve to each other, and all other dependencies to where they are installed.
 */
const copy = (): string => {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "mutants-"))
  for (const entry of fs.readdirSync(root, { withFileTypes: true })) {
    if (entry.isFile() || ["packages", "test", "scripts", "examples"].includes(entry.name)) {
      fs.cpSync(path.join(root, entry.name), path.join(scratch, entry.name), {
        recursive: true,
        filter: (source) => !["node_modules", "dist"].includes(path.basename(source))
      })
    }
  }
  const modules = path.join(scratch, "node_modules")
  const workspaces = new Set(["airflow-resource", "@airflow-resource"])
  fs.mkdirSync(path.join(modules, "@airflow-resource"), { recursive: true })
  for (const name of fs.readdirSync(path.join(root, "node_modules"))) {
    if (!workspaces.has(name)) fs.symlinkSync(path.join(root, "node_modules", name), path.join(modules, name))
  }
  for (const name of fs.readdirSync(path.join(scratch, "packages"))) {
    const link = name === "airflow-resource" ? name : path.join("@airflow-resource", name)
    fs.symlinkSync(path.join(scratch, "packages", name), path.join(modules, link))
  }
  return scratch
}

/** The full names of the tests that failed. Throws if no test ran, because nothing is proved then. */
const failures = async (scratch: string, test: string, title: string): Promise<ReadonlyArray<string>> => {
  const report = path.join(scratch, "report.json")
  fs.rmSync(report, { force: true })
  const escaped = title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
  const vitest = ["run", test, "-t", escaped, "--reporter=json", `--outputFile=${report}`]
  const run = promisify(execFile)(path.join(scratch, "node_modules/.bin/vitest"), vitest, {
    cwd: scratch,
    timeout: 600_000,
    maxBuffer: 64 * 2 ** 20
  })
  const output = await run.then(
    () => "",
    (error: { readonly stdout?: string; readonly stderr?: string }) => `${error.stdout}\n${error.stderr}`
  )
  if (!fs.existsSync(report)) throw new Error(`no test of ${test} ran: ${output.slice(-2000)}`)
  const { testResults } = JSON.parse(fs.readFileSync(report, "utf8")) as {
    readonly testResults: ReadonlyArray<
      { readonly assertionResults: ReadonlyArray<{ readonly status: string; readonly fullName: string }> }
    >
  }
  const results = testResults.flatMap(({ assertionResults }) => assertionResults)
    .filter(({ fullName }) => fullName.includes(title))
  if (results.length === 0) throw new Error(`no test of ${test} has "${title}" in its name: ${output.slice(-2000)}`)
  return results.filter(({ status }) => status === "failed").map(({ fullName }) => fullName)
}

const withMutant = async <A>(scratch: string, { file, find, replace }: Mutant, body: () => Promise<A>): Promise<A> => {
  const target = path.join(scratch, file)
  const text = fs.readFileSync(target, "utf8")
  const found = text.split(find).length - 1
  if (found !== 1) throw new Error(`${file} contains this ${found} times instead of once: ${find}`)
  fs.writeFileSync(target, text.replace(find, () => replace))
  try {
    return await body()
  } finally {
    fs.writeFileSync(target, text)
  }
}

const print = (line: string) => void process.stdout.write(`${line}\n`)

const [only = ""] = process.argv.slice(2)
const all = ["historical.json", "protocol.json", "astro.json"].flatMap((file) => read(path.join(folder, file)))
  .filter(({ name }) => name.includes(only))
const scratch = copy()
process.on("exit", () => fs.rmSync(scratch, { recursive: true, force: true }))
let survivors = 0

for (const mutant of all) {
  if ("notApplicable" in mutant) {
    print(`n/a       ${mutant.name}: ${mutant.notApplicable}`)
    continue
  }
  const problem = await (async () => {
    const before = await failures(scratch, mutant.test, mutant.title)
    if (before.length > 0) return `fails without the mutant too: ${before.join(", ")}`
    const after = await withMutant(scratch, mutant, () => failures(scratch, mutant.test, mutant.title))
    return after.length === 0 ? `survives "${mutant.title}" in ${mutant.test}` : undefined
  })().catch((error: Error) => error.message)
  if (problem !== undefined) survivors += 1
  print(problem === undefined ? `killed    ${mutant.name}: ${mutant.title}` : `SURVIVED  ${mutant.name} ${problem}`)
}
print(`${all.length} mutants, ${survivors} not killed`)
process.exitCode = survivors === 0 ? 0 : 1
