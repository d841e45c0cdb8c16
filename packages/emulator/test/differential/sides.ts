/** The two that are asked: an emulated Airflow, and the real one of the environment. */
import { Emulator } from "@airflow-resource/emulator"
import { Context, Effect, Layer } from "effect"
import { type Answer, awake, type Call, send, Unanswered, until } from "../client.js"
import { dags } from "./dags.js"
import type { Step } from "./script.js"

const { AIRFLOW_AUTHORIZATION: authorization = "", AIRFLOW_URL: airflowUrl = "", AIRFLOW_VERSION = "" } = process.env

export const version = AIRFLOW_VERSION

export interface Side {
  /** The answer to a step, asked once or until it is what the step waits for. */
  readonly ask: (step: Step) => Effect.Effect<Answer, Unanswered>
  /** The answer to an earlier step. */
  readonly answered: (name: string) => Answer
}

export class Sides extends Context.Tag("Sides")<Sides, { readonly emulator: Side; readonly airflow: Side }>() {}

type Request = (method: string, url: string, call?: Call) => Effect.Effect<Answer, Unanswered>

const makeSide = (site: string, api: string, request: Request): Side => {
  const answers = new Map<string, Answer>()
  const answered = (name: string) => {
    const answer = answers.get(name)
    if (answer === undefined) throw new Error(`nobody has asked "${name}" yet`)
    return answer
  }
  return {
    answered,
    ask: ({ body, headers = {}, method, name, path, until: isRight }) =>
      Effect.suspend(() => {
        const found = typeof path === "string" ? path : path(answered)
        const url = found.startsWith("/") ? `${site}${found}` : `${site}${api}/${found}`
        const asked = request(method, url, { body, headers })
        return isRight === undefined ? asked : waitFor(asked, isRight)
      }).pipe(Effect.tap((answer) => Effect.sync(() => answers.set(name, answer))))
  }
}

/** A real server takes its time. */
const waitFor = (asked: Effect.Effect<Answer, Unanswered>, isRight: (answer: Answer) => boolean) =>
  asked.pipe(
    Effect.tap((answer) => isRight(answer) ? Effect.void : Effect.sleep("200 millis")),
    Effect.repeat({ until: isRight }),
    Effect.timeoutFail({ duration: "1 minute", onTimeout: () => new Unanswered("it never came true") })
  )

const isTwo = version.startsWith("2.")

const api = `/api/v${isTwo ? 1 : 2}`

const emulated = Effect.gen(function*() {
  const emulator = yield* Emulator.make({
    speed: 1000,
    dags,
    runtimes: [{ version: "13.1.0", airflowVersion: version }]
  })
  const { site } = yield* awake(emulator)
  return makeSide(site, api, (method, url, call) => send(method, url, { token: emulator.astroToken, ...call }))
})

/**
 * Airflow 3 may lock itself out of SQLite for too long, and answers 500 then: nothing was written, so that it is asked
 * again. On Airflow 2 a 500 is an answer, whose effect may stay.
 */
const patient: Request = (method, url, call = {}) =>
  send(method, url, { ...call, headers: { authorization, ...call.headers } }).pipe(
    Effect.repeat({ until: ({ status }) => status !== 500 || isTwo, times: 3 })
  )

const real = Effect.gen(function*() {
  yield* emptied
  // what is left behind would be another suite's surprise, so that this one fails for it
  yield* Effect.addFinalizer(() => Effect.orDie(emptied))
  return makeSide(airflowUrl, api, patient)
})

/** As it is found and left: no run, no variable, no connection, one pool, and every DAG paused. */
const emptied = Effect.gen(function*() {
  const call = (method: string, path: string, body?: unknown) =>
    patient(method, `${airflowUrl}${api}/${path}`, body === undefined ? {} : { body })
  const each = (
    list: string,
    path: string,
    empty: (item: Record<string, string>) => Effect.Effect<unknown, Unanswered>
  ) =>
    Effect.flatMap(call("GET", path), ({ json }) => Effect.forEach(json[list] as Array<Record<string, string>>, empty))
  yield* call("PATCH", "dags?dag_id_pattern=~&limit=100", { is_paused: true })
  yield* each("dag_runs", "dags/~/dagRuns?limit=100", (run) => {
    const path = `dags/${run.dag_id}/dagRuns/${encodeURIComponent(run.dag_run_id ?? "")}`
    return Effect.zipRight(call("PATCH", path, { state: "failed" }), call("DELETE", path))
  })
  for (const [list, id] of [["variables", "key"], ["connections", "connection_id"], ["pools", "name"]] as const) {
    yield* each(list, `${list}?limit=100`, (item) =>
      item[id] === "default_pool"
        ? call("PATCH", "pools/default_pool?update_mask=slots", { slots: 128 })
        : call("DELETE", `${list}/${encodeURIComponent(item[id] ?? "")}`))
  }
  yield* until(call("GET", "dags/~/dagRuns"), ({ json }) => json.total_entries === 0)
})

export const layer = Layer.scoped(Sides, Effect.all({ emulator: emulated, airflow: real }))
