import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { astro, send, until } from "./client.js"

describe("Astro", () => {
  it.scopedLive("creates, hibernates, wakes and deletes a deployment", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 1000 })
      const { call, create, get, hibernate } = astro(emulator)
      const created = yield* create("one", { description: "mine" })
      assert.strictEqual(created.status, 200)
      const { id } = created.json
      assert.match(id, /^c[a-z0-9]{24}$/)
      assert.deepInclude(created.json, {
        name: "one",
        description: "mine",
        status: "CREATING",
        type: "STANDARD",
        cloudProvider: "AWS",
        region: "us-east-1",
        airflowVersion: "2.11.0",
        astroRuntimeVersion: "13.1.0",
        isDevelopmentMode: true,
        webServerAirflowApiUrl: `${emulator.url}/d${id.slice(-7)}/api/v1`
      })
      yield* until(get(id), ({ json }) => json.status === "HEALTHY")
      const override = yield* hibernate(id, true)
      assert.deepStrictEqual(override.json, { isActive: true, isHibernating: true })
      const hibernating = yield* until(get(id), ({ json }) => json.status === "HIBERNATING")
      assert.isTrue(hibernating.json.scalingStatus.hibernationStatus.isHibernating)
      assert.isTrue(hibernating.json.scalingSpec.hibernationSpec.override.isActive)
      yield* hibernate(id, false)
      yield* until(get(id), ({ json }) => json.status === "HEALTHY")
      assert.strictEqual((yield* call("DELETE", `deployments/${id}/hibernation-override`)).status, 204)
      assert.strictEqual((yield* call("DELETE", `deployments/${id}`)).status, 204)
      assert.strictEqual((yield* get(id)).status, 404)
      assert.strictEqual((yield* call("DELETE", `deployments/${id}`)).status, 404)
      const { states } = yield* emulator.audit
      assert.deepStrictEqual(states.map(({ status }) => status), [
        "CREATING",
        "HEALTHY",
        "HIBERNATING",
        "DEPLOYING",
        "HEALTHY",
        "DELETED"
      ])
    }))

  it.scopedLive("returns pages and applies filters", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { call, create } = astro(emulator)
      for (const name of ["b", "a", "c"]) yield* create(name)
      const { json } = yield* call("GET", "deployments?sorts=name:desc&limit=1&offset=1")
      assert.deepStrictEqual([json.deployments[0].name, json.limit, json.offset, json.totalCount], ["b", 1, 1, 3])
      const named = yield* call("GET", "deployments?names=a&names=c&workspaceIds=" + emulator.workspaceId)
      assert.deepStrictEqual(named.json.deployments.map(({ name }: { name: string }) => name), ["a", "c"])
      assert.strictEqual((yield* call("GET", "deployments?workspaceIds=other")).json.totalCount, 0)
      const organizations = yield* send("GET", `${emulator.astroApiUrl}/v1/organizations`, {
        token: emulator.astroToken
      })
      assert.deepInclude(organizations.json.organizations[0], { id: emulator.organizationId, product: "HOSTED" })
      const workspaces = yield* call("GET", "workspaces")
      assert.strictEqual(workspaces.json.workspaces[0].id, emulator.workspaceId)
      assert.strictEqual((yield* call("GET", "workspaces/none")).status, 404)
      const options = yield* call("GET", "deployment-options")
      assert.deepInclude(options.json.runtimeReleases[0], { version: "13.1.0", airflowVersion: "2.11.0" })
    }))

  it.scopedLive("refuses the same requests as Astro", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ maxDeployments: 2 })
      const { call, create, hibernate } = astro(emulator)
      yield* create("one")
      const taken = yield* create("one")
      assert.strictEqual(taken.status, 400)
      assert.strictEqual(
        taken.json.message,
        "Invalid request: Deployment name 'one' already exists in this workspace"
      )
      assert.strictEqual(taken.json.statusCode, 400)
      assert.isString(taken.json.requestId)
      const refusals = {
        runtime: { astroRuntimeVersion: "1.2.3" },
        region: { region: "mars" },
        provider: { cloudProvider: "GCP" },
        name: { name: "" },
        hibernation: { isDevelopmentMode: false, scalingSpec: { hibernationSpec: { schedules: [] } } }
      }
      for (const fields of Object.values(refusals)) {
        const refused = yield* create("two", fields)
        assert.strictEqual(refused.status, 400, JSON.stringify(fields))
        assert.isNotEmpty(refused.json.fieldErrors)
      }
      assert.strictEqual((yield* create("two", { workspaceId: "none" })).json.message, "Workspace not found")
      const production = yield* create("two", { isDevelopmentMode: false })
      assert.strictEqual((yield* hibernate(production.json.id, true)).status, 400)
      assert.include((yield* create("three")).json.message, "quota")
      assert.strictEqual((yield* call("PUT", "deployments")).status, 405)
      assert.strictEqual((yield* call("GET", "nothing")).status, 404)
      assert.strictEqual((yield* call("POST", "deployments", "{nope")).status, 400)
    }))

  it.scopedLive("requires a valid token with sufficient rights", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ tokenRights: "operator" })
      const url = `${emulator.astroApiUrl}/v1/organizations`
      assert.strictEqual((yield* send("GET", url)).status, 401)
      assert.strictEqual((yield* send("GET", url, { token: Redacted.make("wrong") })).status, 401)
      const expired = yield* emulator.mintAstroToken({ expiresIn: 0 })
      const refused = yield* send("GET", url, { token: expired })
      assert.strictEqual(refused.status, 401)
      assert.hasAllKeys(refused.json, ["message", "requestId", "statusCode"])
      const operator = astro(emulator)
      const { json: { id } } = yield* operator.create("one")
      assert.strictEqual((yield* operator.createToken(id)).status, 403)
      const owner = yield* emulator.mintAstroToken()
      assert.strictEqual((yield* astro(emulator, owner).createToken(id)).status, 200)
      const member = astro(emulator, yield* emulator.mintAstroToken({ rights: "member" }))
      assert.strictEqual((yield* member.get(id)).status, 200)
      const refusals = [member.create("two"), member.hibernate(id, true), member.call("DELETE", `deployments/${id}`)]
      for (const one of refusals) assert.strictEqual((yield* one).status, 403)
    }))

  it.scopedLive("issues tokens in Astro's format, which are deleted with their deployment", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { call, create, createToken } = astro(emulator)
      const claims = JSON.parse(
        Buffer.from(Redacted.value(emulator.astroToken).split(".")[1] ?? "", "base64url").toString()
      )
      assert.includeMembers(claims.permissions, [
        `organizationId:${emulator.organizationId}`,
        `workspaceId:${emulator.workspaceId}`
      ])
      const [one, two] = [(yield* create("one")).json.id, (yield* create("two")).json.id]
      const minted = (yield* createToken(one, "lease 1")).json
      assert.strictEqual(minted.token.split(".").length, 3)
      yield* createToken(two)
      const listed = yield* call("GET", `tokens?deploymentId=${one}`)
      assert.deepInclude(listed.json, { totalCount: 1, limit: 20, offset: 0 })
      assert.deepInclude(listed.json.tokens[0], { id: minted.id, name: "lease 1", scope: "DEPLOYMENT" })
      assert.notProperty(listed.json.tokens[0], "token")
      const lease = astro(emulator, Redacted.make(minted.token))
      assert.strictEqual((yield* lease.get(one)).status, 200)
      assert.strictEqual((yield* lease.get(two)).status, 404)
      assert.strictEqual((yield* lease.create("three")).status, 403)
      assert.strictEqual((yield* lease.createToken(one)).status, 403)
      assert.strictEqual((yield* call("GET", `tokens/${minted.id}`)).status, 200)
      assert.strictEqual((yield* call("DELETE", `tokens/${minted.id}`)).status, 204)
      assert.strictEqual((yield* call("DELETE", `tokens/${minted.id}`)).status, 404)
      assert.strictEqual((yield* lease.get(one)).status, 401)
      const last = (yield* createToken(one)).json
      yield* call("DELETE", `deployments/${one}`)
      assert.strictEqual((yield* call("GET", `tokens/${last.id}`)).status, 404)
      assert.strictEqual((yield* createToken(one)).status, 404)
      const wrong = yield* call("POST", "tokens", { name: "x", scope: "WORKSPACE", role: "DEPLOYMENT_ADMIN" })
      assert.strictEqual(wrong.status, 400)
    }))

  it.scopedLive("replaces the configuration, keeps secrets, and restarts Airflow after a change", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 1000, durations: { update: "1 hour" } })
      const { call, create, get } = astro(emulator)
      const created = (yield* create("one")).json
      yield* until(get(created.id), ({ json }) => json.status === "HEALTHY")
      const update = (environmentVariables: unknown) =>
        call("POST", `deployments/${created.id}`, { ...created, environmentVariables })
      assert.strictEqual((yield* call("POST", `deployments/${created.id}`, { name: "one" })).status, 400)
      assert.strictEqual((yield* update([])).json.status, "HEALTHY")
      const updated = yield* update([{ key: "A", value: "1", isSecret: false }, {
        key: "B",
        value: "2",
        isSecret: true
      }])
      assert.strictEqual(updated.json.status, "DEPLOYING")
      assert.deepInclude(updated.json.environmentVariables[0], { key: "A", value: "1", isSecret: false })
      assert.notProperty(updated.json.environmentVariables[1], "value")
      const kept = yield* update([{ key: "B", isSecret: true }])
      assert.deepStrictEqual(kept.json.environmentVariables, [updated.json.environmentVariables[1]])
    }))

  it.scopedLive("identifies worker queues by their ids, and keeps them if an update leaves them out", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { call, create } = astro(emulator)
      const created = (yield* create("one")).json
      const [standard] = created.workerQueues
      assert.deepInclude(standard, { name: "default", isDefault: true, podCpu: "1" })
      const update = (fields: object) =>
        Effect.map(call("POST", `deployments/${created.id}`, { ...created, ...fields }), ({ json }) => json)
      const { podCpu: _, podMemory: __, ...sent } = standard
      const more = { name: "more", isDefault: false, astroMachine: "A5", minWorkerCount: 0, maxWorkerCount: 2 }
      const two = yield* update({ workerQueues: [{ ...sent, maxWorkerCount: 3 }, { ...more, workerConcurrency: 5 }] })
      assert.deepStrictEqual(two.workerQueues[0], { ...standard, maxWorkerCount: 3 })
      assert.match(two.workerQueues[1].id, /^c/)
      assert.lengthOf((yield* update({ workerQueues: undefined })).workerQueues, 2)
      assert.lengthOf((yield* update({ executor: "KUBERNETES" })).workerQueues, 0)
      assert.lengthOf((yield* update({ workerQueues: undefined })).workerQueues, 1)
    }))

  it.scopedLive("keeps schedules and the override until an update sends others", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { call, create, hibernate } = astro(emulator)
      const schedules = [{ hibernateAtCron: "0 20 * * *", wakeAtCron: "0 6 * * *", isEnabled: true }]
      const { scalingSpec, ...created } =
        (yield* create("one", { scalingSpec: { hibernationSpec: { schedules } } })).json
      assert.deepStrictEqual(scalingSpec, { hibernationSpec: { schedules } })
      yield* hibernate(created.id, true)
      const update = (fields: object) =>
        Effect.map(call("POST", `deployments/${created.id}`, { ...created, ...fields }), ({ json }) => json)
      assert.deepStrictEqual((yield* update({})).scalingSpec.hibernationSpec, {
        schedules,
        override: { isActive: true, isHibernating: true }
      })
      const override = { isHibernating: false, overrideUntil: "2099-01-01T00:00:00.000Z" }
      assert.deepStrictEqual(
        (yield* update({ scalingSpec: { hibernationSpec: { override } } })).scalingSpec.hibernationSpec,
        { schedules: [], override: { isActive: true, ...override } }
      )
      assert.deepStrictEqual((yield* update({ scalingSpec: {} })).scalingSpec, { hibernationSpec: { schedules: [] } })
      const refused = yield* call("POST", `deployments/${created.id}`, {
        ...created,
        scalingSpec: { hibernationSpec: { schedules: [{ isEnabled: true }] } }
      })
      assert.strictEqual(refused.status, 400)
    }))

  it.scopedLive("ends an override at its time", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 1000 })
      const { call, create, get } = astro(emulator)
      const { json: { id } } = yield* create("one")
      const override = (overrideUntil: string) =>
        Effect.map(
          call("POST", `deployments/${id}/hibernation-override`, { isHibernating: true, overrideUntil }),
          ({ json }) => json
        )
      const later = "2099-01-01T00:00:00Z"
      assert.deepStrictEqual(yield* override(later), {
        isActive: true,
        isHibernating: true,
        overrideUntil: "2099-01-01T00:00:00.000Z"
      })
      yield* until(get(id), ({ json }) => json.status === "HIBERNATING")
      assert.isFalse((yield* override("2020-01-01T00:00:00Z")).isActive)
      const woken = yield* until(get(id), ({ json }) => json.status === "HEALTHY")
      assert.deepStrictEqual(woken.json.scalingSpec, { hibernationSpec: { schedules: [] } })
      assert.deepStrictEqual((yield* emulator.audit).awake, ["one"])
    }))

  it.scopedLive("renames tokens, and gives them other roles", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { call, create } = astro(emulator)
      const { json: { id } } = yield* create("one")
      const { workspaceId } = emulator
      const minted = yield* call("POST", "tokens", {
        name: "w",
        scope: "WORKSPACE",
        role: "WORKSPACE_AUTHOR",
        entityId: workspaceId
      })
      const path = `tokens/${minted.json.id}`
      assert.deepInclude((yield* call("POST", path, { name: "x", description: "d" })).json, {
        name: "x",
        description: "d"
      })
      assert.strictEqual((yield* call("POST", path, {})).status, 400)
      const listed = Effect.map(call("GET", `tokens?deploymentId=${id}`), ({ json }) => json.totalCount)
      assert.strictEqual(yield* listed, 0)
      const own = { entityType: "WORKSPACE", entityId: workspaceId, role: "WORKSPACE_OWNER" }
      const roles = [own, { entityType: "DEPLOYMENT", entityId: id, role: "DEPLOYMENT_ADMIN" }]
      assert.deepStrictEqual((yield* call("POST", `${path}/roles`, { roles })).json, {
        workspaceRoles: [{ workspaceId, role: "WORKSPACE_OWNER" }],
        deploymentRoles: [{ deploymentId: id, role: "DEPLOYMENT_ADMIN" }]
      })
      assert.strictEqual(yield* listed, 1)
      const promoted = astro(emulator, Redacted.make(minted.json.token))
      assert.strictEqual((yield* promoted.createToken(id)).status, 200)
      yield* call("POST", `${path}/roles`, { roles: [{ ...own, role: "WORKSPACE_MEMBER" }] })
      assert.strictEqual((yield* promoted.createToken(id)).status, 403)
      for (const wrong of [[], [{ ...own, role: "KING" }]]) {
        assert.strictEqual((yield* call("POST", `${path}/roles`, { roles: wrong })).status, 400)
      }
    }))

  it.scopedLive("creates no deployment in an inactive organization, and hides an invisible one", () =>
    Effect.gen(function*() {
      for (const organization of ["SUSPENDED", "INACTIVE"] as const) {
        const emulator = yield* Emulator.make({ organization })
        const { create } = astro(emulator)
        const organizations = yield* send("GET", `${emulator.astroApiUrl}/v1/organizations`, {
          token: emulator.astroToken
        })
        assert.strictEqual(organizations.json.organizations[0].status, organization)
        const refused = yield* create("one")
        assert.strictEqual(refused.status, 400)
        assert.include(refused.json.message, `Organization is ${organization.toLowerCase()}`)
      }
      const emulator = yield* Emulator.make({ organization: "INVISIBLE" })
      const organizations = yield* send("GET", `${emulator.astroApiUrl}/v1/organizations`, {
        token: emulator.astroToken
      })
      assert.deepInclude(organizations.json, { organizations: [], totalCount: 0 })
      assert.strictEqual((yield* astro(emulator).call("GET", "workspaces")).status, 403)
    }))

  it.scopedLive("gives the same ids for the same seed", () =>
    Effect.gen(function*() {
      const first = yield* Emulator.make({ seed: 7 })
      const again = yield* Emulator.make({ seed: 7 })
      const other = yield* Emulator.make({ seed: 8 })
      assert.strictEqual(first.workspaceId, again.workspaceId)
      assert.notStrictEqual(first.workspaceId, other.workspaceId)
    }))

  it.scopedLive("keeps deployments CREATING while neverHealthy is set", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ durations: { create: 0 }, neverHealthy: true })
      const { create, get } = astro(emulator)
      const stuck = (yield* create("stuck")).json
      yield* emulator.neverHealthy(false)
      const fine = (yield* create("fine")).json
      yield* until(get(fine.id), ({ json }) => json.status === "HEALTHY")
      assert.strictEqual((yield* get(stuck.id)).json.status, "CREATING")
    }))
})
