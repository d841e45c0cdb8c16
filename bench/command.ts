/**
 * How soon the command is done: `status`, and `exec -- true` with a woken Airflow, next to a Node that only imports what the command needs
 * from other packages. In turns, because files are read from disk only once. The emulator runs in its own process and responds at once.
 * `npm run bench:command`, about a minute; it needs `npx tsc -b`.
 */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { quantile } from "./compare.js"
import { foreign } from "./foreign.js"

const turns = 9

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "airflow-resource-bench-"))
fs.mkdirSync(path.join(folder, ".git"))
const main = fileURLToPath(new URL("../packages/airflow-resource/bin/airflow-resource.mjs", import.meta.url))

const emulator = spawn(process.execPath, [main, "emulator", "--speed", "100000", "--json"], {
  stdio: ["ignore", "pipe", "inherit"]
})
const [line] = await once(emulator.stdout, "data")
const { astroApiUrl, astroToken, regions: [region], workspaceId } = JSON.parse(String(line))
const env = {
  PATH: process.env["PATH"],
  AIRFLOW_RESOURCE_PROVIDER: "api",
  AIRFLOW_RESOURCE_DELIVERY: "none",
  ASTRO_API_URL: astroApiUrl,
  ASTRO_ACCESS_TOKEN: astroToken,
  ASTRO_WORKSPACE_ID: workspaceId,
  ASTRO_CLOUD_PROVIDER: region.cloudProvider,
  ASTRO_REGION: region.region
}

/** Wall-clock milliseconds of a process. */
const time = (...args: ReadonlyArray<string>): number => {
  const start = performance.now()
  const { status, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    env,
    stdio: ["ignore", "ignore", "pipe"]
  })
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${stderr}`)
  return performance.now() - start
}

const baseline = path.join(folder, "baseline.mjs")
fs.writeFileSync(
  baseline,
  foreign(new URL("../packages/airflow-resource/dist/main.js", import.meta.url).href)
    .map((url) => `import ${JSON.stringify(url)}\n`).join("") + "process.exit()\n"
)
const bare = path.join(folder, "bare.mjs")
fs.writeFileSync(bare, "")

const ways = {
  "bare Node": [bare],
  "dependencies alone": [baseline],
  "status": [main, "status"],
  "exec -- true": [main, "exec", "--", "true"]
}
const times = Object.keys(ways).map((): Array<number> => [])
for (let turn = 0; turn <= turns; turn++) {
  for (const [at, args] of Object.values(ways).entries()) {
    const took = time(...args)
    // the first turn creates the deployment, and reads the files
    if (turn > 0) times[at]?.push(took)
  }
}
for (const [at, name] of Object.keys(ways).entries()) {
  const ratios = times[at]!.map((took, turn) => took / times[1]![turn]!)
  process.stdout.write(
    `${name.padEnd(22)}${quantile(times[at]!, 0.5).toFixed(0).padStart(8)} ms${
      quantile(ratios, 0.5).toFixed(2).padStart(8)
    } ×\n`
  )
}
emulator.kill()
fs.rmSync(folder, { recursive: true })
