/** What the layers of a lease need from the provider of its deployments. */
import type { Keep } from "@airflow-resource/airflow/AirflowReset"
import type { DagDelivery } from "@airflow-resource/core/DagDelivery"
import type { PoolOptions } from "@airflow-resource/core/DeploymentPool"
import type { DeploymentProvider } from "@airflow-resource/core/DeploymentProvider"
import type { ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import type { ProjectDirectory } from "@airflow-resource/core/ProjectDirectory"
import type { GithubConfig } from "@airflow-resource/github/GithubConfig"
import type * as NodeContext from "@effect/platform-node/NodeContext"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Layer from "effect/Layer"

export type Platform = NodeContext.NodeContext | HttpClient.HttpClient | ProcessRunner

/** A provider that is ready for use. */
export interface Parts {
  /** What the pool needs to know about it: what to create by default, and how to authenticate. */
  readonly pool: Pick<PoolOptions, "spec"> & Partial<PoolOptions>
  /** What the provider itself puts into each Airflow, so that a reset leaves it. */
  readonly keep?: Keep
  readonly provider: Layer.Layer<DeploymentProvider, never, Platform>
  readonly projects: Layer.Layer<ProjectDirectory, never, Platform>
  /** Deploys the DAGs of a folder through the provider. Absent: the provider cannot deploy DAGs. */
  readonly deploy?: (dags: string) => Layer.Layer<DagDelivery, never, DeploymentProvider | Platform>
  /** The repository of a provider that has one of its own. */
  readonly github?: GithubConfig
}
