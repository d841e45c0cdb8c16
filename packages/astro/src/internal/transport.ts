/** Sends requests to Astro's API: authentication, rate limits, retries and deadlines. */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as TimeLimit from "@airflow-resource/core/TimeLimit"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/RateLimiter"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type AstroConfig, defaults } from "../AstroConfig.js"
import * as AstroError from "./astroError.js"
import { withoutTrailingSlash } from "./url.js"

export interface Transport {
  /** Retried up to four times if a retry may help: also if the response cannot be decoded, because something may have cut it. */
  readonly read: <A, I>(
    operation: string,
    path: string,
    schema: Schema.Schema<A, I>
  ) => Effect.Effect<A, ProviderError>
  /**
   * Sent once; sent again only if Astro's rate limit rejected it. The last attempt ends within {@link longestRequest} of the call: the
   * ledger relies on nothing being sent later. Only the documented response counts as done.
   */
  readonly post: <A, I>(
    operation: string,
    path: string,
    body: unknown,
    schema: Schema.Schema<A, I>
  ) => Effect.Effect<A, ProviderError>
  /** Like `post`. The documented response has no body. */
  readonly delete: (operation: string, path: string) => Effect.Effect<void, ProviderError>
}

/** Paths are relative to `/v1`. */
export const make = (
  { apiUrl, rates = defaults.rates, token }: Pick<AstroConfig, "apiUrl" | "rates" | "token">
): Effect.Effect<Transport, never, HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    const client = HttpClient.withTracerPropagation(yield* HttpClient.HttpClient, false)
    const limits = yield* Effect.all({
      GET: limitOf(rates.get),
      POST: limitOf(rates.post),
      DELETE: limitOf(rates.delete)
    })

    const send = (
      method: Method,
      operation: string,
      request: HttpClientRequest.HttpClientRequest,
      limit: Duration.Duration
    ) =>
      limits[method](client.execute(request.pipe(
        HttpClientRequest.prependUrl(`${withoutTrailingSlash(apiUrl)}/v1`),
        HttpClientRequest.bearerToken(token),
        HttpClientRequest.acceptJson,
        HttpClientRequest.setHeader("x-api-version", "1.0"),
        HttpClientRequest.setHeader("x-astro-client-identifier", "airflow-resource")
      ))).pipe(
        Effect.flatMap((response) =>
          Effect.map(response.text, (text) => ({ status: response.status, headers: response.headers, text }))
        ),
        Effect.mapError((error) => AstroError.fromTransport(operation, error)),
        (response) => TimeLimit.fail(response, { limit, onTimeout: () => AstroError.timedOut(operation, limit) }),
        Effect.flatMap((response) => AstroError.bodyOf(operation, response, documentedStatus[method])),
        // a redirect leads to a login page, and turns a POST into a GET
        Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
        Effect.withTracerEnabled(false)
      )

    const write = (method: Method, operation: string, request: HttpClientRequest.HttpClientRequest) =>
      Effect.flatMap(Clock.currentTimeMillis, (startedAt) => {
        const timeLeft = Effect.map(
          Clock.currentTimeMillis,
          (now) => Duration.subtract(longestRequest, Duration.millis(now - startedAt))
        )
        return Effect.flatMap(timeLeft, (limit) => send(method, operation, request, limit)).pipe(
          // a write that the rate limit rejected was not carried out; after any other failure it may have been
          retrying((error) => error.kind === "rateLimited" ? Effect.asSome(timeLeft) : Effect.succeedNone)
        )
      })

    return {
      read: (operation, path, schema) =>
        send("GET", operation, HttpClientRequest.get(path), longestRequest).pipe(
          Effect.flatMap(decode(operation, schema)),
          retrying((error) =>
            // without a status it is the astro CLI that failed
            error.retryable || (error.kind === "undecodable" && error.status !== undefined)
              ? Effect.succeedSome(longestPause)
              : Effect.succeedNone
          )
        ),
      post: (operation, path, body, schema) =>
        Effect.flatMap(
          write("POST", operation, HttpClientRequest.bodyUnsafeJson(HttpClientRequest.post(path), body)),
          decode(operation, schema)
        ),
      delete: (operation, path) => Effect.asVoid(write("DELETE", operation, HttpClientRequest.del(path)))
    }
  })

type Method = "GET" | "POST" | "DELETE"

const documentedStatus: Record<Method, number> = { GET: 200, POST: 200, DELETE: 204 }

/** No request is in flight for longer. */
const longestRequest = Duration.seconds(30)

/** A server that asks for a longer pause before the next attempt leaves it to the caller. */
const longestPause = Duration.minutes(2)

const limitOf = (perSecond: number) => RateLimiter.make({ limit: perSecond, interval: "1 second" })

const decode = <A, I>(operation: string, schema: Schema.Schema<A, I>) => (text: string) =>
  Effect.mapError(
    Schema.decode(Schema.parseJson(schema))(text),
    (error) => AstroError.undecodable(operation, text, error)
  )

const maxRetries = 4

/** Retries if `timeLeft` returns a time, and the pause before the retry fits into it. */
const retrying =
  (timeLeft: (error: ProviderError) => Effect.Effect<Option.Option<Duration.Duration>>) =>
  <A>(self: Effect.Effect<A, ProviderError>): Effect.Effect<A, ProviderError> => {
    const attempt = (retried: number): Effect.Effect<A, ProviderError> =>
      Effect.catchAll(self, (error) =>
        Effect.flatMap(timeLeft(error), (left) => {
          const delay = AstroError.retryDelay(error, retried)
          return retried < maxRetries && Option.exists(left, Duration.greaterThan(delay))
            ? Effect.zipRight(Effect.sleep(delay), attempt(retried + 1))
            : error
        }))
    return attempt(0)
  }
