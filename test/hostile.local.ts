/** Leases over real local Airflows whose DAGs misbehave. Each time, the next lease works. */
import { AirflowResource, DeploymentPool } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Dags from "../packages/local/test/dags.js"
import * as Home from "../packages/local/test/home.js"
import * as Local from "./local.js"

/** How much the verbose task logs: more than a client reads. */
const megabytes = Number(process.env["LOCAL_LOG_MEGABYTES"] ?? 150)

const isAirflow2 = Home.major === 2

/** Airflow reads only files that have both words. */
const dagFile = (text: string) => `# a DAG of Airflow\n${text}\n`

describe(`a project that misbehaves, on a local Airflow ${Home.version}`, () => {
  const test = (
    title: string,
    options: Parameters<typeof Local.make>[0],
    body: (scene: Local.Scene) => Effect.Effect<void, unknown, Scope.Scope>
  ) => it.scopedLive(title, () => Effect.flatMap(Local.make(options), body), 60 * 60_000)

  const short = {
    variables: { AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT: "2", AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT: "5" }
  }
  test(
    "whose DAG files hang or crash at import fails its lease, which names them; without them it works",
    short,
    (scene) =>
      Effect.gen(function*() {
        const files: Readonly<Record<string, readonly [text: string, reason: RegExp]>> = {
          "sleeping.py": ["import time\ntime.sleep(3600)", /DagBag import timeout/],
          "busy.py": ["while True: pass", /DagBag import timeout/],
          // nothing ends it but a kill; Airflow 2 waits for it for ever if its database is SQLite
          ...(isAirflow2 ? {} : {
            "stubborn.py": [
              "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\nwhile True: pass",
              /dag_file_processor_timeout/
            ]
          }),
          // as one that needs too much memory
          "killed.py": ["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", isAirflow2 ? /crashed/ : /SIGKILL/],
          "exiting.py": ["import os\nos._exit(3)", isAirflow2 ? /crashed/ : /exited abnormally/]
        }
        yield* Local.write(scene, "hello.py", Dags.hello("hello", "Hello"))
        for (const [file, [text]] of Object.entries(files)) yield* Local.write(scene, file, dagFile(text))
        const error = yield* Effect.flip(AirflowResource.use({ testName: "first" }, () => Effect.void))
        assert.deepInclude(error, { _tag: "DeliveryError", kind: "invalid" })
        const parts = error.message.split(/\n(?=\w+\.py:\n)/)
        assert.sameMembers(parts.slice(1).map((part) => part.split(":")[0]), Object.keys(files), error.message)
        for (const [file, [, reason]] of Object.entries(files)) {
          assert.match(parts.find((part) => part.startsWith(file)) ?? "", reason)
        }
        yield* Local.isAsleep(scene)

        for (const file of Object.keys(files)) fs.rmSync(path.join(scene.project, "dags", file))
        yield* AirflowResource.use({ testName: "second" }, ({ airflow }) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* airflow.importErrors, [])
            yield* airflow.runDag("hello", { timeout: "5 minutes" })
          }))
      }).pipe(Effect.provide(scene.layer()))
  )

  test(
    "whose tasks run out of memory, write a file and a log that is too long leaves an Airflow that works, and neither of both",
    {},
    (scene) =>
      Effect.gen(function*() {
        const file = path.join(scene.home, "greedy.pid")
        yield* Local.write(scene, "hello.py", Dags.hello("hello", "Hello"))
        yield* Local.write(scene, "greedy.py", Dags.greedy("greedy", file))
        yield* Local.write(scene, "verbose.py", Dags.verbose("verbose", megabytes))
        const logsOf = (deploymentId: string) =>
          path.join(scene.home, "deployments", deploymentId, "logs", "dag_id=verbose")
        const fileOf = (deploymentId: string) => path.join(scene.home, "deployments", deploymentId, "left.txt")
        const pool = yield* DeploymentPool.DeploymentPool
        const waiting = Home.holds(
          "the next lease waits",
          Effect.map(pool.inspect, ({ tickets }) => tickets.some(({ state }) => state === "waiting"))
        )

        const first = AirflowResource.use({ testName: "first" }, ({ airflow, deploymentId }) =>
          Effect.gen(function*() {
            const { runId } = yield* airflow.trigger("greedy")
            // the system kills the largest process
            yield* Home.until(Effect.try(() => process.kill(Number(fs.readFileSync(file, "utf8")), "SIGKILL")))
            const error = yield* Effect.flip(airflow.verifyDagIdRan("greedy", runId))
            assert.strictEqual(error._tag, "RunFailed")
            yield* airflow.runDag("hello", { timeout: "5 minutes" })

            yield* airflow.runDag("verbose", { runId: "same", timeout: "20 minutes" })
            const before = process.memoryUsage().rss
            const unread = yield* Effect.flip(Effect.asVoid(airflow.taskLog("verbose", "same", "log")))
            assert.strictEqual(unread._tag, "AirflowApiError")
            assert.include(unread.message, "a response of more than 128 MiB")
            const grown = (process.memoryUsage().rss - before) / 1024 / 1024
            assert.isBelow(grown, 512, "megabytes: the log is not kept")
            yield* airflow.runDag("hello", { timeout: "5 minutes" })
            assert.isTrue(fs.existsSync(logsOf(deploymentId)))
            assert.isTrue(fs.existsSync(fileOf(deploymentId)))
            yield* waiting
          }))
        const second = Effect.gen(function*() {
          yield* Home.holds("the first one has its lease", Effect.sync(() => fs.existsSync(file)))
          // its task logs little now
          yield* Local.write(scene, "verbose.py", Dags.verbose("verbose", 0))
          return yield* AirflowResource.use({ testName: "second" }, ({ airflow, deploymentId, reused }) =>
            Effect.gen(function*() {
              assert.strictEqual(reused, "awake")
              assert.isFalse(fs.existsSync(logsOf(deploymentId)), "after the reset")
              assert.isFalse(fs.existsSync(fileOf(deploymentId)), "after the reset")
              const parts = fs.readdirSync(path.dirname(logsOf(deploymentId))).filter((name) =>
                name.endsWith(".log")
              )
              for (const name of parts) {
                const { size } = fs.statSync(path.join(path.dirname(logsOf(deploymentId)), name))
                assert.isBelow(size, 16 * 1024 * 1024, name)
              }
              yield* airflow.runDag("verbose", { runId: "same", timeout: "5 minutes" })
              const { text } = yield* airflow.taskLog("verbose", "same", "log")
              assert.include(text, "the end")
              assert.notInclude(text, "0123456789")
              assert.isTrue(fs.existsSync(logsOf(deploymentId)))
              return deploymentId
            }))
        })
        const [, deploymentId] = yield* Effect.all([first, second], { concurrency: "unbounded" })
        yield* Local.isAsleep(scene)
        assert.isFalse(fs.existsSync(logsOf(deploymentId)), "after its hibernation")
      }).pipe(Effect.provide(scene.layer()))
  )
})
