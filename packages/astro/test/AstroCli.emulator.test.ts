import { Emulator } from "@airflow-resource/emulator"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { suite } from "../../core/test/provider/DeploymentProvider.suite.js"
import * as Cli from "./cli.js"
import * as Lease from "./lease.js"
import * as Refusals from "./refusals.suite.js"
import * as StandIn from "./StandIn.js"

suite(
  "AstroApi through a stand-in for the astro CLI over the emulator",
  Layer.unwrapScoped(Effect.gen(function*() {
    const { bin } = yield* StandIn.make()
    return Cli.services(yield* Emulator.Emulator, bin)
  })).pipe(Layer.provide(Emulator.layer({ speed: 1000 })))
)

Refusals.suite("AstroApi through a stand-in for the astro CLI", Effect.map(StandIn.make(), ({ bin }) => bin))

it.scopedLive("a lease through the astro CLI is the same as one through REST", () =>
  Effect.gen(function*() {
    const { bin, calls } = yield* StandIn.make()
    const rest = yield* Lease.twice(Cli.rest)
    const cli = yield* Lease.twice((emulator) => Cli.services(emulator, bin))
    const { astroCalls, ...same } = cli
    assert.deepStrictEqual({ ...same, astroCalls: 0 }, { ...rest, astroCalls: 0 })
    assert.strictEqual(
      (yield* calls).length,
      astroCalls + 3,
      "one for each request, one for the version, one for each project"
    )
    assert.deepStrictEqual(cli.leases.map(({ reused }) => reused), ["created", "woken"])
    assert.strictEqual(cli.checks, 2, "the account is checked once")
    assert.deepStrictEqual(cli.awake, [])
  }))
