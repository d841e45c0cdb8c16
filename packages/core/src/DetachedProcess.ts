/**
 * A process of Node that outlives this one and its terminal.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * What to start, and where it logs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The module to run: a `.js` file, or a `.ts` file of this project's sources. */
  readonly entry: URL
  /** Must contain no secret: every user of the machine can read them. */
  readonly args?: ReadonlyArray<string>
  /** Its standard input. May contain secrets. */
  readonly stdin: string
  /** The file that its output is added to. It is for this user alone, and starts again once it is longer than a megabyte. */
  readonly log: string
}

/**
 * @since 0.1.0
 * @category errors
 */
export class NotStarted extends Schema.TaggedError<NotStarted>("@airflow-resource/core/DetachedProcess/NotStarted")(
  "NotStarted",
  { detail: Schema.String, log: Schema.String }
) {
  override get message(): string {
    return `Could not start a process in the background: ${this.detail}. Its log would have been ${this.log}.`
  }
}

/**
 * Succeeds once the process can do without this one: it is on its own, and its input is on its way.
 *
 * @example
 * ```ts
 * import * as DetachedProcess from "@airflow-resource/core/DetachedProcess"
 *
 * export const started = DetachedProcess.start({
 *   entry: new URL("./worker.js", import.meta.url),
 *   stdin: "",
 *   log: "/tmp/worker.log"
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = ({ args = [], entry, log, stdin }: Options): Effect.Effect<void, NotStarted> =>
  Effect.tryPromise({
    try: async () => {
      // loaded here, so that importing this module does not need Node
      const [{ spawn }, fs, { createRequire }, process, { fileURLToPath, pathToFileURL }] = await Promise.all([
        import("node:child_process"),
        import("node:fs"),
        import("node:module"),
        import("node:process"),
        import("node:url")
      ])
      // from the sources, TypeScript has to be translated
      const translator = entry.pathname.endsWith(".ts")
        ? [
          "--conditions=@airflow-resource/source",
          `--import=${pathToFileURL(createRequire(import.meta.url).resolve("tsx"))}`
        ]
        : []
      // coverage would be written into the folder of a run that has ended; and no debugger attaches to a process in the background
      const { NODE_OPTIONS = "", NODE_V8_COVERAGE: _coverage, ...rest } = process.env
      // a link is refused: others may write to the folder, too
      const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = fs.constants
      const output = fs.openSync(log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
      try {
        if (fs.fstatSync(output).size > longestLog) fs.ftruncateSync(output)
        // the shell ends at once, so that the process is not killed together with the descendants of this one
        const script = `exec 3<&0; "$0" "$@" <&3 3<&- &`
        const node = [process.execPath, ...limits, ...translator, fileURLToPath(entry), ...args]
        await new Promise<void>((resolve, reject) => {
          const child = spawn("/bin/sh", ["-c", script, ...node], {
            detached: true,
            stdio: ["pipe", output, output],
            env: { ...rest, NODE_OPTIONS: NODE_OPTIONS.replace(/--inspect\S*/g, "") }
          })
          child.once("error", reject)
          child.stdin!.once("error", reject)
          child.stdin!.end(stdin, () => resolve())
          child.unref()
        })
      } finally {
        fs.closeSync(output)
      }
    },
    catch: (cause) => new NotStarted({ detail: cause instanceof Error ? cause.message : String(cause), log })
  }).pipe(Effect.uninterruptible)

// internal

/** It has little to do: a small heap is enough. */
const limits = ["--max-old-space-size=64", "--max-semi-space-size=1", "--optimize-for-size"]

/** Bytes. */
const longestLog = 1_000_000
