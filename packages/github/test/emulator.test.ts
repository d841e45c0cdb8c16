import { DagDelivery, type Target } from "@airflow-resource/core/DagDelivery"
import { DeploymentId } from "@airflow-resource/core/Deployment"
import { Emulator } from "@airflow-resource/emulator"
import { GithubRepository, GithubSecrets, SecretsDelivery } from "@airflow-resource/github"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Option, Redacted } from "effect"
import { inspect } from "node:util"

const setup = Effect.gen(function*() {
  const emulator = yield* Emulator.make()
  const repository = yield* GithubRepository.parse(emulator.repository)
  const secretsFor = (token: Redacted.Redacted) => GithubSecrets.make({ token, apiUrl: emulator.githubApiUrl })
  return { emulator, repository, secretsFor }
})

const target = (number: number): Target => ({
  deploymentId: DeploymentId.make(`deployment-${number}`),
  deploymentName: `pool-${number}`,
  accessToken: Redacted.make(`lease-token-${number}`),
  leaseId: `lease-${number}`,
  onWait: () => Effect.void
})

const secretsOf = (number: number) => ({
  ASTRO_DEPLOYMENT_ID: `deployment-${number}`,
  ASTRO_DEPLOYMENT_NAME: `pool-${number}`,
  ASTRO_ACCESS_TOKEN: `lease-token-${number}`
})

describe("GithubSecrets over the emulator", () => {
  it.scopedLive("writes and replaces secrets", () =>
    Effect.gen(function*() {
      const { emulator, repository, secretsFor } = yield* setup
      const secrets = yield* secretsFor(emulator.githubToken)
      assert.strictEqual((yield* secrets.check(repository)).fullName, emulator.repository)
      yield* secrets.put(repository, { ONE: Redacted.make("naïve 🔑\n"), TWO: Redacted.make("") })
      yield* secrets.put(repository, { ONE: Redacted.make("again") })
      assert.deepStrictEqual(yield* emulator.secrets(), { ONE: "again", TWO: "" })
    }))

  it.scopedLive("distinguishes tokens without permission, and shows none of them in the error", () =>
    Effect.gen(function*() {
      const { emulator, repository, secretsFor } = yield* setup
      const attempt = (token: Redacted.Redacted, how: "put" | "check") =>
        Effect.gen(function*() {
          const secrets = yield* secretsFor(token)
          const value = Redacted.make("CANARY")
          const error = yield* Effect.flip(
            how === "put" ? secrets.put(repository, { ONE: value }) : Effect.asVoid(secrets.check(repository))
          )
          const shown = inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error) + error.message
          assert.notInclude(shown, Redacted.value(token))
          assert.notInclude(shown, "CANARY")
          return error
        })
      const [none, read] = [yield* emulator.mintGithubToken("none"), yield* emulator.mintGithubToken("read")]
      assert.strictEqual((yield* attempt(Redacted.make("github_pat_CANARY"), "check")).kind, "unauthorized")
      assert.strictEqual((yield* attempt(none, "check")).kind, "notFound")
      assert.strictEqual((yield* attempt(read, "check")).kind, "forbidden")
      const refused = yield* attempt(read, "put")
      assert.strictEqual(refused.kind, "forbidden")
      assert.include(refused.message, "secrets=write")
      assert.deepStrictEqual(yield* emulator.secrets(), {})
    }))

  it.scopedLive("reports a secret's name that GitHub rejects", () =>
    Effect.gen(function*() {
      const { emulator, repository, secretsFor } = yield* setup
      const secrets = yield* secretsFor(emulator.githubToken)
      const error = yield* Effect.flip(secrets.put(repository, { GITHUB_X: Redacted.make("CANARY") }))
      assert.strictEqual(error.kind, "invalid")
      assert.include(error.message, "GITHUB_")
    }))

  it.scopedLive("leaves it to its caller whether to send a write again that has no response", () =>
    Effect.gen(function*() {
      const { emulator, repository, secretsFor } = yield* setup
      const secrets = yield* secretsFor(emulator.githubToken)
      yield* emulator.faults.next({ match: { method: "PUT", path: /\/secrets\/ONE$/ }, then: { _tag: "DropAfter" } })
      const error = yield* Effect.flip(secrets.put(repository, { ONE: Redacted.make("first") }))
      assert.isTrue(error.retryable)
      assert.lengthOf(yield* emulator.secretWrites, 1)
    }))

  it.scopedLive("a delivery configured by variables points the secrets at each deployment in turn", () =>
    Effect.gen(function*() {
      const { emulator } = yield* setup
      const env = new Map([
        ["AIRFLOW_GITHUB_TOKEN", Redacted.value(emulator.githubToken)],
        ["AIRFLOW_REPO", `https://github.com/${emulator.repository.toUpperCase()}.git`],
        ["GITHUB_API_URL", emulator.githubApiUrl]
      ])
      const layer = SecretsDelivery.layerFromEnv.pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(env)))
      )
      yield* Effect.gen(function*() {
        const { deliver, lock } = yield* DagDelivery
        assert.strictEqual(
          Option.getOrThrow(yield* lock).name,
          `github:github.com/${emulator.repository}`.toLowerCase()
        )
        for (const number of [1, 2]) {
          yield* Effect.scoped(deliver(target(number)))
          assert.deepStrictEqual(yield* emulator.secrets(), secretsOf(number))
        }
      }).pipe(Effect.provide(layer))
    }))
})
