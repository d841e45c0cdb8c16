import { Deployment, DeploymentProvider } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, type Layer, Redacted, Schedule } from "effect"

export interface Options {
  /** [one of Astro] */
  readonly spec?: Deployment.DeploymentSpec
  /** How long a deployment may take to wake or to hibernate [20 seconds]. */
  readonly patience?: Duration.DurationInput
}

const ofAstro = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

/** Every provider keeps these promises. On real time: some of them are over HTTP. */
export const suite = (
  name: string,
  layer: Layer.Layer<DeploymentProvider.DeploymentProvider, unknown>,
  { patience = "20 seconds", spec = ofAstro }: Options = {}
) =>
  describe(name, () => {
    const test = (
      title: string,
      body: (provider: typeof DeploymentProvider.DeploymentProvider.Service) => Effect.Effect<void, unknown>
    ) =>
      it.live(
        title,
        () => Effect.flatMap(DeploymentProvider.DeploymentProvider, body).pipe(Effect.provide(layer)),
        // a safety net, for the test that waits most often
        300_000 + 5 * Duration.toMillis(patience)
      )

    const create = (provider: typeof DeploymentProvider.DeploymentProvider.Service, name = "pool-1") =>
      provider.create({ name, description: `the marker of ${name}`, spec })
    const until = (
      provider: typeof DeploymentProvider.DeploymentProvider.Service,
      id: Deployment.DeploymentId,
      done: (deployment: Deployment.Deployment) => boolean
    ) =>
      provider.get(id).pipe(
        Effect.filterOrFail(done, () => "not yet" as const),
        Effect.retry({ schedule: Schedule.spaced("50 millis"), while: (error) => error === "not yet" }),
        Effect.timeout(patience)
      )

    test("becomes ready once, and returns the same account again", (provider) =>
      Effect.gen(function*() {
        const account = yield* provider.ready
        assert.deepStrictEqual(yield* provider.ready, account)
        assert.isNotEmpty(account.workspaceId)
        assert.deepStrictEqual(yield* provider.list, [])
      }))

    test("creates a deployment as requested, lists it, and gets it", (provider) =>
      Effect.gen(function*() {
        const created = yield* create(provider)
        assert.include(created, { name: "pool-1", description: "the marker of pool-1", hibernationRequested: false })
        assert.deepStrictEqual({ ...created.spec }, spec)
        assert.notMatch(created.airflowUrl, /\/api\/v\d$/)
        assert.match(created.airflowUrl, /^\w+:\/\//)
        assert.deepStrictEqual((yield* provider.list).map(({ id }) => id), [created.id])
        assert.isTrue((yield* until(provider, created.id, (deployment) => deployment.isAwake)).isAwake)
      }))

    test("rejects a name that is taken, and an unknown id", (provider) =>
      Effect.gen(function*() {
        yield* create(provider)
        assert.strictEqual((yield* Effect.flip(create(provider))).kind, "nameTaken")
        const unknown = Deployment.DeploymentId.make("c00000000000000000000none")
        assert.strictEqual((yield* Effect.flip(provider.get(unknown))).kind, "notFound")
      }))

    test("hibernates and wakes in every status, and repeatedly", (provider) =>
      Effect.gen(function*() {
        const { id } = yield* create(provider)
        yield* provider.hibernate(id)
        const asked = yield* provider.get(id)
        assert.isTrue(asked.hibernationRequested, "recorded at once, before it sleeps")
        assert.isFalse(asked.isAwake)
        yield* until(provider, id, ({ status }) => status === "HIBERNATING")
        yield* provider.hibernate(id)
        yield* provider.wake(id)
        yield* provider.wake(id)
        assert.isFalse((yield* provider.get(id)).hibernationRequested)
        yield* until(provider, id, (deployment) => deployment.isAwake)
      }))

    test("hibernates until a time, or until the schedules are resumed; without any, it wakes then", (provider) =>
      Effect.gen(function*() {
        const { id } = yield* create(provider)
        const override = Effect.map(
          provider.get(id),
          ({ hibernationRequested, overrideUntil }) => ({ hibernationRequested, overrideUntil })
        )
        const none = { hibernationRequested: false, overrideUntil: undefined }
        // in whole seconds, as on Astro
        const later = Math.ceil((yield* Clock.currentTimeMillis) / 1000) * 1000 + 3_600_000
        yield* provider.hibernate(id, later)
        assert.deepStrictEqual(yield* override, { hibernationRequested: true, overrideUntil: later })
        yield* until(provider, id, ({ status }) => status === "HIBERNATING")
        yield* provider.hibernate(id)
        assert.deepStrictEqual(yield* override, { hibernationRequested: true, overrideUntil: undefined })
        yield* provider.hibernate(id, later)
        yield* provider.wake(id)
        assert.deepStrictEqual(yield* override, none)
        yield* until(provider, id, (deployment) => deployment.isAwake)

        yield* provider.hibernate(id, later)
        yield* provider.resumeSchedules(id)
        yield* provider.resumeSchedules(id)
        assert.deepStrictEqual(yield* override, none)
        yield* until(provider, id, (deployment) => deployment.isAwake)

        yield* provider.hibernate(id, (yield* Clock.currentTimeMillis) + 1000)
        yield* until(provider, id, (deployment) => deployment.isAwake)
        assert.deepStrictEqual(yield* override, none)
        yield* provider.resumeSchedules(Deployment.DeploymentId.make("c00000000000000000000none"))
      }))

    test("mints tokens of one deployment, lists them, and deletes them repeatedly", (provider) =>
      Effect.gen(function*() {
        const [one, two] = [yield* create(provider, "one"), yield* create(provider, "two")]
        const token = yield* provider.createToken(one.id, "lease 1")
        assert.isNotEmpty(Redacted.value(token.value))
        yield* provider.createToken(two.id, "lease 2")
        const listed = yield* provider.listTokens(one.id)
        assert.deepStrictEqual(listed, [{ id: token.id, name: "lease 1", createdAt: token.createdAt }])
        yield* provider.deleteToken(one.id, token.id)
        yield* provider.deleteToken(one.id, token.id)
        assert.deepStrictEqual(yield* provider.listTokens(one.id), [])
      }))

    test("sets variables, and loses none of two concurrent calls", (provider) =>
      Effect.gen(function*() {
        const { id } = yield* create(provider)
        yield* provider.setVariables(id, { PLAIN: "1", SECRET: Redacted.make("hush") })
        yield* Effect.forEach(
          ["A", "B", "C"],
          (key) => provider.setVariables(id, { [key]: key.toLowerCase() }),
          { concurrency: "unbounded" }
        )
        const all = yield* provider.setVariables(id, { PLAIN: "2", SECRET: "still one" })
        const plain = { A: "a", B: "b", C: "c", PLAIN: "2" }
        assert.sameDeepMembers(all as Array<unknown>, [
          ...Object.entries(plain).map(([key, value]) => ({ key, isSecret: false, value })),
          { key: "SECRET", isSecret: true }
        ])
        assert.strictEqual((yield* provider.get(id)).description, "the marker of pool-1")
        const unknown = Deployment.DeploymentId.make("c00000000000000000000none")
        assert.strictEqual((yield* Effect.flip(provider.setVariables(unknown, { A: "1" }))).kind, "notFound")
      }))

    test("deletes repeatedly, and the name is free again", (provider) =>
      Effect.gen(function*() {
        const { id } = yield* create(provider)
        yield* provider.delete(id)
        yield* provider.delete(id)
        assert.deepStrictEqual(yield* provider.list, [])
        assert.notStrictEqual((yield* create(provider)).id, id)
      }))
  })
