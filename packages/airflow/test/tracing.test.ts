import { type Airflow, AirflowApi, AirflowReadiness, AirflowReset, PinnedClock } from "@airflow-resource/airflow"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Redacted, Stream, TestClock, Tracer } from "effect"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import { dagRow, respond, run, serve } from "./server.js"

const canary = "canary-0123456789abcdef"
const secret = Redacted.make(canary)

interface Recorded {
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly attributes: Map<string, unknown>
  readonly startTime: bigint
  readonly events: Array<unknown>
  readonly links: Array<unknown>
  status: Tracer.SpanStatus
}

/** A tracer that keeps every span that it makes. */
const collectingTracer = () => {
  const spans: Array<Recorded> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const events: Array<unknown> = []
      const span: Tracer.Span & Recorded = {
        _tag: "Span",
        name,
        spanId: String(spans.length),
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        events,
        startTime,
        links: [...links],
        sampled: true,
        kind,
        end: (endTime, exit) => {
          span.status = { _tag: "Ended", startTime, endTime, exit }
        },
        attribute: (key, value) => void attributes.set(key, value),
        event: (...event) => void events.push(event),
        addLinks: (added) => void span.links.push(...added)
      }
      spans.push(span)
      return span
    },
    context: (f) => f()
  })
  return { spans, tracer }
}

/** Runs an effect and returns its spans, each with the name of its parent, its attributes and the tag of its error. */
const spansOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { spans, tracer } = collectingTracer()
    const exit = yield* Effect.exit(effect).pipe(Effect.withTracer(tracer))
    // an exporter exports all this, with the message and the stack of a failure
    const exported = spans.map(({ attributes, events, links, name, status }) => {
      const failure = status._tag === "Ended" && Exit.isFailure(status.exit) ? status.exit.cause : Cause.empty
      return [name, [...attributes], events, links, Cause.pretty(failure), Cause.prettyErrors(failure)]
    })
    assert.notInclude(inspect(exported, { depth: 20 }), canary)
    const tree = spans.map(({ attributes, name, parent, status }) => {
      assert.strictEqual(status._tag, "Ended", name)
      const {
        "airflow.url": url,
        "airflow.version": version,
        "code.stacktrace": _stack,
        ...own
      } = Object.fromEntries(attributes)
      return {
        name,
        parent: Option.getOrNull(Option.map(parent, (span) => span._tag === "Span" ? span.name : span.spanId)),
        airflow: `${url} ${version}`,
        attributes: own,
        error: status._tag === "Ended" && Exit.isFailure(status.exit)
          ? Option.getOrUndefined(Option.map(Cause.failureOption(status.exit.cause), tagOf))
          : undefined
      }
    })
    return { exit, spans, tree }
  })

const tagOf = (error: unknown) => (error as { readonly _tag: string })._tag

const connectTo = (baseUrl: string) =>
  Effect.flatMap(
    AirflowApi.AirflowApi,
    ({ connect }) => connect({ baseUrl, credentials: { _tag: "Bearer", token: secret } })
  )

const connect = connectTo("memory://one")

const dags: ReadonlyArray<AirflowApi.MemoryDag> = [
  { dagId: "nightly", tasks: [{ taskId: "load", log: "loaded", duration: "1 minute", xcom: { return_value: 42 } }] },
  { dagId: "failing", tasks: [{ taskId: "boom", log: "boom", outcome: "failed" }] }
]

const inMemory = AirflowApi.layerMemory({ dags, version: "3.1.8" })

/** Runs an effect in virtual time. */
const inVirtualTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })

