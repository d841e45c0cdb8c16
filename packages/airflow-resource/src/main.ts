#!/usr/bin/env node
/**
 * The command `airflow-resource`. Exit codes: 0 done; 1 failed; 2 wrong usage; 3 deployments are still awake or held;
 * 130 interrupted.
 *
 * @since 0.1.0
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as process from "node:process"
import { command } from "./internal/command/command.js"
import * as Failure from "./internal/command/failure.js"
import { version } from "./internal/command/version.js"

const toStderr = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

Failure.expectSignals()

Command.run(command, { name: "airflow-resource", version })(process.argv).pipe(
  Effect.provide(Layer.mergeAll(NodeContext.layer, CliConfig.layer({ showBuiltIns: false }), toStderr)),
  Effect.onError((cause) => Effect.forEach(Failure.lines(cause), (line) => Console.error(line))),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit, onExit) => onExit(Exit.match(exit, { onSuccess: () => 0, onFailure: Failure.exitCode }))
  })
)
