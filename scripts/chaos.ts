/**
 * `npm run chaos`: the pool's proofs at length. The random lives run in processes of 500, two at a time and each with its
 * own seed: this uses two cores, and a failure names a seed that can be run again in minutes. `AIRFLOW_RESOURCE_RUNS` is
 * the number of lives [10,000], `AIRFLOW_RESOURCE_SEED` the first seed [1].
 */
import { Effect } from "effect"
import * as Run from "./run.js"

const config = new URL("../vitest.config.ts", import.meta.url)
const pool = (name: string) => `packages/core/test/pool/${name}.test.ts`

const total = Number(process.env["AIRFLOW_RESOURCE_RUNS"] ?? 10_000)
const each = Math.min(total, 500)
const first = Number(process.env["AIRFLOW_RESOURCE_SEED"] ?? 1)
const seeds = Array.from({ length: Math.ceil(total / each) }, (_, index) => first + index)

const lives = Effect.forEach(seeds, (seed) => {
  const env = { AIRFLOW_RESOURCE_RUNS: String(each), AIRFLOW_RESOURCE_SEED: String(seed) }
  const run = Run.vitest(config, { files: [pool("model")], duration: "2 hours", env })
  return Run.outcome(`${each} lives of seed ${seed}`, run)
}, { concurrency: 2 })

const others = Run.outcome(
  "counterexamples, failpoints, regressions and real processes",
  Run.vitest(config, {
    files: [pool("counterexamples"), pool("failpoints"), pool("regressions"), "test/chaos", "test/reaper"],
    duration: "2 hours",
    env: { AIRFLOW_RESOURCE_CHAOS: "1" }
  })
)

await Run.main(Effect.zipWith(lives, others, (outcomes, outcome) => [...outcomes, outcome]))
