// What a provider may do beyond what every provider does.
import { type Airflow, AirflowApi, type AirflowError } from "@airflow-resource/airflow"
import { Deployment, DeploymentCache, DeploymentPool, DeploymentProvider } from "@airflow-resource/core"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"

const spec = { runtimeVersion: "3.3.2", cloudProvider: "local", region: "python3.11" } as const

type Provider = typeof DeploymentProvider.DeploymentProvider.Service

/** A pool over a provider in memory that was changed. */
const pool = (change: (provider: Provider) => Partial<Provider>) =>
  DeploymentPool.layer({ spec, revocationWait: 0, readyPolls: 1 }).pipe(
    Layer.provide([
      AirflowApi.layerMemory(),
      DeploymentCache.layerMemory,
      Layer.map(
        DeploymentProvider.layerMemory(),
        (context) => {
          const [provider] = [...context.unsafeMap.values()] as [Provider]
          return DeploymentProvider.DeploymentProvider.context({ ...provider, ...change(provider) })
        }
      )
    ])
  )

const lease = (
  label: string,
  steps: Array<string> = [],
  body: (airflow: Airflow.Airflow) => Effect.Effect<void, AirflowError.AirflowApiError> = () => Effect.void
) =>
  Effect.scoped(Effect.gen(function*() {
    const { acquire } = yield* DeploymentPool.DeploymentPool
    const { airflow } = yield* acquire({
      label,
      onProgress: ({ activity }) => Effect.sync(() => void steps.push(activity))
    })
    yield* body(airflow)
  }))

it.live("provisions once for each creation, before it, and shows what it does", () => {
  const calls: Array<string> = []
  const steps: Array<string> = []
  return Effect.gen(function*() {
    yield* lease("first", steps)
    yield* lease("second")
    assert.deepStrictEqual(calls, ["provision 3.3.2", "create"])
    assert.isBelow(steps.indexOf("installing"), steps.indexOf("creating"))
    assert.include(steps, "installing")
  }).pipe(Effect.provide(pool((provider) => ({
    provision: ({ runtimeVersion }, onProgress) =>
      Effect.asVoid(Effect.zipRight(
        Effect.sync(() => calls.push(`provision ${runtimeVersion}`)),
        onProgress("installing")
      )),
    create: (deployment) => Effect.zipRight(Effect.sync(() => calls.push("create")), provider.create(deployment))
  }))))
})

it.live("creates nothing if what it needs cannot be provided", () => {
  const failure = new DeploymentProvider.ProviderError({
    kind: "unusable",
    operation: "install Airflow",
    detail: "there is no Python",
    remedy: "Install one."
  })
  return Effect.gen(function*() {
    assert.strictEqual((yield* Effect.flip(lease("first"))).message, failure.message)
    const { slots } = yield* Effect.flatMap(DeploymentPool.DeploymentPool, ({ inspect }) => inspect)
    assert.deepStrictEqual(slots.map(({ deploymentId, name }) => ({ deploymentId, name })), [
      { deploymentId: null, name: null }
    ])
  }).pipe(Effect.provide(pool(() => ({ provision: () => failure, create: () => Effect.dieMessage("not stubbed") }))))
})

it.live("empties each deployment its own way alone, and through Airflow's API if that fails", () => {
  const reset: Array<string> = []
  let fails = false
  const seen = (keys: ReadonlyArray<string>) => (airflow: Airflow.Airflow) =>
    Effect.map(airflow.variables.list, (all) => assert.deepStrictEqual(all.map(({ key }) => key), keys))
  return Effect.gen(function*() {
    yield* lease("first", [], ({ variables }) => variables.put({ key: "left", value: "1" }))
    assert.lengthOf(reset, 1)
    yield* lease("second", [], seen(["left"]))
    assert.lengthOf(reset, 2)
    fails = true
    yield* lease("third", [], seen([]))
    assert.lengthOf(reset, 3)
  }).pipe(Effect.provide(pool(() => ({
    reset: (id) =>
      Effect.suspend(() => {
        reset.push(id)
        return fails
          ? new DeploymentProvider.ProviderError({ kind: "server", operation: "reset", detail: "no", remedy: "Wait." })
          : Effect.void
      })
  }))))
})

it.live("does not wait for a deployment that is not going to be healthy", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(lease("first"))
    assert.include(error, { _tag: "DeploymentNotHealthy", status: "UNHEALTHY" })
    assert.match(error.message, /is UNHEALTHY: its scheduler ended/)
  }).pipe(Effect.provide(pool((provider) => ({
    list: Effect.map(provider.list, (all) =>
      all.map((one) =>
        new Deployment.Deployment({ ...one, status: "UNHEALTHY", problem: "its scheduler ended" })
      ))
  })))))
