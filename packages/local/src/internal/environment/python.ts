/** The Python that an environment is made with. */
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import { ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as AirflowVersion from "../../AirflowVersion.js"
import { ofProcess } from "./failure.js"

export interface Python {
  /** Its minor version, such as 3.11. */
  readonly minor: string
  readonly executable: string
}

/** The named Python, or the first on the PATH that the Airflow runs on. */
export const find = (
  version: string,
  named: Option.Option<string>,
  env: Readonly<Record<string, string>>
): Effect.Effect<Python, ProviderError, ProcessRunner> =>
  Effect.gen(function*() {
    const minors = AirflowVersion.pythonsOf(version)
    const unsuitable: Array<string> = []
    const commands = Option.match(named, {
      onNone: () => [...minors.map((minor) => `python${minor}`), "python3"],
      onSome: (command) => [command]
    })
    for (const command of commands) {
      const found = yield* probe(command, env)
      if (found === undefined) continue
      const problem = problemOf(found, minors)
      if (problem === undefined) return found
      unsuitable.push(`${command} is Python ${found.minor}${problem}`)
    }
    return yield* new ProviderError({
      kind: "unusable",
      operation: `find a Python for Airflow ${version}`,
      detail: unsuitable.length > 0
        ? unsuitable.join(", and ")
        : `there is no ${commands.join(", ").replace(/, ([^,]*)$/, " or $1")}`,
      remedy: `It needs Python ${oneOf([...minors].sort(AirflowVersion.order))}: ` +
        "install one, or set AIRFLOW_RESOURCE_PYTHON to its path."
    })
  })

// internal

/** Prints what is known before an import can fail. */
const script = `import sys
print("%d.%d" % sys.version_info[:2])
print(sys.executable)
sys.stdout.flush()
import sqlite3, ssl`

interface Probed extends Python {
  /** A module of the standard library that Airflow or its installation needs. */
  readonly missing: string | undefined
}

/** `undefined`: no such Python, or only a launcher without one. */
const probe = (command: string, env: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const { run } = yield* ProcessRunner
    // a version manager may choose the Python by the current folder
    const cwd = globalThis.process.cwd()
    const ended = yield* run({ command, args: ["-c", script], env, cwd, timeout: "1 minute" })
    const [minor = "", executable = ""] = ended.stdout.split("\n")
    if (!/^\d+\.\d+$/.test(minor) || executable === "") return undefined
    const missing = ended.exitCode === 0 ? undefined : /No module named '(\w+)'/.exec(ended.stderr)?.[1] ?? "sqlite3"
    return { minor, executable, missing }
  }).pipe(
    Effect.catchIf(
      ({ kind }) => kind !== "timedOut",
      () => Effect.succeed(undefined)
    ),
    Effect.mapError(ofProcess("find a Python"))
  )

const problemOf = ({ minor, missing }: Probed, minors: ReadonlyArray<string>): string | undefined => {
  if (!minors.includes(minor)) return ""
  return missing === undefined ? undefined : ` without its module ${missing}`
}

const oneOf = (names: ReadonlyArray<string>) => names.join(", ").replace(/, ([^,]*)$/, " or $1")
