import { type Airflow, AirflowApi, type AirflowError, AirflowPromise, type TaskLog } from "@airflow-resource/airflow"
import { DateTime, Deferred, Duration, Effect, Option, Redacted, Stream } from "effect"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import { assert, describe, expectTypeOf, test } from "vitest"
import * as Plain from "../src/Plain.js"

const here = fileURLToPath(import.meta.url)

const options: AirflowApi.MemoryOptions = {
  version: "3.1.8",
  dags: [
    { dagId: "greets", tasks: [{ taskId: "hello", log: "Hello\nWorld" }] },
    { dagId: "fails", tasks: [{ taskId: "no", log: "", outcome: "failed" }] },
    { dagId: "never_ends", tasks: [{ taskId: "sleep", log: "", duration: "1 day" }] }
  ]
}

/** A client in memory, and the original. */
const connect = async (plain: Plain.Options = {}) => {
  const original = await Effect.runPromise(
    Effect.flatMap(
      AirflowApi.AirflowApi,
      ({ connect }) => connect({ baseUrl: "memory://a", credentials: { _tag: "Bearer", token: Redacted.make("any") } })
    ).pipe(Effect.provide(AirflowApi.layerMemory(options)))
  )
  return { original, airflow: AirflowPromise.make(original, plain) }
}

/** What a promise is rejected with. */
const rejection = (
  promise: PromiseLike<unknown>
): Promise<Error & { readonly _tag?: string; readonly kind?: string }> =>
  Promise.resolve(promise).then(() => assert.fail("it succeeded"), (error) => error)

