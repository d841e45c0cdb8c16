import { AstroApi, AstroCli, AstroDelivery } from "@airflow-resource/astro"
import { DagDelivery, DeploymentProvider } from "@airflow-resource/core"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Emulator } from "@airflow-resource/emulator"
import { FetchHttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Schedule, type Scope } from "effect"
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { account } from "./cli.js"

const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

const folder = Effect.acquireRelease(
  Effect.sync(() => {
    const path = mkdtempSync(join(tmpdir(), "astro-dags-"))
    writeFileSync(join(path, "one.py"), "# a DAG\n")
    return path
  }),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** The contract of a deploy through the astro CLI: the one at `bin`, or the first on the PATH. */
export const suite = (name: string, bin: Effect.Effect<string | undefined, never, Scope.Scope>) =>
  contract(name, {
    // the program gets the deployment first
    reads: 1,
    layer: (emulator, dags, homes) => {
      const runner = Layer.map(ProcessRunner.layer, (context) => {
        const { run } = Context.get(context, ProcessRunner.ProcessRunner)
        return Context.make(ProcessRunner.ProcessRunner, {
          run: (command) => {
            if (command.args[0] === "deploy") homes.push(command.env["ASTRO_HOME"] ?? "")
            return run(command)
          }
        })
      })
      return Layer.unwrapScoped(Effect.map(bin, (path) =>
        AstroDelivery.layer({ dags }).pipe(
          Layer.provide(AstroCli.layer({ ...account(emulator), bin: path })),
          Layer.provide([runner, NodeContext.layer])
        )))
    }
  })

/** The same contract through Astro's API. */
export const suiteApi = (name: string) =>
  contract(name, {
    reads: 0,
    layer: (emulator, dags) =>
      AstroDelivery.layerApi({ apiUrl: emulator.astroApiUrl, dags }).pipe(
        Layer.provide([FetchHttpClient.layer, NodeContext.layer])
      )
  })

interface Way {
  /** Number of additional reads before a deploy. */
  readonly reads: number
  readonly layer: (
    emulator: Emulator.Service,
    dags: string,
    homes: Array<string>
  ) => Layer.Layer<DagDelivery.DagDelivery, never, DeploymentProvider.DeploymentProvider>
}

const contract = (name: string, way: Way) =>
  describe(name, () => {
    /** An awake deployment, a token for it, and a function that delivers to it. */
    const world = (dags: string, options: Emulator.Options = {}) =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.make({ speed: 1000, ...options })
        const homes: Array<string> = []
        const context = yield* Layer.build(
          way.layer(emulator, dags, homes).pipe(
            Layer.provideMerge(AstroApi.layer(account(emulator))),
            Layer.provide(FetchHttpClient.layer)
          )
        )
        const [provider, delivery] = yield* Effect.provide(
          Effect.all([DeploymentProvider.DeploymentProvider, DagDelivery.DagDelivery]),
          context
        )
        const { id, name } = yield* provider.create({ name: "pool-1", description: "", spec })
        const token = yield* provider.createToken(id, "lease 1")
        const waits: Array<string> = []
        const deliver = (accessToken = token.value) =>
          delivery.deliver({
            deploymentId: id,
            deploymentName: name,
            accessToken,
            leaseId: "lease",
            onWait: (reason) => Effect.sync(() => void waits.push(reason))
          })
        return { deliver, emulator, homes, id, provider, token, waits }
      })

    it.scopedLive("deploys the DAGs with nothing but the lease's token", () =>
      Effect.gen(function*() {
        const { deliver, emulator, homes, id, token, waits } = yield* world(yield* folder)
        const before = (yield* emulator.audit).requests.length
        yield* deliver()
        yield* deliver()
        // without the provider's polls, which have another token
        const requests = (yield* emulator.audit).requests.slice(before).filter((request) =>
          request.token === token.id || request.token === null
        )
        const deploy = [
          ...Array.from({ length: way.reads }, () => `GET deployments/${id} 200`),
          `POST deployments/${id}/deploys 200`,
          `PUT blobs/D 201`,
          `POST deployments/${id}/deploys/D/finalize 200`
        ]
        assert.deepStrictEqual(
          requests.map(({ method, path, status }) =>
            `${method} ${
              path.replace(/^.*(deployments|blobs)\//, "$1/").replace(/(deploys|blobs)\/[^/]+/, "$1/D")
            } ${status}`
          ),
          [...deploy, ...deploy]
        )
        assert.deepStrictEqual([...new Set(requests.map((request) => request.token))].sort(), [token.id, null].sort())
        assert.deepStrictEqual(homes.filter(existsSync), [], "the file with the token is deleted")
        assert.deepStrictEqual(waits, ["the DAGs are being deployed", "the DAGs are being deployed"])
      }))

    it.scopedLive("ends once the DAGs are live", () =>
      Effect.gen(function*() {
        // 600 ms at this speed, so that a slow machine does not hide a delivery that ends too early
        const { deliver, id, provider } = yield* world(yield* folder, { durations: { deploy: "10 minutes" } })
        const versions: Array<string | undefined> = []
        for (let turn = 0; turn < 2; turn++) {
          yield* deliver()
          versions.push((yield* provider.get(id)).dagVersion)
        }
        assert.isDefined(versions[0])
        assert.isDefined(versions[1])
        assert.notStrictEqual(versions[0], versions[1])
      }))

    it.scopedLive("reports why the DAGs were not deployed", () =>
      Effect.gen(function*() {
        const { deliver, emulator, id, provider, token } = yield* world(yield* folder)
        const refused = yield* Effect.flip(deliver(yield* emulator.mintAstroToken({ expiresIn: 0 })))
        assert.strictEqual(refused.kind, "unauthorized")
        assert.notInclude(JSON.stringify(refused), Redacted.value(token.value))
        yield* provider.get(id).pipe(
          Effect.filterOrFail((deployment) => deployment.isAwake),
          Effect.retry(Schedule.spaced("10 millis")),
          Effect.timeout("10 seconds")
        )
        yield* provider.hibernate(id)
        yield* provider.get(id).pipe(
          Effect.filterOrFail(({ status }) => status === "HIBERNATING"),
          Effect.retry(Schedule.spaced("10 millis")),
          Effect.timeout("10 seconds")
        )
        const asleep = yield* Effect.flip(deliver())
        assert.strictEqual(asleep.kind, "invalid")
        assert.include(asleep.message, "Deploy is blocked because Deployment is in HIBERNATING state")
        yield* emulator.faults.next({ match: { path: /deployments/ }, then: { _tag: "Html", status: 502 } })
        const gateway = yield* Effect.flip(deliver())
        assert.include(["unreachable", "server"], gateway.kind)
        assert.isTrue(gateway.retryable)
        const empty = mkdtempSync(join(tmpdir(), "astro-dags-"))
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(empty, { recursive: true })))
        mkdirSync(join(empty, ".git"))
        const nothing = yield* world(empty)
        const before = (yield* nothing.emulator.audit).requests.length
        assert.match((yield* Effect.flip(nothing.deliver())).message, /is empty.*AIRFLOW_DAG_PATH/s)
        assert.lengthOf((yield* nothing.emulator.audit).requests, before, "the deployment keeps its DAGs")
        const elsewhere = yield* world("/nowhere/dags")
        const missing = yield* Effect.flip(elsewhere.deliver())
        assert.match(missing.message, /\/nowhere\/dags.*AIRFLOW_DAG_PATH/)
      }))
  })
