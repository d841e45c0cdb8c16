import { Option } from "commander"
import * as Effect from "effect/Effect"
import * as Options from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as fs from "node:fs"
import process from "node:process"
import * as Emulated from "../emulated.js"
import { documented, print } from "./output.js"
import * as Usage from "./usage.js"

export const emulator: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("emulator"), "print one line of JSON when it is ready")
    .summary("an emulated Astro, GitHub and Airflow")
    .description(
      "Runs an emulator of Astro, GitHub and Airflow on loopback, until it is interrupted or the process that started " +
        "it ends. Its deployments end with it."
    )
    .option(
      "--port <number>",
      "where to listen on 127.0.0.1 (default: a free port)",
      Usage.number((port) => Number.isInteger(port) && port >= 1 && port <= 65_535, "a port from 1 to 65535")
    )
    .option(
      "--speed <factor>",
      "how many times as fast as the real services",
      Usage.number((speed) => speed > 0 && speed < Infinity, "a number greater than 0"),
      100
    )
    .option(
      "--seed <number>",
      "the same seed gives the same ids",
      Usage.number(Number.isSafeInteger, "an integer"),
      1
    )
    .option("--dags <file>", "a JSON list of the DAGs that every Airflow has, instead of hello_world_dag")
    .option("--astro-home <folder>", "becomes an ASTRO_HOME for the astro CLI while the emulator runs")
    .addOption(
      new Option("--print-env", "print the variables as export commands for a shell").conflicts(["json", "output"])
    )
    .option("--detach", "go on after the process that started it has ended")
    .addHelpText(
      "after",
      Usage.footer({
        examples: [
          "airflow-resource emulator",
          "airflow-resource emulator --print-env > emulator.env &",
          "airflow-resource emulator --json --port 8080 --speed 1000"
        ]
      })
    )
    .action(({ astroHome, dags, detach = false, port = 0, printEnv = false, seed, speed, ...format }: Chosen) => {
      const asJson = Usage.isJson(format)
      const render = asJson ? Emulated.asJson : printEnv ? Emulated.exports : Emulated.render
      run(
        Emulated.start({
          port,
          seed,
          speed,
          astroHome: Options.fromNullable(astroHome),
          dagFile: Options.fromNullable(dags)
        }).pipe(
          Effect.map(render),
          documented(asJson),
          Effect.flatMap(print),
          Effect.zipRight(detach ? Effect.never : orphaned),
          Effect.scoped
        )
      )
    })

// internal

interface Chosen extends Usage.Format {
  readonly port?: number
  readonly speed: number
  readonly seed: number
  readonly astroHome?: string
  readonly dags?: string
  readonly printEnv?: boolean
  readonly detach?: boolean
}

/** Ends when the process that started this one has ended: this one, or the shell that npm has put between, has another parent then. */
const orphaned = Effect.suspend(() => {
  const parents = () =>
    process.env["npm_command"] === undefined ? [process.ppid] : [process.ppid, parentOf(process.ppid)]
  const before = parents()
  return Effect.repeat(Effect.sync(parents), {
    until: (now) => now.some((parent, index) => parent !== before[index]),
    schedule: Schedule.spaced("500 millis")
  })
})

/** 0 where there is no `/proc`. */
const parentOf = (pid: number) => {
  try {
    return Number(fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ")[1])
  } catch {
    return 0
  }
}
