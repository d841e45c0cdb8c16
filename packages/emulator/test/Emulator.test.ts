import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Redacted, Scope } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { astro, awake, send, until } from "./client.js"

describe("Emulator", () => {
  it.scopedLive("stops at once when its scope closes, even with an open request", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const emulator = yield* Scope.extend(Emulator.make(), scope)
      yield* emulator.faults.next({ match: {}, then: { _tag: "Delay", duration: "1 hour" } })
      const waiting = yield* Effect.fork(Effect.exit(send("GET", emulator.url)))
      yield* until(emulator.audit, ({ requests }) => requests.length === 1)
      // the delayed response would come after an hour
      yield* Effect.timeout(Scope.close(scope, Exit.void), "20 seconds")
      assert.isTrue(Exit.isFailure(yield* waiting))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(send("GET", emulator.url))))
    }))

  it.scopedLive("fails if its port is in use", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const port = Number(new URL(emulator.url).port)
      const error = yield* Effect.flip(Emulator.make({ port }))
      assert.strictEqual(error.kind, "portInUse")
      assert.include(error.message, `port ${port} is in use`)
    }))

  it.scopedLive("refuses DAGs that cannot run", () =>
    Effect.gen(function*() {
      const dags = [{ dagId: "d", tasks: [{ taskId: "a", log: "", upstream: ["b"] }] }]
      assert.strictEqual((yield* Effect.flip(Emulator.make({ dags }))).kind, "invalidDags")
      const emulator = yield* Emulator.make()
      assert.strictEqual((yield* Effect.flip(emulator.setDags(dags))).kind, "invalidDags")
    }))

  it.scoped("keeps real time under a TestClock", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const created = yield* astro(emulator).create("one")
      assert.strictEqual(created.status, 200)
      const { states } = yield* emulator.audit
      assert.isAbove(states[0]?.at ?? 0, 1_700_000_000_000)
    }).pipe(Effect.provide(Emulator.layer())))

  it.scopedLive("records what happened, but no token value", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 10_000 })
      const { call, create, createToken, hibernate } = astro(emulator)
      const one = yield* awake(emulator, "one")
      const two = (yield* create("two")).json
      yield* hibernate(two.id, true)
      const minted = (yield* createToken(one.id, "lease 1")).json
      yield* one.airflow("GET", "dags?limit=1", { token: Redacted.make(minted.token as string) })
      yield* call("GET", "deployments?signature=abc&limit=5")
      yield* send("GET", `${emulator.url}/elsewhere`, { token: Redacted.make("stranger") })
      const audit = yield* emulator.audit
      assert.deepStrictEqual(audit.awake, ["one"])
      assert.deepStrictEqual(audit.tokens, [{ id: minted.id, name: "lease 1", deploymentId: one.id }])
      assert.deepStrictEqual(audit.issued.map(({ deletedAt, id }) => ({ deletedAt, id })), [
        { deletedAt: null, id: minted.id }
      ])
      const [first, second] = audit.deployments
      assert.deepInclude(first, { id: one.id, status: "HEALTHY", hibernationRequested: false })
      assert.deepStrictEqual(first?.tokens, [{ id: minted.id, name: "lease 1" }])
      assert.deepInclude(second, { name: "two", hibernationRequested: true })
      const [dags, list, elsewhere] = audit.requests.slice(-3)
      assert.deepInclude(dags, { method: "GET", status: 200, token: minted.id, deploymentId: one.id })
      assert.deepInclude(list, { status: 200, deploymentId: null })
      assert.include(dags?.path, "/api/v1/dags?limit=1")
      assert.isTrue(list?.path.endsWith("/deployments?limit=5"))
      assert.deepInclude(elsewhere, { path: "/elsewhere", status: 404, deploymentId: null })
      assert.match(elsewhere?.token ?? "", /^sha256:[0-9a-f]{8}$/)
      const text = JSON.stringify(audit)
      for (const secret of [Redacted.value(emulator.astroToken), minted.token, "stranger"]) {
        assert.notInclude(text, secret)
      }
    }))

  it.scopedLive("records the tokens of a deleted deployment, and returns audits that do not change", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed: 10_000 })
      const { call, createToken } = astro(emulator)
      const { airflow, id } = yield* awake(emulator)
      const first = (yield* createToken(id, "lease 1")).json
      yield* call("DELETE", `tokens/${first.id}`)
      const second = (yield* createToken(id, "lease 2")).json
      const before = yield* emulator.audit
      yield* call("DELETE", `deployments/${id}`)
      const gone = yield* airflow("GET", "version", { token: Redacted.make(second.token as string) })
      assert.strictEqual(gone.status, 404)
      const { issued, requests, tokens } = yield* emulator.audit
      assert.deepStrictEqual(tokens, [])
      assert.deepStrictEqual(
        issued.map(({ deploymentId, name }) => ({ deploymentId, name })),
        [{ deploymentId: id, name: "lease 1" }, { deploymentId: id, name: "lease 2" }]
      )
      for (const { createdAt, deletedAt } of issued) assert.isAtLeast(deletedAt ?? 0, createdAt)
      assert.deepInclude(requests.at(-1), { status: 404, token: second.id, deploymentId: id })
      assert.strictEqual(before.issued[1]?.deletedAt, null)
      assert.strictEqual(before.requests.length, requests.length - 2)
    }))

  it.scopedLive("applies each fault as often as specified", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { call, create } = astro(emulator)
      const match = { method: "post", path: /\/deployments$/g }
      const { next } = emulator.faults
      yield* next({
        match,
        times: 2,
        then: { _tag: "Status", status: 429, headers: { "retry-after": "1" }, body: { message: "slow down" } }
      })
      yield* next({ match, then: { _tag: "Html", status: 502 } })
      yield* next({ match, then: { _tag: "DropBefore" } })
      yield* next({ match, then: { _tag: "DropAfter" } })
      assert.strictEqual(yield* emulator.faults.pending, 5)
      assert.strictEqual((yield* call("GET", "deployments")).status, 200)
      const limited = yield* create("one")
      assert.deepStrictEqual([limited.status, limited.headers.get("retry-after")], [429, "1"])
      assert.strictEqual((yield* create("one")).json.message, "slow down")
      assert.include((yield* create("one")).contentType, "text/html")
      const names = Effect.map(emulator.audit, ({ deployments }) => deployments.map(({ name }) => name))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(create("before"))))
      assert.deepStrictEqual(yield* names, [])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(create("after"))))
      assert.deepStrictEqual(yield* names, ["after"])
      yield* next({ match, then: { _tag: "Cut" } })
      const cut = yield* Effect.promise(() =>
        fetch(`${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}/deployments`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${Redacted.value(emulator.astroToken)}`,
            "content-type": "application/json"
          },
          body: JSON.stringify({
            name: "cut",
            workspaceId: emulator.workspaceId,
            cloudProvider: "AWS",
            region: "us-east-1"
          })
        })
      )
      assert.strictEqual(cut.status, 200)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.tryPromise(() => cut.text()))))
      assert.deepStrictEqual(yield* names, ["after", "cut"])
      assert.strictEqual((yield* create("one")).status, 200)
      yield* next({ match: {}, times: 9, then: { _tag: "Html", status: 500 } })
      yield* emulator.faults.clear
      assert.strictEqual((yield* call("GET", "deployments")).status, 200)
    }))
})

describe("forwarding", () => {
  const upstream = (handler: (request: IncomingMessage, response: ServerResponse) => void) =>
    Effect.acquireRelease(
      Effect.async<{ readonly url: string; readonly close: () => void }>((resume) => {
        const server = createServer(handler)
        server.listen(0, "127.0.0.1", () =>
          resume(Effect.succeed({
            url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`,
            close: () => {
              server.close()
              server.closeAllConnections()
            }
          })))
      }),
      ({ close }) => Effect.sync(close)
    )

  it.scopedLive("forwards the URL and both bodies unchanged, and replaces the credentials", () =>
    Effect.gen(function*() {
      const received: Array<string> = []
      const real = yield* upstream((request, response) => {
        received.push(`${request.method} ${request.url} ${request.headers.authorization}`)
        response.writeHead(207, { "content-type": "text/x-echo", "x-real": "yes" })
        request.pipe(response)
      })
      const emulator = yield* Emulator.make({
        speed: 10_000,
        airflow: ({ name }) => ({ url: real.url, authorization: `Bearer ${name}` })
      })
      const create = (name: string) => Effect.map(astro(emulator).create(name), ({ json }) => json)
      yield* emulator.neverHealthy(true)
      const early = (yield* create("early")).webServerAirflowApiUrl
      const refused = yield* send("POST", `${early}/variables`, { token: emulator.astroToken, body: "early" })
      assert.strictEqual(refused.status, 503)
      yield* emulator.neverHealthy(false)
      const url = `${(yield* create("one")).webServerAirflowApiUrl}/variables/a%2Fb%20c?x=%2F`
      const call = (body: string) => send("POST", url, { token: emulator.astroToken, body })
      const echo = yield* until(call("x".repeat(200_000)), ({ status }) => status !== 503)
      assert.deepStrictEqual(
        [echo.status, echo.contentType, echo.headers.get("x-real"), echo.text.length],
        [207, "text/x-echo", "yes", 200_000]
      )
      assert.deepStrictEqual(received, [`POST /base/api/v1/variables/a%2Fb%20c?x=%2F Bearer one`])
      assert.strictEqual((yield* send("GET", url)).status, 401)
      assert.strictEqual((yield* send("GET", url, { token: Redacted.make("wrong") })).status, 401)
      assert.strictEqual(received.length, 1)
      yield* emulator.faults.next({ match: { method: "POST" }, then: { _tag: "DropAfter" } })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(call("lost"))))
      assert.strictEqual(received.length, 2)
      const go = yield* Deferred.make<void>()
      yield* emulator.faults.next({ match: {}, then: { _tag: "Late", after: Deferred.await(go) } })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(call("late"))))
      assert.strictEqual(received.length, 2)
      yield* Deferred.succeed(go, undefined)
      yield* until(emulator.audit, ({ requests }) => requests.filter(({ status }) => status === 207).length === 2)
      assert.strictEqual(received.length, 3)
      const { requests } = yield* emulator.audit
      assert.strictEqual(requests.find(({ status }) => status === 207)?.method, "POST")
    }))

  it.scopedLive("passes on the first part of a response before the last part is written", () =>
    Effect.gen(function*() {
      let finish = () => {}
      const real = yield* upstream((_, response) => {
        response.write("first")
        finish = () => response.end("last")
      })
      const emulator = yield* Emulator.make({
        speed: 10_000,
        airflow: () => ({ url: real.url, authorization: "Basic dTpw" })
      })
      const created = (yield* astro(emulator).create("one")).json
      const { audit } = emulator
      yield* until(audit, ({ deployments }) => deployments[0]?.status === "HEALTHY")
      const open = Effect.promise(() =>
        fetch(`${created.apiUrl}/version`, {
          headers: { authorization: `Bearer ${Redacted.value(emulator.astroToken)}` }
        })
      )
      const response = yield* until(open, ({ status }) => status !== 503)
      const reader = response.body?.getReader()
      const read = Effect.promise(async () => Buffer.from((await reader?.read())?.value ?? []).toString())
      assert.strictEqual(yield* read, "first")
      finish()
      assert.strictEqual(yield* read, "last")
      yield* emulator.faults.next({ match: { path: /version/ }, then: { _tag: "Cut" } })
      const cut = yield* open
      assert.strictEqual(cut.status, 200)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.tryPromise(() => cut.text()))))
    }))

  it.scopedLive("responds with 502 if the real Airflow is unreachable", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({
        speed: 10_000,
        // not a port that was free a moment ago: another emulator may be using it by now
        airflow: () => ({ url: "http://127.0.0.1:1", authorization: "Basic dTpw" })
      })
      const created = (yield* astro(emulator).create("one")).json
      const version = send("GET", `${created.apiUrl}/version`, { token: emulator.astroToken })
      assert.strictEqual((yield* until(version, ({ status }) => status !== 503)).status, 502)
    }))
})
