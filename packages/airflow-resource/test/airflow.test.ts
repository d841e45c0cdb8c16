import { Emulator } from "@airflow-resource/emulator"
import { Airflow, AirflowResources, Offline } from "airflow-resource"
import { type Context, Effect, Exit, Layer, Scope } from "effect"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import { afterAll, assert, beforeAll, describe, expectTypeOf, test } from "vitest"
import * as Child from "./child.js"

const here = fileURLToPath(import.meta.url)

const scope = Effect.runSync(Scope.make())
let services: Context.Context<AirflowResources.Services | Emulator.Emulator>
beforeAll(async () => {
  services = await Effect.runPromise(
    Scope.extend(Layer.build(AirflowResources.layerEmulator({ emulator: { speed: 200 }, pool: { max: 1 } })), scope)
  )
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const source = (): Airflow.Source => ({ layer: Layer.succeedContext(services) })

/** What the emulated Astro has left. */
const left = () =>
  Effect.runPromise(
    Effect.flatMap(Emulator.Emulator, ({ audit }) => audit).pipe(
      Effect.map(({ awake, tokens }) => ({ awake, tokens })),
      Effect.provide(services)
    )
  )
const nothing = { awake: [], tokens: [] }

const rejection = (promise: PromiseLike<unknown>): Promise<Error & { readonly _tag?: string }> =>
  Promise.resolve(promise).then(() => assert.fail("it succeeded"), (error) => error)

describe("a lease without Effect", () => {
  test("has plain facts and a client with promises, and is given back at the end of the block", async () => {
    const facts = await (async () => {
      await using lease = await Airflow.lease({ ...source(), testName: "plain" })
      expectTypeOf(lease.apiToken).toEqualTypeOf<string>()
      expectTypeOf(lease.creationTime).toEqualTypeOf<Date>()
      expectTypeOf(lease.creationDuration).toEqualTypeOf<number>()
      assert.isTrue(await lease.airflow.verifyAirflowDagExists("hello_world_dag"))
      assert.include(lease, { testName: "plain", reused: "created", fenced: true, workerPid: process.pid })
      assert.instanceOf(lease.creationTime, Date)
      assert.strictEqual(lease.apiHeaders.Authorization, `Bearer ${lease.apiToken}`)
      assert.notInclude(inspect(lease, { depth: 10 }) + JSON.stringify(lease), lease.apiToken)
      return { apiToken: lease.apiToken, apiUrl: lease.apiUrl }
    })()
    assert.deepStrictEqual(await left(), nothing)
    assert.isAbove(facts.apiToken.length, 10)
    assert.match(facts.apiUrl, /\/api\/v1$/)
  })

  test("sends nothing after its end, and ends what is running", async () => {
    const lease = await Airflow.lease({ ...source(), testName: "ends" })
    const { runId } = await lease.airflow.trigger("hello_world_dag", { unpause: false })
    const waits = rejection(lease.airflow.awaitRun("hello_world_dag", runId, { timeout: "1 hour" }))
    await Promise.all([lease.release(), lease.release()])
    assert.strictEqual((await waits)._tag, "LeaseEnded")
    const late = await rejection(lease.airflow.variables.put({ key: "late", value: "x" }))
    assert.strictEqual(late._tag, "LeaseEnded")
    assert.include(late.message, `The lease of ${lease.deploymentName} for "ends" has ended`)
    assert.match(late.stack!.split("\n").find((line) => line.startsWith("    at "))!, new RegExp(here))
    assert.deepStrictEqual(await left(), nothing)
  })

  test("gives up the wait when its signal says so", async () => {
    await using airflows = Airflow.open(source())
    await using holds = await airflows.lease({ testName: "holds" })
    const stop = new AbortController()
    const steps: Array<string> = []
    const waits = rejection(airflows.lease({
      testName: "waits",
      signal: stop.signal,
      onProgress: ({ activity, wait }) => {
        steps.push(activity)
        if (wait !== undefined) stop.abort(new Error("enough"))
      }
    }))
    assert.strictEqual((await waits).message, "enough")
    assert.match(steps.join("\n"), /place 1 in the queue/)
    // while a deployment wakes
    const late = new AbortController()
    await holds.release()
    const wakes = airflows.lease({
      testName: "wakes",
      signal: late.signal,
      onProgress: ({ activity }) => {
        if (/HEALTHY/.test(activity)) late.abort(new Error("too long"))
      }
    })
    assert.strictEqual((await rejection(wakes)).message, "too long")
    assert.deepStrictEqual(await left(), nothing)
    const before = AbortSignal.abort(new Error("before"))
    assert.strictEqual((await rejection(airflows.lease({ testName: "never", signal: before }))).message, "before")
  })

  test("is given back when its pool is closed", async () => {
    const airflows = Airflow.open(source())
    const lease = await airflows.lease({ testName: "left open" })
    const waits = rejection(airflows.lease({ testName: "waits" }))
    await airflows.close()
    assert.instanceOf(await waits, Error)
    assert.strictEqual((await rejection(lease.airflow.dags()))._tag, "LeaseEnded")
    assert.deepStrictEqual(await left(), nothing)
    const closed = await rejection(airflows.lease({ testName: "late" }))
    assert.match(closed.message, /closed/)
  })

  test("fails its calls and its release when it is lost", async () => {
    const layer = Offline.layerOffline({ pool: { maxHold: "1 second", ttl: "1 second" } })
    const lease = await Airflow.lease({ layer, testName: "is lost" })
    const error = await rejection(lease.lost())
    assert.strictEqual(error._tag, "LeaseLost")
    assert.strictEqual((await rejection(lease.airflow.dags()))._tag, "LeaseLost")
    assert.strictEqual((await rejection(lease.release()))._tag, "LeaseLost")
  })

  test("says with the line of the call why there is none", async () => {
    const layer = Offline.layerOffline({ pool: { acquireTimeout: 0 } })
    const error = await rejection(Airflow.lease({ layer, testName: "too late" }))
    assert.strictEqual(error._tag, "AcquireTimeout")
    assert.match(error.stack!, new RegExp(`^AcquireTimeout: [^\n]*\n    at .*${here}`))
  })
})

test("a script leases, and ends by itself after the release", { timeout: 120_000 }, () =>
  Effect.gen(function*() {
    const project = yield* Child.project
    const emulator = yield* Emulator.make({ speed: 200 })
    const script = (env: Readonly<Record<string, string>>) =>
      Effect.flatMap(Child.start("./script.ts", [], env, project), ({ ended }) => ended)
    const { code, stderr, stdout } = yield* script({
      ...AirflowResources.variablesOf(emulator),
      AIRFLOW_RESOURCE_DELIVERY: "none"
    })
    assert.strictEqual(code, 0, stderr)
    assert.include(stdout, "Hello World from Airflow")
    assert.strictEqual(stderr, "")
    const { awake, tokens } = yield* emulator.audit
    assert.deepStrictEqual({ awake, tokens }, nothing)

    const incomplete = yield* script({})
    assert.strictEqual(incomplete.code, 1)
    assert.match(incomplete.stderr, /ConfigurationError: .*\n.*ASTRO_ACCESS_TOKEN is missing/)
    assert.match(incomplete.stderr, /script\.ts:4/)
  }).pipe(Effect.scoped, Effect.runPromise))
