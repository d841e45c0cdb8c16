import { AirflowApi } from "@airflow-resource/airflow"
import { AstroApi, AstroProject } from "@airflow-resource/astro"
import type { Slot } from "@airflow-resource/core"
import { DagDelivery, DeploymentCache, DeploymentPool, Host, type Upkeep } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResource, AirflowResources, Http } from "airflow-resource"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Redacted, Schedule, Scope } from "effect"

/** Polls until the result is as expected, for 100 seconds at most. The failure has the last result. */
const eventually = <A, E, R>(poll: Effect.Effect<A, E, R>, expected: (a: A) => boolean) =>
  poll.pipe(
    Effect.repeat({ until: expected, schedule: Schedule.spaced("20 millis") }),
    Effect.zipRight(poll),
    Effect.timeoutOption("100 seconds"),
    Effect.flatMap((result) => result._tag === "Some" ? Effect.succeed(result.value) : Effect.flatMap(poll, Effect.die))
  )

interface Process {
  readonly services: Context.Context<
    AirflowResource.Requirements | DeploymentCache.DeploymentCache
  >
  readonly host: Host.Host
}

/** An emulated Astro and a folder for ledgers, shared by everything that `process` makes. */
const world = Effect.gen(function*() {
  const emulator = yield* Emulator.make({ speed: 200 })
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  const live = yield* Host.live
  const { provider: { account, spec } } = yield* AirflowResources.settingsOf(emulator, {
    AIRFLOW_RESOURCE_CACHE: `${folder}/cluster_cache.db`
  })
  /** How far the clock of the processes is ahead of the host's. */
  const ahead = { millis: 0 }
  let pids = 0
  /** The pids of the processes that have died. No real process has one of the pids used here. */
  const gone = new Set<number>()
  const process = (
    { cache = "cluster_cache.db", ...options }: Partial<DeploymentPool.PoolOptions> & { readonly cache?: string } = {}
  ) => {
    const host: Host.Host = {
      owner: { ...live.owner, pid: 10_000_000 + ++pids },
      isGone: ({ pid }) => gone.has(pid),
      uptime: () => (live.uptime() ?? 0) + ahead.millis
    }
    return Layer.mergeAll(
      DeploymentPool.layer({
        spec,
        revocationWait: "25 millis",
        reset: { settle: "50 millis" },
        longestRequest: "1 seconds",
        ...options
      }).pipe(Layer.provide([AstroApi.layer(account), AirflowApi.layer])),
      DagDelivery.layerNone,
      AstroProject.layer
    ).pipe(
      Layer.provideMerge(SqliteDeploymentCache.layer({ path: `${folder}/${cache}`, host })),
      Layer.provide([Http.layer, NodeContext.layer]),
      Layer.build,
      Effect.map((services): Process => ({ services, host }))
    )
  }
  const audit = emulator.audit
  /** Starts to count: the inner effect returns the requests to Astro since then. */
  const counting = Effect.map(
    audit,
    ({ requests: { length } }) =>
      Effect.map(
        audit,
        ({ requests }) =>
          requests.slice(length).filter(({ path }) => path.startsWith("/v1/")).map(({ method, path }) =>
            `${method} ${path.replace(/\?.*/, "").replace(/\/[a-z0-9]{20,}/g, "/:id")}`
          )
      )
  )
  return { emulator, process, gone, ahead, audit, counting }
})

const lease = <A, E, R>(
  { services }: Process,
  body: (resource: AirflowResource.AirflowResource) => Effect.Effect<A, E, R>,
  testName = "a test"
) => AirflowResource.use({ testName }, body).pipe(Effect.provide(services))

const visit = (process: Process) =>
  lease(process, ({ deploymentName, reused }) => Effect.succeed({ deploymentName, reused }))

const soil = (process: Process) =>
  lease(
    process,
    ({ airflow, deploymentId }) => Effect.as(airflow.variables.put({ key: "planted", value: "x" }), deploymentId)
  )

const slots = ({ services }: Process) =>
  Effect.map(Context.get(services, DeploymentPool.DeploymentPool).inspect, ({ slots }) => slots)
const events = ({ services }: Process) =>
  Effect.map(
    Context.get(services, DeploymentPool.DeploymentPool).events(),
    (all) => all.map(({ detail, kind }) => `${kind} ${detail}`)
  )
const poolOf = ({ services }: Process) => Context.get(services, DeploymentPool.DeploymentPool)
const activeUpkeep = (process: Process) => Effect.map(poolOf(process).inspect, ({ upkeep }) => upkeep.holder?.owner.pid)

