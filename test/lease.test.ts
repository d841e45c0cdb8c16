import { DeploymentPool } from "@airflow-resource/core"
import { Emulator, type Faults } from "@airflow-resource/emulator"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Cause, Deferred, Effect, Exit, Fiber, Logger, Option, Redacted } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import { inspect } from "node:util"
import * as Marker from "../packages/core/src/internal/pool/Marker.js"
import { leaveAndCheck } from "./leftovers.js"

const emulated = (options: AirflowResources.EmulatedOptions = {}) =>
  AirflowResources.layerEmulator({ emulator: { speed: 200 }, ...options })

const lease = (testName: string) => AirflowResource.use({ testName }, (resource) => Effect.succeed(resource))

/** Nothing is awake, and no token is left. */
const assertTidy = Effect.gen(function*() {
  const audit = yield* (yield* Emulator.Emulator).audit
  assert.deepStrictEqual(audit.awake, [])
  assert.deepStrictEqual(audit.tokens, [])
})

/** Leaves something that cannot be deleted. Returns the deployment. */
const spoil = AirflowResource.use(
  { testName: "spoils" },
  ({ airflow, apiHeaders, apiUrl, deploymentId }) =>
    Effect.gen(function*() {
      // Airflow 2 accepts this name, but has no route to such a pool afterwards; our client refuses it
      const headers = { ...Redacted.value(apiHeaders), "content-type": "application/json" }
      const body = JSON.stringify({ name: "no/way", slots: 1 })
      const created = yield* Effect.promise(() => fetch(`${apiUrl}/pools`, { method: "POST", headers, body }))
      assert.strictEqual(created.status, 200)
      assert.include((yield* airflow.pools.list).map(({ name }) => name), "no/way")
      return deploymentId
    })
)

