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
  schedulerSize: "SMALL",
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
      assert.strictEqual(refused.json.message, "Invalid request: executor is required")
      assert.strictEqual((yield* call("POST", "deployments", { ...incomplete, name: "v1" })).status, 200)
      const { json: deployment } = yield* platform("POST", "/deployments", body)
      assert.deepInclude(deployment, { name: "old", schedulerSize: "SMALL" })
      // version 1 has the same, and more
      const { workerQueues: [queue], ...fields } = deployment
      const { json: inV1 } = yield* call("GET", `deployments/${deployment.id}`)
      assert.deepInclude(inV1, fields)
      assert.deepInclude(inV1.workerQueues[0], queue)

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

  it.scopedLive("say what a new deployment has by default, and refuse a queue without concurrency", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const at = (base: string, method: string, path: string, body?: unknown) =>
        send(method, `${emulator.astroApiUrl}/${base}/organizations/${emulator.organizationId}${path}`, {
          token: emulator.astroToken,
          body
        })
      const { defaultValues, workerMachines } = (yield* at("v1alpha1", "GET", "/deployment-options")).json
      assert.deepStrictEqual(defaultValues, { schedulerSize: "SMALL", workerMachineName: workerMachines[0].name })
      const [queue] = created.workerQueues
      const body = { ...created, workspaceId: emulator.workspaceId, workerQueues: [{ ...queue, workerConcurrency: 0 }] }
      const refused = yield* at("platform/v1beta1", "POST", "/deployments", body)
      assert.deepStrictEqual([refused.status, refused.json.message], [
        400,
        "Invalid request: workerConcurrency must be at least 1"
      ])
    }))

  it.scopedLive("have only the fields and values of their own documents", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const at = (base: string, path: string) =>
        Effect.map(
          send("GET", `${emulator.astroApiUrl}/${base}/organizations/${emulator.organizationId}${path}`, {
            token: emulator.astroToken
          }),
          ({ json }) => json
        )
      const [old, v1] = [
        (path: string) => at("platform/v1beta1", path),
        (path: string) => at("v1", path)
      ]
      const names = ({ schedulerMachines }: { schedulerMachines: ReadonlyArray<{ name: string }> }) =>
        schedulerMachines.map(({ name }) => name)
      assert.strictEqual((yield* old("")).supportPlan, "STANDARD")
      assert.notProperty(yield* old(""), "productPlans")
      assert.property(yield* v1(""), "productPlans")
      assert.deepStrictEqual((yield* old("/deployment-options")).executors, ["CELERY", "KUBERNETES"])
      assert.include((yield* v1("/deployment-options")).executors, "ASTRO")
      assert.notInclude(names(yield* old("/deployment-options")), "EXTRA_LARGE")
      assert.include(names(yield* v1("/deployment-options")), "EXTRA_LARGE")
      assert.notProperty(yield* old("/deployments?limit=-1"), "fieldErrors")
      assert.property(yield* v1("/deployments?limit=-1"), "fieldErrors")
    }))

  it.scopedLive("list, create, update, rotate and delete the tokens of the organization, a workspace and a deployment", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { call } = astro(emulator)
      const alpha = (method: string, path: string, body?: unknown) =>
        send(method, `${emulator.astroApiUrl}/v1alpha1/organizations/${emulator.organizationId}${path}`, {
          token: emulator.astroToken,
          body
        })
      const { json: deployment } = yield* call("POST", "deployments", {
        name: "one",
        workspaceId: emulator.workspaceId,
        isDevelopmentMode: true
      })
      const on = (entityType: string, entityId: string, role: string) => ({ entityId, entityType, role })
      const onDeployment = on("DEPLOYMENT", deployment.id, "DEPLOYMENT_ADMIN")
      const onWorkspace = on("WORKSPACE", emulator.workspaceId, "WORKSPACE_MEMBER")
      const organization = { organization: "ORGANIZATION_MEMBER", workspace: [onWorkspace], deployment: [onDeployment] }
      const kinds = [
        ["ORGANIZATION", "/api-tokens", "ORGANIZATION_OWNER", { roles: organization }, [
          on("ORGANIZATION", emulator.organizationId, "ORGANIZATION_MEMBER"),
          onWorkspace,
          onDeployment
        ]],
        ["WORKSPACE", `/workspaces/${emulator.workspaceId}/api-tokens`, "WORKSPACE_OWNER", {
          roles: { workspace: "WORKSPACE_MEMBER", deployment: [onDeployment] }
        }, [onWorkspace, onDeployment]],
        ["DEPLOYMENT", `/deployments/${deployment.id}/api-tokens`, "DEPLOYMENT_ADMIN", { role: "DEPLOYMENT_ADMIN" }, [
          onDeployment
        ]]
      ] as const
      for (const [type, path, role, change, roles] of kinds) {
        const { json: token } = yield* alpha("POST", path, { name: type, role, tokenExpiryPeriodInDays: 1 })
        assert.deepInclude(token, { name: type, type }, type)
        const listed = (yield* alpha("GET", `${path}?tokenTypes=${type}`)).json.apiTokens
        assert.include(listed.map(({ id }: { id: string }) => id), token.id, type)
        const renamed = { name: `renamed ${type}`, description: "d" }
        const updated = yield* alpha("POST", `${path}/${token.id}`, { ...renamed, ...change })
        assert.deepInclude(updated.json, { ...renamed, roles }, type)
        assert.deepInclude((yield* call("GET", `tokens/${token.id}`)).json, { ...renamed, roles }, type)
        const rotated = yield* alpha("POST", `${path}/${token.id}/rotate`)
        assert.notStrictEqual(rotated.json.token, token.token, type)
        if (type !== "ORGANIZATION") {
          assert.strictEqual((yield* alpha("DELETE", `${path}/${token.id}`)).status, 204, type)
          assert.strictEqual((yield* alpha("DELETE", `${path}/${token.id}`)).status, 404, type)
        }
      }
      // the organization's token has a role on the deployment, too
      const types = (query: string) =>
        Effect.map(
          alpha("GET", `/deployments/${deployment.id}/api-tokens${query}`),
          ({ json }) => json.apiTokens.map(({ type }: { type: string }) => type)
        )
      assert.deepStrictEqual(yield* types(""), ["ORGANIZATION"])
      assert.deepStrictEqual(yield* types("?tokenTypes=DEPLOYMENT&tokenTypes=WORKSPACE"), [])
      assert.strictEqual((yield* alpha("GET", "/workspaces/none/api-tokens")).status, 404)
    }))
})
