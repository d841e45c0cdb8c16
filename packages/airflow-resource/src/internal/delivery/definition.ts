/** What defines a delivery: `table.ts` lists them all. */
import type { DagDelivery } from "@airflow-resource/core/DagDelivery"
import type { DeploymentCache } from "@airflow-resource/core/DeploymentCache"
import type { DeploymentProvider } from "@airflow-resource/core/DeploymentProvider"
import type { RepositoryInvalid } from "@airflow-resource/github/GithubRepository"
import type * as Config from "effect/Config"
import type * as Layer from "effect/Layer"
import type { Checks } from "../doctor/verdict.js"
import type { Parts, Platform } from "../provider/parts.js"
import type { Variables } from "../variable.js"

/** Settings that deliveries share. */
export interface Shared {
  /** The folder of the DAGs, absolute. */
  readonly dags: Config.Config<string>
}

export interface DeliveryDefinition<D extends { readonly _tag: string }> {
  readonly tag: D["_tag"]
  /** In a few words, for messages: "secrets of the GitHub repository". */
  readonly title: string
  /** The variables that only this delivery reads. */
  readonly variables: Variables
  /** Reads them. */
  readonly config: (shared: Shared) => Config.Config<D>
  readonly layer: (
    delivery: D,
    provider: Parts
  ) => Layer.Layer<DagDelivery, RepositoryInvalid, Platform | DeploymentCache | DeploymentProvider>
  /** What `doctor` checks for it. */
  readonly checks: (shared: Shared) => Checks
}