/** The first line of a stack, without its column. */
const firstFrame = (error: Error) =>
  /^ {4}at .*$/m.exec(error.stack ?? "")?.[0].replace(/:\d+\)?$/, "").replace(/^.*\(/, "    at ")

const frameHere = (line: number) => `    at ${here}:${line}`

/** The line from which this is called. */
const line = () => Number(new RegExp(`${here}:(\\d+)`).exec(new Error().stack!.split("\n").slice(2).join("\n"))![1])

describe("the client with promises", () => {
  test("has every member of the client with effects, and prints the same", async () => {
    const { airflow, original } = await connect()
    const namesOf = (value: object): ReadonlyArray<string> =>
      Object.getOwnPropertyNames(value).sort().flatMap((name) => {
        const member = Reflect.get(value, name)
        const isGroup = typeof member === "object" && !Effect.isEffect(member)
        return isGroup ? namesOf(member).map((inner) => `${name}.${inner}`) : [name]
      })
    assert.deepStrictEqual(namesOf(airflow), namesOf(original))
    assert.isAbove(namesOf(airflow).length, 50)
    assert.strictEqual(inspect(airflow), inspect(original))
    assert.strictEqual(JSON.stringify(airflow), JSON.stringify(original))
  })

  test("has types that are derived from it", () => {
    type Client = AirflowPromise.AirflowPromise
    expectTypeOf<Client["health"]>().returns.resolves.toHaveProperty("scheduler")
    expectTypeOf<Client["dag"]>().parameters.toEqualTypeOf<[dagId: string]>()
    expectTypeOf<Awaited<ReturnType<Client["dag"]>>["lastParsedAt"]>().toEqualTypeOf<Date | undefined>()
    expectTypeOf<Awaited<ReturnType<Client["dags"]>>[number]["isPaused"]>().toEqualTypeOf<boolean>()
    expectTypeOf<Client["variables"]["get"]>().returns.resolves.toEqualTypeOf<Airflow.Variable>()
    expectTypeOf<Client["tailTaskLog"]>().returns.toEqualTypeOf<AsyncIterable<Plain.Plain<TaskLog.LogLine>>>()
    expectTypeOf<Plain.Plain<TaskLog.LogLine>["level"]>().toEqualTypeOf<string | undefined>()
    expectTypeOf<NonNullable<Parameters<Client["trigger"]>[1]>["logicalDate"]>().toEqualTypeOf<
      Date | DateTime.Utc | "now" | undefined
    >()
    expectTypeOf<NonNullable<Parameters<Client["awaitDag"]>[1]>["timeout"]>().toEqualTypeOf<
      Duration.DurationInput | undefined
    >()
    expectTypeOf<Parameters<Client["users"]["create"]>[0]["password"]>().toEqualTypeOf<string | Redacted.Redacted>()
    expectTypeOf<Client["xcom"]>().returns.resolves.toEqualTypeOf<unknown>()
  })

  test("returns facts without Effect's data types", async () => {
    const { airflow } = await connect()
    const run = await airflow.runDag("greets", { timeout: "1 minute" })
    assert.strictEqual(run.state, "success")
    assert.instanceOf(run.startedAt, Date)
    assert.isUndefined(run.note)
    assert.deepStrictEqual(run.tasks.map(({ taskId, state }) => [taskId, state]), [["hello", "success"]])
    const { lines } = await airflow.taskLog("greets", run.runId, "hello")
    assert.includeMembers(lines.map(({ message }) => message), ["Hello", "World"])
    for (const line of lines) assert.isFalse(Option.isOption(line.level))
  })

  test("accepts plain arguments, and what it has returned", async () => {
    const { airflow, original } = await connect()
    const states: Array<string> = []
    const logicalDate = new Date("2030-01-02T03:04:05Z")
    const { runId } = await airflow.runDag("greets", {
      logicalDate,
      onState: async (state) => {
        states.push(await Promise.resolve(state))
      }
    })
    assert.deepStrictEqual((await airflow.run("greets", runId)).logicalDate, logicalDate)
    assert.strictEqual(states.at(-1), "success")
    await airflow.connections.put({ id: "db", type: "http", password: "secret" })
    assert.strictEqual((await airflow.connections.get("db")).type, "http")
    assert.strictEqual(await airflow.users.create({ username: "a", password: "secret" }), "created")
    const dags = await airflow.dags()
    assert.deepStrictEqual(await airflow.hiddenLeftovers(dags), [])
    assert.deepStrictEqual(Plain.original(dags[0]), await Effect.runPromise(original.dag(dags[0]!.dagId)))
  })

  test("rejects with the error itself, whose stack begins with the line of the call", async () => {
    const { airflow } = await connect()
    const [error, at] = [await rejection(airflow.runDag("no_such_dag")), line()]
    assert.deepInclude(error, { _tag: "AirflowApiError", kind: "notFound" })
    assert.match(error.stack!, /^AirflowApiError: Could not /)
    assert.strictEqual(firstFrame(error), frameHere(at))
    assert.notMatch(error.stack!, /packages\/airflow\/src|node_modules\/effect/)
    const [failed, failedAt] = [await rejection(airflow.runDag("fails", { timeout: "1 minute" })), line()]
    assert.strictEqual(failed._tag, "RunFailed")
    assert.strictEqual(firstFrame(failed), frameHere(failedAt))
    expectTypeOf<AirflowError.RunFailed["_tag"]>().toEqualTypeOf<"RunFailed">()
  })

  test("rejects with what a callback throws", async () => {
    const { airflow } = await connect()
    const onState = () => {
      throw new TypeError("in the callback")
    }
    const error = await rejection(airflow.runDag("greets", { onState }))
    assert.instanceOf(error, TypeError)
    assert.match(error.stack!, /onState/)
  })

  test("follows a log line by line, and stops when the loop does", async () => {
    const { airflow } = await connect()
    const { runId } = await airflow.runDag("greets")
    const messages: Array<string> = []
    for await (const { message } of airflow.tailTaskLog("greets", runId, "hello")) messages.push(message)
    assert.includeMembers(messages, ["Hello", "World"])
    for await (const { message } of airflow.tailTaskLog("greets", runId, "hello")) {
      assert.strictEqual(message, messages[0])
      break
    }
    const [tail, at] = [airflow.tailTaskLog("greets", "no_such_run", "hello"), line()]
    const error = await rejection(tail[Symbol.asyncIterator]().next())
    assert.strictEqual(firstFrame(error), frameHere(at))
  })

  test("fails every call after its end, and those that are running", async () => {
    class Ended extends Error {
      readonly _tag = "Ended"
    }
    const ended = Effect.runSync(Deferred.make<never, unknown>())
    const { airflow, original } = await connect({ ended })
    const { runId } = await airflow.trigger("never_ends")
    const waits = rejection(airflow.awaitRun("never_ends", runId, { timeout: "1 day" }))
    const follows = rejection(airflow.tailTaskLog("never_ends", runId, "sleep")[Symbol.asyncIterator]().next())
    await Effect.runPromise(Deferred.fail(ended, new Ended()))
    assert.instanceOf(await waits, Ended)
    assert.instanceOf(await follows, Ended)
    const [error, at] = [await rejection(airflow.variables.put({ key: "late", value: "x" })), line()]
    assert.instanceOf(error, Ended)
    assert.strictEqual(firstFrame(error), frameHere(at))
    assert.deepStrictEqual(await Effect.runPromise(original.variables.list), [])
  })
})

describe("plain values", () => {
  test("have no data types of Effect", async () => {
    const plain = Plain.from({
      none: Option.none<string>(),
      some: Option.some(Option.some(1)),
      at: DateTime.unsafeMake(0),
      took: Duration.seconds(2),
      later: Effect.succeed(Option.some("a")),
      list: [{ at: DateTime.unsafeMake(1) }],
      json: { b: [1n, null] } as unknown
    })
    const { later, ...facts } = plain
    assert.deepStrictEqual({ ...facts }, {
      none: undefined,
      some: 1,
      at: new Date(0),
      took: 2000,
      list: [{ at: new Date(1) }],
      json: { b: [1n, null] }
    })
    assert.strictEqual(await later(), "a")
  })

  test("hide secrets", () => {
    const plain = Plain.from({ user: "a", password: Redacted.make("secret") })
    assert.strictEqual(plain.password, "secret")
    assert.notInclude(inspect(plain, { showHidden: false }) + JSON.stringify({ ...plain }), "secret")
  })

  test("are async iterables for streams, which end their resources", async () => {
    const closed: Array<string> = []
    const stream = Plain.operation(() =>
      Stream.ensuring(Stream.make(Option.some(1), Option.none()), Effect.sync(() => closed.push("closed")))
    )
    const seen: Array<unknown> = []
    for await (const item of stream() as AsyncIterable<unknown>) {
      seen.push(item)
      if (seen.length === 1) break
    }
    assert.deepStrictEqual(seen, [1])
    assert.deepStrictEqual(closed, ["closed"])
  })
})
