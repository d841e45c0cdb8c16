/**
 * Leases real Airflow deployments to tests. The package to start with: it builds the layers, and exports the modules that tests use.
 *
 * @since 0.1.0
 */
export {
  AirflowApi,
  AirflowError,
  AirflowPromise,
  AirflowReadiness,
  AirflowReset,
  CallSite,
  PinnedClock,
  Plain,
  TaskLog
} from "@airflow-resource/airflow"
export { AirflowResource, DeploymentPool, Lease, Upkeep } from "@airflow-resource/core"
export * as Airflow from "./Airflow.js"
export * as AirflowResources from "./AirflowResources.js"
export * as ConfigurationError from "./ConfigurationError.js"
export * as Http from "./Http.js"
export * as Offline from "./Offline.js"
export * as ProjectRoot from "./ProjectRoot.js"
export * as Report from "./Report.js"
export * as Settings from "./Settings.js"
