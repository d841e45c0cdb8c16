import { Emulator, type Faults, type Quirks } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Effect } from "effect"

/** In the emulator's real time: a day of these is over in seven minutes. */
const speed = 200

const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

/** A lease that is used: its Airflow runs a DAG. */
const lease = (testName: string, runtimeVersion: string = spec.runtimeVersion) =>
  AirflowResource.use(
    { testName, spec: { ...spec, runtimeVersion } },
    ({ airflow, deploymentId, reused }) =>
      Effect.as(airflow.runDag("hello_world_dag", { timeout: "30 seconds" }), { deploymentId, reused })
  )

/** Nothing is awake, no token is left, and there is one deployment. */
const assertTidy = (deploymentId: string) =>
  Effect.gen(function*() {
    const { awake, deployments, tokens } = yield* (yield* Emulator.Emulator).audit
    assert.deepStrictEqual([awake, tokens, deployments.map(({ id }) => id)], [[], [], [deploymentId]])
  })

/** Created, woken, and replaced by one of another runtime, which is then woken as well. */
const wholeLives = Effect.gen(function*() {
  const first = yield* lease("creates")
  yield* assertTidy(first.deploymentId)
  assert.deepStrictEqual(yield* lease("wakes"), { ...first, reused: "woken" })
  yield* assertTidy(first.deploymentId)
  const other = yield* lease("replaces", "12.7.1")
  assert.notStrictEqual(other.deploymentId, first.deploymentId)
  yield* assertTidy(other.deploymentId)
  assert.deepStrictEqual(yield* lease("wakes the other", "12.7.1"), { ...other, reused: "woken" })
  yield* assertTidy(other.deploymentId)
  assert.deepStrictEqual([first.reused, other.reused], ["created", "created"])
})

/** So few that a lease runs into them. */
const few = { GET: 2 / speed, POST: 1 / speed, DELETE: 1 / speed }

const quirks: Record<string, Quirks.Quirks> = {
  "a status that trails": { statusLag: "60 seconds" },
  "blips": { blips: "60 seconds" },
  "slow deletes": { slowDelete: "30 minutes" },
  "hosts that change": { hostFlips: 1 },
  "URLs that come late": { lateUrls: true },
  "rate limits, as Astro says it": { rateLimits: { perSecond: few } },
  "rate limits that say when to ask again": { rateLimits: { perSecond: few, response: "retryAfter" } },
  "rate limits, as a gateway says it": { rateLimits: { perSecond: few, response: "gateway" } },
  "refused hibernations": { refusesToHibernateAgain: true }
}

const all: Quirks.Quirks = Object.assign({}, ...Object.values(quirks))

const emulated = (quirks: Quirks.Quirks) =>
  AirflowResources.layerEmulator({ emulator: { speed, quirks }, pool: { max: 1, spec }, delivery: "none" })

describe.concurrent("a lease", () => {
  for (const [name, quirk] of Object.entries({ ...quirks, "all of them": all })) {
    it.effect(`does not mind ${name}`, () =>
      Effect.gen(function*() {
        yield* wholeLives
        const { requests } = yield* (yield* Emulator.Emulator).audit
        const isLimited = requests.some(({ status }) => status === 429)
        assert.strictEqual(isLimited, quirk.rateLimits !== undefined)
      }).pipe(Effect.provide(emulated(quirk))), 120_000)
  }

  it.effect(
    "ends well where the answer to its hibernation was lost, and the next try is refused",
    () =>
      Effect.gen(function*() {
        const { audit, faults } = yield* Emulator.Emulator
        const lost: Faults.Fault = {
          match: { method: "POST", path: /\/hibernation-override$/ },
          then: { _tag: "DropAfter" }
        }
        const { deploymentId } = yield* AirflowResource.use(
          { testName: "loses an answer" },
          (resource) => Effect.as(faults.next(lost), resource)
        )
        const { requests } = yield* audit
        const tries = requests.filter(({ path }) => path.endsWith("/hibernation-override")).map(({ status }) => status)
        assert.deepStrictEqual(tries, [0, 400])
        yield* assertTidy(deploymentId)
      }).pipe(Effect.provide(emulated({ refusesToHibernateAgain: true }))),
    60_000
  )
})
