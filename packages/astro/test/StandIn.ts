import { Effect } from "effect"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** How the stand-in behaves. */
export interface Options {
  /** One of the `moods` in `astro-stand-in.mjs`. Default: works like the real program. */
  readonly mood?: string
  /** Applies the mood only to calls whose arguments contain this. */
  readonly when?: string
  readonly version?: string
}

/** One call, as the stand-in received it. */
export interface Call {
  readonly argv: ReadonlyArray<string>
  readonly env: Record<string, string>
  readonly cwd: string
  readonly pid: number
}

/** A program that replaces the astro CLI, and its calls. */
export const make = (options: Options = {}) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "astro-stand-in-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ),
    (folder) => {
      const [bin, log] = [join(folder, "astro"), join(folder, "log")]
      const program = new URL("astro-stand-in.mjs", import.meta.url).href
      // the absolute path of Node, because the program's environment has a PATH without it
      const text = `#!${process.execPath}\nglobalThis.standIn = ${JSON.stringify({ ...options, log })}\n` +
        `import(${JSON.stringify(program)})\n`
      writeFileSync(bin, text, { mode: 0o755 })
      return {
        bin,
        folder,
        calls: Effect.sync((): ReadonlyArray<Call> =>
          // text after the last newline is still being written
          existsSync(log) ? readFileSync(log, "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line)) : []
        )
      }
    }
  )

/** Whether a process still runs. A zombie does not. */
export const runs = (pid: number) => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}
