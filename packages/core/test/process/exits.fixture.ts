/** Runs a program that lasts, and exits without ending it: the argument is the file into which that program writes its pid. */
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Effect } from "effect"
import { watchFile } from "node:fs"
import { tmpdir } from "node:os"

const file = process.argv[2] ?? ""
watchFile(file, { interval: 5 }, ({ size }) => {
  if (size > 0) process.exit(0)
})
const source = `require("fs").writeFileSync(${JSON.stringify(file)}, String(process.pid)); setInterval(() => {}, 1000)`
const lasting = Effect.flatMap(
  ProcessRunner.ProcessRunner,
  ({ run }) => run({ command: process.execPath, args: ["-e", source], env: {}, cwd: tmpdir(), timeout: "1 minutes" })
)
await Effect.runPromise(Effect.provide(lasting, ProcessRunner.layer))
