import { type Airflow, AirflowApi } from "@airflow-resource/airflow"
import type { HttpClientRequest } from "@effect/platform"
import { HttpClient, HttpClientError, HttpClientResponse } from "@effect/platform"
import { Effect, Fiber, Redacted, TestClock } from "effect"

export const token = "canary-0123456789abcdef"

export interface Request {
  readonly route: string
  readonly headers: Record<string, string | undefined>
  readonly body: unknown
  /** The body as it was sent. */
  readonly text: string | undefined
}

export type Responder = (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<
  HttpClientResponse.HttpClientResponse,
  HttpClientError.HttpClientError
>

export const respond =
  (status: number, body: unknown, headers: Record<string, string> = {}): Responder => (request) => {
    const text = body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body)
    return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(text, { status, headers })))
  }

export const connectionRefused: Responder = (request) => {
  const cause = new TypeError("fetch failed", { cause: Object.assign(new Error("connect"), { code: "ECONNREFUSED" }) })
  return Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause }))
}

export const noResponse: Responder = () => Effect.never

const page = "<!DOCTYPE html><html><h1>Starting</h1></html>"
export const html = (status: number) => respond(status, page, { "content-type": "text/html" })

export const problem = (status: number, detail: string | null, title: string | null = "x"): Responder =>
  respond(status, { detail, status, title, type: "https://airflow.apache.org/docs" }, {
    "content-type": "application/problem+json"
  })

/** Runs an effect in virtual time, up to ten minutes. */
export const inVirtualTime = <A, E>(effect: Effect.Effect<A, E>) =>
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

export type Routes = Record<string, Responder | readonly [Responder, ...ReadonlyArray<Responder>]>

export interface Options {
  /** ["2.11.2"] */
  readonly version?: string
  readonly credentials?: Airflow.Credentials
}

/** How each major version responds to requests for its version. */
const versionRoutes = (version: string): Routes =>
  version.startsWith("2")
    ? { "GET /api/v2/version": html(404), "GET /api/v1/version": respond(200, { version, git_version: null }) }
    : { "GET /api/v2/version": respond(200, { version, git_version: null }) }

/**
 * A client for an Airflow with the given responses. The last response of a route is repeated; a request for any other
 * route is a defect.
 */
export const serve = (routes: Routes, { credentials, version = "2.11.2" }: Options = {}) =>
  Effect.gen(function*() {
    const requests: Array<Request> = []
    const responders = { ...versionRoutes(version), ...routes }
    const http = HttpClient.make((request, url) => {
      const route = `${request.method} ${pathOf(url.href)}`
      const text = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : undefined
      const body = text === undefined ? undefined : JSON.parse(text)
      const previous = requests.filter((request) => request.route === route).length
      requests.push({ route, headers: request.headers, body, text })
      const planned = responders[route]
      if (planned === undefined) return Effect.dieMessage(`the test has no response to ${route}`)
      if (typeof planned === "function") return planned(request)
      return (planned[previous] ?? planned[planned.length - 1] ?? planned[0])(request)
    })
    const { connect } = yield* Effect.provide(AirflowApi.AirflowApi, AirflowApi.layer).pipe(
      Effect.provideService(HttpClient.HttpClient, http)
    )
    const client = connect({
      baseUrl: "https://airflow.test/dx/",
      credentials: credentials ?? { _tag: "Bearer", token: Redacted.make(token) }
    })
    return {
      client,
      requests,
      routes: () => requests.map(({ route }) => route),
      texts: () => requests.map(({ text }) => text)
    }
  })

/** The same, with a connected client. The requests of the connection are not recorded. */
export const connect = (routes: Routes, options?: Options) =>
  Effect.gen(function*() {
    const server = yield* serve(routes, options)
    const airflow = yield* server.client
    server.requests.splice(0)
    return { ...server, airflow }
  })