/** Runs upkeep in a process until the returned `end`. */
const keep = ({ host, services }: Process, options: Upkeep.UpkeepOptions = {}) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.die("a process that has died ends nothing well")))
    yield* Layer.buildWithScope(DeploymentPool.layerUpkeep({ every: "100 millis", ...options }), scope).pipe(
      Effect.provide(services)
    )
    return { pid: host.owner.pid, end: Scope.close(scope, Exit.void) }
  })

/** Runs upkeep in a process, and waits until it is active. */
const keepActive = (process: Process, options?: Upkeep.UpkeepOptions) =>
  Effect.gen(function*() {
    const upkeep = yield* keep(process, options)
    yield* eventually(activeUpkeep(process), (pid) => pid === upkeep.pid)
    return upkeep
  })

const list = "GET /v1/organizations/:id/deployments"

/** A development deployment that a user created. */
const createByHand = (emulator: Emulator.Service, name: string, isHibernating: boolean) =>
  Effect.promise(async () => {
    const post = async (path: string, body: unknown) => {
      const response = await fetch(
        `${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}/deployments${path}`,
        {
          method: "POST",
          headers: {
            authorization: `Bearer ${Redacted.value(emulator.astroToken)}`,
            "content-type": "application/json"
          },
          body: JSON.stringify(body)
        }
      )
      assert.isTrue(response.ok, String(response.status))
      return await response.json() as { readonly id: string }
    }
    const { id } = await post("", { name, workspaceId: emulator.workspaceId, isDevelopmentMode: true })
    if (isHibernating) await post(`/${id}/hibernation-override`, { isHibernating })
    return { id, name }
  })

const isAtRest = ({ holder, power }: Slot.Slot) => holder === null && power === "asleep"

const assertTidy = (audit: Emulator.Service["audit"]) =>
  Effect.map(audit, ({ awake, tokens }) => assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] }))

/** A lease that lasts until the returned `end`. */
const hold = (process: Process) =>
  Effect.gen(function*() {
    const [has, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const fiber = yield* Effect.fork(
      lease(process, () => Effect.zipRight(Deferred.succeed(has, undefined), Deferred.await(gate)), "holds")
    )
    yield* Effect.raceFirst(Deferred.await(has), Fiber.join(fiber))
    return { end: Effect.zipRight(Deferred.succeed(gate, undefined), Fiber.join(fiber)) }
  })

/** A process leases, and counts as dead afterwards: it keeps what it holds until the test ends. */
const die = (world: { readonly gone: Set<number> }, process: Process) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.die("a process that has died ends nothing well")))
    const resource = yield* AirflowResource.acquire({ testName: "dies" }).pipe(
      Effect.provide(process.services),
      Scope.extend(scope)
    )
    world.gone.add(process.host.owner.pid)
    return resource
  })

