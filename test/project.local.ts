/** A project by Astro's conventions, on a real local Airflow. */
import type { Airflow } from "@airflow-resource/airflow"
import { AirflowResource } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Home from "../packages/local/test/home.js"
import * as Local from "./local.js"

const dag = `
try:
    from airflow.sdk import DAG, Variable, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models import Variable

from include.words import WORD
from launcher import EXCLAMATION
from of_a_plugin import QUESTION

with DAG("uses", schedule=None):
    @task
    def say():
        return f"{WORD} {Variable.get('region')} {Variable.get('limit')}{EXCLAMATION}{QUESTION}"
    say()
`

/** Begins to run as soon as it is there. */
const eager = `
from datetime import datetime
from airflow import DAG

with DAG("eager", schedule="@daily", start_date=datetime(2024, 1, 1), catchup=False, is_paused_upon_creation=False):
    pass
`

const plugin = `
from airflow.plugins_manager import AirflowPlugin

class Marked(AirflowPlugin):
    name = "marked"
`

const settings = (limit: string, connections: string) => `
airflow:
  connections:${connections}
  variables:
    - variable_name: limit
      variable_value: ${limit}
  pools:
    - pool_name: etl
      pool_slot: 3
`

const warehouse = `
    - conn_id: warehouse
      conn_type: postgres
      conn_host: db.example.org
      conn_port: 5432`

/** What a test sees of the project. */
const seen = ({ connections, pools, variables }: Airflow.Airflow) =>
  Effect.all({
    connections: Effect.map(connections.list, (all) => all.map(({ host, id, port }) => `${id} ${host}:${port}`)),
    pools: Effect.map(pools.list, (all) => all.map(({ name, slots }) => `${name} ${slots}`)),
    variables: Effect.map(variables.list, (all) => all.map(({ key, value }) => `${key} ${value}`))
  })

describe(`a project by Astro's conventions, on a local Airflow ${Home.version}`, () => {
  it.scopedLive("has all that belongs to it in each lease, as it is then", () =>
    Effect.gen(function*() {
      const scene = yield* Local.make({ variables: { AIRFLOW_VAR_REGION: "eu" } })
      const write = (file: string, text: string) =>
        Effect.sync(() => {
          fs.mkdirSync(path.dirname(path.join(scene.project, file)), { recursive: true })
          fs.writeFileSync(path.join(scene.project, file), text)
        })
      const lease = (testName: string, body: (airflow: Airflow.Airflow) => Effect.Effect<void, unknown>) =>
        AirflowResource.use({ testName }, ({ airflow }) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* airflow.runs(), [])
            assert.isTrue((yield* airflow.dag("eager")).isPaused)
            yield* body(airflow)
          })).pipe(Effect.provide(scene.layer()))
      const says = (airflow: Airflow.Airflow) =>
        Effect.flatMap(
          airflow.runDag("uses", { timeout: "10 minutes" }),
          ({ runId }) => airflow.xcom("uses", runId, "say")
        )

      // as an editor on Windows writes it
      yield* write("dags/uses.py", dag.replaceAll("\n", "\r\n"))
      yield* write("dags/eager.py", eager)
      yield* write("dags/launcher.py", `EXCLAMATION = "!"\n`)
      yield* write("plugins/of_a_plugin.py", `QUESTION = "?"\n`)
      yield* write("include/words.py", `WORD = "hello"\n`)
      yield* write("plugins/marked.py", plugin)
      yield* write("airflow_settings.yaml", settings("10", warehouse))
      const expected = {
        connections: ["warehouse db.example.org:5432"],
        pools: ["default_pool 128", "etl 3"],
        variables: ["limit 10"]
      }
      yield* lease("first", (airflow) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* seen(airflow), expected)
          assert.strictEqual(yield* says(airflow), "hello eu 10!?")
          const { plugins } = (yield* airflow.request("GET", "/plugins")) as {
            readonly plugins: ReadonlyArray<{ readonly name: string }>
          }
          assert.include(plugins.map(({ name }) => name), "marked")
          yield* airflow.variables.put({ key: "limit", value: "11" })
          yield* airflow.connections.delete("warehouse")
          yield* airflow.pools.put({ name: "etl", slots: 4 })
        }))
      yield* lease("nothing has changed", (airflow) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* seen(airflow), expected)
          assert.strictEqual(yield* says(airflow), "hello eu 10!?")
        }))

      yield* write("include/words.py", `WORD = "bye"\n`)
      yield* write("airflow_settings.yaml", settings("12", ""))
      yield* lease("some files have changed", (airflow) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* seen(airflow), { ...expected, connections: [], variables: ["limit 12"] })
          assert.strictEqual(yield* says(airflow), "bye eu 12!?")
        }))
    }), 60 * 60_000)
})
