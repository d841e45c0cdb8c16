/** The command line, one file per subcommand. */
import { Command, CommanderError } from "commander"
import * as Effect from "effect/Effect"
import { cache } from "./cache.js"
import { completion } from "./completion.js"
import { doctor } from "./doctor.js"
import { drain } from "./drain.js"
import { emulator } from "./emulator.js"
import { events } from "./events.js"
import { exec } from "./exec.js"
import * as Failure from "./failure.js"
import { lease } from "./lease.js"
import { local } from "./local.js"
import * as Output from "./output.js"
import { reap } from "./reap.js"
import { release } from "./release.js"
import { report } from "./report.js"
import { reset } from "./reset.js"
import { run } from "./run.js"
import { status } from "./status.js"
import type { Run } from "./usage.js"
import * as Usage from "./usage.js"
import { version } from "./version.js"
import { warm } from "./warm.js"

export interface Parsed {
  readonly command: Parameters<Run>[0]
  readonly exitCodes: Failure.ExitCodes
}

/** Help and the explanation of wrong usage are commands too. */
export const parse = (args: ReadonlyArray<string>): Parsed => {
  let parsed: Parsed = { command: Effect.void, exitCodes: {} }
  const printed = { out: "", err: "" }
  const program = describe((command, exitCodes = {}) => {
    parsed = { command, exitCodes }
  }, printed)
  try {
    const unknown = args[0] === "help" ? unknownIn(program, args.slice(1)) : undefined
    if (unknown !== undefined) program.error(`error: there is no command '${unknown}' to explain`)
    program.parse(args.length === 0 ? ["--help"] : args, { from: "user" })
    return parsed
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return {
      exitCodes: {},
      command: error.exitCode === 0
        ? Output.print(printed.out.trimEnd())
        : Effect.zipRight(Output.say(printed.err.trimEnd()), new Failure.Exit({ exitCode: 2 }))
    }
  }
}

/** Every subcommand. */
const subcommands = [
  doctor,
  run,
  exec,
  lease,
  warm,
  status,
  events,
  report,
  reap,
  drain,
  release,
  reset,
  cache,
  local,
  emulator,
  completion
]

const describe = (start: Run, printed: { out: string; err: string }): Command => {
  const program = new Command("airflow-resource")
    .description("Leases real Airflows to tests and other programs, from a pool that many share.")
    .version(version, "-v, --version", "print the version")
    .helpOption("-h, --help", "explain this command")
    .helpCommand("help [command]", "explain a command")
    .configureHelp({
      helpWidth: 80,
      subcommandTerm: (command) =>
        [
          command.name(),
          ...command.registeredArguments.map((one) => one.required ? `<${one.name()}>` : `[${one.name()}]`)
        ].join(" ")
    })
    .configureOutput({
      writeOut: (text) => {
        printed.out += text
      },
      writeErr: (text) => {
        printed.err += text
      },
      getOutHasColors: () => false,
      getErrHasColors: () => false
    })
    .exitOverride()
    .enablePositionalOptions()
    .addHelpText(
      "after",
      Usage.footer({
        examples: [
          "airflow-resource doctor",
          "airflow-resource exec -- ./load-test.sh",
          "airflow-resource drain"
        ],
        variables: {
          AIRFLOW_RESOURCE_PROVIDER: "local, cli, api or emulator: where Airflows run",
          AIRFLOW_RESOURCE_MAX: "how many there may be at a time"
        },
        exitCodes: { 3: "deployments are still awake or held" }
      }) + "\n\nMore: https://github.com/airflow-resource/airflow-resource/tree/main/docs"
    )
  for (const add of subcommands) {
    const added = add(program, start)
    const all = added.commands.length === 0 ? [added] : added.commands
    for (const one of all) one.showHelpAfterError(`(${pathOf(one)} --help explains it)`)
  }
  return program.showHelpAfterError("(airflow-resource --help lists what there is)")
}

const unknownIn = (command: Command, [name, ...others]: ReadonlyArray<string>): string | undefined => {
  const found = command.commands.find((one) => one.name() === name)
  return name === undefined ? undefined : found === undefined ? name : unknownIn(found, others)
}

const pathOf = (command: Command): string =>
  command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
