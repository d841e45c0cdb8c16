// Uses the command as scripts and CI jobs do, against an emulator that several processes share.
import assert from "node:assert/strict"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { promisify } from "node:util"

const bin = "node_modules/.bin/airflow-resource"
const run = async (args, env = {}) =>
  (await promisify(execFile)(bin, args, { env: { ...process.env, ...env }, timeout: 120_000 })).stdout

assert.match(await run(["--version"]), /^\d+\.\d+\.\d+$/m)
assert.equal(JSON.parse(await run(["doctor", "--json"])).ready, true)

const emulator = spawn(bin, ["emulator", "--print-env"], { stdio: ["ignore", "pipe", "inherit"] })
const ended = once(emulator, "exit")
try {
  const env = {}
  for await (const line of createInterface({ input: emulator.stdout })) {
    const [, name, value] = /^export (\w+)='(.*)'$/.exec(line)
    env[name] = value
    if (name === "AIRFLOW_REPO") break
  }
  const { checks, ready } = JSON.parse(await run(["doctor", "--json"], env))
  assert.equal(ready, true, JSON.stringify(checks))
  assert.equal(checks.find(({ check }) => check === "GitHub").state, "pass")
  // creates the ledger, for which SQLite's driver must be built
  assert.deepEqual(JSON.parse(await run(["status", "--json"], env)).slots, [])
} finally {
  emulator.kill("SIGINT")
  await ended
}
