/** The error of a lease if the astro CLI does not work. */
import type { AstroCli } from "@airflow-resource/astro"
import { AirflowResource, type DeploymentProvider } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Layer, Logger, Redacted } from "effect"
import { existsSync } from "node:fs"
import * as Cli from "./cli.js"
import * as Lease from "./lease.js"
import * as StandIn from "./StandIn.js"

const cases: ReadonlyArray<
  readonly [
    title: string,
    options: StandIn.Options & Partial<AstroCli.AstroCliOptions>,
    kind: DeploymentProvider.ProviderError["kind"],
    says: RegExp
  ]
> = [
  [
    "missing",
    { bin: "/nowhere/astro" },
    "unusable",
    /there is no \/nowhere\/astro\. Install it .*ASTRO_BIN.*AIRFLOW_RESOURCE_PROVIDER=api/
  ],
  ["not on the PATH", { bin: undefined, environment: {} }, "unusable", /no astro on the PATH\. Install it/],
  ["not executable", { bin: "/etc/passwd" }, "unusable", /is not executable/],
  ["another program", { mood: "other" }, "unusable", /not Astronomer's.*Set ASTRO_BIN/],
  ["too old", { version: "1.39.0" }, "unusable", /1\.39\.0, but 1\.40 or newer is needed\. Update it/],
  ["one that gives up", { mood: "cancels" }, "undecodable", /gave up \(Canceling/],
  ["one that says nothing", { mood: "silent" }, "undecodable", /without a report of success.*Update/],
  ["one that is logged out", { mood: "loggedOut" }, "unauthorized", /ASTRO_ACCESS_TOKEN/],
  ["one that dies", { mood: "dies" }, "undecodable", /killed by SIGKILL/],
  ["one that panics", { mood: "panics" }, "undecodable", /crashed.*Update/]
]

describe("a lease through an astro CLI that is", () => {
  for (const [title, options, kind, says] of cases) {
    it.scopedLive(title, () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.make({ speed: 1000 })
        const standIn = yield* StandIn.make(options)
        const error = yield* AirflowResource.use({ testName: "a test" }, () => Effect.void).pipe(
          Effect.flip,
          Effect.provide(
            Layer.merge(
              Lease.pool(Cli.services(emulator, standIn.bin, options)),
              Logger.remove(Logger.defaultLogger)
            )
          )
        )
        assert(error._tag === "ProviderError")
        assert.strictEqual(error.kind, kind)
        assert.match(error.message, says)
        assert.notInclude(JSON.stringify(error), Redacted.value(emulator.astroToken))
        const calls = yield* standIn.calls
        assert.deepStrictEqual(calls.filter(({ pid }) => StandIn.runs(pid)), [], "nothing is left running")
        assert.deepStrictEqual(calls.filter(({ cwd }) => existsSync(cwd)), [], "no home folder or project is left")
        const { awake, deployments, tokens } = yield* emulator.audit
        assert.deepStrictEqual({ awake, deployments, tokens }, { awake: [], deployments: [], tokens: [] })
      }))
  }

  it.scopedLive(
    "a release fails if the astro CLI gives up instead of hibernating the deployment",
    () =>
      Effect.gen(function*() {
        const logged: Array<string> = []
        const logger = Logger.make(({ cause, message }) =>
          void logged.push(`${String(message)} ${Cause.pretty(cause)}`)
        )
        const emulator = yield* Emulator.make({ speed: 1000 })
        const { bin } = yield* StandIn.make({ mood: "cancels", when: "hibernation-override" })
        yield* AirflowResource.use({ testName: "a test" }, () => Effect.void).pipe(
          Effect.provide(
            Layer.merge(Lease.pool(Cli.services(emulator, bin)), Logger.replace(Logger.defaultLogger, logger))
          )
        )
        assert.lengthOf((yield* emulator.audit).awake, 1)
        assert.match(
          logged.join("\n"),
          /The release failed; the reaper or the next holder of the slot will clean up[^]*gave up \(Canceling/
        )
      })
  )
})
