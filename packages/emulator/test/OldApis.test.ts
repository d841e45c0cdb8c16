import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { astro, send } from "./client.js"

/** What astro CLI 1.40 sends if only the name, the runtime and the region are given. */
const created = {
  astroRuntimeVersion: "13.1.0",
  cloudProvider: "AWS",
  defaultTaskPodCpu: "0.25",
  defaultTaskPodMemory: "0.5Gi",
  description: "",
  executor: "CELERY",
  isCicdEnforced: false,
  isDagDeployEnabled: true,
  isDevelopmentMode: true,
  isHighAvailability: false,
  name: "old",
  region: "us-east-1",
  resourceQuotaCpu: "10",
  resourceQuotaMemory: "20Gi",
  schedulerSize: "",
  type: "STANDARD",
  workerQueues: [{
    astroMachine: "A5",
    isDefault: true,
    maxWorkerCount: 10,
    minWorkerCount: 0,
    name: "default",
    workerConcurrency: 5
  }]
}

describe("Astro's APIs before version 1", () => {
  it.scopedLive("serve the same deployments and tokens, with the type of a token", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { call } = astro(emulator)
      const old = (base: string) => (method: string, path: string, body?: unknown) =>
        send(method, `${emulator.astroApiUrl}/${base}/organizations/${emulator.organizationId}${path}`, {
          token: emulator.astroToken,
          body
        })
      const [platform, iam, alpha] = [old("platform/v1beta1"), old("iam/v1beta1"), old("v1alpha1")]
      const body = { ...created, workspaceId: emulator.workspaceId }
      const { executor: _, ...incomplete } = body
      const refused = yield* platform("POST", "/deployments", incomplete)
      assert.deepStrictEqual(refused.json.fieldErrors.map(({ field }: { field: string }) => field), ["executor"])
      assert.strictEqual((yield* call("POST", "deployments", { ...incomplete, name: "v1" })).status, 200)
      const { json: deployment } = yield* platform("POST", "/deployments", body)
      assert.deepInclude(deployment, { name: "old", schedulerSize: "SMALL" })
      assert.deepStrictEqual((yield* call("GET", `deployments/${deployment.id}`)).json, deployment)

      const tokens = `/deployments/${deployment.id}/api-tokens`
      const request = { name: "mine", role: "DEPLOYMENT_ADMIN", tokenExpiryPeriodInDays: 1 }
      const { json: minted } = yield* alpha("POST", tokens, request)
      assert.deepInclude(minted, { name: "mine", type: "DEPLOYMENT" })
      assert.notProperty(minted, "scope")
      assert.isString(minted.token)
      const listed = (yield* alpha("GET", tokens)).json
      assert.deepStrictEqual([listed.totalCount, listed.apiTokens[0].id], [1, minted.id])
      const one = `tokens/${minted.id}`
      assert.deepInclude((yield* iam("GET", `/${one}`)).json, { type: "DEPLOYMENT" })
      assert.deepInclude((yield* call("GET", one)).json, { scope: "DEPLOYMENT" })
      const rotated = yield* alpha("POST", `${tokens}/${minted.id}/rotate`)
      assert.notStrictEqual(rotated.json.token, minted.token)
      assert.strictEqual((yield* alpha("DELETE", `${tokens}/${minted.id}`)).status, 204)
      assert.strictEqual((yield* call("GET", one)).status, 404)
      const typed = { ...request, type: "DEPLOYMENT", entityId: deployment.id }
      assert.strictEqual((yield* iam("POST", "/tokens", typed)).status, 200)
      assert.strictEqual((yield* call("POST", "tokens", typed)).status, 400)

      // each API has only its own paths
      assert.strictEqual((yield* alpha("GET", "/workspaces")).json.totalCount, 1)
      assert.strictEqual((yield* alpha("GET", "/deployments")).status, 404)
      assert.strictEqual((yield* platform("GET", "/tokens")).status, 404)
      assert.strictEqual((yield* call("GET", `deployments/${deployment.id}/api-tokens`)).status, 404)
      const regions = yield* send("GET", `${emulator.astroApiUrl}/v1alpha1/options/cluster?provider=aws&type=SHARED`, {
        token: emulator.astroToken
      })
      assert.deepStrictEqual(regions.json[0].regions, [{ name: "us-east-1" }, { name: "us-west-2" }])
      assert.strictEqual((yield* send("GET", `${emulator.astroApiUrl}/platform/v1beta1/organizations`)).status, 401)
    }))
})
