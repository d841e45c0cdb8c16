/** Which failures say nothing about what is tested: there was no Airflow, or it was taken away. */
import type { Report } from "airflow-resource"

/** The tags of these errors. */
const tags: ReadonlySet<string> = new Set([
  "AcquireBudgetSpent",
  "AcquireTimeout",
  "AirflowNotReady",
  "AstroCliError",
  "CacheError",
  "ConfigurationError",
  "DeliveryError",
  "DeploymentNotHealthy",
  "EmulatorError",
  "GithubError",
  "LeaseLost",
  "ProjectError",
  "ProviderError",
  "PublicKeyInvalid",
  "RepositoryInvalid",
  "SettingsInvalid",
  "SlotNotClean",
  "TicketEnded"
])

/** Only before there is an Airflow: afterwards the test itself has called it. */
const tagsOfAcquisition: ReadonlySet<string> = new Set(["AirflowApiError"])

/** As vitest has copied it. */
export interface SerializedError {
  readonly name?: unknown
  readonly message?: unknown
  readonly stack?: unknown
}

/** The first of a failed test's errors that is not the test's, if there is one. */
export const find = <Error extends SerializedError>(
  errors: ReadonlyArray<Error>,
  leases: ReadonlyArray<Report.Observed>
): Error | undefined => {
  const last = leases[leases.length - 1]
  const hadNone = last !== undefined && last.lease === undefined
  return errors.find(({ name }) =>
    typeof name === "string" && (tags.has(name) || (hadNone && tagsOfAcquisition.has(name)))
  )
}
