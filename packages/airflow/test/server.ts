import { type Airflow, AirflowApi } from "@airflow-resource/airflow"
import type { HttpClientRequest } from "@effect/platform"
import { HttpClient, HttpClientError, HttpClientResponse } from "@effect/platform"
import { Effect, Fiber, Redacted, TestClock } from "effect"

export const token = "canary-0123456789abcdef"

export interface Request {
  readonly route: string
  readonly headers: Record<string, string | undefined>
  readonly body: unknown
}

export type Answer = (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<
  HttpClientResponse.HttpClientResponse,
  HttpClientError.HttpClientError
>

export const answer = (status: number, body: unknown, headers: Record<string, string> = {}): Answer => (request) => {
  const text = body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body)
  return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(text, { status, headers })))
}

export const refused: Answer = (request) => {
  const cause = new TypeError("fetch failed", { cause: Object.assign(new Error("connect"), { code: "ECONNREFUSED" }) })
  return Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause }))
}

export const silent: Answer = () => Effect.never

const page = "<!DOCTYPE html><html><h1>It is on its way</h1></html>"
export const html = (status: number) => answer(status, page, { "content-type": "text/html" })

export const problem = (status: number, detail: string | null, title: string | null = "x"): Answer =>
  answer(status, { detail, status, title, type: "https://airflow.apache.org/docs" }, {
    "content-type": "application/problem+json"
  })

/** Virtual time passes until the effect is done. */
export const inTime = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust("10 minutes")
    return yield* Fiber.join(fiber)
  })

export const dagRow = { dag_id: "d", is_paused: false, is_active: true, is_stale: false, tags: [] }

export const run = (state: string) => ({ dag_id: "d", dag_run_id: "r", state, start_date: null, end_date: null })

export const task = (state: string | null, more: Record<string, unknown> = {}) => ({
  dag_id: "d",
  dag_run_id: "r",
  task_id: "t",
  map_index: -1,
  state,
  try_number: 1,
  ...more
})

const pathOf = (url: string) => url.replace("https://airflow.test/dx", "")

export type Routes = Record<string, Answer | readonly [Answer, ...ReadonlyArray<Answer>]>

export interface Options {
  /** ["2.11.2"] */
  readonly version?: string
  readonly credentials?: Airflow.Credentials
}

/** Which Airflow it is, as each major version answers. */
const versionRoutes = (version: string): Routes =>
  version.startsWith("2")
    ? { "GET /api/v2/version": html(404), "GET /api/v1/version": answer(200, { version, git_version: null }) }
    : { "GET /api/v2/version": answer(200, { version, git_version: null }) }

/** Clients for an Airflow that answers what it is told to, the last answer again and again, and dies of any other question. */
export const serve = (routes: Routes, { credentials, version = "2.11.2" }: Options = {}) =>
  Effect.gen(function*() {
    const requests: Array<Request> = []
    const answers = { ...versionRoutes(version), ...routes }
    const http = HttpClient.make((request, url) => {
      const route = `${request.method} ${pathOf(url.href)}`
      const body = request.body._tag === "Uint8Array"
        ? JSON.parse(new TextDecoder().decode(request.body.body))
        : undefined
      const before = requests.filter((seen) => seen.route === route).length
      requests.push({ route, headers: request.headers, body })
      const planned = answers[route]
      if (planned === undefined) return Effect.dieMessage(`nobody said what to answer to ${route}`)
      if (typeof planned === "function") return planned(request)
      return (planned[before] ?? planned[planned.length - 1] ?? planned[0])(request)
    })
    const { connect } = yield* Effect.provide(AirflowApi.AirflowApi, AirflowApi.layer).pipe(
      Effect.provideService(HttpClient.HttpClient, http)
    )
    const client = connect({
      baseUrl: "https://airflow.test/dx/",
      credentials: credentials ?? { _tag: "Bearer", token: Redacted.make(token) }
    })
    return { client, requests, routes: () => requests.map(({ route }) => route) }
  })

/** The same with a client in hand, whose first questions are forgotten. */
export const connect = (routes: Routes, options?: Options) =>
  Effect.gen(function*() {
    const server = yield* serve(routes, options)
    const airflow = yield* server.client
    server.requests.splice(0)
    return { ...server, airflow }
  })
