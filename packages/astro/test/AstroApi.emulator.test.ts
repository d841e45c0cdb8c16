import { AstroApi } from "@airflow-resource/astro"
import { DeploymentProvider } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { FetchHttpClient } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { suite } from "../../core/test/provider/DeploymentProvider.suite.js"
import { account } from "./cli.js"

const overEmulator = Layer.unwrapEffect(
  Effect.map(Emulator.Emulator, (emulator) => AstroApi.layer(account(emulator)))
).pipe(
  Layer.provideMerge(Emulator.layer({ speed: 1000 })),
  Layer.provide(FetchHttpClient.layer)
)

suite("AstroApi over the emulator", overEmulator)

it.live("AstroApi follows no redirect, because it would turn a write into a read", () =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.Emulator
    const provider = yield* DeploymentProvider.DeploymentProvider
    const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
    const { id } = yield* provider.create({ name: "pool-1", description: "", spec })
    const location = `${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}/deployments/${id}?t=secret`
    for (
      const [method, call] of [
        ["POST", provider.hibernate(id)],
        ["DELETE", provider.delete(id)],
        ["POST", provider.setVariables(id, { A: "1" })]
      ] as const
    ) {
      yield* emulator.faults.next({ match: { method }, then: { _tag: "Status", status: 302, headers: { location } } })
      const error = yield* Effect.flip<unknown, DeploymentProvider.ProviderError, never>(call)
      assert.isTrue(error.ambiguous)
      assert.include(error.message, `a redirect to ${emulator.astroApiUrl}, which was not followed (status 302)`)
      assert.notInclude(error.message, "secret")
    }
    assert.strictEqual(yield* emulator.faults.pending, 0)
    const { requests } = yield* emulator.audit
    assert.deepStrictEqual(requests.filter(({ path }) => path.includes("t=secret")), [])
  }).pipe(Effect.provide(overEmulator)))