describe("spans", () => {
  it.effect("of a run: its trigger and its wait, however often that polls", () =>
    Effect.gen(function*() {
      const { tree } = yield* spansOf(
        inVirtualTime(Effect.gen(function*() {
          const airflow = yield* connect
          const conf = { password: canary }
          const { runId } = yield* airflow.runDag("nightly", { runId: "r", conf, note: canary })
          yield* airflow.taskLog("nightly", runId, "load")
          yield* airflow.xcom("nightly", runId, "load", { mapIndex: -1 })
          yield* Stream.runDrain(airflow.tailTaskLog("nightly", runId, "load"))
        })).pipe(Effect.withSpan("test"), Effect.provide(inMemory))
      )
      const airflow = "memory://one 3.1.8"
      const attributes = { dag_id: "nightly", run_id: "r" }
      const task = { ...attributes, task_id: "load" }
      const error = undefined
      assert.deepStrictEqual(tree.slice(1), [
        { name: "AirflowApi.connect", parent: "test", airflow, attributes: {}, error },
        { name: "Airflow.runDag", parent: "test", airflow, attributes, error },
        { name: "Airflow.trigger", parent: "Airflow.runDag", airflow, attributes, error },
        { name: "Airflow.verifyDagIdRan", parent: "Airflow.runDag", airflow, attributes, error },
        { name: "Airflow.taskLog", parent: "test", airflow, attributes: task, error },
        { name: "Airflow.xcom", parent: "test", airflow, attributes: { ...task, map_index: -1 }, error },
        { name: "Airflow.tailTaskLog", parent: "test", airflow, attributes: task, error }
      ])
    }))

  it.effect("of failed operations have the error, and where the operation was called", () =>
    Effect.gen(function*() {
      const { spans, tree } = yield* spansOf(
        inVirtualTime(Effect.gen(function*() {
          const airflow = yield* connect
          yield* Effect.either(airflow.runDag("failing", { runId: "r", conf: { password: canary } }))
          yield* Effect.either(airflow.trigger("no_such_dag", { runId: "r" }))
          yield* Effect.either(Stream.runDrain(airflow.tailTaskLog("failing", "r", "no_such_task")))
        })).pipe(Effect.provide(inMemory))
      )
      const attributes = { dag_id: "failing", run_id: "r" }
      assert.deepStrictEqual(tree.map(({ attributes, error, name }) => [name, attributes, error]), [
        ["AirflowApi.connect", {}, undefined],
        ["Airflow.runDag", attributes, "RunFailed"],
        ["Airflow.trigger", attributes, undefined],
        ["Airflow.verifyDagIdRan", attributes, "RunFailed"],
        ["Airflow.trigger", { dag_id: "no_such_dag", run_id: "r" }, "AirflowApiError"],
        ["Airflow.tailTaskLog", { ...attributes, task_id: "no_such_task" }, "AirflowApiError"]
      ])
      const here = fileURLToPath(import.meta.url)
      for (const name of ["Airflow.runDag", "Airflow.tailTaskLog"]) {
        const span = spans.find((span) => span.name === name)
        assert.include(span?.attributes.get("code.stacktrace"), here)
      }
    }))

  it.effect("of variables, connections, pools and users show names but no values", () =>
    Effect.gen(function*() {
      const { exit, tree } = yield* spansOf(
        Effect.gen(function*() {
          const airflow = yield* connectTo(`https://user:${canary}@airflow.test/team?token=${canary}`)
          yield* airflow.variables.put({ key: "k", value: canary, description: canary })
          yield* airflow.variables.get("k")
          yield* airflow.variables.deleteAll(["k"])
          const extra = { token: canary }
          yield* airflow.connections.put({
            id: "c",
            type: "http",
            host: canary,
            login: canary,
            password: secret,
            extra
          })
          yield* airflow.connections.list
          yield* Effect.either(airflow.connections.put({ id: "not a valid id", type: "http", password: secret }))
          yield* airflow.pools.put({ name: "p", slots: 1 })
          yield* airflow.users.create({ username: "u", password: secret })
          yield* airflow.setPaused("nightly", false)
          yield* airflow.pauseAll
          yield* Effect.either(airflow.request("POST", `/connections?token=${canary}`, { password: canary }))
        }).pipe(Effect.provide(inMemory))
      )
      assert(Exit.isSuccess(exit))
      assert.deepStrictEqual(Array.from(new Set(tree.map(({ airflow }) => airflow))), [
        "https://airflow.test/team 3.1.8"
      ])
      assert.deepStrictEqual(tree.map(({ attributes, name }) => [name, attributes]), [
        ["AirflowApi.connect", {}],
        ["Airflow.variables.put", { variable_key: "k" }],
        ["Airflow.variables.get", { variable_key: "k" }],
        ["Airflow.variables.deleteAll", {}],
        ["Airflow.connections.put", { connection_id: "c" }],
        ["Airflow.connections.list", {}],
        ["Airflow.connections.put", { connection_id: "not a valid id" }],
        ["Airflow.pools.put", { pool_name: "p" }],
        ["Airflow.users.create", {}],
        ["Airflow.setPaused", { dag_id: "nightly", is_paused: false }],
        ["Airflow.pauseAll", {}],
        ["Airflow.request", { "http.request.method": "POST", "url.path": "/connections" }]
      ])
    }))

  it.effect("of a wait until Airflow is ready are one, through all its polls", () =>
    Effect.gen(function*() {
      const baseUrl = `https://user:${canary}@airflow.test`
      const awake = Effect.provide(connectTo(baseUrl), inMemory)
      const asleep = Effect.provide(
        connectTo(baseUrl),
        AirflowApi.layerMemory({ isAwake: () => Effect.succeed(false) })
      )
      const { tree } = yield* spansOf(inVirtualTime(Effect.gen(function*() {
        const airflow = yield* AirflowReadiness.awaitConnected(baseUrl, awake)
        yield* AirflowReadiness.awaitReady(airflow)
        yield* airflow.waitForAirflowToBeReady()
        yield* Effect.either(AirflowReadiness.awaitConnected(baseUrl, asleep, { timeout: "1 minute" }))
      })))
      assert.deepStrictEqual(tree.map(({ airflow, error, name, parent }) => [name, parent, airflow, error]), [
        ["AirflowReadiness.awaitConnected", null, "https://airflow.test 3.1.8", undefined],
        ["AirflowReadiness.awaitReady", null, "https://airflow.test 3.1.8", undefined],
        ["Airflow.waitForAirflowToBeReady", null, "https://airflow.test 3.1.8", undefined],
        [
          "AirflowReadiness.awaitReady",
          "Airflow.waitForAirflowToBeReady",
          "https://airflow.test 3.1.8",
          undefined
        ],
        ["AirflowReadiness.awaitConnected", null, "https://airflow.test undefined", "AirflowNotReady"]
      ])
    }))

  it.effect("of a reset are parents of its operations", () =>
    Effect.gen(function*() {
      const { tree } = yield* spansOf(
        inVirtualTime(Effect.gen(function*() {
          const airflow = yield* connect
          yield* airflow.variables.put({ key: "k", value: canary })
          yield* AirflowReset.verify(airflow)
          yield* AirflowReset.reset(airflow)
        })).pipe(Effect.provide(inMemory))
      )
      const childrenOf = (name: string) => tree.filter(({ parent }) => parent === name).map(({ name }) => name)
      const inspection = [
        "Airflow.connections.list",
        "Airflow.dags",
        "Airflow.hiddenLeftovers",
        "Airflow.pools.list",
        "Airflow.runs",
        "Airflow.variables.list"
      ]
      assert.sameMembers(childrenOf("AirflowReset.verify"), inspection)
      assert.sameMembers(childrenOf("AirflowReset.reset"), [
        ...inspection,
        "Airflow.pauseAll",
        "Airflow.variables.deleteAll",
        ...inspection
      ])
    }))

  it.effect("show no request and no header of it", () =>
    Effect.gen(function*() {
      const credentials: Airflow.Credentials = {
        _tag: "Custom",
        headers: Effect.succeed({ "x-secret": secret }).pipe(Effect.withSpan("read the headers"))
      }
      const { tree } = yield* spansOf(Effect.gen(function*() {
        const server = yield* serve({
          "GET /api/v2/dags/d": respond(200, dagRow),
          "GET /api/v2/dags/d/dagRuns/r/wait?interval=1": respond(200, "{\"state\":\"success\"}\n"),
          "GET /api/v2/dags/d/dagRuns/r": respond(200, run("success"))
        }, { version: "3.1.8", credentials })
        const airflow = yield* server.client
        yield* airflow.dag("d")
        yield* airflow.awaitRun("d", "r", { via: "stream" })
        assert.strictEqual(server.requests.length, 4)
        assert.isTrue(server.requests.every(({ headers }) => headers["x-secret"] === canary))
      }))
      assert.deepStrictEqual(tree.map(({ name, parent }) => [name, parent]), [
        ["AirflowApi.connect", null],
        ["Airflow.dag", null],
        ["Airflow.awaitRun", null]
      ])
    }))

  it.effect("keep the time of the clock that the client was built under", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const { connect } = yield* AirflowApi.AirflowApi
      const airflow = yield* connect({ baseUrl: "memory://one", credentials: { _tag: "Bearer", token: secret } })
      const { spans } = yield* spansOf(
        Effect.gen(function*() {
          yield* airflow.dags
          const tail = Stream.runDrain(airflow.tailTaskLog("nightly", "no_such_run", "load"))
          yield* Effect.either(tail)
        }).pipe(PinnedClock.live)
      )
      const hour = 3_600_000_000_000n
      assert.deepStrictEqual(spans.map(({ name, startTime }) => [name, startTime]), [
        ["Airflow.dags", hour],
        ["Airflow.tailTaskLog", hour]
      ])
    }).pipe(Effect.provide(inMemory)))
})
