/**
 * The only place that starts programs. Whatever happens to the caller, no process that was started is left running.
 *
 * @since 0.1.0
 */
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as TimeLimit from "@airflow-resource/airflow/TimeLimit"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as ChildProcess from "node:child_process"

/**
 * A program to run, and its limits.
 *
 * @since 0.1.0
 * @category models
 */
export interface Command {
  /** A path, or a name that is searched for on `env.PATH`. */
  readonly command: string
  /** Must contain no secret: every user of the machine can read them. */
  readonly args: ReadonlyArray<string>
  /** The whole environment of the program; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Its standard input [empty, so that a program that prompts ends at once]. */
  readonly stdin?: string | undefined
  readonly timeout: Duration.DurationInput
  /** How long it may run on after SIGTERM, before SIGKILL [2 seconds]. */
  readonly grace?: Duration.DurationInput | undefined
  /** How many bytes of each output stream are kept [1 MiB]. */
  readonly maxOutput?: number | undefined
  /** What to do if the program does not exist. */
  readonly remedy?: string | undefined
}

/**
 * How a program ended, and its output, which may contain secrets.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ended {
  /** `null` if a signal ended it. */
  readonly exitCode: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
  /** The output was longer than is kept; its beginning was kept. */
  readonly isCut: boolean
}

/**
 * A program did not run to its end. Contains neither its arguments nor its environment nor its output.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProcessError extends Schema.TaggedError<ProcessError>("@airflow-resource/core/ProcessError")(
  "ProcessError",
  {
    kind: Schema.Literal("notFound", "cannotStart", "timedOut"),
    /** The program's name, without its arguments. */
    command: Schema.String,
    detail: Schema.String,
    remedy: Schema.String
  }
) {
  override get message(): string {
    return `Could not run ${this.command}: ${this.detail}. ${this.remedy}`
  }
  get retryable(): boolean {
    return this.kind === "timedOut"
  }
}

/**
 * @since 0.1.0
 * @category tags
 */
export class ProcessRunner extends Context.Tag("@airflow-resource/core/ProcessRunner")<
  ProcessRunner,
  {
    /**
     * Runs a program to its end, whatever its exit code. A timeout or an interruption ends its whole process group, first with SIGTERM,
     * then with SIGKILL. Processes that the program leaves behind in its group are killed when it ends.
     */
    readonly run: (command: Command) => Effect.Effect<Ended, ProcessError>
  }
>() {}

