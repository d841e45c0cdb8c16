import { AstroCredentials } from "@airflow-resource/astro"
import { Emulator } from "@airflow-resource/emulator"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"

const jwt = (payload: unknown) =>
  Redacted.make(`e30.${Buffer.from(JSON.stringify(payload)).toString("base64url")}.signature`)
const api = (...permissions: ReadonlyArray<unknown>) => jwt({ permissions: ["apiTokenId:t", ...permissions] })

describe("a token's claims", () => {
  it("give the kind of the token", () => {
    const kind = (token: Redacted.Redacted) => AstroCredentials.claims(token).kind
    assert.strictEqual(kind(jwt({ sub: "auth0|6", org_id: "org", exp: 1 })), "user")
    assert.strictEqual(kind(api("organizationId:o")), "organization")
    assert.strictEqual(kind(api("organizationId:o", "workspaceId:w")), "workspace")
    assert.strictEqual(kind(api("organizationId:o", "workspaceId:w", "deploymentId:d")), "deployment")
    assert.strictEqual(kind(jwt({ apiTokenId: "t" })), "organization")
    for (const text of ["", "opaque", "a.b.c", "e30.bnVsbA.x", "e30.W10.x", "..", "a.%%%.c"]) {
      assert.strictEqual(kind(Redacted.make(text)), "opaque", text)
    }
    const whole = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln"
    assert.strictEqual(kind(Redacted.make(whole)), "user")
    for (let length = 3; length <= whole.length - 4; length++) {
      assert.strictEqual(kind(Redacted.make(whole.slice(0, length))), "truncated", whole.slice(0, length))
    }
  })

  it("are read if they are well-formed, and count as missing otherwise", () => {
    const { apiTokenId, organizationId, workspaceId } = AstroCredentials.claims(
      api("workspaceId:early", 7, "organizationId:o", null, "workspaceId:late", "workspaceIdx:no")
    )
    // the last one counts, as in the astro CLI
    assert.deepStrictEqual([apiTokenId, organizationId, workspaceId].map(Option.getOrNull), ["t", "o", "late"])
    const end = (exp: unknown) => Option.getOrNull(AstroCredentials.claims(jwt({ exp })).expiresAt)
    assert.strictEqual(end(1_700_000_000), 1_700_000_000_000)
    assert.strictEqual(end(1_700_000_000.5), 1_700_000_000_500)
    for (const exp of [undefined, null, "1700000000", -1, 1e300, {}]) assert.isNull(end(exp))
    assert.strictEqual(AstroCredentials.claims(jwt({ permissions: "apiTokenId:t" })).kind, "user")
  })
})

describe("a token's rights", () => {
  const fetched = Effect.provide(FetchHttpClient.layer)

  it.scopedLive("come from Astro, by one read", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const rightsOf = (token: Redacted.Redacted) =>
        fetched(AstroCredentials.rights(
          { apiUrl: `${emulator.astroApiUrl}/`, token, workspaceId: emulator.workspaceId },
          emulator.organizationId
        ))
      assert.deepStrictEqual(yield* rightsOf(emulator.astroToken), { level: "owner", roles: ["WORKSPACE_OWNER"] })
      assert.strictEqual((yield* rightsOf(yield* emulator.mintAstroToken({ rights: "operator" }))).level, "operator")
      const { requests } = yield* emulator.audit
      assert.deepStrictEqual(requests.map(({ method }) => method), ["GET", "GET"])
      const refused = yield* Effect.flip(rightsOf(yield* emulator.mintAstroToken({ expiresIn: 0 })))
      assert.include(["unauthorized", "tokenExpired"], refused.kind)
    }))

  /** Responds once; a second request, or another path, dies. */
  const responding = (path: string, status: number, body: unknown) => {
    let hasResponded = false
    return Effect.provide(Layer.succeed(
      HttpClient.HttpClient,
      HttpClient.make((request, url) => {
        if (hasResponded || url.pathname !== path) return Effect.dieMessage(`${url.pathname} is not stubbed`)
        hasResponded = true
        return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(JSON.stringify(body), { status })))
      })
    ))
  }
  const rightsOfToken = (token: Redacted.Redacted) =>
    AstroCredentials.rights({ apiUrl: "https://astro.invalid", token, workspaceId: "w" }, "o")
  const token = "/v1/organizations/o/tokens/t"
  const role = (role: string, entityId = "w") => ({ role, entityId, entityType: "WORKSPACE" })

  it.effect("include roles in the workspace and in the organization", () =>
    Effect.gen(function*() {
      const level = (...roles: ReadonlyArray<unknown>) =>
        Effect.map(responding(token, 200, { scope: "WORKSPACE", roles })(rightsOfToken(api())), ({ level }) => level)
      assert.strictEqual(yield* level(role("ORGANIZATION_OWNER", "o")), "owner")
      assert.strictEqual(yield* level(role("ORGANIZATION_MEMBER", "o"), role("WORKSPACE_OPERATOR")), "operator")
      assert.strictEqual(yield* level(role("WORKSPACE_OWNER", "another"), role("WORKSPACE_AUTHOR")), "none")
      assert.strictEqual(yield* level(role("WORKSPACE_OWNER", "another")), "unknown")
      assert.strictEqual(yield* level(role("SOMETHING_NEW")), "unknown")
      assert.strictEqual(
        (yield* responding(token, 200, { scope: "DEPLOYMENT" })(rightsOfToken(api()))).level,
        "none"
      )
    }))

  it.effect("of a user's token are those of the user", () =>
    Effect.gen(function*() {
      const user = jwt({ sub: "auth0|6" })
      const roles = [{ role: "ORGANIZATION_MEMBER" }, { role: "WORKSPACE_OWNER", scope: { entityId: "w" } }]
      const found = yield* responding("/v1/users/self", 200, { id: "u", roles })(rightsOfToken(user))
      assert.deepStrictEqual(found, { level: "owner", roles: ["ORGANIZATION_MEMBER", "WORKSPACE_OWNER"] })
      assert.strictEqual((yield* responding("/v1/users/self", 200, { id: "u" })(rightsOfToken(user))).level, "unknown")
    }))

  it.effect("are unknown if Astro reports no role", () =>
    Effect.gen(function*() {
      const none = { level: "unknown", roles: [] } as const
      for (const status of [403, 404]) {
        assert.deepStrictEqual(yield* responding(token, status, { message: "no" })(rightsOfToken(api())), none)
      }
      // no id to send, and no request
      assert.deepStrictEqual(yield* responding("", 500, {})(rightsOfToken(Redacted.make("opaque"))), none)
    }))
})
