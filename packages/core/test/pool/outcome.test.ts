import { AirflowError } from "@airflow-resource/airflow"
import { CacheError, DeploymentProvider, Lease, PoolError } from "@airflow-resource/core"
import { assert, it } from "@effect/vitest"
import { Duration } from "effect"
import { SlotContested } from "../../src/internal/pool/Fence.js"
import { outcomeOf } from "../../src/internal/pool/PrepareSlot.js"

const name = "pool-s1-g1"
const request = { operation: "read", detail: "it failed", remedy: "Try again." }

it("only a failure of the deployment itself puts it into quarantine", () => {
  for (
    const error of [
      new PoolError.DeploymentNotHealthy({ name, status: "UNHEALTHY", waited: Duration.minutes(1), uiUrl: "" }),
      new PoolError.SlotNotClean({ name, leftovers: ["variable a"] }),
      new AirflowError.AirflowApiError({ ...request, kind: "server" })
    ]
  ) {
    assert.deepStrictEqual(outcomeOf(error), { failure: error.message })
  }
  for (
    const error of [
      new DeploymentProvider.ProviderError({ ...request, kind: "server" }),
      new CacheError.CacheError({ kind: "io", path: "/cache.db", detail: "it failed" }),
      new Lease.LeaseLost({ held: "slot 1", epoch: 1, reason: "its deadline passed" }),
      new SlotContested({ name })
    ]
  ) {
    assert.strictEqual(outcomeOf(error), "unknown")
  }
})
