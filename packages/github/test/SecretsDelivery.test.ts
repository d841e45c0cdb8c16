import { DagDelivery, type Target } from "@airflow-resource/core/DagDelivery"
import { DeploymentId } from "@airflow-resource/core/Deployment"
import { GithubRepository, GithubSecrets, SecretsDelivery } from "@airflow-resource/github"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer, Option, Redacted } from "effect"
import { inspect } from "node:util"
import * as FakeGithub from "./FakeGithub.js"

// GitHub's own spelling differs in case, which GitHub ignores
const repository = new GithubRepository.GithubRepository({ host: "github.com", owner: "my-org", name: "MY-dags" })

const target = (number: number): Target => ({
  deploymentId: DeploymentId.make(`deployment-${number}`),
  deploymentName: `pool-${number}`,
  accessToken: Redacted.make(`CANARY-lease-token-${number}`),
  leaseId: `lease-${number}`,
  onWait: () => Effect.void
})

const secretsOf = (number: number) => [
  ["ASTRO_DEPLOYMENT_ID", `deployment-${number}`],
  ["ASTRO_DEPLOYMENT_NAME", `pool-${number}`],
  ["ASTRO_ACCESS_TOKEN", `CANARY-lease-token-${number}`]
]

const setup = Effect.gen(function*() {
  const github = yield* FakeGithub.make
  const fetch: typeof globalThis.fetch = (url, init) =>
    github.fetch(String(url).replace("/my-org/MY-dags", "/My-Org/my-dags"), init)
  const layer = SecretsDelivery.layer({ repository }).pipe(
    Layer.provide(GithubSecrets.layer({ token: Redacted.make("ghp_CANARY"), fetch }))
  )
  return { github, ...Context.get(yield* Layer.build(layer), DagDelivery) }
})

describe("SecretsDelivery", () => {
  it.scoped("points the repository's secrets at the deployment, and leaves them there", () =>
    Effect.gen(function*() {
      const { deliver, github } = yield* setup
      yield* Effect.scoped(deliver(target(1)))
      assert.deepStrictEqual([...github.secrets], secretsOf(1))
    }))

  it.scoped("has one lock for a repository, however its name was spelled, and says how to run in parallel", () =>
    Effect.gen(function*() {
      const { lock } = yield* setup
      const { advice, name } = Option.getOrThrow(yield* lock)
      assert.strictEqual(name, "github:github.com/my-org/my-dags")
      assert.include(advice, "AIRFLOW_RESOURCE_DELIVERY=astro")
    }))

  it.scoped("reports a wrong token before the lease waits for the lock", () =>
    Effect.gen(function*() {
      const { github, lock } = yield* setup
      github.plan("GET /repos/My-Org/my-dags", FakeGithub.json(401, { message: "Bad credentials ghp_CANARY" }))
      const error = yield* Effect.flip(lock)
      assert.strictEqual(error._tag, "DeliveryError")
      assert.strictEqual(error.kind, "unauthorized")
      assert.strictEqual(error.status, 401)
      assert.notInclude(inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error), "CANARY")
    }))

  it.scoped("fails when a write is refused", () =>
    Effect.gen(function*() {
      const { deliver, github } = yield* setup
      const route = "PUT /repos/My-Org/my-dags/actions/secrets/ASTRO_DEPLOYMENT_NAME"
      github.plan(route, FakeGithub.json(403, { message: "no" }, { "x-accepted-github-permissions": "secrets=write" }))
      const error = yield* Effect.flip(deliver(target(1)))
      assert.strictEqual(error.kind, "forbidden")
      assert.include(error.message, "secrets=write")
    }))

  it.scoped("layerFromEnv fails at once for an unusable repository", () =>
    Effect.gen(function*() {
      const build = (env: Record<string, string>) =>
        Layer.build(SecretsDelivery.layerFromEnv).pipe(
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env))))
        )
      const env = { AIRFLOW_GITHUB_TOKEN: "ghp_CANARY", AIRFLOW_REPO: "https://ghe.example.com/my-org/my-dags" }
      const error = yield* Effect.flip(build(env))
      assert.include(String(error), "GITHUB_API_URL")
      yield* build({ ...env, GITHUB_API_URL: "https://ghe.example.com/api/v3" })
    }))

  it.scoped("in memory, the secrets that were written can be read", () =>
    Effect.gen(function*() {
      const written = new Map<string, Map<string, Redacted.Redacted>>()
      const layer = SecretsDelivery.layer({ repository }).pipe(
        Layer.provide(GithubSecrets.layerMemory(written))
      )
      yield* Effect.scoped(Effect.flatMap(DagDelivery, ({ deliver }) => deliver(target(1)))).pipe(Effect.provide(layer))
      const secrets = Option.fromNullable(written.get("my-org/MY-dags")).pipe(
        Option.map((secrets) => [...secrets].map(([name, value]) => [name, Redacted.value(value)]))
      )
      assert.deepStrictEqual(Option.getOrNull(secrets), secretsOf(1))
    }))
})