describe("upkeep", () => {
  it.scopedLive("empties and hibernates what a lease leaves to it", () =>
    Effect.gen(function*() {
      const { audit, process } = yield* world
      const [a, b] = [yield* process(), yield* process()]
      const upkeep = yield* keepActive(a)
      yield* soil(b)
      const [slot] = yield* eventually(slots(a), (all) => all.every(isAtRest))
      assert.isTrue(slot?.clean)
      yield* assertTidy(audit)
      assert.include((yield* events(a)).join("\n"), `left to upkeep upkeep of process`)
      yield* upkeep.end
      assert.isUndefined(yield* activeUpkeep(a))
      // without active upkeep a lease hibernates its deployment itself
      assert.strictEqual((yield* visit(b)).reused, "woken")
      yield* assertTidy(audit)
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scopedLive(
    "that keeps deployments awake leaves the next lease three calls to Astro",
    () =>
      Effect.gen(function*() {
        const { audit, counting, process } = yield* world
        const [a, b] = [yield* process(), yield* process()]
        yield* visit(b)
        const cold = yield* counting
        assert.strictEqual((yield* visit(b)).reused, "woken")
        // four to get it, besides polling until it is awake, and two to give it back
        assert.lengthOf((yield* cold).filter((call) => call !== list), 6)

        const upkeep = yield* keepActive(a, { hibernateAfter: "1 hour" })
        yield* soil(b)
        yield* eventually(slots(a), ([slot]) => slot?.clean === true && slot.holder === null && slot.power === "awake")
        const warm = yield* counting
        const calls = yield* lease(b, ({ airflow, reused }) =>
          Effect.gen(function*() {
            assert.strictEqual(reused, "awake")
            assert.deepStrictEqual(yield* airflow.variables.list, [])
            // upkeep's own polls do not count
            return (yield* warm).filter((call) => call !== list)
          }))
        assert.deepStrictEqual(calls, [
          "GET /v1/organizations/:id/deployments/:id",
          "POST /v1/organizations/:id/tokens",
          "GET /v1/organizations/:id/tokens"
        ])
        assert.lengthOf((yield* audit).awake, 1)
        yield* upkeep.end
        yield* assertTidy(audit)
      }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("is active in one process at a time, and the next one takes over", () =>
    Effect.gen(function*() {
      const { audit, process } = yield* world
      const [a, b, c] = [yield* process(), yield* process(), yield* process()]
      yield* visit(c)
      const first = yield* keepActive(a, { hibernateAfter: "1 hour" })
      const standby = yield* keep(b, { hibernateAfter: "1 hour" })
      yield* visit(c)
      // when another upkeep ends, the active one stays active, and its deployment awake
      yield* standby.end
      assert.strictEqual(yield* activeUpkeep(c), first.pid)
      assert.lengthOf((yield* audit).awake, 1)
      const next = yield* keep(b, { hibernateAfter: "1 hour" })
      yield* first.end
      assert.strictEqual(yield* eventually(activeUpkeep(c), (pid) => pid !== undefined), next.pid)
      yield* visit(c)
      yield* next.end
      yield* assertTidy(audit)
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scopedLive(
    "stops being active while the cloud does not respond: leases hibernate their deployments themselves",
    () =>
      Effect.gen(function*() {
        const { audit, emulator, process } = yield* world
        const [a, b] = [yield* process(), yield* process()]
        yield* visit(b)
        const upkeep = yield* keepActive(a, { hibernateAfter: "1 hour" })
        yield* emulator.faults.next({
          match: { method: "GET", path: /\/deployments\?/ },
          times: 1_000,
          then: { _tag: "Status", status: 403, body: { message: "not now" } }
        })
        yield* eventually(activeUpkeep(b), (pid) => pid === undefined)
        yield* emulator.faults.clear
        yield* visit(b)
        yield* assertTidy(audit)
        yield* upkeep.end
      }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("that ends in the middle of its work leaves nothing awake", () =>
    Effect.gen(function*() {
      const { audit, process } = yield* world
      const [a, b] = [yield* process({ revocationWait: "10 seconds" }), yield* process()]
      const upkeep = yield* keepActive(a)
      yield* soil(b)
      yield* eventually(slots(b), ([slot]) => slot?.holder?.activity === "verifying that it is empty")
      yield* upkeep.end
      assert.isTrue((yield* slots(b)).every(isAtRest))
      yield* assertTidy(audit)
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scopedLive("replaces a deployment that was used often enough or is old enough", () =>
    Effect.gen(function*() {
      const { audit, process } = yield* world
      const [a, b] = [yield* process(), yield* process()]
      const first = yield* visit(b)
      yield* visit(b)
      const byUses = yield* keepActive(a, { recycleUses: 2 })
      const [slot] = yield* eventually(slots(b), ([slot]) => slot!.name !== first.deploymentName && isAtRest(slot!))
      yield* poolOf(b).reap
      assert.strictEqual((yield* slots(b))[0]?.name, slot?.name)
      yield* byUses.end

      const byAge = yield* keepActive(a, { recycleAge: "5 seconds" })
      yield* eventually(slots(b), ([now]) => now!.name !== slot!.name && isAtRest(now!))
      yield* byAge.end
      assert.lengthOf((yield* audit).deployments, 1)
      assert.strictEqual((yield* visit(b)).reused, "woken")
      yield* assertTidy(audit)
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scopedLive("hibernates and quarantines a deployment that cannot be used, until it can", () =>
    Effect.gen(function*() {
      const { ahead, audit, emulator, process } = yield* world
      const [a, b] = [yield* process({ readyTimeout: "1 seconds" }), yield* process()]
      yield* visit(b)
      const upkeep = yield* keepActive(a)
      yield* lease(b, () => emulator.setHealth({ scheduler: "unhealthy" }))
      const [slot] = yield* eventually(slots(b), ([slot]) => slot?.quarantine?.failures === 1 && isAtRest(slot))
      assert.match(slot!.quarantine!.reason, /scheduler/)
      yield* assertTidy(audit)

      yield* emulator.setHealth({ scheduler: "healthy" })
      ahead.millis += Duration.toMillis("31 seconds")
      assert.strictEqual((yield* visit(b)).reused, "woken")
      assert.isNull((yield* slots(b))[0]?.quarantine)
      yield* upkeep.end
      yield* assertTidy(audit)
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scopedLive(
    "hibernates and quarantines an adopted deployment that cannot be emptied",
    () =>
      Effect.gen(function*() {
        const { ahead, audit, emulator, process } = yield* world
        const byHand = yield* createByHand(emulator, "created-by-hand", true)
        yield* eventually(audit, ({ deployments }) => deployments[0]?.status === "HIBERNATING")
        const [a, b] = [yield* process({ adopt: true, max: 1 }), yield* process({ adopt: true, max: 1 })]
        const upkeep = yield* keepActive(a)
        yield* lease(b, ({ apiHeaders, apiUrl }) =>
          Effect.promise(async () => {
            // Airflow 2 accepts this name, but has no route to such a pool afterwards
            const headers = { ...Redacted.value(apiHeaders), "content-type": "application/json" }
            const body = JSON.stringify({ name: "no/way", slots: 1 })
            assert.strictEqual((await fetch(`${apiUrl}/pools`, { method: "POST", headers, body })).status, 200)
          }))
        const [slot] = yield* eventually(slots(b), ([slot]) => slot?.quarantine?.failures === 1 && isAtRest(slot))
        assert.strictEqual(slot?.name, byHand.name)
        assert.include(slot?.quarantine?.reason, "could not be emptied; it still has: pool no/way")
        yield* assertTidy(audit)

        // the next lease may try again, and its error says why it fails
        ahead.millis += Duration.toMillis("31 seconds")
        assert.include((yield* Effect.flip(visit(b))).message, "no/way")
        yield* eventually(slots(b), ([slot]) => slot?.quarantine?.failures === 2 && isAtRest(slot))
        yield* upkeep.end
        assert.lengthOf((yield* audit).deployments, 1)
        yield* assertTidy(audit)
      }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive(
    "leaves alone what another ledger leases, and what does not belong to the pool",
    () =>
      Effect.gen(function*() {
        const { audit, emulator, process } = yield* world
        const [own, other] = [yield* process(), yield* process({ cache: "other.db" })]
        const { deploymentName } = yield* visit(own)
        // the name alone does not make it the pool's own
        const byHand = yield* createByHand(emulator, deploymentName.replace(/1-g1$/, "7-g1"), false)
        yield* lease(other, ({ airflow, deploymentName: leased }) =>
          Effect.gen(function*() {
            assert.strictEqual(leased, deploymentName)
            const third = yield* process({ cache: "third.db" })
            const { actions, awake: left } = yield* poolOf(third).reap
            assert.deepStrictEqual([actions.map(({ did }) => did), left], [["left alone"], [deploymentName]])
            assert.include(actions[0]?.detail, "that uses another cache")
            const upkeep = yield* keepActive(own)
            yield* eventually(events(own), (all) => all.some((event) => event.startsWith("returned")))
            yield* upkeep.end
            yield* airflow.authenticated
            const { awake, tokens } = yield* audit
            assert.sameMembers([...awake], [deploymentName, byHand.name])
            assert.lengthOf(tokens, 1)
          }))
        assert.deepStrictEqual((yield* audit).awake, [byHand.name])
      }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("adopts a hibernating deployment, empties it, and never deletes it", () =>
    Effect.gen(function*() {
      const { audit, emulator, process } = yield* world
      const byHand = yield* createByHand(emulator, "created-by-hand", true)
      yield* eventually(audit, ({ deployments }) => deployments[0]?.status === "HIBERNATING")
      const otherPool = yield* process({ cache: "other.db", prefix: "other" })
      assert.notStrictEqual((yield* visit(otherPool)).deploymentName, byHand.name)

      const [a, b] = [yield* process({ adopt: true, max: 1 }), yield* process({ adopt: true, max: 1 })]
      const upkeep = yield* keepActive(a, { recycleUses: 1 })
      assert.deepStrictEqual(yield* visit(b), { deploymentName: byHand.name, reused: "woken" })
      yield* soil(b)
      const [slot] = yield* eventually(slots(b), (all) => all.every(isAtRest))
      assert.isTrue(slot?.clean)
      assert.deepStrictEqual(slot?.adopted, { overrideUntil: null })
      yield* upkeep.end
      yield* poolOf(a).drain({ timeout: "100 seconds" })
      const { awake, deployments, tokens } = yield* audit
      assert.include(deployments.map(({ id }) => id), byHand.id)
      assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] })
    }).pipe(Effect.provide(NodeContext.layer)))
})

describe("reap", () => {
  it.scopedLive("repairs what a dead process left behind", () =>
    Effect.gen(function*() {
      const all = yield* world
      const [a, b] = [yield* all.process(), yield* all.process()]
      const { deploymentName } = yield* die(all, a)
      assert.deepStrictEqual((yield* all.audit).awake, [deploymentName])
      const report = yield* poolOf(b).reap
      assert.deepStrictEqual(report, {
        actions: [{ slot: 1, deployment: deploymentName, did: "hibernate", detail: "" }],
        held: [],
        awake: [],
        tokens: []
      })
      yield* assertTidy(all.audit)
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scopedLive(
    "deletes the tokens of a process that died after hibernating the deployment",
    () =>
      Effect.gen(function*() {
        const all = yield* world
        const [a, b] = [yield* all.process(), yield* all.process()]
        const stuck = yield* Deferred.make<void>()
        yield* all.emulator.faults.next({
          match: { method: "DELETE", path: /\/tokens\// },
          then: {
            _tag: "Late",
            after: Effect.zipRight(Deferred.succeed(stuck, undefined), Effect.never),
            responds: true
          }
        })
        yield* Effect.fork(visit(a))
        yield* Deferred.await(stuck)
        all.gone.add(a.host.owner.pid)
        // another process has expired it before
        yield* Effect.flatMap(
          poolOf(b).inspect,
          ({ rules }) => Context.get(b.services, DeploymentCache.DeploymentCache).sweep(rules)
        )
        yield* poolOf(b).reap
        yield* assertTidy(all.audit)
      }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("leaves alone what is held", () =>
    Effect.gen(function*() {
      const { process } = yield* world
      const [a, b] = [yield* process(), yield* process()]
      const { held } = yield* lease(a, ({ airflow }) =>
        Effect.zipLeft(poolOf(b).reap.pipe(Effect.orDie), airflow.authenticated))
      assert.deepInclude(held[0], { slot: 1, label: "a test" })
    }).pipe(Effect.provide(NodeContext.layer)))
})

describe("drain", () => {
  it.scopedLive("waits for holders, until its timeout", () =>
    Effect.gen(function*() {
      const { audit, process } = yield* world
      const [a, b] = [yield* process(), yield* process()]
      const drain = (timeout: Duration.DurationInput) => poolOf(b).drain({ timeout })
      const holding = yield* hold(a)
      const { held } = yield* drain("1 seconds")
      assert.deepInclude(held[0], { slot: 1, label: "holds" })
      const drained = yield* Effect.fork(drain("100 seconds"))
      yield* holding.end
      const { awake, held: left } = yield* Fiber.join(drained)
      assert.deepStrictEqual({ awake, left }, { awake: [], left: [] })
      yield* assertTidy(audit)
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scopedLive("deletes deployments beyond the pool's max", () =>
    Effect.gen(function*() {
      const { audit, process } = yield* world
      const [a, b] = [yield* process({ max: 2 }), yield* process({ max: 1 })]
      const holding = yield* hold(a)
      const second = yield* visit(a)
      const drained = yield* Effect.fork(poolOf(b).drain({ timeout: "100 seconds" }))
      const { deployments } = yield* eventually(audit, ({ deployments }) => deployments.length === 1)
      assert.notStrictEqual(deployments[0]?.name, second.deploymentName)
      yield* holding.end
      const { actions } = yield* Fiber.join(drained)
      assert.deepInclude(actions, { slot: 2, deployment: second.deploymentName, did: "delete", detail: "" })
      yield* assertTidy(audit)
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scopedLive("checks again once no request can be on its way any more", () =>
    Effect.gen(function*() {
      const all = yield* world
      const [a, b] = [yield* all.process(), yield* all.process()]
      yield* visit(a)
      const before = Math.max(...(yield* all.audit).states.map(({ at }) => at))
      const lands = yield* Deferred.make<void>()
      yield* all.emulator.faults.next({
        match: { method: "POST", path: /hibernation-override$/ },
        then: { _tag: "Late", after: Deferred.await(lands), responds: true }
      })
      // wakes the deployment, and dies before the response
      const dying = yield* Effect.fork(visit(a))
      yield* eventually(slots(b), ([slot]) => slot?.holder?.activity === "waking")
      all.gone.add(a.host.owner.pid)
      const drained = yield* Effect.fork(poolOf(b).drain({ timeout: "100 seconds" }))
      yield* eventually(slots(b), ([slot]) => isAtRest(slot!))
      yield* Deferred.succeed(lands, undefined)
      yield* Fiber.join(drained)
      yield* assertTidy(all.audit)
      const woken = (yield* all.audit).states.filter(({ at, status }) => at > before && status !== "HIBERNATING")
      assert.notDeepEqual(woken, [], "the late request has woken it")
      yield* Fiber.interrupt(dying)
    }).pipe(Effect.provide(NodeContext.layer)))
})
