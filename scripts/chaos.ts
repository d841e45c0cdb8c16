/**
 * `npm run chaos`: the pool's proofs at length. The random lives come in processes of 500, each with a seed of its own: what has crashed
 * in a simulated world is never collected. `AIRFLOW_RESOURCE_RUNS` and `AIRFLOW_RESOURCE_SEED` (the first one) change them.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url))

const run = (files: ReadonlyArray<string>, env: Record<string, string>) =>
  new Promise<boolean>((resolve) => {
    const child = spawn(process.execPath, [vitest, "run", ...files], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "inherit", "inherit"]
    })
    child.once("error", () => resolve(false))
    child.once("exit", (code) => resolve(code === 0))
  })

const each = 500
const count = Math.ceil(Number(process.env["AIRFLOW_RESOURCE_RUNS"] ?? 10_000) / each)
const first = Number(process.env["AIRFLOW_RESOURCE_SEED"] ?? 1)
const seeds = Array.from({ length: count }, (_, index) => first + index)

/** Two at a time. */
const lives = async (): Promise<ReadonlyArray<number>> => {
  const failed: Array<number> = []
  const worker = async () => {
    for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
      const env = { AIRFLOW_RESOURCE_RUNS: String(each), AIRFLOW_RESOURCE_SEED: String(seed) }
      if (!(await run(["packages/core/test/pool/model.test.ts"], env))) failed.push(seed)
    }
  }
  await Promise.all([worker(), worker()])
  return failed
}

const failed = await lives()
const others = ["counterexamples", "failpoints", "regressions"].map((name) => `packages/core/test/pool/${name}.test.ts`)
const isWell = await run([...others, "test/chaos"], { AIRFLOW_RESOURCE_CHAOS: "1" })
process.stdout.write(
  `${count * each} lives, ${failed.length === 0 ? "no seed failed" : `failed: seeds ${failed.join(", ")}`}; ` +
    `the rest ${isWell ? "passed" : "failed"}\n`
)
process.exitCode = isWell && failed.length === 0 ? 0 : 1
