/** The two sides of the comparison: an emulated Airflow, and the real one that the environment names. */
import { Emulator } from "@airflow-resource/emulator"
import { Context, Effect, Layer } from "effect"
import { awake, type Call, type HttpResponse, NoResponse, send, until } from "../client.js"
import { dags } from "./dags.js"
import type { Step } from "./script.js"

const { AIRFLOW_AUTHORIZATION: authorization = "", AIRFLOW_URL: airflowUrl = "", AIRFLOW_VERSION = "" } = process.env

export const version = AIRFLOW_VERSION

export interface Side {
  /** Sends the request of a step, repeatedly if the step waits for something, and returns the last response. */
  readonly run: (step: Step) => Effect.Effect<HttpResponse, NoResponse>
  /** The response to an earlier step. */
  readonly responseTo: (name: string) => HttpResponse
}

export class Sides extends Context.Tag("Sides")<Sides, { readonly emulator: Side; readonly airflow: Side }>() {}

type Request = (method: string, url: string, call?: Call) => Effect.Effect<HttpResponse, NoResponse>

const makeSide = (site: string, api: string, request: Request): Side => {
  const responses = new Map<string, HttpResponse>()
  const responseTo = (name: string) => {
    const response = responses.get(name)
    if (response === undefined) throw new Error(`the step "${name}" has not run yet`)
    return response
  }
  return {
    responseTo,
    run: ({ body, headers = {}, method, name, path, until: isExpected }) =>
      Effect.suspend(() => {
        const resolved = typeof path === "string" ? path : path(responseTo)
        const url = resolved.startsWith("/") ? `${site}${resolved}` : `${site}${api}/${resolved}`
        const once = request(method, url, { body, headers })
        return isExpected === undefined ? once : poll(once, isExpected)
      }).pipe(Effect.tap((response) => Effect.sync(() => responses.set(name, response))))
  }
}

/** Less often and for longer than `until`, since one side is a real server. */
const poll = (once: Effect.Effect<HttpResponse, NoResponse>, isExpected: (response: HttpResponse) => boolean) =>
  once.pipe(
    Effect.tap((response) => isExpected(response) ? Effect.void : Effect.sleep("200 millis")),
    Effect.repeat({ until: isExpected }),
    Effect.timeoutFail({
      duration: "1 minute",
      onTimeout: () => new NoResponse("the response never became the expected one")
    })
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
 * Airflow 3 responds with 500 if it waits too long for a lock on SQLite. Nothing was written then, so that the request is
 * retried. In Airflow 2 a 500 is a result to compare, and the request may have had an effect.
 */
const retried: Request = (method, url, call = {}) =>
  send(method, url, { ...call, headers: { authorization, ...call.headers } }).pipe(
    Effect.repeat({ until: ({ status }) => status !== 500 || isTwo, times: 3 })
  )

const real = Effect.gen(function*() {
  yield* emptied
  // anything left behind would disturb another suite, so that a failed cleanup fails this one
  yield* Effect.addFinalizer(() => Effect.orDie(emptied))
  return makeSide(airflowUrl, api, retried)
})

/** The state before and after the tests: no runs, variables or connections, one pool, and every DAG paused. */
const emptied = Effect.gen(function*() {
  const call = (method: string, path: string, body?: unknown) =>
    retried(method, `${airflowUrl}${api}/${path}`, body === undefined ? {} : { body })
  const each = (
    list: string,
    path: string,
    empty: (item: Record<string, string>) => Effect.Effect<unknown, NoResponse>
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
