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

interface Result {
  readonly status: string
  readonly fullName: string
}

/** Runs the tests of a file that have one of the titles in their names. */
const results = async (
  scratch: string,
  test: string,
  titles: ReadonlyArray<string>
): Promise<ReadonlyArray<Result>> => {
  const report = path.join(scratch, "report.json")
  fs.rmSync(report, { force: true })
  const pattern = titles.map((title) => title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")
  const vitest = ["run", test, "-t", pattern, "--reporter=json", `--outputFile=${report}`]
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
    readonly testResults: ReadonlyArray<{ readonly assertionResults: ReadonlyArray<Result> }>
  }
  return testResults.flatMap(({ assertionResults }) => assertionResults)
}

/** The full names of the tests with this title that failed. Throws if none ran, because nothing is proved then. */
const failures = (all: ReadonlyArray<Result>, { test, title }: Mutant): ReadonlyArray<string> => {
  const ran = all.filter(({ fullName, status }) =>
    fullName.includes(title) && (status === "passed" || status === "failed")
  )
  if (ran.length === 0) throw new Error(`no test of ${test} has "${title}" in its name`)
  return ran.filter(({ status }) => status === "failed").map(({ fullName }) => fullName)
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
const all = ["historical.json", "protocol.json", "astro.json", "airflow.json", "local.json"].flatMap((file) =>
  read(path.join(folder, file))
)
  .filter(({ name }) => name.includes(only))
const mutants = all.filter((one): one is Mutant => "find" in one)
for (const one of all) if ("notApplicable" in one) print(`n/a       ${one.name}: ${one.notApplicable}`)
let survivors = 0

/** Tries the mutants of one file of tests: first its tests without any. */
const tryAll = async (scratch: string, test: string): Promise<void> => {
  const own = mutants.filter((mutant) => mutant.test === test)
  const unbroken = await results(scratch, test, [...new Set(own.map(({ title }) => title))])
    .catch((error: Error) => error)
  for (const mutant of own) {
    const problem = await (async () => {
      if (unbroken instanceof Error) throw unbroken
      const before = failures(unbroken, mutant)
      if (before.length > 0) return `fails without the mutant too: ${before.join(", ")}`
      const after = failures(
        await withMutant(scratch, mutant, () => results(scratch, test, [mutant.title])),
        mutant
      )
      return after.length === 0 ? `survives "${mutant.title}" in ${test}` : undefined
    })().catch((error: Error) => error.message)
    if (problem !== undefined) survivors += 1
    print(problem === undefined ? `killed    ${mutant.name}: ${mutant.title}` : `SURVIVED  ${mutant.name} ${problem}`)
  }
}

const count = (test: string) => mutants.filter((mutant) => mutant.test === test).length
const tests = [...new Set(mutants.map(({ test }) => test))].sort((a, b) => count(b) - count(a)).values()
// two at a time: much of a short run of vitest is its start, on one core
await Promise.all([1, 2].map(async () => {
  const scratch = copy()
  process.on("exit", () => fs.rmSync(scratch, { recursive: true, force: true }))
  for (const test of tests) await tryAll(scratch, test)
}))
print(`${all.length} mutants, ${survivors} not killed`)
process.exitCode = survivors === 0 ? 0 : 1
