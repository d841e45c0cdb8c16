import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Emulated from "../emulated.js"
import { documented } from "./common.js"

const within = (name: string, isValid: (value: number) => boolean, expected: string) => (value: number) =>
  isValid(value)
    ? Effect.succeed(value)
    : Effect.fail(ValidationError.invalidValue(HelpDoc.p(`--${name} is ${value}, but must be ${expected}`)))

export const emulator = Command.make("emulator", {
  port: Options.integer("port").pipe(
    Options.mapEffect(within("port", (port) => port >= 1 && port <= 65_535, "a port from 1 to 65535")),
    Options.withDefault(0),
    Options.withDescription("Where to listen on 127.0.0.1. Default: a free port.")
  ),
  speed: Options.float("speed").pipe(
    Options.mapEffect(within("speed", (speed) => speed > 0 && speed < Infinity, "a number greater than 0")),
    Options.withDefault(100),
    Options.withDescription("How many times as fast as the real services. Default: 100.")
  ),
  seed: Options.integer("seed").pipe(
    Options.withDefault(1),
    Options.withDescription("The same seed gives the same ids. Default: 1.")
  ),
  astroHome: Options.text("astro-home").pipe(
    Options.optional,
    Options.withDescription("A folder that becomes an ASTRO_HOME for the astro CLI while the emulator runs.")
  ),
  as: Options.all({
    json: Options.boolean("json").pipe(Options.withDescription("Print one line of JSON.")),
    env: Options.boolean("print-env").pipe(
      Options.withDescription("Print the variables as export commands for a shell.")
    )
  }).pipe(
    Options.mapEffect(({ env, json }) =>
      env && json
        ? Effect.fail(ValidationError.invalidValue(HelpDoc.p("--json and --print-env cannot be used together")))
        : Effect.succeed({ json, render: json ? Emulated.asJson : env ? Emulated.exports : Emulated.render })
    )
  )
}, ({ as, ...options }) =>
  Emulated.start(options).pipe(
    Effect.map(as.render),
    documented(as.json),
    Effect.flatMap((text) => Console.log(text)),
    Effect.zipRight(Effect.never),
    Effect.scoped
  )).pipe(Command.withDescription("Runs an emulator of Astro, GitHub and Airflow until it is interrupted."))
