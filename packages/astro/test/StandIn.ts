import { Effect } from "effect"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** How the stand-in misbehaves. */
export interface Options {
  readonly mood?: string
  /** Only in calls with these arguments. */
  readonly when?: string
  readonly version?: string
}

/** One call of it, as it saw it. */
export interface Call {
  readonly argv: ReadonlyArray<string>
  readonly env: Record<string, string>
  readonly cwd: string
  readonly pid: number
}

/** A program that stands in for the astro CLI, and what it was called with. */
export const make = (options: Options = {}) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "astro-stand-in-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ),
    (folder) => {
      const [bin, log] = [join(folder, "astro"), join(folder, "log")]
      const program = new URL("astro-stand-in.mjs", import.meta.url).href
      // the folder holds nothing else of Node's: its env is that of the real program, which needs no PATH
      const text = `#!${process.execPath}\nglobalThis.standIn = ${JSON.stringify({ ...options, log })}\n` +
        `import(${JSON.stringify(program)})\n`
      writeFileSync(bin, text, { mode: 0o755 })
      return {
        bin,
        folder,
        calls: Effect.sync((): ReadonlyArray<Call> =>
          // what comes after the last line's end is still being written
          existsSync(log) ? readFileSync(log, "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line)) : []
        )
      }
    }
  )

/** Whether a process still runs; one that only waits to be reaped does not. */
export const runs = (pid: number) => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}