/**
 * Runs programs on this machine. Those that are still running when this process exits are killed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ProcessRunner> = Layer.scoped(
  ProcessRunner,
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    // loaded here, so that importing this module does not need Node
    const [{ spawn }, { existsSync }] = yield* Effect.promise(() =>
      Promise.all([import("node:child_process"), import("node:fs")])
    )
    const { process } = globalThis
    const groups = new Set<number>()
    const killAll = () => groups.forEach((group) => signal(group, "SIGKILL"))
    yield* Effect.acquireRelease(
      Effect.sync(() => process.on("exit", killAll)),
      () => Effect.sync(() => process.off("exit", killAll))
    )

    const start = (spec: Command): Effect.Effect<Running, ProcessError> =>
      Effect.gen(function*() {
        const exited = yield* Deferred.make<Pick<Ended, "exitCode" | "signal">>()
        const closed = yield* Deferred.make<void>()
        return yield* Effect.async<Running, ProcessError>((resume) => {
          const fail = (code: string | undefined) => resume(notStarted(spec, code, existsSync(spec.cwd)))
          try {
            const child = spawn(spec.command, spec.args, {
              cwd: spec.cwd,
              env: spec.env,
              detached: true,
              stdio: [spec.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"]
            })
            const { pid: group } = child
            child.once("error", (error: NodeJS.ErrnoException) => fail(error.code))
            if (group === undefined) return
            groups.add(group)
            const limit = spec.maxOutput ?? 1024 * 1024
            const [stdout, stderr] = [keepStart(child.stdout, limit), keepStart(child.stderr, limit)]
            child.once("exit", (exitCode, name) => {
              // before anything else, because the number of an empty group may be reused
              signal(group, "SIGKILL")
              groups.delete(group)
              Deferred.unsafeDone(exited, Effect.succeed({ exitCode, signal: name }))
            })
            child.once("close", () => Deferred.unsafeDone(closed, Effect.void))
            // the program may end without reading its input
            child.stdin?.on("error", () => {})
            child.stdin?.end(spec.stdin)
            resume(Effect.succeed({ child, group, exited, closed, stdout, stderr }))
          } catch (error) {
            fail((error as NodeJS.ErrnoException).code)
          }
        })
      })

    const finish = ({ closed, exited, stderr, stdout }: Running) =>
      Effect.gen(function*() {
        const exit = yield* Deferred.await(exited)
        // a process that left the group may keep the pipes open for ever
        yield* Effect.timeoutOption(Deferred.await(closed), "1 seconds")
        return { ...exit, stdout: stdout.text(), stderr: stderr.text(), isCut: stdout.isCut() || stderr.isCut() }
      })

    const stop = (spec: Command) => ({ child, exited, group }: Running) =>
      Effect.gen(function*() {
        if (yield* Deferred.isDone(exited)) return
        const exitWithin = (time: Duration.DurationInput) =>
          Deferred.await(exited).pipe(Effect.interruptible, Effect.timeoutOption(time))
        signal(group, "SIGTERM")
        if (Option.isSome(yield* exitWithin(spec.grace ?? "2 seconds"))) return
        signal(group, "SIGKILL")
        yield* exitWithin("2 seconds")
      }).pipe(Effect.ensuring(Effect.sync(() => {
        child.stdout?.destroy()
        child.stderr?.destroy()
      })))

    return ProcessRunner.of({
      run: (spec) =>
        pin(Effect.acquireUseRelease(
          start(spec),
          (running) =>
            TimeLimit.fail(finish(running), {
              limit: spec.timeout,
              onTimeout: () =>
                failure(
                  spec,
                  "timedOut",
                  `it was still running after ${Duration.format(Duration.decode(spec.timeout))}`
                )
            }),
          stop(spec)
        ))
    })
  })
)

/**
 * Starts no program: `run` returns how each of them ends, and should die for a program that was not stubbed.
 *
 * @example
 * ```ts
 * import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
 * import * as Effect from "effect/Effect"
 *
 * export const runner = ProcessRunner.layerTest(({ args }) =>
 *   args[0] === "version"
 *     ? Effect.succeed({ exitCode: 0, signal: null, stdout: "1.0.0\n", stderr: "", isCut: false })
 *     : Effect.dieMessage(`${args[0]} is not stubbed`)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (
  run: (command: Command) => Effect.Effect<Ended, ProcessError>
): Layer.Layer<ProcessRunner> => Layer.succeed(ProcessRunner, { run })

// internal

interface Running {
  readonly child: ChildProcess.ChildProcess
  readonly group: number
  readonly exited: Deferred.Deferred<Pick<Ended, "exitCode" | "signal">>
  readonly closed: Deferred.Deferred<void>
  readonly stdout: Kept
  readonly stderr: Kept
}

interface Kept {
  readonly text: () => string
  readonly isCut: () => boolean
}

/** Reads all output, so that the program is never blocked, and keeps its beginning. */
const keepStart = (stream: NodeJS.ReadableStream | null, limit: number): Kept => {
  const chunks: Array<Uint8Array> = []
  let kept = 0
  let isCut = false
  stream?.on("error", () => {})
  stream?.on("data", (chunk: Uint8Array) => {
    const part = chunk.subarray(0, limit - kept)
    if (part.length < chunk.length) isCut = true
    if (part.length > 0) chunks.push(part)
    kept += part.length
  })
  return { text: () => Buffer.concat(chunks).toString("utf8"), isCut: () => isCut }
}

/** Signals every process of the group, if there is still one. */
const signal = (group: number, name: "SIGTERM" | "SIGKILL") => {
  try {
    globalThis.process.kill(-group, name)
  } catch {
    // the group has ended
  }
}

const failure = (
  spec: Command,
  kind: ProcessError["kind"],
  detail: string,
  remedy = "Run it by hand to see why, or try again later."
) => new ProcessError({ kind, command: nameOf(spec.command), detail, remedy })

const nameOf = (command: string) => command.split("/").at(-1) ?? command

/** Uses only the code of Node's error, because its message contains the arguments. */
const notStarted = (spec: Command, code: string | undefined, hasFolder: boolean): ProcessError => {
  if (!hasFolder) {
    return failure(spec, "cannotStart", `the folder ${spec.cwd} does not exist`, "Create it, or choose another.")
  }
  if (code === "ENOENT") {
    return failure(
      spec,
      "notFound",
      "the program does not exist",
      spec.remedy ?? "Install it, or put its folder on the PATH."
    )
  }
  return code === "EACCES"
    ? failure(spec, "cannotStart", "it is not executable", "Check the permissions of the file.")
    : failure(spec, "cannotStart", `the system refused to start it (${code ?? "unknown"})`)
}
