/** Runs programs for the tests of the packages, without what the surrounding npm adds to the environment. */
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Data, Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"

export class PackagesFailed extends Data.TaggedError("PackagesFailed")<{ readonly message: string }> {}

/** A new folder that is deleted when this process exits, however it does. */
export const temporaryFolder = (prefix: string): string => {
  const folder = fs.realpathSync(fs.mkdtempSync(prefix))
  process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

export interface Options {
  readonly cwd: string
  /** Folders that come before those of PATH. */
  readonly paths?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

/** The developer's settings for us and for Node, and what `npm run` says about this repository. */
const notInherited =
  /^(npm_(?!config_)|npm_config_local_prefix$|AIRFLOW|ASTRO_|GITHUB_|VITEST|NODE_(OPTIONS|PATH|ENV)$|INIT_CWD$)/

const inherited = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined || notInherited.test(name) ? [] : [[name, value]]
  )
)

// `npm run` puts this repository's programs on the PATH
const systemPaths = (inherited["PATH"] ?? "").split(path.delimiter).filter((entry) => !entry.includes("node_modules"))

/** Runs a program and returns what it printed. Fails with all of that if the program does. */
export const run = (command: string, args: ReadonlyArray<string>, { cwd, env, paths = [] }: Options) =>
  Effect.gen(function*() {
    const runner = yield* ProcessRunner.ProcessRunner
    const { exitCode, signal, stderr, stdout } = yield* Effect.mapError(
      runner.run({
        command,
        args,
        cwd,
        env: { ...inherited, ...env, PATH: [...paths, ...systemPaths].join(path.delimiter) },
        timeout: "10 minutes",
        maxOutput: 16 * 2 ** 20
      }),
      ({ message }) => new PackagesFailed({ message })
    )
    if (exitCode === 0) return { stdout: stdout.trim(), stderr: stderr.trim() }
    // marked, so that nothing takes its summary of its own tests for ours
    const output = `${stdout}\n${stderr}`.trim().replace(/^/gm, "| ")
    const what = [path.basename(command), ...args].join(" ")
    return yield* new PackagesFailed({ message: `${what} exited with ${exitCode ?? signal}\n${output}` })
  })
