/**
 * `npm run test:packages [part of a name…]` packs all packages, checks the tarballs, and uses them from projects outside the workspace, with
 * several package managers and versions of Node.js. Needs the network.
 */
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Duration, Effect } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Consumer from "./packages/Consumer.js"
import * as Shell from "./packages/Shell.js"
import * as Tarballs from "./packages/Tarballs.js"
import * as Toolchain from "./packages/Toolchain.js"
import * as Run from "./run.js"

/** Each project, package manager and version of Node.js at least once: all combinations would take an hour. */
const consumers: ReadonlyArray<Consumer.Consumer> = [
  { project: "effect3", manager: "npm", node: "20.19" },
  { project: "effect3", manager: "yarn", node: "22" },
  { project: "vitest5", manager: "pnpm", node: "24" },
  { project: "effect4", manager: "npm", node: "22" },
  { project: "command", manager: "npm", node: "24" }
]

const only = process.argv.slice(2)
const isWanted = (name: string) => only.length === 0 || only.some((part) => name.includes(part))

const script = Effect.gen(function*() {
  const folder = Shell.temporaryFolder(path.join(os.tmpdir(), "airflow-packages-"))
  const [tarballs, tools] = yield* Effect.all([Tarballs.pack(folder), Toolchain.ensure], { concurrency: 2 })
  // prebuild-install searches for this file from the driver's folder upwards
  fs.writeFileSync(path.join(folder, ".prebuild-installrc"), JSON.stringify({ "local-prebuilds": tools.drivers }))
  const tests = [
    ...consumers.map((consumer) => ({
      name: `${consumer.project} with ${consumer.manager} on Node ${consumer.node}`,
      test: Consumer.test(consumer, { folder, tarballs, tools })
    })),
    ...tarballs.map((tarball) => ({ name: tarball.name, test: Tarballs.check(tarball) }))
  ]
  const outcomes = yield* Effect.forEach(
    tests.filter(({ name }) => isWanted(name)),
    ({ name, test }) =>
      Effect.timed(Run.outcome(name, test)).pipe(
        Effect.map(([took, { line, ok }]) => ({ ok, line: `${line} (${Math.round(Duration.toSeconds(took))} s)` }))
      ),
    { concurrency: 2 }
  )
  return [...outcomes, Run.summary(outcomes)]
})

await Run.main(Effect.provide(script, ProcessRunner.layer))
