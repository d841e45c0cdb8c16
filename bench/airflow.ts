/**
 * What the client costs compared to bare `fetch`: time per call, requests per wait and per reset. Both do the same work
 * in turns on the same emulated Airflow, so the ratios are reliable; the milliseconds depend on the machine. `npm run
 * bench`, less than a minute.
 */
import type { Airflow } from "@airflow-resource/airflow"
import { AirflowApi, AirflowReadiness, AirflowReset } from "@airflow-resource/airflow"
import { FetchHttpClient } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Redacted } from "effect"
import * as Bare from "./bare.js"
import { compare, counted, type Line, render, timed } from "./compare.js"
import * as Emulated from "./emulated.js"

/** Airflow 2 and Airflow 3. */
const runtimes = ["13.5.0", "3.3-3"]
const dagId = "hello_world_dag"
const many = Array.from({ length: 250 }, (_, index) => `variable_${index}`)

type Subject = {
  readonly emulated: Emulated.Emulated
  readonly connect: Effect.Effect<Airflow.Airflow, unknown>
  readonly airflow: Airflow.Airflow
  readonly bare: Bare.Bare
}

const createVariables = ({ airflow }: Subject) =>
  Effect.forEach(many, (key) => airflow.variables.put({ key, value: "1" }), { concurrency: 4, discard: true })

/** Time per call, and the CPU time of this process in it. */
const calls = ({ airflow, bare }: Subject, runId: string) =>
  Effect.gen(function*() {
    let key = 0
    const dag = yield* compare({
      ours: airflow.dag(dagId),
      baseline: () => bare.dag(dagId),
      agree: (ours, baseline) => ours.dagId === baseline["dag_id"]
    }, 25)
    const list = yield* compare({
      ours: airflow.variables.list,
      baseline: bare.variables,
      agree: (ours, baseline) => ours.length === many.length && baseline.length === many.length
    }, 5)
    const replace = yield* compare({
      ours: airflow.variables.put({ key: "variable_0", value: "1" }),
      baseline: () => bare.putVariable("variable_0", "1")
    }, 20)
    const create = yield* compare({
      ours: Effect.suspend(() => airflow.variables.put({ key: `new_${key++}`, value: "1" })),
      baseline: () => bare.putVariable(`new_${key++}`, "1")
    }, 20)
    const wait = yield* compare({
      ours: airflow.awaitRun(dagId, runId),
      baseline: () => bare.awaitRun(dagId, runId),
      agree: (ours, baseline) => ours.state === "success" && baseline.state === "success"
    }, 25)
    return [
      timed("dag", dag.clock),
      timed("dag: CPU", dag.cpu),
      timed("variables.list, 250 variables", list.clock),
      timed("variables.list, 250 variables: CPU", list.cpu),
      timed("variables.put, a new one", create.clock),
      timed("variables.put, an existing one", replace.clock),
      timed("awaitRun, the run has ended", wait.clock),
      timed("awaitRun, the run has ended: CPU", wait.cpu)
    ]
  })

/** Requests during a run of known length. Client and baseline wait at the same time, each for its own run. */
const polls = ({ airflow, bare, emulated }: Subject) =>
  Effect.gen(function*() {
    const [ours, baseline] = yield* Effect.all([airflow.trigger("slow_dag"), airflow.trigger("slow_dag")])
    const requests = yield* emulated.requestsOf(Effect.all([
      airflow.awaitRun("slow_dag", ours.runId, { timeout: "20 seconds" }),
      Effect.promise(() => bare.awaitRun("slow_dag", baseline.runId))
    ], { concurrency: 2 }))
    const of = (runId: string) => requests.filter((request) => request.includes(encodeURIComponent(runId))).length
    return [counted("requests of awaitRun, the run takes 2.75 s", of(ours.runId), of(baseline.runId))]
  })

const someThings = ({ airflow }: Subject) =>
  Effect.all([
    Effect.all([airflow.runDag(dagId), airflow.runDag(dagId), airflow.runDag(dagId)], { concurrency: 3 }),
    airflow.variables.put({ key: "a", value: "1" }),
    airflow.variables.put({ key: "b", value: "2" }),
    airflow.connections.put({ id: "warehouse", type: "postgres" }),
    airflow.pools.put({ name: "etl", slots: 2 })
  ])

/** Requests of the work that a lease does before and after its test. */
const lease = (subject: Subject) =>
  Effect.gen(function*() {
    const { airflow, bare, connect, emulated } = subject
    const count = <E>(work: Effect.Effect<unknown, E>) => Effect.map(emulated.requestsOf(work), ({ length }) => length)
    const counts = (what: string, ours: Effect.Effect<unknown, unknown>, baseline: () => Promise<unknown>) =>
      Effect.gen(function*() {
        return counted(`requests of ${what}`, yield* count(ours), yield* count(Effect.promise(baseline)))
      })
    const resets = (what: string, fill: Effect.Effect<unknown, unknown>) =>
      Effect.gen(function*() {
        yield* fill
        const ours = yield* count(AirflowReset.reset(airflow))
        yield* fill
        const baseline = yield* count(Effect.promise(bare.reset))
        return counted(`requests of a reset, ${what}`, ours, baseline)
      })
    yield* AirflowReset.reset(airflow)
    return [
      yield* counts("connect", connect, bare.version),
      yield* counts("waitForAirflowToBeReady", airflow.waitForAirflowToBeReady(), bare.ready),
      yield* resets("empty", Effect.void),
      yield* resets("3 runs, 2 variables, 1 connection, 1 pool", someThings(subject)),
      yield* resets("250 variables", createVariables(subject))
    ]
  })

const measure = (subject: Subject) =>
  Effect.gen(function*() {
    yield* createVariables(subject)
    const { runId } = yield* subject.airflow.runDag(dagId)
    const lines: ReadonlyArray<Line> = [
      ...yield* calls(subject, runId),
      ...yield* polls(subject),
      ...yield* lease(subject)
    ]
    return lines
  })

Effect.gen(function*() {
  const emulated = yield* Emulated.start(runtimes)
  const api = yield* AirflowApi.AirflowApi
  for (const [index, runtime] of runtimes.entries()) {
    const baseUrl = emulated.urls[index] ?? ""
    const connect = api.connect({ baseUrl, credentials: { _tag: "Bearer", token: Redacted.make(emulated.token) } })
    const airflow = yield* AirflowReadiness.awaitConnected(baseUrl, connect, { timeout: "20 seconds" })
    const bare = Bare.make(airflow.apiUrl, emulated.token)
    const lines = yield* measure({ emulated, connect, airflow, bare })
    yield* Console.log(
      `${index === 0 ? "" : "\n"}${render(`Airflow ${airflow.version.full}, runtime ${runtime}`, lines)}`
    )
  }
}).pipe(
  Effect.scoped,
  Effect.timeoutFail({ duration: "2 minutes", onTimeout: () => new Error("bench: it did not end within 2 minutes") }),
  Effect.provide(Layer.provide(AirflowApi.layer, FetchHttpClient.layer)),
  NodeRuntime.runMain
)
