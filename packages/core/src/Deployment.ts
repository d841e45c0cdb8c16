/**
 * One Airflow on Astro, as a provider reports it.
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
 * What makes two deployments interchangeable: a ticket asks for a make, and a deployment has one.
 *
 * @since 0.1.0
 * @category models
 */
export const DeploymentSpec = Schema.Struct({
  runtimeVersion: Schema.NonEmptyString,
  cloudProvider: Schema.Literal("aws", "gcp", "azure"),
  region: Schema.NonEmptyString
})

/**
 * @since 0.1.0
 * @category models
 */
export type DeploymentSpec = typeof DeploymentSpec.Type

/**
 * @since 0.1.0
 * @category models
 */
export class Deployment extends Schema.Class<Deployment>("@airflow-resource/core/Deployment")({
  id: DeploymentId,
  name: Schema.String,
  /** Carries the pool's marker, by which the pool knows its own. */
  description: Schema.String,
  status: DeploymentStatus,
  /** A hibernation is requested, whatever the status says at the moment. */
  hibernationRequested: Schema.Boolean,
  spec: DeploymentSpec,
  /** One that may hibernate. */
  isDevelopment: Schema.Boolean,
  /** The version of the DAGs that are in force, where a deploy of DAGs alone has put them there. */
  dagVersion: Schema.optional(Schema.String),
  /** Where its Airflow answers, with scheme and without `/api/v1` or `/api/v2`. Re-read it: Astro changes host names. */
  airflowUrl: Schema.String,
  /** The deployment's page in the provider's dashboard. */
  uiUrl: Schema.String
}) {
  /** HEALTHY may still be reported while a hibernation is on its way. */
  get isAwake(): boolean {
    return this.status === "HEALTHY" && !this.hibernationRequested
  }
}
