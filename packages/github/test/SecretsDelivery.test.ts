import { CacheError } from "@airflow-resource/core/CacheError"
import { DagDelivery, type Target } from "@airflow-resource/core/DagDelivery"
import { DeploymentId } from "@airflow-resource/core/Deployment"
import * as DeploymentCache from "@airflow-resource/core/DeploymentCache"
import * as Host from "@airflow-resource/core/Host"
import { LeaseLost } from "@airflow-resource/core/Lease"
import { GithubRepository, GithubSecrets, SecretsDelivery } from "@airflow-resource/github"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Exit, Fiber, Layer, Option, Redacted, Scope } from "effect"
import { inspect } from "node:util"
import * as FakeGithub from "./FakeGithub.js"
import { simulate } from "./simulate.js"

// GitHub's own spelling differs in case, which GitHub ignores
const repository = new GithubRepository.GithubRepository({ host: "github.com", owner: "my-org", name: "MY-dags" })

const target = (number: number, waits: Array<string> = []): Target => ({
  deploymentId: DeploymentId.make(`deployment-${number}`),
  deploymentName: `pool-${number}`,
  accessToken: Redacted.make(`CANARY-lease-token-${number}`),
  leaseId: `lease-${number}`,
  label: `pipeline.test.ts > test ${number}`,
  onWait: (reason) => Effect.sync(() => void waits.push(reason))
})

const secretsOf = (number: number) => [
  ["ASTRO_DEPLOYMENT_ID", `deployment-${number}`],
  ["ASTRO_DEPLOYMENT_NAME", `pool-${number}`],
  ["ASTRO_ACCESS_TOKEN", `CANARY-lease-token-${number}`]
]

const setup = (cache: Layer.Layer<DeploymentCache.DeploymentCache> = DeploymentCache.layerMemory) =>
  Effect.gen(function*() {
    const github = yield* FakeGithub.make
    const fetch: typeof globalThis.fetch = (url, init) =>
      github.fetch(String(url).replace("/my-org/MY-dags", "/My-Org/my-dags"), init)
    const layer = SecretsDelivery.layer({ repository }).pipe(
      Layer.provide(GithubSecrets.layer({ token: Redacted.make("ghp_CANARY"), fetch })),
      Layer.provideMerge(cache)
    )
    const context = yield* Layer.build(layer)
    return {
      github,
      cache: Context.get(context, DeploymentCache.DeploymentCache),
      ...Context.get(context, DagDelivery)
    }
  })

const open = (effect: ReturnType<typeof DagDelivery.Service.deliver>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const delivery = yield* Scope.extend(effect, scope)
    return { delivery, close: Scope.close(scope, Exit.void) }
  })

