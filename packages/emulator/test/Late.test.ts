import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Redacted, Scope } from "effect"
import { astro, awake, send, until } from "./client.js"

const fast: Emulator.Options = { speed: 10_000 }

/** Holds back the next matching request after it has `arrived`, until `go` runs. */
const late = (emulator: Emulator.Service, path: RegExp, responds?: boolean) =>
  Effect.gen(function*() {
    const arrived = yield* Deferred.make<void>()
    const go = yield* Deferred.make<void>()
    yield* emulator.faults.next({
      match: { path },
      then: {
        _tag: "Late",
        after: Effect.zipRight(Deferred.succeed(arrived, undefined), Deferred.await(go)),
        ...(responds === undefined ? {} : { responds })
      }
    })
    return { arrived: Deferred.await(arrived), go: Deferred.succeed(go, undefined) }
  })

const isBroken = <A, E>(call: Effect.Effect<A, E>) => Effect.map(Effect.exit(call), Exit.isFailure)

/** The audit's records of a request, once it has been carried out. */
const record = (emulator: Emulator.Service, path: RegExp) =>
  Effect.map(
    until(emulator.audit, ({ requests }) => requests.some((request) => path.test(request.path))),
    ({ requests }) => requests.filter((request) => path.test(request.path))
  )

describe("A late request", () => {
  it.scopedLive("is carried out by Astro after its connection has broken", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { go } = yield* late(emulator, /\/deployments$/)
      assert.isTrue(yield* isBroken(astro(emulator).create("one")))
      const before = yield* emulator.audit
      assert.deepStrictEqual([before.deployments, before.requests], [[], []])
      const released = Date.now()
      yield* go
      const found = yield* record(emulator, /\/deployments$/)
      assert.deepStrictEqual(found.map(({ method, status }) => [method, status]), [["POST", 200]])
      assert.isAtLeast(found[0]?.at ?? 0, released)
      assert.deepStrictEqual((yield* emulator.audit).awake, ["one"])
    }))

  it.scopedLive("is carried out by Astro with a token that has since been deleted", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { call } = astro(emulator)
      const fields = { name: "w", scope: "WORKSPACE", role: "WORKSPACE_OWNER", entityId: emulator.workspaceId }
      const minted = (yield* call("POST", "tokens", fields)).json
      const { go } = yield* late(emulator, /\/deployments$/)
      const token = Redacted.make(minted.token as string)
      assert.isTrue(yield* isBroken(astro(emulator, token).create("one")))
      yield* call("DELETE", `tokens/${minted.id}`)
      assert.strictEqual((yield* astro(emulator, token).create("two")).status, 401)
      yield* go
      const { awake } = yield* until(emulator.audit, ({ deployments }) => deployments.length > 0)
      assert.deepStrictEqual(awake, ["one"])
    }))

  it.scopedLive("is carried out by Airflow with a token that has since been deleted, but not with an invalid one", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { call, createToken } = astro(emulator)
      const { airflow, id } = yield* awake(emulator)
      const own = (yield* createToken(id)).json
      const write = (key: string, token: string) =>
        isBroken(airflow("POST", "variables", { token: Redacted.make(token), body: { key, value: "v" } }))
      const right = yield* late(emulator, /\/variables$/)
      const wrong = yield* late(emulator, /\/variables$/)
      assert.isTrue(yield* write("right", own.token))
      assert.isTrue(yield* write("wrong", "stranger"))
      yield* call("DELETE", `tokens/${own.id}`)
      assert.strictEqual((yield* airflow("GET", "variables/right")).status, 404)
      yield* right.go
      const [first] = yield* record(emulator, /\/variables$/)
      assert.deepInclude(first, { status: 200, token: own.id, deploymentId: id })
      assert.isAtLeast(first?.at ?? 0, (yield* emulator.audit).issued[0]?.deletedAt ?? Infinity)
      assert.strictEqual((yield* airflow("GET", "variables/right")).json.value, "v")
      yield* wrong.go
      yield* until(emulator.audit, ({ requests }) => requests.at(-1)?.status === 401)
      assert.strictEqual((yield* airflow("GET", "variables/wrong")).status, 404)
    }))

  it.scopedLive("is lost if Airflow has hibernated since", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow, id } = yield* awake(emulator)
      const { go } = yield* late(emulator, /\/variables$/)
      assert.isTrue(yield* isBroken(airflow("POST", "variables", { body: { key: "k", value: "v" } })))
      yield* astro(emulator).hibernate(id, true)
      yield* until(airflow("GET", "version"), ({ status }) => status === 503)
      yield* astro(emulator).hibernate(id, false)
      yield* until(airflow("GET", "version"), ({ status }) => status === 200)
      yield* go
      const [found] = yield* record(emulator, /\/variables$/)
      assert.strictEqual(found?.status, 503)
      assert.strictEqual((yield* airflow("GET", "variables/k")).status, 404)
    }))

  it.scopedLive("is carried out by GitHub", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { go } = yield* late(emulator, /\/secrets\/NONE$/)
      const url = `${emulator.githubApiUrl}/repos/${emulator.repository}/actions/secrets/NONE`
      assert.isTrue(yield* isBroken(send("DELETE", url, { token: emulator.githubToken })))
      assert.deepStrictEqual((yield* emulator.audit).requests, [])
      yield* go
      const [found] = yield* record(emulator, /\/secrets\/NONE$/)
      assert.deepInclude(found, { method: "DELETE", status: 404, deploymentId: null })
    }))

  it.scopedLive("gets a response if the fault says so, and is carried out even if its client is gone", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make(fast)
      const { airflow } = yield* awake(emulator)
      const write = (key: string) => Effect.fork(airflow("POST", "variables", { body: { key, value: "v" } }))
      const kept = yield* late(emulator, /\/variables$/, true)
      const waiting = yield* write("kept")
      yield* kept.arrived
      assert.strictEqual((yield* airflow("GET", "variables/kept")).status, 404)
      yield* kept.go
      assert.strictEqual((yield* waiting).status, 200)
      const left = yield* late(emulator, /\/variables$/, true)
      const client = yield* write("left")
      yield* left.arrived
      yield* Fiber.interrupt(client)
      yield* left.go
      yield* until(airflow("GET", "variables/left"), ({ status }) => status === 200)
    }))

  it.scopedLive("is dropped when the emulator stops", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const emulator = yield* Scope.extend(Emulator.make(fast), scope)
      const dropped = yield* Deferred.make<void>()
      const after = Effect.onInterrupt(Effect.never, () => Deferred.succeed(dropped, undefined))
      yield* emulator.faults.next({ match: {}, then: { _tag: "Late", after } })
      assert.isTrue(yield* isBroken(astro(emulator).create("one")))
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.await(dropped)
      assert.deepStrictEqual((yield* emulator.audit).requests, [])
    }))
})
