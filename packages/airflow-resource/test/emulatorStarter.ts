/** Starts an emulator, prints its process and its address, and does nothing more. */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const child = spawn(process.execPath, [
  ...process.execArgv,
  fileURLToPath(new URL("../src/main.ts", import.meta.url)),
  "emulator",
  "--json",
  ...process.argv.slice(2)
], { stdio: ["ignore", "pipe", "inherit"] })

child.stdout.once("data", (line) => {
  process.stdout.write(`${JSON.stringify({ pid: child.pid, url: JSON.parse(line).url })}\n`)
})
