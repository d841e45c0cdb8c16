/** What one lease leaves behind for a person who reads traces and logs. */
import { Emulator } from "@airflow-resource/emulator"
import { assert, it } from "@effect/vitest"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Effect, HashMap, Logger, LogLevel, Redacted } from "effect"
import { collectSpans, type Recorded } from "../packages/core/test/collectSpans.js"

interface Line {
  readonly level: string
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
}

const collectLogs = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const lines: Array<Line> = []
    const logger = Logger.make(({ annotations, logLevel, message }) =>
      void lines.push({
        level: logLevel.label,
        message: [message].flat().map(String).join(" "),
        annotations: Object.fromEntries(HashMap.toEntries(annotations))
      })
    )
    const result = yield* self.pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.Debug)
    )
    return { result, lines }
  })

const only = (spans: ReadonlyArray<Recorded>, name: string): Recorded => {
  const found = spans.filter((span) => span.name === name)
  assert.lengthOf(found, 1, `${name} in ${spans.map(({ name, parent }) => `${parent} > ${name}`).join("\n")}`)
  return found[0]!
}

it.live("a lease is one trace with the pool's terms, tells its steps, and shows no secret", () =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.Emulator
    const { lines, result: { result: resource, spans, text } } = yield* AirflowResource.use(
      { testName: "traced" },
      (resource) =>
        Effect.as(resource.airflow.runDag("hello_world_dag").pipe(Effect.withSpan("the test's body")), resource)
    ).pipe(collectSpans, collectLogs)

    const lease = only(spans, "AirflowResource")
    assert.isUndefined(lease.parent)
    const facts = {
      "lease.id": resource.leaseId,
      epoch: resource.epoch,
      "deployment.id": resource.deploymentId,
      "deployment.name": resource.deploymentName
    }
    assert.deepInclude(lease.attributes, { "test.name": "traced", fenced: true, ...facts })
    const acquired = only(spans, "DeploymentPool.acquire")
    assert.strictEqual(acquired.parent, "AirflowResource")
    assert.deepInclude(acquired.attributes, { slot: 1, ...facts })
    const parents = (name: string) => spans.filter((span) => span.name === name).map(({ parent }) => parent)
    assert.deepStrictEqual(parents("DeploymentPool.awaitGrant"), ["DeploymentPool.acquire"])
    assert.deepStrictEqual(parents("DeploymentPool.prepare"), ["DeploymentPool.acquire"])
    assert.deepStrictEqual(parents("DeploymentPool.release"), ["AirflowResource"])
    assert.deepStrictEqual(parents("AstroApi.create"), ["DeploymentPool.prepare"])
    assert.deepStrictEqual(parents("SecretsDelivery.deliver"), ["AirflowResource"])
    assert.deepStrictEqual(parents("the test's body"), ["AirflowResource"])
    assert.deepStrictEqual(parents("Airflow.runDag"), ["the test's body"])
    assert.isBelow(spans.length, 120, "a poll makes no span")
    const roots = spans.filter(({ parent }) => parent === undefined)
    assert.deepStrictEqual(roots.map(({ name }) => name), ["AirflowResource"])

    const steps = lines.filter(({ annotations }) => annotations["lease.id"] === resource.leaseId)
    const messages = (level: string) => steps.filter((line) => line.level === level).map(({ message }) => message)
    assert.includeMembers(messages("INFO"), ["creating", "waiting for HEALTHY", "waiting for Airflow", "hibernating"])
    assert.includeMembers(messages("DEBUG"), ["minting a token", "verifying that it is empty", "pausing DAGs"])
    const creating = steps.find(({ message }) => message === "creating")!
    assert.deepInclude(creating.annotations, { slot: 1, epoch: resource.epoch, "process.id": process.pid })
    assert.match(String(creating.annotations.elapsed), /^\d+(\.\d+)?(ns|ms|s)/)

    const log = lines.map((line) => JSON.stringify(line)).join("\n")
    for (const secret of [resource.apiToken, emulator.astroToken, emulator.githubToken]) {
      assert.notInclude(text, Redacted.value(secret))
      assert.notInclude(log, Redacted.value(secret))
    }
  }).pipe(Effect.provide(AirflowResources.layerEmulator({ emulator: { speed: 200 }, pool: { max: 1 } }))))
