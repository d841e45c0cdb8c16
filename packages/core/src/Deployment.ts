/**
 * A deployment, as a provider reports it: one Airflow.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category models
 */
export const DeploymentId = Schema.NonEmptyString.pipe(Schema.brand("@airflow-resource/core/DeploymentId"))

/**
 * @since 0.1.0
 * @category models
 */
export type DeploymentId = typeof DeploymentId.Type

/**
 * A deployment's status, as Astro spells it. Unknown spellings are read as `UNKNOWN`.
 *
 * @since 0.1.0
 * @category models
 */
export const DeploymentStatus = Schema.Literal(
  "CREATING",
  "DEPLOYING",
  "HEALTHY",
  "UNHEALTHY",
  "HIBERNATING",
  "UNKNOWN"
)

/**
 * @since 0.1.0
 * @category models
 */
export type DeploymentStatus = typeof DeploymentStatus.Type

/**
 * What a deployment is created from: two deployments with the same spec are interchangeable. A ticket states the spec that it needs. On
 * this machine (`local`), the version is Airflow's own, and the region is the Python environment.
 *
 * @since 0.1.0
 * @category models
 */
export const DeploymentSpec = Schema.Struct({
  runtimeVersion: Schema.NonEmptyString,
  cloudProvider: Schema.Literal("aws", "gcp", "azure", "local"),
  region: Schema.NonEmptyString
})

/**
 * @since 0.1.0
 * @category models
 */
export type DeploymentSpec = typeof DeploymentSpec.Type

/**
 * A spec in words: "13.1.0 on aws us-east-1".
 *
 * @since 0.1.0
 * @category accessors
 */
export const describeSpec = (spec: DeploymentSpec): string =>
  `${spec.runtimeVersion} on ${spec.cloudProvider} ${spec.region}`

/**
 * @since 0.1.0
 * @category combinators
 */
export const sameSpec = (a: DeploymentSpec | null, b: DeploymentSpec): boolean =>
  a !== null && a.runtimeVersion === b.runtimeVersion && a.cloudProvider === b.cloudProvider && a.region === b.region

/**
 * @since 0.1.0
 * @category models
 */
export class Deployment extends Schema.Class<Deployment>("@airflow-resource/core/Deployment")({
  id: DeploymentId,
  name: Schema.String,
  /** Carries the marker by which a pool recognizes its own deployments. */
  description: Schema.String,
  status: DeploymentStatus,
  /** The last request was to hibernate, not to wake. The status may lag behind. */
  hibernationRequested: Schema.Boolean,
  /** When the override of its hibernation schedules ends, in epoch milliseconds. Absent if it never ends, and without an override. */
  overrideUntil: Schema.optional(Schema.Number),
  spec: DeploymentSpec,
  /** Only a development deployment can hibernate. */
  isDevelopment: Schema.Boolean,
  /** The version of the DAGs in use, if they came from a DAG-only deploy. */
  dagVersion: Schema.optional(Schema.String),
  /** The URL of its Airflow, with scheme and without `/api/v1` or `/api/v2`. Read it again each time: Astro changes host names. */
  airflowUrl: Schema.String,
  /** The deployment's page in the provider's dashboard. */
  uiUrl: Schema.String,
  /** Why it is UNHEALTHY, if the provider knows that it is not going to recover by itself. */
  problem: Schema.optional(Schema.String)
}) {
  /** The status may still be HEALTHY after a hibernation was requested. */
  get isAwake(): boolean {
    return this.status === "HEALTHY" && !this.hibernationRequested
  }
}
