import { AirflowApi } from "@airflow-resource/airflow"
import { DeploymentCache, DeploymentPool, DeploymentProvider } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Cause, Context, Effect, Exit, Fiber, Layer, Logger, Option, Scope, TestClock } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import { emptyWal, fillDisk, withConnection } from "./faults.js"

type Provider = typeof DeploymentProvider.DeploymentProvider.Service

/** A lease over a ledger in a file and a cloud in memory. */
const lease = (change: (provider: Provider) => Partial<Provider> = () => ({})) =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/ledger-`)),
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
    )
    const path = `${folder}/cache.db`
    const provider = Context.get(
      yield* Layer.build(DeploymentProvider.layerMemory()),
      DeploymentProvider.DeploymentProvider
    )
    const [services, db] = yield* withConnection(Layer.build(
      DeploymentPool.layer({
        spec: { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" },
        revocationWait: 0,
        readyPolls: 1
      }).pipe(
        Layer.provideMerge(SqliteDeploymentCache.layer({ path })),
        Layer.provide([
          Layer.succeed(DeploymentProvider.DeploymentProvider, { ...provider, ...change(provider) }),
          AirflowApi.layerMemory(),
          NodeContext.layer
        ])
      )
    ))
    const warnings: Array<string> = []
    const logger = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ cause, logLevel, message }) => {
        if (logLevel._tag === "Warning") warnings.push(`${String(message)} ${Cause.pretty(cause)}`)
      })
    )
    const scope = yield* Scope.make()
    const pool = Context.get(services, DeploymentPool.DeploymentPool)
    const { deployment, poolId } = yield* Scope.extend(pool.acquire({ label: "test" }), scope).pipe(
      Effect.provide(logger)
    )
    return {
      path,
      db,
      provider,
      warnings,
      deployment,
      isHeld: Effect.map(
        Context.get(services, DeploymentCache.DeploymentCache).inspect(poolId),
        ({ slots }) => slots.some(({ holder }) => holder !== null)
      ),
      /** Ends the lease, and returns what is left of it. */
      end: Effect.gen(function*() {
        yield* Scope.close(scope, Exit.void)
        const { status } = yield* provider.get(deployment.id)
        return { status, tokens: (yield* provider.listTokens(deployment.id)).length }
      })
    }
  })

type Lease = Effect.Effect.Success<ReturnType<typeof lease>>

describe("a lease whose ledger can no longer be used hibernates its deployment and leaves no token:", () => {
  const cases: Record<string, (held: Lease) => void> = {
    "full": ({ db }) => fillDisk(db),
    "corrupt": ({ path }) => emptyWal(path),
    "notWritable": ({ db }) => db.pragma("query_only = ON"),
    "replaced": ({ path }) => fs.rmSync(path),
    "io": ({ db }) => db.close()
  }
  for (const [kind, happens] of Object.entries(cases)) {
    it.scoped(kind, () =>
      Effect.gen(function*() {
        const held = yield* lease()
        assert.deepStrictEqual(yield* held.provider.get(held.deployment.id), held.deployment)
        happens(held)
        assert.deepStrictEqual(yield* held.end, { status: "HIBERNATING", tokens: 0 })
        assert.lengthOf(held.warnings, 1)
        assert.include(held.warnings[0], `The release cannot be recorded. The cache ${held.path} cannot be used`)
      }))
  }
})

describe("a lease whose ledger can no longer be used", () => {
  it.scoped("keeps its token if the hibernation gets no response", () =>
    Effect.gen(function*() {
      const held = yield* lease(() => ({
        hibernate: () =>
          new DeploymentProvider.ProviderError({ kind: "timeout", operation: "hibernate", detail: "late", remedy: "" })
      }))
      fillDisk(held.db)
      const ending = yield* Effect.fork(held.end)
      // it tries again a few times
      yield* Effect.repeat(Effect.zipRight(TestClock.adjust("1 seconds"), Fiber.poll(ending)), { until: Option.isSome })
      assert.deepStrictEqual(yield* Fiber.join(ending), { status: "HEALTHY", tokens: 1 })
      assert.include(held.warnings.join(), "late")
    }))

  it.scoped("leaves its deployment to the next holder, which has revoked its token", () =>
    Effect.gen(function*() {
      const held = yield* lease()
      fillDisk(held.db)
      const [token] = yield* held.provider.listTokens(held.deployment.id)
      yield* held.provider.createToken(held.deployment.id, "of the next holder")
      yield* held.provider.deleteToken(held.deployment.id, token?.id ?? "")
      assert.deepStrictEqual(yield* held.end, { status: "HEALTHY", tokens: 1 })
    }))

  it.scoped("leaves the rest to the next holder if the ledger is only busy", () =>
    Effect.gen(function*() {
      const held = yield* lease()
      const other = new Database(held.path)
      other.exec("BEGIN IMMEDIATE")
      const ended = yield* Effect.fork(held.end)
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(yield* Fiber.join(ended), { status: "HEALTHY", tokens: 1 })
      other.close()
      assert.isTrue(yield* held.isHeld)
      assert.include(held.warnings.join(), "SQLITE_BUSY")
    }))
})
