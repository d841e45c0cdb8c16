/** Sends requests to Astro's API: authentication, rate limits, retries and deadlines. */
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as TimeLimit from "@airflow-resource/core/TimeLimit"
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
  /** Retried up to four times if a retry may help. */
  readonly read: <A, I>(
    operation: string,
    path: string,
    schema: Schema.Schema<A, I>
  ) => Effect.Effect<A, ProviderError>
  /**
   * Sent once; sent again only if Astro's rate limit rejected it. The last attempt ends within {@link longestRequest} of the call: the
   * ledger relies on nothing being sent later.
   */
  readonly write: <A = void, I = unknown>(
    method: "POST" | "DELETE",
    operation: string,
    path: string,
    body?: unknown,
    schema?: Schema.Schema<A, I>
  ) => Effect.Effect<A, ProviderError>
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
      method: "GET" | "POST" | "DELETE",
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
        Effect.flatMap((response) => AstroError.bodyOf(operation, response)),
        Effect.withTracerEnabled(false)
      )

    return {
      read: (operation, path, schema) =>
        send("GET", operation, HttpClientRequest.get(path), longestRequest).pipe(
          Effect.flatMap(decode(operation, schema)),
          retrying((error) => error.retryable ? Effect.succeedSome(Duration.infinity) : Effect.succeedNone)
        ),
      write: (method, operation, path, body, schema) =>
        Effect.flatMap(Clock.currentTimeMillis, (startedAt) => {
          const timeLeft = Effect.map(
            Clock.currentTimeMillis,
            (now) => Duration.subtract(longestRequest, Duration.millis(now - startedAt))
          )
          const bare = HttpClientRequest.make(method)(path)
          const request = body === undefined ? bare : HttpClientRequest.bodyUnsafeJson(bare, body)
          return Effect.flatMap(timeLeft, (limit) => send(method, operation, request, limit)).pipe(
            // a write that the rate limit rejected was not carried out; after any other failure it may have been
            retrying((error) => error.kind === "rateLimited" ? Effect.asSome(timeLeft) : Effect.succeedNone),
            Effect.flatMap((text) =>
              schema === undefined ? Effect.void as Effect.Effect<never> : decode(operation, schema)(text)
            )
          )
        })
    }
  })

/** No request is in flight for longer. */
const longestRequest = Duration.seconds(30)

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
