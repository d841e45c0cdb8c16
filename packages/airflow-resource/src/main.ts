#!/usr/bin/env node
/**
 * The command `airflow-resource`. Exit codes: 0 done; 1 failed; 2 wrong usage; 3 deployments are still awake or held;
 * 130 interrupted. `exec` and `run` have more.
 *
 * @since 0.1.0
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import process from "node:process"
import { parse } from "./internal/command/command.js"
import * as Failure from "./internal/command/failure.js"
import { logger, say } from "./internal/command/output.js"
import * as Signals from "./internal/command/signals.js"

// a write to stdout that fails is reported where it is made; a stderr that cannot be written shows nothing
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})

const { command, exitCodes } = parse(process.argv.slice(2))

const fiber = Effect.runFork(
  command.pipe(
    Effect.provide(Layer.merge(NodeContext.layer, Logger.replace(Logger.defaultLogger, logger))),
    Effect.onError((cause) => Effect.forEach(Failure.lines(cause), say))
  )
)

Signals.interrupt(() => fiber.unsafeInterruptAsFork(fiber.id()))

fiber.addObserver((exit) =>
  process.exit(Exit.match(exit, { onSuccess: () => 0, onFailure: (cause) => Failure.exitCode(cause, exitCodes) }))
)
