import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { astro, awake, send, until } from "./client.js"

const put = (url: string) =>
  Effect.promise(() => fetch(url, { method: "PUT", body: "a bundle", headers: { "x-ms-blob-type": "BlockBlob" } }))

describe("deploys of DAGs", () => {
  it.scopedLive("are created, uploaded without a token, and finalized", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 1000 })
      const { call, create, hibernate } = astro(emulator)
      const { id } = (yield* create("one")).json
      const path = `deployments/${id}/deploys`
      const created = (yield* call("POST", path, { type: "DAG_ONLY", description: "d" })).json
      assert.deepInclude(created, {
        deploymentId: id,
        status: "INITIALIZED",
        description: "d",
        isDagDeployEnabled: true
      })
      const finalize = (dagTarballVersion: string) =>
        call("POST", `${path}/${created.id}/finalize`, { dagTarballVersion })
      assert.strictEqual((yield* finalize("1")).status, 400)
      assert.strictEqual((yield* put(created.dagsUploadUrl.replace("sig=", "sig=x"))).status, 403)
      assert.strictEqual((yield* send("GET", created.dagsUploadUrl)).status, 405)
      const block = yield* put(`${created.dagsUploadUrl}&comp=block&blockid=MQ==`)
      assert.deepStrictEqual([block.status, block.headers.get("x-ms-version-id")], [201, null])
      const uploaded = yield* put(created.dagsUploadUrl)
      assert.strictEqual(uploaded.status, 201)
      const version = uploaded.headers.get("x-ms-version-id") ?? ""
      assert.match(version, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$/)
      assert.deepInclude((yield* finalize(version)).json, { status: "DEPLOYED", dagTarballVersion: version })
      assert.strictEqual((yield* call("GET", `${path}/${created.id}`)).json.status, "DEPLOYED")
      const deployment = call("GET", `deployments/${id}`)
      assert.strictEqual((yield* deployment).json.desiredDagTarballVersion, version)
      yield* until(deployment, ({ json }) => json.dagTarballVersion === version)
      assert.strictEqual((yield* call("GET", path)).json.deploys[0].id, created.id)
      assert.strictEqual((yield* call("GET", `${path}/none`)).status, 404)
      assert.strictEqual((yield* call("POST", path, { type: "IMAGE_ONLY" })).status, 400)
      yield* until(call("GET", `deployments/${id}`), ({ json }) => json.status === "HEALTHY")
      yield* hibernate(id, true)
      yield* until(call("GET", `deployments/${id}`), ({ json }) => json.status === "HIBERNATING")
      const blocked = yield* call("POST", path, { type: "DAG_ONLY" })
      assert.strictEqual(blocked.json.message, "Deploy is blocked because Deployment is in HIBERNATING state")
      const { requests } = yield* emulator.audit
      assert.isFalse(requests.some(({ path }) => path.includes("sig=")))
    }))

  it.scopedLive("roll out while Airflow keeps running", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 1000, durations: { deploy: "1 hour" } })
      const { airflow, id } = yield* awake(emulator)
      const { call } = astro(emulator)
      const path = `deployments/${id}/deploys`
      const created = (yield* call("POST", path, { type: "DAG_ONLY" })).json
      const version = (yield* put(created.dagsUploadUrl)).headers.get("x-ms-version-id")
      yield* call("POST", `${path}/${created.id}/finalize`, { dagTarballVersion: version })
      const { json } = yield* call("GET", `deployments/${id}`)
      assert.deepInclude(json, { status: "DEPLOYING", desiredDagTarballVersion: version })
      assert.notProperty(json, "dagTarballVersion")
      assert.strictEqual((yield* airflow("GET", "version")).status, 200)
    }))

  it.scopedLive("come with the routes for logs and the user, which the astro CLI calls", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { call, create } = astro(emulator)
      const { id } = (yield* create("one")).json
      const logs = yield* call("GET", `deployments/${id}/logs?limit=500&maxNumResults=500&offset=0&sources=worker`)
      assert.deepInclude(logs.json, { limit: 500, resultCount: 0, results: [] })
      for (const wrong of [`${id}/logs`, "none/logs?sources=worker"]) {
        assert.strictEqual((yield* call("GET", `deployments/${wrong}`)).status, 400)
      }
      const self = yield* send("GET", `${emulator.astroApiUrl}/v1/users/self?createIfNotExist=true`, {
        token: emulator.astroToken
      })
      assert.deepInclude(self.json, { status: "ACTIVE" })
    }))
})
