import { DeploymentProvider } from "@airflow-resource/core"
import { assert, it } from "@effect/vitest"
import { Clock, Effect, TestClock } from "effect"
import { suite } from "./DeploymentProvider.suite.js"

suite("DeploymentProvider in memory", DeploymentProvider.layerMemory())

it.effect("takes the configured time, on the clock that it was built under", () =>
  Effect.gen(function*() {
    const provider = yield* DeploymentProvider.DeploymentProvider
    const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
    const { id } = yield* provider.create({ name: "slow", description: "", spec })
    const status = Effect.map(provider.get(id), ({ status }) => status)
    yield* TestClock.adjust("2 minutes")
    assert.strictEqual(yield* status, "CREATING")
    yield* TestClock.adjust("1 minutes")
    assert.strictEqual(yield* status, "HEALTHY")
    yield* provider.hibernate(id)
    assert.strictEqual(yield* status, "HEALTHY")
    yield* TestClock.adjust("30 seconds")
    assert.strictEqual(yield* status, "HIBERNATING")
    yield* provider.wake(id)
    assert.strictEqual(yield* status, "DEPLOYING")
    yield* TestClock.adjust("1 minutes")
    assert.strictEqual(yield* status, "HEALTHY")

    const end = (yield* Clock.currentTimeMillis) + 60_000
    yield* provider.hibernate(id, end)
    yield* TestClock.adjust("59 seconds")
    assert.strictEqual(yield* status, "HIBERNATING")
    assert.strictEqual((yield* provider.get(id)).overrideUntil, end)
    yield* TestClock.adjust("1 seconds")
    assert.strictEqual(yield* status, "DEPLOYING")
    assert.isUndefined((yield* provider.get(id)).overrideUntil)
    yield* TestClock.adjust("1 minutes")
    assert.strictEqual(yield* status, "HEALTHY")
    yield* provider.hibernate(id, (yield* Clock.currentTimeMillis) + 20_000)
    yield* TestClock.adjust("30 seconds")
    assert.strictEqual(yield* status, "HEALTHY", "the override ended before it hibernated")
  }).pipe(Effect.provide(DeploymentProvider.layerMemory({
    createTakes: "3 minutes",
    wakeTakes: "1 minutes",
    hibernateTakes: "30 seconds"
  }))))
