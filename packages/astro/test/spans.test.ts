import { AstroApi, AstroCli, AstroDelivery } from "@airflow-resource/astro"
import { DagDelivery, DeploymentProvider } from "@airflow-resource/core"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Emulator } from "@airflow-resource/emulator"
import { FetchHttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { collectSpans } from "../../core/test/collectSpans.js"
import { account } from "./cli.js"
import * as StandIn from "./StandIn.js"

const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
const canary = "canary-4b71e9"

/** No secret is in any span. */
const assertSafe = (text: string, ...secrets: ReadonlyArray<Redacted.Redacted>) => {
  assert.notInclude(text, canary)
  for (const secret of secrets) assert.notInclude(text, Redacted.value(secret))
}

const setup = Effect.gen(function*() {
  const emulator = yield* Emulator.make({ speed: 1000 })
  const { bin, folder } = yield* StandIn.make()
  const dags = join(folder, "dags")
  mkdirSync(dags)
  writeFileSync(join(dags, "one.py"), "# a DAG\n")
  const cli = AstroCli.layer({ ...account(emulator), bin })
  const context = yield* Layer.build(
    Layer.mergeAll(AstroApi.layer(account(emulator)), cli).pipe(
      Layer.provideMerge(Layer.mergeAll(ProcessRunner.layer, NodeContext.layer, FetchHttpClient.layer))
    )
  )
  const provider = Context.get(context, DeploymentProvider.DeploymentProvider)
  return { context, dags, emulator, folder, provider }
})

describe("each operation is one span", () => {
  it.scopedLive("of AstroApi, without a secret in it", () =>
    Effect.gen(function*() {
      const { emulator, provider } = yield* setup
      const { result, spans, text } = yield* collectSpans(Effect.gen(function*() {
        yield* provider.ready
        const { id } = yield* provider.create({ name: "pool-1", description: "", spec })
        yield* provider.list
        yield* provider.get(id)
        const token = yield* provider.createToken(id, "lease 1")
        yield* provider.listTokens(id)
        yield* provider.deleteToken(id, token.id)
        yield* provider.setVariables(id, { LEVEL: "debug", KEY: Redacted.make(canary) })
        yield* provider.hibernate(id)
        yield* provider.wake(id)
        yield* provider.resumeSchedules(id)
        yield* provider.delete(id)
        yield* Effect.flip(provider.get(id))
        return { id, token }
      }))
      const { id, token } = result
      const ofDeployment = { "deployment.id": id }
      assert.deepStrictEqual(
        spans.map(({ attributes, name, parent }) => [name, parent, attributes]),
        [
          ["AstroApi.ready", undefined, {}],
          ["AstroApi.create", undefined, { "deployment.name": "pool-1", "deployment.id": id }],
          ["AstroApi.list", undefined, {}],
          ["AstroApi.get", undefined, ofDeployment],
          ["AstroApi.createToken", undefined, { ...ofDeployment, "token.name": "lease 1", "token.id": token.id }],
          ["AstroApi.listTokens", undefined, ofDeployment],
          ["AstroApi.deleteToken", undefined, { ...ofDeployment, "token.id": token.id }],
          ["AstroApi.setVariables", undefined, { ...ofDeployment, "variable.keys": ["LEVEL", "KEY"] }],
          ["AstroApi.hibernate", undefined, ofDeployment],
          ["AstroApi.wake", undefined, ofDeployment],
          ["AstroApi.resumeSchedules", undefined, ofDeployment],
          ["AstroApi.delete", undefined, ofDeployment],
          ["AstroApi.get", undefined, ofDeployment]
        ]
      )
      assert.include(text, "It was deleted, or the token has no access to it", "a failure is in its span")
      assertSafe(text, emulator.astroToken, token.value)
    }))

  it.scopedLive("of AstroCli, without a secret in it", () =>
    Effect.gen(function*() {
      const { context, dags, emulator, folder, provider } = yield* setup
      const { deployDags, devInit, program } = Context.get(context, AstroCli.AstroCli)
      const { id } = yield* provider.create({ name: "pool-1", description: "", spec })
      const token = yield* provider.createToken(id, "lease 1")
      const project = { folder: join(folder, "project"), name: "one-project", runtimeVersion: "13.1.0" }
      mkdirSync(project.folder)
      const deploy = { deploymentId: id, organizationId: emulator.organizationId, dags }
      const { spans, text } = yield* collectSpans(Effect.gen(function*() {
        yield* program
        yield* devInit(project)
        yield* deployDags({ ...deploy, token: token.value })
        yield* Effect.flip(deployDags({ ...deploy, token: Redacted.make(canary) }))
      }))
      const deployed = { "deployment.id": id, "dag.folder": dags }
      assert.deepStrictEqual(
        spans.map(({ attributes, name, parent }) => [name, parent, attributes]),
        [
          ["AstroCli.program", undefined, {}],
          ["AstroCli.devInit", undefined, { "project.name": "one-project", "project.folder": project.folder }],
          ["AstroCli.deployDags", undefined, deployed],
          ["AstroCli.deployDags", undefined, deployed]
        ]
      )
      assertSafe(text, emulator.astroToken, token.value)
    }))

  for (const way of ["astro CLI", "API"] as const) {
    it.scopedLive(`of AstroDelivery through the ${way}, without its polls and without a secret in it`, () =>
      Effect.gen(function*() {
        const { context, dags, emulator, provider } = yield* setup
        const { id, name } = yield* provider.create({ name: "pool-1", description: "", spec })
        const token = yield* provider.createToken(id, "lease 1")
        const built = way === "API"
          ? Effect.provide(Layer.build(AstroDelivery.layerApi({ apiUrl: emulator.astroApiUrl, dags })), context)
          : Effect.provide(Layer.build(AstroDelivery.layer({ dags })), context)
        const { deliver } = Context.get(yield* built, DagDelivery.DagDelivery)
        const target = {
          deploymentId: id,
          deploymentName: name,
          accessToken: token.value,
          leaseId: "lease-1",
          onWait: () => Effect.void
        }
        const before = (yield* emulator.audit).requests.length
        const { spans, text } = yield* collectSpans(Effect.scoped(deliver(target)))
        const polls = (yield* emulator.audit).requests.slice(before).filter(({ method, path, token: used }) =>
          method === "GET" && path.endsWith(id) && used !== token.id
        )
        assert.isAbove(polls.length, 0)
        const deployed = { "deployment.id": id, "dag.folder": dags }
        assert.deepStrictEqual(
          spans.map(({ attributes, name, parent }) => [name, parent, attributes]),
          [
            ["AstroDelivery.deliver", undefined, { ...deployed, "deployment.name": "pool-1", "lease.id": "lease-1" }],
            ["AstroApi.ready", "AstroDelivery.deliver", {}],
            ...(way === "API" ? [] : [["AstroCli.deployDags", "AstroDelivery.deliver", deployed]])
          ]
        )
        assertSafe(text, emulator.astroToken, token.value)
      }))
  }
})