describe("a lease", () => {
  it.scoped("works in plain it.scoped, whose clock stands still", () =>
    Effect.gen(function*() {
      const { airflow, reused } = yield* AirflowResource.acquire({ testName: "plain" })
      assert.strictEqual(reused, "created")
      const runId = yield* airflow.unpauseAndTriggerAirflowDag("hello_world_dag")
      yield* airflow.verifyDagIdRan("hello_world_dag", runId)
      assert.include(yield* airflow.getTaskInstanceLogs("hello_world_dag", runId, "hello"), "Hello World from Airflow")
    }).pipe(Effect.provide(emulated())))

  it.effect("has every field, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const resource = yield* AirflowResource.use({ testName: "fields" }, (resource) =>
        Effect.sync(() => {
          assert.isTrue(fs.existsSync(`${resource.projectDirectory}/Dockerfile`))
          return resource
        }))
      assert.isFalse(fs.existsSync(resource.projectDirectory))
      assert.include(resource, {
        type: "airflow_resource",
        testName: "fields",
        status: "active",
        workerPid: process.pid,
        username: "airflow",
        reused: "created",
        user: "created",
        fenced: true,
        epoch: 1
      })
      assert.match(resource.projectName, /^airflow_test_fields_\d+$/)
      assert.match(resource.apiUrl, /\/api\/v1$/)
      assert.strictEqual(resource.apiUrl, `${resource.baseUrl}/api/v1`)
      assert.strictEqual(
        Redacted.value(resource.apiHeaders).Authorization,
        `Bearer ${Redacted.value(resource.apiToken)}`
      )
      assert.deepStrictEqual(resource.createdResources, [[resource.deploymentName, resource.cacheManager]])
      assert.strictEqual(resource.airflowInstance, resource.airflow)
      assert.notInclude(inspect(resource, { depth: 10 }), Redacted.value(resource.apiToken))
      yield* assertTidy
    }).pipe(Effect.provide(emulated())))

  const dags = [
    {
      dagId: "hello_world_dag",
      tasks: [{ taskId: "hello", log: "Hello World from Airflow", xcom: { return_value: "Hello World from Airflow" } }]
    },
    { dagId: "failing_dag", tasks: [{ taskId: "boom", outcome: "failed" as const, log: "boom" }] },
    { dagId: "slow_dag", tasks: [{ taskId: "sleep", duration: "100 days" as const, log: "tick" }] }
  ]
  for (const runtimeVersion of ["13.1.0", "3.0-9", "3.1-12", "3.2-5", "3.3-3"]) {
    it.effect(`of runtime ${runtimeVersion} finds nothing of the previous lease`, () =>
      Effect.gen(function*() {
        const users = yield* leaveAndCheck(4)
        const isAirflow2 = runtimeVersion.startsWith("13")
        assert.deepStrictEqual(users, isAirflow2 ? ["created", "exists"] : ["unsupported", "unsupported"])
        yield* assertTidy
      }).pipe(Effect.provide(emulated({
        emulator: { speed: 200, dags },
        pool: { spec: { runtimeVersion, cloudProvider: "aws", region: "us-east-1" } },
        delivery: "none"
      }))))
  }

  it.effect("gets a new deployment if the old one cannot be emptied", () =>
    Effect.gen(function*() {
      const spoilt = yield* spoil
      const activities: Array<string> = []
      const onProgress = ({ activity }: { readonly activity: string }) =>
        Effect.sync(() => void activities.push(activity))
      const next = yield* AirflowResource.use({ testName: "next", onProgress }, (resource) => Effect.succeed(resource))
      assert.strictEqual(next.reused, "created")
      assert.notStrictEqual(next.deploymentId, spoilt)
      assert.include(activities.join("\n"), "which cannot be emptied of pool no/way")
      const audit = yield* (yield* Emulator.Emulator).audit
      assert.deepStrictEqual(audit.deployments.map(({ id }) => id), [next.deploymentId])
      yield* assertTidy
    }).pipe(Effect.provide(emulated({ delivery: "none" }))))

  it.effect("deletes a replaced deployment later if it could not be deleted at once", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const spoilt = yield* spoil
      yield* emulator.faults.next({
        match: { method: "DELETE", path: /\/deployments\/[^/]+$/ },
        then: { _tag: "Status", status: 403, body: { message: "not now" } }
      })
      const error = yield* Effect.flip(lease("cannot replace"))
      assert.strictEqual(error._tag, "ProviderError")
      const next = yield* lease("next")
      assert.strictEqual(next.reused, "created")
      const { deployments } = yield* emulator.audit
      assert.deepStrictEqual(deployments.map(({ id }) => id), [next.deploymentId])
      assert.notStrictEqual(next.deploymentId, spoilt)
      yield* assertTidy
    }).pipe(Effect.provide(emulated({ delivery: "none" }))))

  it.effect("wakes the deployment of the previous lease, and finds it empty", () =>
    Effect.gen(function*() {
      const first = yield* AirflowResource.use({ testName: "first" }, (resource) =>
        Effect.gen(function*() {
          const { airflow } = resource
          const runId = yield* airflow.unpauseAndTriggerAirflowDag("hello_world_dag")
          yield* airflow.variables.put({ key: "planted", value: "canary" })
          yield* airflow.connections.put({ id: "planted", type: "http" })
          yield* airflow.pools.put({ name: "planted", slots: 1 })
          yield* airflow.pools.put({ name: "default_pool", slots: 3 })
          return { ...resource, runId }
        }))
      const second = yield* AirflowResource.use({ testName: "second" }, (resource) =>
        Effect.gen(function*() {
          const { airflow } = resource
          assert.deepStrictEqual(yield* airflow.variables.list, [])
          assert.deepStrictEqual(yield* airflow.connections.list, [])
          assert.deepStrictEqual(
            (yield* airflow.pools.list).map(({ name, slots }) => ({ name, slots })),
            [{ name: "default_pool", slots: 128 }]
          )
          assert.deepStrictEqual(yield* airflow.runs(), [])
          assert.isTrue((yield* airflow.dag("hello_world_dag")).isPaused)
          return resource
        }))
      assert.strictEqual(second.reused, "woken")
      assert.strictEqual(second.deploymentId, first.deploymentId)
      assert.strictEqual(second.epoch, first.epoch + 1)
      assert.notStrictEqual(Redacted.value(second.apiToken), Redacted.value(first.apiToken))
      yield* assertTidy
    }).pipe(Effect.provide(emulated())))

  it.effect(
    "is exclusive: two at once get two deployments, and a third waits for one of them, which is handed over awake",
    () =>
      Effect.gen(function*() {
        const gate = yield* Deferred.make<void>()
        const hold = (testName: string) =>
          Effect.gen(function*() {
            const ready = yield* Deferred.make<void>()
            const fiber = yield* Effect.fork(AirflowResource.use({ testName }, ({ deploymentId, reused }) =>
              Effect.gen(function*() {
                yield* Deferred.succeed(ready, undefined)
                yield* Deferred.await(gate)
                return { deploymentId, reused }
              })))
            yield* Deferred.await(ready)
            return fiber
          })
        const [one, two] = yield* Effect.all([hold("one"), hold("two")], { concurrency: 2 })
        const activities: Array<string> = []
        const waits = yield* Deferred.make<void>()
        const three = yield* Effect.fork(AirflowResource.use({
          testName: "three",
          onProgress: ({ activity }) =>
            Effect.suspend(() => {
              activities.push(activity)
              return activity.includes("queue") ? Deferred.succeed(waits, undefined) : Effect.void
            })
        }, ({ deploymentId, reused }) => Effect.succeed({ deploymentId, reused })))
        yield* Deferred.await(waits)
        yield* Deferred.succeed(gate, undefined)
        const [a, b, c] = [yield* Fiber.join(one), yield* Fiber.join(two), yield* Fiber.join(three)]
        assert.notStrictEqual(a.deploymentId, b.deploymentId)
        assert.include([a.deploymentId, b.deploymentId], c.deploymentId)
        assert.strictEqual(c.reused, "awake")
        assert.match(activities.join("\n"), /place 1 in the queue: all 2 deployments are leased: slot 1 to (one|two) /)
        yield* assertTidy
      }).pipe(Effect.provide(emulated({ pool: { max: 2 }, delivery: "none" })))
  )

  it.effect("takes turns with other leases of a repository whose secrets it writes, and says why it waits", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const gate = yield* Deferred.make<void>()
      const waits = yield* Deferred.make<string>()
      const held = yield* Deferred.make<void>()
      const activities: Array<string> = []
      const one = yield* Effect.fork(AirflowResource.use({ testName: "one" }, (resource) =>
        Effect.gen(function*() {
          const secrets = yield* emulator.secrets()
          assert.deepStrictEqual(secrets, {
            ASTRO_ACCESS_TOKEN: Redacted.value(resource.apiToken),
            ASTRO_DEPLOYMENT_ID: resource.deploymentId,
            ASTRO_DEPLOYMENT_NAME: resource.deploymentName
          })
          yield* Deferred.succeed(held, undefined)
          yield* Deferred.await(gate)
        })))
      yield* Deferred.await(held)
      const two = yield* Effect.fork(AirflowResource.use(
        {
          testName: "two",
          onProgress: ({ activity }) => {
            activities.push(activity)
            return activity.includes("in use by") ? Deferred.succeed(waits, activity) : Effect.void
          }
        },
        (resource) =>
          Effect.map(emulator.secrets(), (secrets) => [secrets["ASTRO_DEPLOYMENT_ID"], resource.deploymentId])
      ))
      assert.include(yield* Deferred.await(waits), "in use by one")
      assert.include(activities.join("\n"), "AIRFLOW_RESOURCE_DELIVERY=astro")
      const { slots } = yield* Effect.flatMap(DeploymentPool.DeploymentPool, ({ inspect }) => inspect)
      assert.lengthOf(slots.filter(({ holder }) => holder !== null), 1, "it holds no deployment while it waits")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(one)
      const [secret, id] = yield* Fiber.join(two)
      assert.strictEqual(secret, id)
    }).pipe(Effect.provide(emulated())))

  it.effect("writes its secrets again after a write without a response, and keeps the repository while that may land", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const pool = yield* DeploymentPool.DeploymentPool
      const lockOf = Effect.map(pool.inspect, ({ slots }) => slots[0]?.holder?.lock?.isWriting)
      yield* AirflowResource.use(
        { testName: "before" },
        () => Effect.map(lockOf, (isWriting) => assert.isFalse(isWriting))
      )
      yield* emulator.faults.next({ match: { method: "PUT", path: /\/secrets\// }, then: { _tag: "DropAfter" } })
      const deploymentId = yield* AirflowResource.use(
        { testName: "writes" },
        (resource) =>
          Effect.map(lockOf, (isWriting) => {
            assert.isTrue(isWriting)
            return resource.deploymentId
          })
      )
      assert.strictEqual((yield* emulator.secrets())["ASTRO_DEPLOYMENT_ID"], deploymentId)
      assert.strictEqual(yield* emulator.faults.pending, 0)
      yield* assertTidy
    }).pipe(Effect.provide(emulated())))

  it.effect("is released when its body fails, dies or is interrupted", () =>
    Effect.gen(function*() {
      const failed = yield* Effect.exit(AirflowResource.use({ testName: "fails" }, () => Effect.fail("no")))
      assert.deepStrictEqual(failed, Exit.fail("no"))
      const died = yield* Effect.exit(AirflowResource.use({ testName: "dies" }, () => Effect.die("oh")))
      assert.isTrue(Exit.isFailure(died) && Cause.isDie(died.cause))
      const started = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        AirflowResource.use({ testName: "interrupted" }, () =>
          Effect.zipRight(Deferred.succeed(started, undefined), Effect.never))
      )
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      yield* assertTidy
      assert.strictEqual((yield* lease("after")).epoch, 4)
    }).pipe(Effect.provide(emulated())))

  it.effect("that is interrupted during a creation leaves the deployment in the pool", () =>
    Effect.gen(function*() {
      const creating = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(AirflowResource.use({
        testName: "interrupted",
        onProgress: ({ activity }) =>
          activity === "creating" || activity === "waiting for HEALTHY"
            ? Deferred.succeed(creating, undefined)
            : Effect.void
      }, () => Effect.void))
      yield* Deferred.await(creating)
      yield* Fiber.interrupt(fiber)
      yield* assertTidy
      const again = yield* lease("after")
      assert.strictEqual(again.reused, "woken")
      const audit = yield* (yield* Emulator.Emulator).audit
      assert.lengthOf(audit.deployments, 1)
    }).pipe(Effect.provide(emulated())))

  it.effect("that cannot hibernate logs it, and leaves its slot to the next lease", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const messages: Array<unknown> = []
      const logger = Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => void messages.push(message)))
      yield* emulator.faults.next({
        match: { method: "POST", path: /\/hibernation-override$/ },
        then: { _tag: "Status", status: 403, body: { message: "not today" } }
      })
      yield* Effect.provide(lease("cannot"), logger)
      assert.include(messages.join("\n"), "The release failed")
      const next = yield* lease("next")
      assert.deepInclude(next, { reused: "awake", epoch: 2 })
      yield* assertTidy
    }).pipe(Effect.provide(emulated({ delivery: "none" }))))

  it.effect(
    "does not begin while a retried request of the previous holder may still land (2)",
    () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const lands = yield* Deferred.make<void>()
        yield* AirflowResource.use({ testName: "first" }, () =>
          emulator.faults.next({
            match: { method: "POST", path: /\/hibernation-override$/ },
            then: { _tag: "Late", after: Deferred.await(lands) }
          }))
        const activities: Array<string> = []
        const onProgress = ({ activity }: { readonly activity: string }) =>
          Effect.zipRight(Effect.sync(() => void activities.push(activity)), Deferred.succeed(lands, undefined))
        const next = yield* AirflowResource.use(
          { testName: "next", onProgress },
          (resource) => Effect.succeed(resource)
        )
        assert.include(activities[0], "slot 1 may still be changing")
        assert.deepInclude(next, { reused: "woken", epoch: 2 })
        yield* assertTidy
      }).pipe(Effect.provide(emulated({
        delivery: "none",
        // with reapers, a release does not wait until the request can no longer land
        pool: { max: 1, longestRequest: "10 seconds", startReaper: Effect.void }
      })))
  )

  it.effect("leaves alone a deployment that has only the name of one of the pool's own", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const { rules: { poolId } } = yield* Effect.flatMap(DeploymentPool.DeploymentPool, ({ inspect }) => inspect)
      const foreign = yield* Effect.promise(async () => {
        const response = await fetch(
          `${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}/deployments`,
          {
            method: "POST",
            headers: {
              authorization: `Bearer ${Redacted.value(emulator.astroToken)}`,
              "content-type": "application/json"
            },
            body: JSON.stringify({
              name: Marker.deploymentName({ prefix: "airflow-resource", poolId }, { number: 1, generation: 1 }),
              description: "not the pool's",
              workspaceId: emulator.workspaceId,
              isDevelopmentMode: true,
              astroRuntimeVersion: "13.1.0",
              cloudProvider: "AWS",
              region: "us-east-1"
            })
          }
        )
        return ((await response.json()) as { readonly id: string }).id
      })
      const refused = yield* Effect.flip(lease("first"))
      assert.deepInclude(refused, { _tag: "ProviderError", kind: "nameTaken" })
      const next = yield* lease("next")
      assert.notStrictEqual(next.deploymentId, foreign)
      const { requests } = yield* emulator.audit
      assert.deepStrictEqual(requests.filter(({ path }) => path.includes(foreign)), [])
    }).pipe(Effect.provide(emulated({ delivery: "none" }))))

  it.effect("finds a deployment again whose creation had no response", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      yield* emulator.faults.next({ match: { method: "POST", path: /\/deployments$/ }, then: { _tag: "DropAfter" } })
      yield* lease("lost response")
      assert.lengthOf((yield* emulator.audit).deployments, 1)
      yield* assertTidy
    }).pipe(Effect.provide(emulated({ pool: { longestRequest: "1 seconds" } }))))

  const outages: ReadonlyArray<Faults.Outcome> = [
    { _tag: "DropBefore" },
    { _tag: "Status", status: 503, headers: { "retry-after": "1" }, body: { message: "Service Unavailable" } },
    { _tag: "Html", status: 502 },
    { _tag: "Cut" }
  ]
  for (const then of outages) {
    it.effect(`outlasts failures of a creation: ${JSON.stringify(then)}`, () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        yield* emulator.faults.next({ match: { method: "POST", path: /\/deployments$/ }, times: 2, then })
        const activities: Array<string> = []
        const onProgress = ({ activity }: { readonly activity: string }) =>
          Effect.sync(() => void activities.push(activity))
        yield* AirflowResource.use({ testName: "outlasts", onProgress }, () => Effect.void)
        const { deployments, requests } = yield* emulator.audit
        assert.lengthOf(deployments, 1)
        const creations = requests.filter(({ method, path }) => method === "POST" && path.endsWith("/deployments"))
        assert.strictEqual(creations.length, then._tag === "Cut" ? 1 : 3)
        assert.isTrue(
          activities.some((activity) => activity.includes("trying again after a failure: Could not create"))
        )
        yield* assertTidy
      }).pipe(Effect.provide(emulated({ delivery: "none", pool: { longestRequest: "1 seconds" } }))))
  }

  it.effect("outlasts an outage of the list that a pool begins with", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const match = { method: "GET", path: /\/deployments\?/ }
      yield* emulator.faults.next({ match, times: 5, then: { _tag: "Html", status: 502 } })
      yield* emulator.faults.next({ match, then: { _tag: "Cut" } })
      yield* lease("outlasts")
      assert.strictEqual(yield* emulator.faults.pending, 0)
    }).pipe(Effect.provide(emulated({ delivery: "none" }))))

  it.effect("whose time is up during an outage says what failed", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const match = { method: "POST", path: /\/deployments$/ }
      const then = { _tag: "Status", status: 503, body: { message: "maintenance" } } as const
      yield* emulator.faults.next({ match, times: 1000, then })
      const error = yield* Effect.flip(lease("gives up"))
      assert.strictEqual(error._tag, "AcquireTimeout")
      assert.match(error.message, /the last step was: creating\. Could not create .*: maintenance/)
      assert.deepInclude(error.cause, { _tag: "ProviderError", status: 503 })
      yield* assertTidy
    }).pipe(Effect.provide(emulated({
      delivery: "none",
      pool: { acquireTimeout: "15 seconds", longestRequest: "100 millis" }
    }))))

  it.effect(
    "replaces a deployment of another runtime if the pool is full, and never uses it",
    () =>
      Effect.gen(function*() {
        const first = yield* lease("13")
        const second = yield* AirflowResource.use({
          testName: "12",
          spec: { runtimeVersion: "12.7.1", cloudProvider: "aws", region: "us-east-1" }
        }, (resource) => Effect.succeed(resource))
        assert.strictEqual(second.reused, "created")
        assert.notStrictEqual(second.deploymentId, first.deploymentId)
        const audit = yield* (yield* Emulator.Emulator).audit
        assert.deepStrictEqual(audit.deployments.map(({ id }) => id), [second.deploymentId])
        yield* assertTidy
      }).pipe(Effect.provide(emulated({ pool: { max: 1 } })))
  )

  it.scoped("is not deleted by another ledger that needs room", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/airflow-resource-`)),
        (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
      )
      const emulator = yield* Emulator.Emulator
      const first = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
      const second = { ...first, runtimeVersion: "12.7.1" }
      // the same pool of the same account, with another ledger
      const settings = yield* AirflowResources.settingsOf(emulator, {
        AIRFLOW_RESOURCE_CACHE: `${folder}/other.db`,
        AIRFLOW_RESOURCE_REAPER: "off",
        AIRFLOW_RESOURCE_DELIVERY: "none"
      })
      const otherLedger = AirflowResources.layer(settings, { max: 1, spec: second })
      yield* AirflowResource.use({ testName: "holds", spec: first }, ({ airflow, deploymentId }) =>
        Effect.gen(function*() {
          const refused = yield* Deferred.make<void>()
          const waiting = yield* AirflowResource.use({
            testName: "waits",
            onProgress: ({ activity }) =>
              activity.includes("that uses another cache") ? Deferred.succeed(refused, undefined) : Effect.void
          }, () =>
            Effect.void).pipe(Effect.provide(otherLedger), Effect.fork)
          yield* Deferred.await(refused)
          const { deployments } = yield* emulator.audit
          assert.deepStrictEqual(deployments.map(({ id }) => id), [deploymentId])
          yield* airflow.authenticated
          yield* Fiber.interrupt(waiting)
        }))
    }).pipe(Effect.provide(emulated({ delivery: "none" }))))

  it.effect("is unfenced, and says so, if no token may be minted", () =>
    Effect.gen(function*() {
      const { astroToken } = yield* Emulator.Emulator
      const activities: Array<string> = []
      const resource = yield* AirflowResource.use({
        testName: "operator",
        onProgress: ({ activity }) => Effect.sync(() => void activities.push(activity))
      }, (resource) => Effect.succeed(resource))
      assert.isFalse(resource.fenced)
      assert.include(Option.getOrThrow(resource.unfencedReason), "Workspace Owner")
      assert.include(activities.join("\n"), "continuing unfenced: ")
      assert.strictEqual(Redacted.value(resource.apiToken), Redacted.value(astroToken))
    }).pipe(Effect.provide(emulated({ emulator: { speed: 200, tokenRights: "operator" } }))))

  it.effect("shares the token, although it may mint others, if the fence is off", () =>
    Effect.gen(function*() {
      const { astroToken, audit } = yield* Emulator.Emulator
      const resource = yield* lease("off")
      assert.include(Option.getOrThrow(resource.unfencedReason), "AIRFLOW_RESOURCE_FENCE is off")
      assert.strictEqual(Redacted.value(resource.apiToken), Redacted.value(astroToken))
      const { requests } = yield* audit
      assert.deepStrictEqual(requests.filter(({ method, path }) => method === "POST" && path.endsWith("/tokens")), [])
      yield* assertTidy
    }).pipe(Effect.provide(emulated({ pool: { fence: "off" } }))))

  it.effect(
    "fails if no token may be minted and the fence is on",
    () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(lease("operator"))
        assert(error._tag === "ProviderError")
        assert.strictEqual(error.kind, "forbidden")
        yield* assertTidy
      }).pipe(Effect.provide(emulated({ emulator: { speed: 200, tokenRights: "operator" }, pool: { fence: "on" } })))
  )

  it.effect("fails with the last status if the deployment never gets healthy", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(lease("unhealthy"))
      assert(error._tag === "DeploymentNotHealthy")
      assert.include(error.message, "CREATING")
      yield* assertTidy
    }).pipe(Effect.provide(emulated({
      emulator: { speed: 200, neverHealthy: true },
      pool: { healthyTimeout: "2 seconds" }
    }))))

  it.effect("in a region that Astro does not offer fails, and leaves the slot usable", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(AirflowResource.use({
        testName: "nowhere",
        spec: { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "mars-1" }
      }, () => Effect.void))
      assert(error._tag === "ProviderError")
      assert.strictEqual(error.kind, "unknownRegion")
    }).pipe(Effect.provide(emulated())))

  it.effect("that was lost unnoticed fails at its end", () =>
    Effect.gen(function*() {
      const { cache, inspect } = yield* DeploymentPool.DeploymentPool
      // as if this process had been stopped past its deadline, and the slot granted to another one
      const lose = ({ epoch }: AirflowResource.AirflowResource) =>
        Effect.flatMap(inspect, ({ rules }) => cache.free(rules, 1, epoch, { clean: false, usable: "unknown" }))
      const used = yield* Effect.flip(AirflowResource.use({ testName: "used" }, lose))
      assert.strictEqual(used._tag, "LeaseLost")
      const scoped = yield* Effect.exit(Effect.scoped(Effect.flatMap(AirflowResource.acquire({ testName: "x" }), lose)))
      assert(Exit.isFailure(scoped))
      assert.include(Cause.pretty(scoped.cause), "LeaseLost")
    }).pipe(Effect.provide(emulated({ delivery: "none", pool: { max: 1 } }))))

  it.effect(
    "that is lost fails its body, and interrupts a scoped test with LeaseLost",
    () =>
      Effect.gen(function*() {
        const used = yield* Effect.exit(AirflowResource.use({ testName: "used" }, () => Effect.never))
        assert(Exit.isFailure(used))
        assert.include(Cause.pretty(used.cause), "Lost slot 1")
        const scoped = yield* Effect.fork(
          Effect.scoped(Effect.zipRight(AirflowResource.acquire({ testName: "scoped" }), Effect.never))
        )
        const exit = yield* Fiber.await(scoped)
        assert(Exit.isFailure(exit))
        assert.include(Cause.pretty(exit.cause), "LeaseLost")
      }).pipe(Effect.provide(emulated({ pool: { maxHold: "5 seconds", ttl: "2 seconds" } })))
  )
})
