/** Tests of a real astro CLI, at `ASTRO_BIN` or on the PATH. Run by `npm run test:astro`. */
import { AstroCli, AstroCliVersion, AstroProject } from "@airflow-resource/astro"
import { ProjectDirectory } from "@airflow-resource/core"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Emulator } from "@airflow-resource/emulator"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Redacted } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { suite } from "../../core/test/provider/DeploymentProvider.suite.js"
import * as Cli from "./cli.js"
import { suite as delivery } from "./delivery.suite.js"
import * as Lease from "./lease.js"
import { suite as native } from "./native.suite.js"
import { play } from "./recording.js"
import { suite as refusals } from "./refusals.suite.js"
import { scenes } from "./scenes.js"
import * as StandIn from "./StandIn.js"

const bin = process.env.ASTRO_BIN
const node = Layer.merge(ProcessRunner.layer, NodeContext.layer)

const client = (options: AstroCli.AstroCliOptions) =>
  Effect.map(
    Layer.build(AstroCli.layer(options).pipe(Layer.provide(node))),
    (context) => Context.get(context, AstroCli.AstroCli)
  )

suite(
  "AstroApi through the astro CLI over the emulator",
  Layer.unwrapEffect(Effect.map(Emulator.Emulator, (emulator) => Cli.services(emulator, bin))).pipe(
    Layer.provide(Emulator.layer({ speed: 1000 }))
  )
)

refusals("AstroApi through the astro CLI", Effect.succeed(bin))

const program = await Effect.runPromise(Effect.scoped(Effect.flatMap(
  client({
    apiUrl: "http://127.0.0.1:1",
    token: Redacted.make("none"),
    workspaceId: "none",
    organizationId: Option.none(),
    bin
  }),
  ({ program }) => program
)))

if (AstroCliVersion.isBefore(program.version, AstroCliVersion.minimumForDeploys)) {
  it.scopedLive("deployDags refuses an astro CLI that is too old for it", () =>
    Effect.gen(function*() {
      const { deployDags } = yield* client({ ...Cli.account(yield* Emulator.make()), bin })
      const deploy = { deploymentId: "c1", organizationId: "o", token: Redacted.make("t"), dags: "/nowhere" }
      assert.match((yield* Effect.flip(deployDags(deploy))).message, /1\.43 or newer is needed/)
    }))
} else {
  delivery("AstroDelivery through the astro CLI", Effect.succeed(bin))
}

native(program)

describe("the astro CLI", () => {
  it.scopedLive("makes the same leases as REST", () =>
    Effect.gen(function*() {
      const rest = yield* Lease.twice(Cli.rest)
      const cli = yield* Lease.twice((emulator) => Cli.services(emulator, bin))
      assert.deepStrictEqual({ ...cli, astroCalls: 0 }, { ...rest, astroCalls: 0 })
    }), 60_000)

  it.scopedLive("writes nothing into its home folder", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const spied: Array<ProcessRunner.Command> = []
      const { run } = Context.get(yield* Layer.build(ProcessRunner.layer), ProcessRunner.ProcessRunner)
      const spy = ProcessRunner.layerTest((command) => {
        spied.push(command)
        return run(command)
      })
      const { httpClient } = Context.get(
        yield* Layer.build(
          AstroCli.layer({ ...Cli.account(emulator), bin }).pipe(Layer.provide([spy, NodeContext.layer]))
        ),
        AstroCli.AstroCli
      )
      yield* httpClient.get(`${emulator.astroApiUrl}/v1/organizations`)
      const home = spied[0]?.cwd ?? ""
      const files =
        () => [readdirSync(home, { recursive: true }), readFileSync(join(home, ".astro", "config.yaml"), "utf8")]
      const before = files()
      const deployments = `${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}/deployments`
      yield* Effect.all(Array.from({ length: 16 }, () => httpClient.get(deployments)), { concurrency: "unbounded" })
      assert.deepStrictEqual(files(), before)
      assert.sameMembers(before[0] as Array<string>, [".astro", ".astro/config.yaml", "owner.json"])
    }), 60_000)

  for (const scene of scenes) {
    it.scopedLive(`behaves like the stand-in: ${scene.title}`, () =>
      Effect.gen(function*() {
        const standIn = yield* StandIn.make({ version: program.version })
        assert.deepStrictEqual(yield* play(scene, standIn.bin), yield* play(scene, program.path))
      }), 60_000)
  }

  it.scopedLive("creates the same project as the template", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const created = (layer: Layer.Layer<ProjectDirectory.ProjectDirectory>, runtimeVersion: string) =>
        Effect.gen(function*() {
          const projects = yield* ProjectDirectory.ProjectDirectory
          const { path } = yield* projects.make({ name: "airflow_test_1", runtimeVersion })
          return {
            paths: readdirSync(path, { recursive: true }).map(String).filter((name) => !name.endsWith(".lock")).sort(),
            dockerfile: readFileSync(join(path, "Dockerfile"), "utf8").trim(),
            config: readFileSync(join(path, ".astro", "config.yaml"), "utf8")
          }
        }).pipe(Effect.provide(layer))
      const cli = AstroProject.layerCli.pipe(
        Layer.provide(AstroCli.layer({ ...Cli.account(emulator), bin })),
        Layer.provide(node)
      )
      const template = AstroProject.layer.pipe(Layer.provide(node))
      for (const runtimeVersion of ["13.1.0", "3.1-12"]) {
        assert.deepStrictEqual(yield* created(template, runtimeVersion), yield* created(cli, runtimeVersion))
      }
    }))

  it.scopedLive("is not started with an empty token, because it would open a browser", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { program } = yield* client({ ...Cli.account(emulator), bin, token: Redacted.make("") })
      assert.strictEqual((yield* Effect.flip(program)).kind, "notLoggedIn")
    }))
})
