/** A page that is not Astro's in response to the hibernation at the end of a lease. */
import { AirflowResource, DeploymentPool } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Layer, Logger } from "effect"
import * as Cli from "./cli.js"
import * as Lease from "./lease.js"
import * as StandIn from "./StandIn.js"

const transports = {
  REST: () => Effect.succeed(Cli.rest),
  "the astro CLI": () =>
    Effect.map(StandIn.make(), ({ bin }) => (emulator: Emulator.Service) => Cli.services(emulator, bin))
}

for (const [transport, servicesOf] of Object.entries(transports)) {
  describe(`a lease through ${transport}, whose hibernation is answered by an HTML page with status 200`, () => {
    /** Runs a lease whose next `times` requests to hibernate get the page. Returns the ledger's slot and the log. */
    const lease = (emulator: Emulator.Service, times: number) =>
      Effect.gen(function*() {
        const services = yield* servicesOf()
        const logged: Array<string> = []
        const logger = Logger.make(({ cause, message }) =>
          void logged.push(`${String(message)} ${Cause.pretty(cause)}`)
        )
        const slot = yield* Effect.gen(function*() {
          yield* AirflowResource.use({ testName: "a test" }, () =>
            emulator.faults.next({
              match: { method: "POST", path: /hibernation-override$/ },
              times,
              then: { _tag: "Html", status: 200 }
            }))
          const { slots } = yield* Effect.flatMap(DeploymentPool.DeploymentPool, ({ inspect }) => inspect)
          return slots[0]
        }).pipe(
          Effect.provide(Layer.merge(Lease.pool(services(emulator)), Logger.replace(Logger.defaultLogger, logger)))
        )
        return { slot, log: logged.join("\n") }
      })

    it.scopedLive("once: the request is sent again, and the deployment hibernates", () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.make({ speed: 1000 })
        const { log, slot } = yield* lease(emulator, 1)
        assert.deepInclude(slot, { power: "asleep", holder: null })
        assert.notInclude(log, "The release failed")
        const { awake, requests, tokens } = yield* emulator.audit
        assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] })
        assert.lengthOf(requests.filter(({ path }) => path.endsWith("hibernation-override")), 2)
      }))

    it.scopedLive("always: the release fails, and the slot is not recorded as asleep", () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.make({ speed: 1000 })
        const { log, slot } = yield* lease(emulator, Infinity)
        assert.match(
          log,
          /The release failed[^]*HTML page instead of JSON \(status 200\)[^]*captive portal or a login page/
        )
        assert.strictEqual(slot?.power, "unknown")
        const { awake, tokens } = yield* emulator.audit
        assert.lengthOf(awake, 1)
        // while it may be awake, the token keeps other ledgers away
        assert.lengthOf(tokens, 1)
      }))
  })
}
