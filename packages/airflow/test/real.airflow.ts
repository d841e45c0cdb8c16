import { AirflowReset } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as fs from "node:fs"
import { kindOf, suite, until } from "./AirflowApi.suite.js"
import { connect, connectAs, connectAsViewer, delivery, isTwo, username, version } from "./real.js"

const { AIRFLOW_PIDS_FILE: pidsFile = "" } = process.env

/**
 * Each version must be longer: Python does not recompile a file that has the same size and was changed in the same
 * second.
 */
const dagFile = (dagId: string, tag: string, words: string) => `
from datetime import datetime

try:
    from airflow.sdk import dag, task
except ImportError:
    from airflow.decorators import dag, task


@dag(dag_id="${dagId}", schedule=None, start_date=datetime(2024, 1, 1), catchup=False, tags=["${tag}"])
def delivered():
    @task
    def speak():
        print("${words}")

    speak()


delivered()
`

/** A DAG that is started by two assets, and one that updates one of them. */
const assetFile = (producer: string, consumer: string) => `
from datetime import datetime

try:
    from airflow.sdk import Asset, dag, task
except ImportError:
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task

one, other = Asset("test://${producer}/one"), Asset("test://${producer}/other")


@dag(dag_id="${producer}", schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def produces():
    @task(outlets=[one])
    def produce():
        print("produced")

    produce()


@dag(dag_id="${consumer}", schedule=[one, other], start_date=datetime(2024, 1, 1), catchup=False)
def consumes():
    @task
    def consume():
        print("consumed")

    consume()


produces()
consumes()
`

const areAlive = Effect.suspend(() =>
  Effect.forEach(
    Object.entries<number>(JSON.parse(fs.readFileSync(pidsFile, "utf8"))),
    ([name, pid]) => Effect.try({ try: () => process.kill(pid, 0), catch: () => `${name} has ended` })
  )
)

suite(`AirflowApi against Airflow ${version}`, connect, {
  version,
  users: isTwo ? "created" : "unsupported",
  hasFiles: true
})

