import { Emulator, type Faults, type Quirks } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Effect } from "effect"

/** How much faster than real time the emulator runs: a day takes seven minutes. */
const speed = 200

const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

/** Leases an Airflow and runs a DAG on it. */
const lease = (testName: string, runtimeVersion: string = spec.runtimeVersion) =>
  AirflowResource.use(
    { testName, spec: { ...spec, runtimeVersion } },
    ({ airflow, deploymentId, reused }) =>
      Effect.as(airflow.runDag("hello_world_dag", { timeout: "30 seconds" }), { deploymentId, reused })
  )

/** This deployment is the only one, nothing is awake, and no token is left. */
const assertTidy = (deploymentId: string) =>
  Effect.gen(function*() {
    const { awake, deployments, tokens } = yield* (yield* Emulator.Emulator).audit
    assert.deepStrictEqual([awake, tokens, deployments.map(({ id }) => id)], [[], [], [deploymentId]])
  })

/** A deployment is created, woken, and replaced by one of another runtime, which is woken too. */
const wholeLives = Effect.gen(function*() {
  const first = yield* lease("creates")
  yield* assertTidy(first.deploymentId)
  assert.deepStrictEqual(yield* lease("wakes"), { ...first, reused: "woken" })
  yield* assertTidy(first.deploymentId)
  const replacement = yield* lease("replaces", "12.7.1")
  assert.notStrictEqual(replacement.deploymentId, first.deploymentId)
  yield* assertTidy(replacement.deploymentId)
  assert.deepStrictEqual(yield* lease("wakes the replacement", "12.7.1"), { ...replacement, reused: "woken" })
  yield* assertTidy(replacement.deploymentId)
  assert.deepStrictEqual([first.reused, replacement.reused], ["created", "created"])
})

/** Limits so low that a lease exceeds them. */
const few = { GET: 2 / speed, POST: 1 / speed, DELETE: 1 / speed }

const quirks: Record<string, Quirks.Quirks> = {
  "a delayed status": { statusLag: "60 seconds" },
  "status blips": { blips: "60 seconds" },
  "slow deletes": { slowDelete: "30 minutes" },
  "changing hosts": { hostFlips: 1 },
  "late URLs": { lateUrls: true },
  "rate limits in Astro's words": { rateLimits: { perSecond: few } },
  "rate limits with Retry-After": { rateLimits: { perSecond: few, response: "retryAfter" } },
  "rate limits in a gateway's words": { rateLimits: { perSecond: few, response: "gateway" } },
  "refused hibernations": { refusesToHibernateAgain: true }
}

const all: Quirks.Quirks = Object.assign({}, ...Object.values(quirks))

const emulated = (quirks: Quirks.Quirks) =>
  AirflowResources.layerEmulator({ emulator: { speed, quirks }, pool: { max: 1, spec }, delivery: "none" })

describe.concurrent("a lease", () => {
  for (const [name, quirk] of Object.entries({ ...quirks, "all of them": all })) {
    it.effect(`copes with ${name}`, () =>
      Effect.gen(function*() {
        yield* wholeLives
        const { requests } = yield* (yield* Emulator.Emulator).audit
        const isLimited = requests.some(({ status }) => status === 429)
        assert.strictEqual(isLimited, quirk.rateLimits !== undefined)
      }).pipe(Effect.provide(emulated(quirk))))
  }

  it.effect(
    "ends well when the response to its hibernation is lost and the retry is refused",
    () =>
      Effect.gen(function*() {
        const { audit, faults } = yield* Emulator.Emulator
        const loseResponse: Faults.Fault = {
          match: { method: "POST", path: /\/hibernation-override$/ },
          then: { _tag: "DropAfter" }
        }
        const { deploymentId } = yield* AirflowResource.use(
          { testName: "loses a response" },
          (resource) => Effect.as(faults.next(loseResponse), resource)
        )
        const { requests } = yield* audit
        const statuses = requests.filter(({ path }) => path.endsWith("/hibernation-override")).map(({ status }) =>
          status
        )
        assert.deepStrictEqual(statuses, [0, 400])
        yield* assertTidy(deploymentId)
      }).pipe(Effect.provide(emulated({ refusesToHibernateAgain: true })))
  )
})
