/**
 * Leases of Airflow deployments: the pool, its ledger, and the tags that providers and deliveries implement.
 *
 * @since 0.1.0
 */
export * as AdministrationError from "./AdministrationError.js"
export * as AirflowResource from "./AirflowResource.js"
export * as CacheError from "./CacheError.js"
export * as CallSite from "./CallSite.js"
export * as DagDelivery from "./DagDelivery.js"
export * as Deployment from "./Deployment.js"
export * as DeploymentCache from "./DeploymentCache.js"
export * as DeploymentPool from "./DeploymentPool.js"
export * as DeploymentProvider from "./DeploymentProvider.js"
export * as DetachedProcess from "./DetachedProcess.js"
export * as ErrorFields from "./ErrorFields.js"
export * as Host from "./Host.js"
export * as Lease from "./Lease.js"
export * as LeasedSlot from "./LeasedSlot.js"
export * as PinnedClock from "./PinnedClock.js"
export * as PoolError from "./PoolError.js"
export * as PoolPolicy from "./PoolPolicy.js"
export * as ProjectDirectory from "./ProjectDirectory.js"
export * as RetryAfter from "./RetryAfter.js"
export * as Slot from "./Slot.js"
export * as TimeLimit from "./TimeLimit.js"
export * as Upkeep from "./Upkeep.js"
