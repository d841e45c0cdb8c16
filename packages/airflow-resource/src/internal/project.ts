/** What a provider may know about the project. */
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import type { Environment } from "./environment.js"
import * as Paths from "./paths.js"
import type { Project } from "./provider/definition.js"
import * as Variables from "./variables.js"

export const of = (environment: Environment): Project => ({
  resolve: environment.resolve,
  cache: Paths.cacheFile(environment),
  airflowVariables: Record.map(
    Record.filter(environment.dotEnv, (_, name) => !Variables.isKnown(name)),
    (value) => Redacted.make(value)
  )
})
