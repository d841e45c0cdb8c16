/**
 * What a lease of an Airflow deployment is, who may hold it, and how to talk to an Airflow.
 *
 * @since 0.1.0
 */
export * as Airflow from "./Airflow.js"
export * as AirflowApi from "./AirflowApi.js"
export * as AirflowError from "./AirflowError.js"
export * as AirflowReadiness from "./AirflowReadiness.js"
export * as AirflowReset from "./AirflowReset.js"
export * as AirflowResource from "./AirflowResource.js"
export * as DagDelivery from "./DagDelivery.js"
export * as Deployment from "./Deployment.js"
export * as DeploymentCache from "./DeploymentCache.js"
export * as DeploymentPool from "./DeploymentPool.js"
export * as DeploymentProvider from "./DeploymentProvider.js"
export * as Heartbeat from "./Heartbeat.js"
export * as Lease from "./Lease.js"
export * as PinnedClock from "./PinnedClock.js"
export * as PoolPolicy from "./PoolPolicy.js"
export * as PrepareSlot from "./PrepareSlot.js"
export * as ProjectDirectory from "./ProjectDirectory.js"
export * as Slot from "./Slot.js"
export * as TaskLog from "./TaskLog.js"