describe("SecretsDelivery", () => {
  it.scoped("points the repository's secrets at the deployment, and leaves them there", () =>
    Effect.gen(function*() {
      const { deliver, github } = yield* setup()
      const { close } = yield* open(deliver(target(1)))
      assert.deepStrictEqual([...github.secrets], secretsOf(1))
      yield* close
      assert.deepStrictEqual([...github.secrets], secretsOf(1))
    }))

  it.scoped("two leases of one repository take turns, and the second learns which test it waits for", () =>
    Effect.gen(function*() {
      const { deliver, github } = yield* setup()
      const waits: Array<string> = []
      const first = yield* open(deliver(target(1)))
      const second = yield* Effect.fork(simulate(open(deliver(target(2, waits))), github.idle))
      yield* Effect.yieldNow().pipe(Effect.repeat({ until: () => waits.length > 0 }))
      assert.include(waits[0], "pipeline.test.ts > test 1")
      assert.include(waits[0], "github:github.com/my-org/my-dags")
      assert.deepStrictEqual([...github.secrets], secretsOf(1))
      yield* first.close
      const { close } = yield* Fiber.join(second)
      assert.deepStrictEqual([...github.secrets], secretsOf(2))
      assert.strictEqual(waits.length, 1)
      yield* close
    }))

  it.scoped("reports a wrong token before it waits for the lock, and leaves the lock with its holder", () =>
    Effect.gen(function*() {
      const { deliver, github } = yield* setup()
      const waits: Array<string> = []
      const first = yield* open(deliver(target(1)))
      github.plan("GET /repos/My-Org/my-dags", FakeGithub.json(401, { message: "Bad credentials ghp_CANARY" }))
      const error = yield* Effect.flip(Effect.scoped(deliver(target(2, waits))))
      assert.strictEqual(error._tag, "DeliveryError")
      assert.strictEqual(error.kind, "unauthorized")
      assert.strictEqual(error.status, 401)
      assert.notInclude(inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error), "CANARY")
      assert.deepStrictEqual(waits, [])
      yield* first.close
    }))

  it.scoped("gives the lock back when a write is refused", () =>
    Effect.gen(function*() {
      const { deliver, github } = yield* setup()
      const route = "PUT /repos/My-Org/my-dags/actions/secrets/ASTRO_DEPLOYMENT_NAME"
      github.plan(route, FakeGithub.json(403, { message: "no" }, { "x-accepted-github-permissions": "secrets=write" }))
      const error = yield* Effect.flip(Effect.scoped(deliver(target(1))))
      assert.strictEqual(error.kind, "forbidden")
      assert.include(error.message, "secrets=write")
      const waits: Array<string> = []
      yield* Effect.scoped(deliver(target(2, waits)))
      assert.deepStrictEqual([...github.secrets], secretsOf(2))
      assert.deepStrictEqual(waits, [])
    }))

  const lostLock = (lost: Effect.Effect<never, LeaseLost>) =>
    Layer.mock(DeploymentCache.DeploymentCache, {
      path: "mock",
      ledgerId: "mock",
      owner: Host.alone.owner,
      lock: () => Effect.succeed({ epoch: 7, lost })
    })
  const loss = new LeaseLost({ held: "the lock", epoch: 7, reason: "it was silent past its deadline" })

  it.scoped("stops writing when its lock is lost", () =>
    Effect.gen(function*() {
      const { deliver, github } = yield* setup(lostLock(Effect.fail(loss)))
      const error = yield* Effect.flip(Effect.scoped(deliver(target(1))))
      assert.strictEqual(error.kind, "busy")
      assert.isTrue(error.retryable)
      assert.include(error.message, "silent past its deadline")
      assert.strictEqual(github.secrets.size, 0)
    }))

  it.scoped("reports the loss of its lock", () =>
    Effect.gen(function*() {
      let lost = false
      const watched = Effect.suspend(() => (lost ? Effect.fail(loss) : Effect.never))
      const { deliver } = yield* setup(lostLock(watched))
      const { delivery } = yield* open(deliver(target(1)))
      lost = true
      assert.strictEqual(yield* Effect.flip(delivery.lost), loss)
    }))

  it.scoped("reports an unusable cache as a DeliveryError", () =>
    Effect.gen(function*() {
      const cacheError = (kind: "io" | "busy") =>
        Layer.mock(DeploymentCache.DeploymentCache, {
          path: "mock",
          ledgerId: "mock",
          owner: Host.alone.owner,
          lock: () => Effect.fail(new CacheError({ kind, path: "cluster_cache.db", detail: "it broke" }))
        })
      for (const [kind, expected] of [["io", "cache"], ["busy", "busy"]] as const) {
        const { deliver } = yield* setup(cacheError(kind))
        const error = yield* Effect.flip(Effect.scoped(deliver(target(1))))
        assert.strictEqual(error.kind, expected)
        assert.include(error.message, "cluster_cache.db")
      }
    }))

  it.scoped("layerFromEnv fails at once for an unusable repository", () =>
    Effect.gen(function*() {
      const build = (env: Record<string, string>) =>
        Layer.build(SecretsDelivery.layerFromEnv).pipe(
          Effect.provide(DeploymentCache.layerMemory),
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
        Layer.provide(GithubSecrets.layerMemory(written)),
        Layer.provide(DeploymentCache.layerMemory)
      )
      yield* Effect.scoped(Effect.flatMap(DagDelivery, ({ deliver }) => deliver(target(1)))).pipe(Effect.provide(layer))
      const secrets = Option.fromNullable(written.get("my-org/MY-dags")).pipe(
        Option.map((secrets) => [...secrets].map(([name, value]) => [name, Redacted.value(value)]))
      )
      assert.deepStrictEqual(Option.getOrNull(secrets), secretsOf(1))
    }))
})
