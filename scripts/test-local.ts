/**
 * `npm run test:local [file…]` runs all `*.local.ts` suites, or those whose path contains an argument. They install real Airflows and run
 * them, and need a Python.
 */
import { Effect } from "effect"
import * as Run from "./run.js"

const config = new URL("local/vitest.config.ts", import.meta.url)
const files = process.argv.slice(2)

await Run.main(
  Effect.map(
    Run.outcome("the local Airflows", Run.vitest(config, { duration: "60 minutes", env: {}, files })),
    (outcome) => [outcome]
  )
)
