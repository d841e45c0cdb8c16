#!/usr/bin/env node
/**
 * The command `airflow-resource`. Exit codes: 0 done; 1 failed; 2 wrong usage; 3 deployments are still awake or held;
 * 130 interrupted.
 *
 * @since 0.1.0
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { createRequire } from "node:module"
import * as process from "node:process"
import { command } from "./internal/command/command.js"

const toStderr = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

const { version } = createRequire(import.meta.url)("../package.json") as { readonly version: string }

const exitCode = (error: unknown) =>
  ValidationError.isValidationError(error) ? 2 : Predicate.isTagged(error, "Unfinished") ? 3 : 1

Command.run(command, { name: "airflow-resource", version })(process.argv).pipe(
  // the CLI has explained the usage already
  Effect.tapError((error) => ValidationError.isValidationError(error) ? Effect.void : Console.error(error.message)),
  Effect.provide(Layer.mergeAll(NodeContext.layer, CliConfig.layer({ showBuiltIns: false }), toStderr)),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit, onExit) =>
      onExit(
        Exit.match(exit, {
          onSuccess: () => 0,
          onFailure: (cause) =>
            Cause.isInterruptedOnly(cause)
              ? 130
              : Option.match(Cause.failureOption(cause), { onNone: () => 1, onSome: exitCode })
        })
      )
  })
)
