/**
 * What is wrong with the environment, all at once.
 *
 * @since 0.1.0
 */
import type * as ConfigError from "effect/ConfigError"
import * as Schema from "effect/Schema"

/**
 * Every variable that is missing or malformed, with what it is.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConfigurationError extends Schema.TaggedError<ConfigurationError>("airflow-resource/ConfigurationError")(
  "ConfigurationError",
  {
    problems: Schema.Array(Schema.Struct({
      variable: Schema.String,
      problem: Schema.String,
      meaning: Schema.String
    }))
  }
) {
  override get message(): string {
    const lines = this.problems.map(({ meaning, problem, variable }) => `  ${variable} ${problem}. It is ${meaning}.`)
    return `The environment is not complete:\n${lines.join("\n")}\n` +
      `Set them in the environment or in a .env file in the project's root.`
  }
  readonly retryable = false
}

/**
 * Takes a `ConfigError` apart, adding what each variable is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromConfigError = (
  error: ConfigError.ConfigError,
  variables: Readonly<Record<string, string>>
): ConfigurationError =>
  new ConfigurationError({
    problems: leaves(error).map(({ path, problem }) => ({
      variable: path,
      problem,
      meaning: variables[path] ?? "a setting of airflow-resource"
    }))
  })

// internal

const leaves = (error: ConfigError.ConfigError): ReadonlyArray<{ readonly path: string; readonly problem: string }> => {
  switch (error._op) {
    case "And":
    case "Or":
      return [...leaves(error.left), ...leaves(error.right)]
    case "MissingData":
      return [{ path: error.path.join("_"), problem: "is missing" }]
    default:
      return [{ path: error.path.join("_"), problem: `cannot be used: ${error.message}` }]
  }
}
