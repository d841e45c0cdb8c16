/**
 * One error for everything that is wrong with the environment.
 *
 * @since 0.1.0
 */
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
    return `The configuration is incomplete or invalid:\n${lines.join("\n")}\n` +
      `Set these variables in the environment, or in a .env file in the project's root.`
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
): ConfigurationError =>
  new ConfigurationError({
    problems: problemsOf(error).map((problem) => ({
      ...problem,
      meaning: variables[problem.variable]?.meaning ?? "a setting of airflow-resource"
    }))
  })

// internal

const problemsOf = (
  error: ConfigError.ConfigError
): ReadonlyArray<{ readonly variable: string; readonly problem: string }> => {
  switch (error._op) {
    case "And":
    case "Or":
      return [...problemsOf(error.left), ...problemsOf(error.right)]
    case "MissingData":
      return [{ variable: error.path.join("_"), problem: "is missing" }]
    default:
      return [{ variable: error.path.join("_"), problem: `is invalid: ${error.message}` }]
  }
}
