/** How Astro's API is asked: with which token, how often, what is repeated, and until when. */
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

export interface Transport {
  /** Repeated while that may help, up to four times. */
  readonly read: <A, I>(
    operation: string,
    path: string,
    schema: Schema.Schema<A, I>
  ) => Effect.Effect<A, ProviderError>
  /**
   * Sent once, but for what Astro's rate limit kept out. The last try ends within {@link longestRequest} of the call: the ledger relies on
   * nothing being sent later.
   */
  readonly write: <A = void, I = unknown>(
    method: "POST" | "DELETE",
    operation: string,
    path: string,
    body?: unknown,
    schema?: Schema.Schema<A, I>
  ) => Effect.Effect<A, ProviderError>
}

/** Paths come after `/v1`. */
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
      within: Duration.Duration
    ) =>
      limits[method](client.execute(request.pipe(
        HttpClientRequest.prependUrl(`${apiUrl.replace(/\/+$/, "")}/v1`),
        HttpClientRequest.bearerToken(token),
        HttpClientRequest.acceptJson,
        HttpClientRequest.setHeader("x-api-version", "1.0"),
        HttpClientRequest.setHeader("x-astro-client-identifier", "airflow-resource")
      ))).pipe(
        Effect.flatMap((response) =>
          Effect.map(response.text, (text) => ({ status: response.status, headers: response.headers, text }))
        ),
        Effect.mapError((error) => AstroError.fromTransport(operation, error)),
        (response) =>
          TimeLimit.fail(response, { limit: within, onTimeout: () => AstroError.timedOut(operation, within) }),
        Effect.flatMap((answer) => AstroError.orAnswer(operation, answer)),
        Effect.withTracerEnabled(false)
      )

    return {
      read: (operation, path, schema) =>
        send("GET", operation, HttpClientRequest.get(path), longestRequest).pipe(
          Effect.flatMap(decoded(operation, schema)),
          again((error) => error.retryable ? Effect.succeedSome(Duration.infinity) : Effect.succeedNone)
        ),
      write: (method, operation, path, body, schema) =>
        Effect.flatMap(Clock.currentTimeMillis, (since) => {
          const left = Effect.map(
            Clock.currentTimeMillis,
            (now) => Duration.subtract(longestRequest, Duration.millis(now - since))
          )
          const bare = HttpClientRequest.make(method)(path)
          const request = body === undefined ? bare : HttpClientRequest.bodyUnsafeJson(bare, body)
          return Effect.flatMap(left, (within) => send(method, operation, request, within)).pipe(
            // what the rate limit kept out was not carried out; everything else may have been
            again((error) => error.kind === "rateLimited" ? Effect.asSome(left) : Effect.succeedNone),
            Effect.flatMap((text) =>
              schema === undefined ? Effect.void as Effect.Effect<never> : decoded(operation, schema)(text)
            )
          )
        })
    }
  })

/** Nothing is on its way for longer. */
export const longestRequest = Duration.seconds(30)

const limitOf = (perSecond: number) => RateLimiter.make({ limit: perSecond, interval: "1 second" })

const decoded = <A, I>(operation: string, schema: Schema.Schema<A, I>) => (text: string) =>
  Effect.mapError(
    Schema.decode(Schema.parseJson(schema))(text),
    (error) => AstroError.undecodable(operation, text, error)
  )

const retries = 4

/** Repeats while `time` says that there is some, and the pause that is due fits into it. */
const again =
  (time: (error: ProviderError) => Effect.Effect<Option.Option<Duration.Duration>>) =>
  <A>(self: Effect.Effect<A, ProviderError>): Effect.Effect<A, ProviderError> => {
    const attempt = (tried: number): Effect.Effect<A, ProviderError> =>
      Effect.catchAll(self, (error) =>
        Effect.flatMap(time(error), (left) => {
          const pause = AstroError.pauseBefore(error, tried)
          return tried < retries && Option.exists(left, Duration.greaterThan(pause))
            ? Effect.zipRight(Effect.sleep(pause), attempt(tried + 1))
            : error
        }))
    return attempt(0)
  }
