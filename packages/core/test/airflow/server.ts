import { AirflowApi } from "@airflow-resource/core"
import type { HttpClientRequest } from "@effect/platform"
import { HttpClient, HttpClientError, HttpClientResponse } from "@effect/platform"
import { Effect, Redacted } from "effect"

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

const pathOf = (url: string) => url.replace("https://airflow.test/dx", "")

/** An Airflow that answers what it is told to, the last answer again and again, and dies of any other question. */
export const connect = (routes: Record<string, Answer | readonly [Answer, ...ReadonlyArray<Answer>]>) =>
  Effect.gen(function*() {
    const requests: Array<Request> = []
    const http = HttpClient.make((request, url) => {
      const route = `${request.method} ${pathOf(url.href)}`
      const body = request.body._tag === "Uint8Array"
        ? JSON.parse(new TextDecoder().decode(request.body.body))
        : undefined
      const before = requests.filter((seen) => seen.route === route).length
      requests.push({ route, headers: request.headers, body })
      const planned = routes[route]
      if (planned === undefined) return Effect.dieMessage(`nobody said what to answer to ${route}`)
      if (typeof planned === "function") return planned(request)
      return (planned[before] ?? planned[planned.length - 1] ?? planned[0])(request)
    })
    const { connect } = yield* Effect.provide(AirflowApi.AirflowApi, AirflowApi.layer).pipe(
      Effect.provideService(HttpClient.HttpClient, http)
    )
    const airflow = connect({
      baseUrl: "https://airflow.test/dx/",
      credentials: { _tag: "Bearer", token: Redacted.make(token) }
    })
    return { airflow, requests, routes: () => requests.map(({ route }) => route) }
  })
