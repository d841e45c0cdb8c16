import { spawn } from "node:child_process"
import { createRequire } from "node:module"
import * as path from "node:path"
import { assert, it } from "vitest"

const vitest = path.join(path.dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs")

/** Everything that a vitest run prints; it is meant to fail. */
const output = (canary: string) =>
  new Promise<string>((resolve, reject) => {
    const child = spawn(process.execPath, [vitest, "run", "--config", "test/fixtures/vitest.config.ts"], {
      cwd: path.join(import.meta.dirname, ".."),
      env: { PATH: process.env["PATH"], CANARY: canary, NO_COLOR: "1" },
      timeout: 60_000,
      killSignal: "SIGKILL"
    })
    let text = ""
    child.stdout.on("data", (chunk) => text += chunk)
    child.stderr.on("data", (chunk) => text += chunk)
    child.once("error", reject)
    child.once("exit", () => resolve(text))
  })

it("no secret is in what vitest prints of a failing test, its serialized errors included", async () => {
  const canary = "canary-7b1e9d4c5a"
  const text = await output(canary)
  assert.match(text, /Tests {2}4 failed/, text)
  assert.notInclude(text, canary)
  // the lease's own token is a JWT: no part of one may be there either
  assert.notMatch(text, /eyJ[\w-]{10,}/)
  assert.include(text, "<redacted>")
}, 70_000)
