import { AstroConfig } from "@airflow-resource/astro"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Option, Redacted } from "effect"

const read = <A>(config: Config.Config<A>, variables: Record<string, string>) =>
  Effect.withConfigProvider(config, ConfigProvider.fromMap(new Map(Object.entries(variables))))

const complete = {
  ASTRO_WORKSPACE_ID: "ws",
  ASTRO_ACCESS_TOKEN: "token",
  ASTRO_CLOUD_PROVIDER: "aws",
  ASTRO_REGION: "us-east-1"
}

const all = Config.all({
  account: AstroConfig.config,
  apiToken: AstroConfig.apiToken,
  bin: AstroConfig.bin,
  spec: AstroConfig.spec
})

const names = Object.keys({ ...AstroConfig.variables, ...AstroConfig.internalVariables })

describe("AstroConfig", () => {
  it.effect("treats a blank variable as not set, whatever its kind", () =>
    Effect.gen(function*() {
      const expected = yield* read(all, complete)
      for (const blank of ["", " ", "\n"]) {
        const blanks = Object.fromEntries(names.map((name) => [name, blank]))
        assert.deepStrictEqual(yield* read(all, { ...blanks, ...complete }), expected)
        for (const name of Object.keys(complete)) {
          const error = yield* Effect.flip(read(all, { ...complete, [name]: blank }))
          assert.deepStrictEqual(error._op === "MissingData" && error.path, [name])
        }
      }
    }))

  it.effect("trims", () =>
    Effect.gen(function*() {
      const { account, apiToken, spec } = yield* read(all, {
        ...complete,
        ASTRO_ACCESS_TOKEN: "token\n",
        ASTRO_API_TOKEN: " shared\r\n",
        ASTRO_CLOUD_PROVIDER: "aws "
      })
      assert.strictEqual(Redacted.value(account.token), "token")
      assert.strictEqual(Redacted.value(Option.getOrThrow(apiToken)), "shared")
      assert.strictEqual(spec.cloudProvider, "aws")
    }))

  it.effect("names a token that cannot be sent, and does not show it", () =>
    Effect.gen(function*() {
      for (const name of ["ASTRO_ACCESS_TOKEN", "ASTRO_API_TOKEN"]) {
        for (
          const token of [
            "\"secret\"",
            "'secret'",
            "secret\nsecret",
            "Bearer secret",
            "secret\u200b",
            "sécret",
            "“secret”"
          ]
        ) {
          const error = yield* Effect.flip(read(all, { ...complete, [name]: token }))
          // the API token is read twice
          const first = error._op === "And" ? error.left : error
          assert.deepStrictEqual(first._op === "InvalidData" && first.path, [name], token)
          assert.notInclude(String(error), "cret")
        }
      }
    }))

  it.effect("accepts the URL of Astro's API with and without its version", () =>
    Effect.gen(function*() {
      for (
        const [url, expected] of [
          ["https://api.astronomer.io", "https://api.astronomer.io"],
          ["https://api.astronomer.io/", "https://api.astronomer.io"],
          ["https://api.astronomer.io/v1", "https://api.astronomer.io"],
          [" https://api.astronomer.io/v1/ ", "https://api.astronomer.io"],
          ["https://gateway.example.com:8443/astro/v1//", "https://gateway.example.com:8443/astro"],
          ["http://127.0.0.1:8080/astro", "http://127.0.0.1:8080/astro"],
          ["http://127.0.1.1", "http://127.0.1.1"],
          ["http://localhost:1", "http://localhost:1"],
          ["http://[::1]:1/v1", "http://[::1]:1"]
        ] as const
      ) {
        const { apiUrl } = yield* read(AstroConfig.organization, { ...complete, ASTRO_API_URL: url })
        assert.strictEqual(apiUrl, expected)
      }
    }))

  it.effect("sends the token nowhere else, and does not show the URL, which may contain a secret", () =>
    Effect.gen(function*() {
      for (
        const url of [
          "http://api.astronomer.io",
          "http://localhost.example.com",
          "http://127.0.0.1.example.com",
          "http://secret@localhost",
          "https://user:secret@api.astronomer.io",
          "https://api.astronomer.io?key=secret",
          "https://api.astronomer.io#secret",
          "api.astronomer.io",
          "ftp://secret",
          "https://",
          "secret"
        ]
      ) {
        const error = yield* Effect.flip(read(AstroConfig.config, { ...complete, ASTRO_API_URL: url }))
        assert.deepStrictEqual(error._op === "InvalidData" && error.path, ["ASTRO_API_URL"], url)
        assert.match(String(error), /https.*loopback/)
        assert.notInclude(String(error), "secret")
      }
    }))
})
