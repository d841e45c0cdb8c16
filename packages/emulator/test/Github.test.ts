import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Redacted } from "effect"
import sodium from "libsodium-wrappers"
import { send } from "./client.js"

const sealed = (value: string, key: string) =>
  Buffer.from(sodium.crypto_box_seal(value, Buffer.from(key, "base64"))).toString("base64")

describe("GitHub", () => {
  it.scopedLive("decrypts the secrets that it receives", () =>
    Effect.gen(function*() {
      yield* Effect.promise(() => sodium.ready)
      const emulator = yield* Emulator.make()
      const token = emulator.githubToken
      const repository = `${emulator.githubApiUrl}/repos/${emulator.repository}`
      const call = (method: string, path: string, body?: unknown) =>
        send(method, `${repository}${path}`, { token, body })
      const found = yield* call("GET", "")
      assert.deepInclude(found.json, { full_name: "example/dags", default_branch: "main" })
      assert.isTrue(found.json.permissions.push)
      const { key, key_id } = (yield* call("GET", "/actions/secrets/public-key")).json
      const put = (name: string, value: string) =>
        call("PUT", `/actions/secrets/${name}`, { encrypted_value: sealed(value, key), key_id })
      const created = yield* put("astro_token", "first ✓")
      assert.deepStrictEqual([created.status, created.json], [201, {}])
      const updated = yield* put("ASTRO_TOKEN", "second ✓")
      assert.deepStrictEqual([updated.status, updated.text], [204, ""])
      yield* put("OTHER", "")
      assert.deepStrictEqual(yield* emulator.secrets(), { ASTRO_TOKEN: "second ✓", OTHER: "" })
      assert.deepStrictEqual((yield* emulator.secretWrites).map(({ name }) => name), [
        "ASTRO_TOKEN",
        "ASTRO_TOKEN",
        "OTHER"
      ])
      const listed = yield* call("GET", "/actions/secrets?per_page=1&page=2")
      assert.deepStrictEqual([listed.json.total_count, listed.json.secrets[0].name], [2, "OTHER"])
      assert.hasAllKeys((yield* call("GET", "/actions/secrets/other")).json, ["name", "created_at", "updated_at"])
      assert.strictEqual((yield* call("DELETE", "/actions/secrets/OTHER")).status, 204)
      assert.strictEqual((yield* call("DELETE", "/actions/secrets/OTHER")).status, 404)
    }))

  it.scopedLive("refuses the same requests as GitHub", () =>
    Effect.gen(function*() {
      yield* Effect.promise(() => sodium.ready)
      const emulator = yield* Emulator.make()
      const repository = `${emulator.githubApiUrl}/repos/${emulator.repository}`
      const call = (method: string, path: string, token?: Redacted.Redacted, body?: unknown) =>
        send(method, `${repository}${path}`, { token, body })
      const token = emulator.githubToken
      const { key, key_id } = (yield* call("GET", "/actions/secrets/public-key", token)).json
      const put = (body: unknown, name = "A", as = token) => call("PUT", `/actions/secrets/${name}`, as, body)
      const good = { encrypted_value: sealed("v", key), key_id }
      const stranger = Buffer.from(sodium.crypto_box_keypair().publicKey).toString("base64")
      for (
        const body of [
          { ...good, key_id: "1" },
          { ...good, encrypted_value: sealed("v", stranger) },
          { ...good, encrypted_value: Buffer.from("v").toString("base64") },
          { ...good, encrypted_value: "not base64" },
          { encrypted_value: good.encrypted_value }
        ]
      ) {
        assert.strictEqual((yield* put(body)).status, 422, JSON.stringify(Object.keys(body)))
      }
      assert.include((yield* put({ ...good, key_id: "1" })).json.message, "improperly encrypted")
      assert.strictEqual((yield* put(good, "1A")).status, 422)
      assert.strictEqual((yield* put(good, "GITHUB_A")).status, 422)
      const anonymous = yield* call("GET", "")
      assert.deepStrictEqual([anonymous.status, anonymous.json.message], [401, "Bad credentials"])
      const reader = yield* emulator.mintGithubToken("read")
      const forbidden = yield* put(good, "A", reader)
      assert.strictEqual(forbidden.status, 403)
      assert.strictEqual(forbidden.headers.get("x-accepted-github-permissions"), "secrets=write")
      const blind = yield* emulator.mintGithubToken("none")
      assert.strictEqual((yield* call("GET", "", blind)).status, 404)
      assert.deepStrictEqual(yield* emulator.secrets(), {})
    }))
})
