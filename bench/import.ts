/**
 * What importing each entry point costs compared with importing only what it needs from other packages, as a ratio. Each is imported by a
 * Node of its own, in turns, because files are read from disk only once. `npm run bench:import`, a few minutes; it needs `npx tsc -b`.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { quantile } from "./compare.js"
import { foreign } from "./foreign.js"

const entries = [
  "@airflow-resource/airflow",
  "@airflow-resource/core",
  "@airflow-resource/astro",
  "@airflow-resource/github",
  "@airflow-resource/local",
  "@airflow-resource/emulator",
  "airflow-resource",
  "@airflow-resource/testing",
  "@airflow-resource/testing/vitest"
]

const turns = 5

/** Takes the place of vitest. */
const hooks = `data:text/javascript,${
  encodeURIComponent(`
    const stub = "const f = new Proxy(function() {}, { get: () => f, apply: () => f });" +
      "export { f as test, f as expect, f as vi }"
    export const resolve = (name, context, next) => name === "vitest"
      ? { url: "data:text/javascript," + encodeURIComponent(stub), shortCircuit: true }
      : next(name, context)
  `)
}`

/** The CPU time in which a Node imports modules, in milliseconds: on a busy machine, it varies less than the clock's. */
const time = (urls: ReadonlyArray<string>, folder: string): number => {
  const program = path.join(folder, "program.mjs")
  fs.writeFileSync(path.join(folder, "modules.mjs"), urls.map((url) => `import ${JSON.stringify(url)}\n`).join(""))
  fs.writeFileSync(
    program,
    `import { register } from "node:module"
register(${JSON.stringify(hooks)})
await import("node:fs")
const start = process.cpuUsage()
await import("./modules.mjs")
const { system, user } = process.cpuUsage(start)
process.stdout.write(String((system + user) / 1000))
process.exit()
`
  )
  return Number(execFileSync(process.execPath, [program], { encoding: "utf8" }))
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "airflow-resource-bench-"))
const write = (...cells: ReadonlyArray<string>) =>
  process.stdout.write(`${cells.map((cell, at) => at === 0 ? cell.padEnd(36) : cell.padStart(14)).join("")}\n`)
write("entry point", "ours", "dependencies", "ratio")
for (const entry of entries) {
  const [ours, baseline] = [[import.meta.resolve(entry)], foreign(entry)]
  const pairs = Array.from({ length: turns }, () => [time(ours, folder), time(baseline, folder)] as const)
  const median = (of: (pair: readonly [number, number]) => number) => quantile(pairs.map(of), 0.5)
  write(
    entry,
    `${median(([ours]) => ours).toFixed(0)} ms`,
    `${median(([, baseline]) => baseline).toFixed(0)} ms`,
    median(([ours, baseline]) => ours / baseline).toFixed(2)
  )
}
fs.rmSync(folder, { recursive: true })
