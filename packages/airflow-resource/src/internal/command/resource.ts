/** A lease, as other programs read it: a JSON document, and environment variables. */
import type { AirflowResource } from "@airflow-resource/core/AirflowResource"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

export type Facts = ReturnType<typeof factsOf>

/** With its secrets: for the program that the lease is for. */
export const factsOf = (resource: AirflowResource) => ({
  resourceId: resource.resourceId,
  type: resource.type,
  testName: resource.testName,
  creationTime: DateTime.formatIso(resource.creationTime),
  workerPid: resource.workerPid,
  creationDuration: Duration.toSeconds(resource.creationDuration),
  description: resource.description,
  status: resource.status,
  projectName: resource.projectName,
  baseUrl: resource.baseUrl,
  deploymentId: resource.deploymentId,
  deploymentName: resource.deploymentName,
  apiUrl: resource.apiUrl,
  apiToken: Redacted.value(resource.apiToken),
  apiHeaders: Redacted.value(resource.apiHeaders),
  username: resource.username,
  password: Redacted.value(resource.password),
  leaseId: resource.leaseId,
  epoch: resource.epoch,
  fenced: resource.fenced,
  unfencedReason: Option.getOrNull(resource.unfencedReason),
  reused: resource.reused,
  user: resource.user,
  uiUrl: resource.uiUrl,
  projectDirectory: resource.projectDirectory
})

/** Each fact as `AIRFLOW_RESOURCE_*`, and the names that other tools read. `file` has the same facts as JSON. */
export const variablesOf = (facts: Facts, file: string): Readonly<Record<string, string>> => ({
  ...Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [
      `AIRFLOW_RESOURCE_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
      value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value)
    ])
  ),
  AIRFLOW_RESOURCE_FILE: file,
  AIRFLOW_API_URL: facts.baseUrl,
  AIRFLOW_AUTH_TOKEN: facts.apiToken,
  AIRFLOW_CLI_TOKEN: facts.apiToken,
  AIRFLOW_USERNAME: facts.username,
  AIRFLOW_PASSWORD: facts.password,
  ASTRO_DEPLOYMENT_ID: facts.deploymentId
})