describe(`AirflowApi against Airflow ${version}, with access to its files and users`, () => {
  const minute = { timeout: "1 minute" } as const

  it.scopedLive("is refused with a wrong password", () =>
    Effect.gen(function*() {
      const refused = kindOf(Effect.flatMap(connectAs(username, "wrong"), ({ authenticated }) => authenticated))
      assert.include(["unauthorized", "forbidden"], yield* refused)
    }))

  it.scopedLive("has the permissions of its user", () =>
    Effect.gen(function*() {
      const viewer = yield* connectAsViewer
      assert.isTrue(yield* viewer.verifyAirflowDagExists("hello_world_dag"))
      assert.strictEqual(yield* kindOf(viewer.variables.put({ key: "viewer", value: "1" })), "forbidden")
    }))

  it.scopedLive("finds a new file, its next version, and that it was deleted", () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      const { dagId, deliver, file } = yield* delivery
      yield* deliver(dagFile(dagId, "v1", "the first words"))
      yield* airflow.awaitDag(dagId, { ...minute, tag: "v1" })
      const since = yield* deliver(dagFile(dagId, "v2", "the second words, and more"))
      const dag = yield* airflow.awaitDag(dagId, { ...minute, tag: "v2", since })
      assert.deepStrictEqual([...dag.tags], ["v2"])
      assert.include(yield* airflow.dagSource(dagId), "the second words")
      const { runId } = yield* airflow.runDag(dagId, minute)
      assert.include(yield* airflow.getTaskInstanceLogs(dagId, runId, "speak"), "the second words, and more")
      fs.rmSync(file)
      yield* until(airflow.dag(dagId), ({ isActive }) => !isActive)
      assert.isFalse(yield* airflow.verifyAirflowDagExists(dagId))
    }), 180_000)

  it.scopedLive(
    "reports a file that can no longer be imported, and does not run its earlier version",
    () =>
      Effect.gen(function*() {
        const airflow = yield* connect
        const { dagId, deliver, file } = yield* delivery
        yield* deliver(dagFile(dagId, "v1", "whole"))
        yield* airflow.awaitDag(dagId, { ...minute, tag: "v1" })
        const since = yield* deliver(`${dagFile(dagId, "v2", "broken")}raise RuntimeError("broken on purpose")\n`)
        const broken = yield* Effect.flip(airflow.awaitDag(dagId, { timeout: "1 hour", tag: "v2", since }))
        assert(broken._tag === "DagImportFailed")
        assert.include(broken.stackTrace, "broken on purpose")
        const refused = yield* Effect.flip(airflow.trigger(dagId))
        assert(refused._tag === "DagImportFailed")
        assert.include(refused.stackTrace, "broken on purpose")
        const again = yield* deliver(dagFile(dagId, "v3", "whole again, and longer"))
        yield* airflow.awaitDag(dagId, { ...minute, tag: "v3", since: again })
        fs.rmSync(file)
        yield* until(airflow.importErrors, (errors) => errors.every(({ filename }) => !filename.includes(dagId)))
      }),
    180_000
  )

  it.scopedLive("stops a scheduled DAG and deletes the runs that it started", () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      yield* airflow.setPaused("scheduled_dag", false)
      yield* until(airflow.runs("scheduled_dag"), (runs) => runs.length > 0)
      // a triggered run is not confused with scheduled ones
      const { runId } = yield* airflow.trigger("scheduled_dag", { unpause: false })
      assert.include(["queued", "running"], (yield* airflow.run("scheduled_dag", runId)).state)
      const { deleted } = yield* AirflowReset.reset(airflow)
      assert.isAtLeast(deleted.filter(({ name }) => name.startsWith("scheduled_dag/")).length, 2)
      assert.deepStrictEqual(yield* airflow.runs("scheduled_dag"), [])
      assert.isTrue((yield* airflow.dag("scheduled_dag")).isPaused)
    }), 120_000)

  it.scopedLive("deletes the queued events of a DAG", () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      const { dagId, deliver, file } = yield* delivery
      const consumer = `${dagId}_consumer`
      yield* deliver(assetFile(dagId, consumer))
      yield* airflow.awaitDag(dagId, minute)
      yield* airflow.awaitDag(consumer, minute)
      yield* airflow.setPaused(consumer, false)
      yield* airflow.runDag(dagId, minute)
      yield* until(airflow.queuedEvents(consumer), (count) => count === 1)
      const { deleted } = yield* AirflowReset.reset(airflow)
      assert.deepInclude(deleted, { kind: "queued events of", name: consumer })
      assert.strictEqual(yield* airflow.queuedEvents(consumer), 0)
      fs.rmSync(file)
      yield* until(airflow.dag(consumer), ({ isActive }) => !isActive)
    }), 180_000)

  it.scopedLive("deletes lists of more than one page", () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      yield* AirflowReset.reset(airflow)
      // few, because writes are slow on Airflow 2; one by one, because concurrent writes lock the SQLite of Airflow 3
      const keys = Array.from({ length: isTwo ? 105 : 250 }, (_, index) => `page_${index}`)
      yield* Effect.forEach(keys, (key) => airflow.variables.put({ key, value: "1" }))
      assert.sameMembers((yield* airflow.variables.list).map(({ key }) => key), keys)
      assert.strictEqual((yield* AirflowReset.reset(airflow)).deleted.length, keys.length)
      assert.deepStrictEqual(yield* airflow.variables.list, [])
    }), 180_000)

  // many resets only on Airflow 3, because they could kill its DAG processor
  const resets = isTwo ? 5 : 100
  it.scopedLive(`is complete after ${resets} resets in a row`, () =>
    Effect.gen(function*() {
      const airflow = yield* connect
      yield* airflow.pauseAll
      yield* Effect.repeatN(
        Effect.gen(function*() {
          const { runId } = yield* airflow.trigger("hello_world_dag", { unpause: false })
          yield* airflow.variables.put({ key: "in between", value: "1" })
          const { deleted } = yield* AirflowReset.reset(airflow)
          assert.deepInclude(deleted, { kind: "run", name: `hello_world_dag/${runId}` })
        }),
        resets - 1
      )
      yield* areAlive
      yield* airflow.waitForAirflowToBeReady(minute)
      const { dagProcessor } = yield* airflow.health
      assert.strictEqual(Option.isSome(dagProcessor), !isTwo)
      yield* airflow.runDag("hello_world_dag", minute)
    }), 600_000)
})
