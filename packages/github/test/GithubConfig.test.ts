import { GithubConfig } from "@airflow-resource/github"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Option, Redacted } from "effect"

const read = (env: Record<string, string>) =>
  Effect.withConfigProvider(GithubConfig.config, ConfigProvider.fromMap(new Map(Object.entries(env))))

const needed = { AIRFLOW_GITHUB_TOKEN: " ghp_CANARY\n", AIRFLOW_REPO: "my-org/my-dags" }

describe("GithubConfig", () => {
  it.effect("trims, and has defaults", () =>
    Effect.gen(function*() {
      const config = yield* read({ ...needed, GITHUB_API_URL: " " })
      assert.strictEqual(Redacted.value(config.token), "ghp_CANARY")
      assert.strictEqual(config.repository, "my-org/my-dags")
      assert.isTrue(Option.isNone(config.apiUrl))
      assert.notInclude(JSON.stringify(config), "CANARY")
    }))

  it.effect("reads all of them", () =>
    Effect.gen(function*() {
      const config = yield* read({ ...needed, GITHUB_API_URL: "https://ghe.example.com/api/v3" })
      assert.strictEqual(Option.getOrNull(config.apiUrl), "https://ghe.example.com/api/v3")
    }))

  it.effect("treats a blank variable as not set, under its own name", () =>
    Effect.gen(function*() {
      for (const blank of ["", " ", "\n"]) {
        for (const name of Object.keys(needed)) {
          const error = yield* Effect.flip(read({ ...needed, [name]: blank }))
          assert.deepStrictEqual(error._op === "MissingData" && error.path, [name])
        }
      }
    }))

  it.effect("names everything that is missing, and explains every variable", () =>
    Effect.gen(function*() {
      const message = String(yield* Effect.flip(read({ AIRFLOW_REPO: "" })))
      assert.include(message, "AIRFLOW_GITHUB_TOKEN")
      assert.include(message, "AIRFLOW_REPO")
      assert.deepStrictEqual(Object.keys(GithubConfig.variables).sort(), [
        "AIRFLOW_GITHUB_TOKEN",
        "AIRFLOW_REPO",
        "GITHUB_API_URL"
      ])
    }))
})
