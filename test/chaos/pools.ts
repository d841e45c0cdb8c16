import type { DeploymentSpec } from "@airflow-resource/core/Deployment"
import type { PoolRules } from "@airflow-resource/core/PoolPolicy"

/** Sixteen deployments that were never used. */
export const deployments: ReadonlyArray<string> = Array.from({ length: 16 }, (_, index) => `dep${index}`)

export const spec: DeploymentSpec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" }

export const rules: PoolRules = {
  poolId: "pool",
  max: deployments.length,
  ttl: 60_000,
  maxHold: 600_000,
  longestRequest: 1_000
}
