import { Emulator, Lifecycle, Quirks } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { astro, awake, send, until } from "./client.js"

const fast = { speed: 10_000 }
const forever = "100000 hours"

describe("quirks", () => {
  it("are off by default, and divided by the speed", () => {
    assert.deepStrictEqual(Quirks.resolve({}, 10), {
      statusLag: 0,
      blip: 0,
      slowDelete: 0,
      hostFlips: 0,
      lateUrls: false,
      refusesToHibernateAgain: false,
      rateLimits: null
    })
    const { blip, rateLimits, statusLag } = Quirks.resolve({ blips: 100, statusLag: "1 second", rateLimits: {} }, 10)
    assert.deepStrictEqual([blip, statusLag, rateLimits?.response], [10, 100, "json"])
    assert.deepStrictEqual(rateLimits?.perSecond, { GET: 250, POST: 100, DELETE: 50 })
  })

  it.scopedLive("statusLag: reads return an old status, and otherwise current fields", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ ...fast, quirks: { statusLag: forever } })
      const { get, hibernate } = astro(emulator)
      const { id } = yield* awake(emulator)
      assert.strictEqual((yield* get(id)).json.status, "CREATING")
      yield* hibernate(id, true)
      yield* until(emulator.audit, ({ deployments }) => deployments[0]?.status === "HIBERNATING")
      const { json } = yield* get(id)
      assert.deepStrictEqual(json.scalingSpec.hibernationSpec.override, { isActive: true, isHibernating: true })
      assert.deepStrictEqual([json.status, json.scalingStatus.hibernationStatus.isHibernating], ["CREATING", false])
    }))

  it.scopedLive("statusLag: reads return the current status in the end", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ ...fast, quirks: { statusLag: "300 seconds" } })
      const { create, get } = astro(emulator)
      const { id } = (yield* create("one")).json
      yield* until(get(id), ({ json }) => json.status === "HEALTHY")
    }))

  it("blips: a deployment is UNHEALTHY and UNKNOWN before it is HEALTHY", () => {
    const timing = Lifecycle.timings({}, 1)
    const override = (at: number, isHibernating: boolean) => ({ at, isHibernating, until: null })
    const overrides = [override(10_000, true), override(400_000, false)]
    const phases = Lifecycle.timeline(
      { createdAt: 0, neverHealthy: false, overrides, updates: [], deploys: [] },
      timing,
      5000
    )
    assert.deepStrictEqual(phases.map(({ from, status }) => `${from / 1000} ${status}`), [
      "0 CREATING",
      "180 UNHEALTHY",
      "185 UNKNOWN",
      "190 HEALTHY",
      "235 HIBERNATING",
      "410 DEPLOYING",
      "475 UNHEALTHY",
      "480 UNKNOWN",
      "485 HEALTHY"
    ])
    assert.isFalse(Lifecycle.airflowResponds(phases, timing, 189_000))
  })

  it.scopedLive("slowDelete: reads return a deleted deployment, and its name stays taken", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ ...fast, quirks: { slowDelete: forever } })
      const { call, create, createToken, get, hibernate } = astro(emulator)
      const { airflow, id } = yield* awake(emulator)
      const { json: { token } } = yield* createToken(id)
      assert.strictEqual((yield* call("DELETE", `deployments/${id}`)).status, 204)
      assert.deepInclude((yield* get(id)).json, { id, status: "HEALTHY" })
      assert.strictEqual((yield* call("GET", "deployments")).json.totalCount, 1)
      assert.strictEqual((yield* call("GET", `tokens?deploymentId=${id}`)).json.totalCount, 0)
      assert.include((yield* create("one")).json.message, "already exists")
      const changes = [call("DELETE", `deployments/${id}`), hibernate(id, true), createToken(id)]
      for (const change of changes) assert.strictEqual((yield* change).status, 404)
      assert.strictEqual((yield* astro(emulator, Redacted.make(token)).get(id)).status, 401)
      assert.strictEqual((yield* airflow("GET", "version")).status, 404)
      assert.deepStrictEqual((yield* emulator.audit).deployments, [])
    }))

  it.scopedLive("slowDelete: the name becomes free in the end", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ ...fast, quirks: { slowDelete: "500 seconds" } })
      const { call, create, get } = astro(emulator)
      const { json: { id } } = yield* create("one")
      yield* call("DELETE", `deployments/${id}`)
      assert.strictEqual((yield* until(create("one"), ({ status }) => status !== 400)).status, 200)
      assert.strictEqual((yield* get(id)).status, 404)
    }))

  it.scopedLive("hostFlips: the host changes, and both hosts respond", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ ...fast, quirks: { hostFlips: 2 } })
      const { create, get } = astro(emulator)
      const { json: { id } } = yield* create("one")
      const urls = [
        (yield* get(id)).json.apiUrl,
        (yield* get(id)).json.apiUrl,
        (yield* get(id)).json.apiUrl,
        (yield* get(id)).json.apiUrl
      ]
      const port = new URL(emulator.url).port
      assert.deepStrictEqual(urls.map((url) => new URL(url).host), [
        `127.0.0.1:${port}`,
        `localhost:${port}`,
        `localhost:${port}`,
        `127.0.0.1:${port}`
      ])
      yield* get(id)
      const { webServerAirflowApiUrl, webServerUrl } = (yield* get(id)).json
      assert.strictEqual(webServerUrl, `localhost:${port}/d${id.slice(-7)}`)
      assert.strictEqual(webServerAirflowApiUrl, `${webServerUrl}/api/v1`)
      for (const url of urls.slice(0, 2)) {
        yield* until(send("GET", `${url}/version`, { token: emulator.astroToken }), ({ status }) => status === 200)
      }
    }))

  it.scopedLive("lateUrls: the URLs are empty until the creation ends", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ ...fast, quirks: { lateUrls: true } })
      const { create, get } = astro(emulator)
      const { apiUrl, id, webServerUrl } = (yield* create("one")).json
      assert.deepStrictEqual([apiUrl, webServerUrl], ["", ""])
      const { json } = yield* until(get(id), ({ json }) => json.status === "HEALTHY")
      assert.strictEqual(json.apiUrl, `${emulator.url}/d${id.slice(-7)}/api/v1`)
    }))

  it.scopedLive("refusesToHibernateAgain: a hibernating deployment refuses to hibernate", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ ...fast, quirks: { refusesToHibernateAgain: true } })
      const { get, hibernate } = astro(emulator)
      const { id } = yield* awake(emulator)
      assert.strictEqual((yield* hibernate(id, true)).status, 200)
      yield* until(get(id), ({ json }) => json.status === "HIBERNATING")
      const refused = yield* hibernate(id, true)
      assert.strictEqual(refused.status, 400)
      assert.include(refused.json.message, "already hibernating")
      assert.strictEqual((yield* hibernate(id, false)).status, 200)
    }))

  it.scopedLive("rateLimits: each token has a limit for each method", () =>
    Effect.gen(function*() {
      const perSecond = { GET: 3, POST: 0.001 }
      const emulator = yield* Emulator.make({ quirks: { rateLimits: { perSecond } } })
      const { call, create } = astro(emulator)
      // the bucket allows three at once, and refills while they are sent
      const statuses = yield* Effect.all(Array.from({ length: 30 }, () => call("GET", "deployments")), {
        concurrency: "unbounded"
      })
      const allowed = statuses.filter(({ status }) => status === 200).length
      assert.isAtLeast(allowed, 3)
      assert.isBelow(allowed, 30)
      const refused = statuses.find(({ status }) => status === 429)
      assert.deepInclude(refused?.json, { statusCode: 429, message: "Too many requests" })
      assert.isNull(refused?.headers.get("retry-after"))
      assert.strictEqual((yield* create("one")).status, 200)
      assert.strictEqual((yield* create("two")).status, 429)
      assert.strictEqual((yield* emulator.audit).deployments.length, 1)
      const other = astro(emulator, yield* emulator.mintAstroToken())
      assert.strictEqual((yield* other.create("two")).status, 200)
      yield* until(call("GET", "deployments"), ({ status }) => status === 200)
    }))

  it.scopedLive("rateLimits: the response has Retry-After, or is a gateway's page", () =>
    Effect.gen(function*() {
      const limited = (response: "retryAfter" | "gateway") =>
        Effect.gen(function*() {
          const rateLimits = { perSecond: { POST: 0.1 }, response }
          const { create } = astro(yield* Emulator.make({ quirks: { rateLimits } }))
          yield* create("one")
          return yield* create("two")
        })
      const refused = yield* limited("retryAfter")
      assert.deepStrictEqual([refused.status, refused.json.statusCode], [429, 429])
      assert.match(refused.headers.get("retry-after") ?? "", /^(9|10)$/)
      const page = yield* limited("gateway")
      assert.deepStrictEqual([page.status, page.contentType], [429, "text/html"])
    }))
})
