/**
 * One error for everything that is wrong with the environment.
 *
 * @since 0.1.0
 */
import * as Array from "effect/Array"
import type * as ConfigError from "effect/ConfigError"
import * as Schema from "effect/Schema"

/**
 * Names every variable that is missing or invalid, with its meaning.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConfigurationError extends Schema.TaggedError<ConfigurationError>("airflow-resource/ConfigurationError")(
  "ConfigurationError",
  {
    problems: Schema.Array(Schema.Struct({
      variable: Schema.String,
      /** Completes the sentence "VARIABLE …". */
      problem: Schema.String,
      /** Completes the sentence "It is …". */
      meaning: Schema.String
    }))
  }
) {
  override get message(): string {
    const lines = this.problems.map(({ meaning, problem, variable }) => `  ${variable} ${problem}. It is ${meaning}.`)
    const states = new Set(this.problems.map(({ problem }) => problem === missing ? "incomplete" : "invalid"))
    return [
      `The configuration is ${[...states].sort().join(" and ")}:`,
      ...lines,
      "Set or correct this in the environment, or in the .env file in the project's root.",
      ...(isAccountMissing(this.problems) ? [withoutAccount] : [])
    ].join("\n")
  }
  readonly retryable = false
}

/**
 * Splits a `ConfigError` into its problems, and adds the meaning of each variable.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromConfigError = (
  error: ConfigError.ConfigError,
  variables: Readonly<Record<string, { readonly meaning: string }>>
): ConfigurationError => {
  // several settings may come from one variable
  const all = Array.dedupeWith(problemsOf(error), (a, b) => a.variable === b.variable && a.problem === b.problem)
  const isChosen = all.every(({ variable }) => !choices.includes(variable))
  return new ConfigurationError({
    problems: all.filter(({ problem }) => isChosen || problem !== missing).map((problem) => ({
      ...problem,
      meaning: variables[problem.variable]?.meaning ?? "a setting of airflow-resource"
    }))
  })
}

/**
 * What works without an account, for a user whose variables of Astro are missing.
 *
 * @since 0.1.0
 * @category config
 */
export const withoutAccount = [
  "Without an account on Astro, set one of these instead:",
  "  AIRFLOW_RESOURCE_PROVIDER=local      a real Airflow on this machine; needs a Python",
  "  AIRFLOW_RESOURCE_PROVIDER=emulator   an emulated Astro with DAGs that are data; needs nothing"
].join("\n")

/**
 * Whether variables of Astro are missing.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isAccountMissing = (problems: ConfigurationError["problems"]): boolean =>
  problems.some(({ problem, variable }) => problem === missing && variable.startsWith("ASTRO_"))

// internal

const missing = "is missing"

/** Which variables are needed depends on these. */
const choices = ["AIRFLOW_RESOURCE_PROVIDER", "AIRFLOW_RESOURCE_DELIVERY"]

const problemsOf = (
  error: ConfigError.ConfigError
): ReadonlyArray<{ readonly variable: string; readonly problem: string }> => {
  switch (error._op) {
    case "And":
    case "Or":
      return [...problemsOf(error.left), ...problemsOf(error.right)]
    case "MissingData":
      return [{ variable: error.path.join("_"), problem: missing }]
    default:
      return [{ variable: error.path.join("_"), problem: `is invalid: ${error.message}` }]
  }
}
