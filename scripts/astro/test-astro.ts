/**
 * `npm run test:astro [program…]`: runs the contract suite of DeploymentProvider and whole leases through real astro CLIs over the
 * emulator, one program after the other. Without an argument: `ASTRO_BIN`, else the `astro` on the PATH. Sends requests to loopback only.
 *
 * `ASTRO_RECORDINGS` is a folder with recordings of real programs and another server, one `<version>.jsonl` each. If it is set, the library
 * and our own recordings are compared with them too.
 */
import { Console, Effect } from "effect"
import { resolve } from "node:path"
import * as Run from "../run.js"
import { programAt, programs } from "./program.js"

const config = new URL("vitest.config.ts", import.meta.url)

const test = (bin: string | undefined) =>
  Effect.flatMap(
    Effect.either(programAt(bin)),
    (found) =>
      found._tag === "Left"
        ? Run.outcome(bin ?? "astro", found.left)
        : Effect.zipRight(
          Console.log(`astro ${found.right.version} (${found.right.path})`),
          Run.outcome(
            `astro ${found.right.version}`,
            Run.vitest(config, { duration: "10 minutes", env: { ASTRO_BIN: found.right.path } })
          )
        )
  )

const agreement = (folder: string) =>
  Run.outcome(
    `the recordings in ${folder}`,
    Run.vitest(new URL("agreement.config.ts", import.meta.url), {
      duration: "5 minutes",
      env: { ASTRO_RECORDINGS: resolve(folder) }
    })
  )

const { ASTRO_RECORDINGS } = process.env
await Run.main(Effect.gen(function*() {
  const agreed = ASTRO_RECORDINGS === undefined ? [] : [yield* agreement(ASTRO_RECORDINGS)]
  return [...yield* Effect.forEach(programs, test), ...agreed]
}))
