/**
 * Requests to one Airflow. Only this module decides what a response means.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Endpoint } from "../Airflow.js"
import { AirflowApiError } from "../AirflowError.js"
import * as RetryAfter from "../RetryAfter.js"
import * as TimeLimit from "../TimeLimit.js"
import * as Body from "./body.js"
import * as Credentials from "./credentials.js"
import * as Json from "./json.js"
import { unaddressable } from "./path.js"
import { withoutCredentials } from "./url.js"

/** A request to Airflow. */
export interface Call {
  /** What it is for: "trigger hello_world_dag". */
  readonly operation: string
  readonly method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE"
  /** Relative to the base URL, with each segment encoded. */
  readonly path: string
  readonly body?: unknown
  /** [`application/json`] */
  readonly accept?: string
  /** How long one response may take [15 seconds]. */
  readonly timeout?: Duration.Duration
  /** How long the body of a response may be [32 MiB]. */
  readonly maxBytes?: number
  /** What happens to a longer body: it is an error, or only its end is kept [`error`]. */
  readonly longer?: "error" | "end"
}

const defaults = { timeout: Duration.seconds(15), maxBytes: 32 * 1024 * 1024 }

/** An error's explanation is at its beginning. */
const maxErrorBytes = 64 * 1024

/** Enough for a line each second during a day. */
const maxStreamBytes = 4 * 1024 * 1024

/** An error, and how long the server asked to wait before a retry. */
interface Failure {
  readonly error: AirflowApiError
  readonly retryAfter: Duration.Duration | undefined
}

const failure = (error: AirflowApiError): Failure => ({ error, retryAfter: undefined })

/** The longest pause before a retry, whatever the server asks for. */
const longestPause = Duration.seconds(30)

/**
 * Whether to send a request again after an error. That is safe for all requests except a POST that may have arrived.
 */
const isRetryable = ({ method }: Call, error: AirflowApiError) =>
  method === "GET"
    // something may have cut the response to a read
    ? error.retryable || error.kind === "undecodable"
    : error.retryable && (method !== "POST" || error.kind === "rateLimited")

/** Three retries, each no sooner than the server asked for, up to {@link longestPause}. */
const retrySchedule = Schedule.jittered(Schedule.exponential("250 millis")).pipe(
  Schedule.intersect(Schedule.identity<Failure>()),
  Schedule.modifyDelay(([, { retryAfter }], delay) =>
    retryAfter === undefined ? delay : Duration.max(delay, Duration.min(retryAfter, longestPause))
  ),
  Schedule.intersect(Schedule.recurs(3))
)

const anonymous: Credentials.Authorization = { headers: {}, secrets: [] }

export const make = (http: HttpClient.HttpClient, { baseUrl, credentials }: Endpoint) => {
  const client = HttpClient.withTracerPropagation(http, false)

  const requestOf = (
    call: Call,
    { headers }: Credentials.Authorization,
    additionalHeaders: Record<string, string> = {}
  ) =>
    HttpClientRequest.make(call.method)(`${baseUrl}${call.path}`).pipe(
      HttpClientRequest.setHeaders({ ...headers, accept: call.accept ?? "application/json", ...additionalHeaders }),
      // a request without a body must not have a content type: Airflow rejects such a DELETE
      (request) =>
        call.body === undefined
          ? request
          : HttpClientRequest.bodyText(request, Json.stringify(call.body), "application/json")
    )

  /** Sends a request once, with the given authorization. */
  const sendOnce = (call: Call, authorization: Credentials.Authorization): Effect.Effect<string, Failure> => {
    const { longer = "error", maxBytes = defaults.maxBytes, timeout = defaults.timeout } = call
    return HttpClient.withScope(client).execute(requestOf(call, authorization)).pipe(
      Effect.flatMap((response) =>
        isSuccess(response.status)
          ? Effect.map(Body.read(response, maxBytes, longer), (body) => ({ ...body, response }))
          : Effect.map(Body.read(response, maxErrorBytes, "beginning"), (body) => ({ ...body, response }))
      ),
      Effect.scoped,
      // a redirect leads to a login page, which must not be mistaken for Airflow's response
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
      Effect.mapError((error) => failure(fromHttpClientError(call.operation, error))),
      (response) =>
        TimeLimit.fail(response, { limit: timeout, onTimeout: () => failure(timedOut(call.operation, timeout)) }),
      Effect.flatMap(({ isTooLong, response: { headers, status }, text }) =>
        isTooLong
          ? Effect.fail(failure(tooLarge(call.operation, `a response of more than ${maxBytes / 1024 / 1024} MiB`)))
          : isSuccess(status)
          ? Effect.succeed(text)
          : Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Effect.fail<Failure>({
              error: classify(call.operation, status, redact(text, authorization.secrets)),
              retryAfter: RetryAfter.of(headers, now)
            }))
      )
    )
  }

  const authorizer = Credentials.make(credentials, (username, password) => {
    const body = { username, password: Redacted.value(password) }
    const call: Call = { method: "POST", operation: `log in as ${username}`, path: "/auth/token", body }
    return sendOnce(call, { ...anonymous, secrets: [body.password] }).pipe(
      Effect.flatMap((text) => Effect.mapError(decode(call, TokenBody, text), failure)),
      Effect.map(({ access_token }) => Option.some(access_token)),
      // Airflow 2 has no such route, whatever page it responds with
      Effect.catchIf(({ error }) => error.status === 404 || error.status === 405, () => Effect.succeedNone),
      // although it is a POST, a login is safe to send twice
      Effect.retry({ schedule: retrySchedule, while: ({ error }) => error.retryable }),
      Effect.mapError(({ error }) => error)
    )
  })

  const current = Effect.mapError(authorizer.current, failure)

  /** Sends a request with the credentials, and once more with renewed ones if the server rejects them. */
  const send = (call: Call): Effect.Effect<string, Failure> =>
    Effect.zipRight(
      Effect.mapError(requireAddressable(call.operation, call.path), failure),
      Effect.flatMap(current, (authorization) =>
        Effect.catchIf(
          sendOnce(call, authorization),
          ({ error }) => error.kind === "unauthorized" || /invalid jwt/i.test(error.detail),
          (rejected) =>
            Effect.flatMap(authorizer.renew(authorization), (isRenewed) =>
              isRenewed
                ? Effect.flatMap(current, (renewed) => sendOnce(call, renewed))
                : Effect.fail(rejected))
        ))
    ).pipe(withoutSpans)

  const withRequest = (call: Call, error: AirflowApiError, attempts: number) =>
    new AirflowApiError({ ...error, request: `${call.method} ${withoutCredentials(baseUrl)}${call.path}`, attempts })

  /** Retries, and adds the request and the number of attempts to the error. */
  const withRetries = <A>(
    call: Call,
    attempt: Effect.Effect<A, Failure>,
    mayRetry: (error: AirflowApiError) => boolean
  ): Effect.Effect<A, AirflowApiError> =>
    Effect.suspend(() => {
      let attempts = 0
      return Effect.suspend(() => {
        attempts += 1
        return attempt
      }).pipe(
        Effect.retry({ schedule: retrySchedule, while: ({ error }) => mayRetry(error) }),
        Effect.mapError(({ error }) => withRequest(call, error, attempts))
      )
    })

  const text = (call: Call): Effect.Effect<string, AirflowApiError> =>
    withRetries(call, send(call), (error) => isRetryable(call, error))

  const decoded = <A, I>(call: Call, schema: Schema.Schema<A, I>): Effect.Effect<A, Failure> =>
    Effect.flatMap(send(call), (body) => Effect.mapError(decode(call, schema, body), failure))

  return {
    /** The response as text. */
    text,
    /** The response, decoded from JSON. */
    json: <A, I>(call: Call, schema: Schema.Schema<A, I>): Effect.Effect<A, AirflowApiError> =>
      // with 200, a page is what an Airflow has for a path that it does not know
      withRetries(call, decoded(call, schema), (error) => error.status !== 200 && isRetryable(call, error)),
    /** Sends the second request if there is no route for the first one. Retries both. */
    either: <A, I>(first: Call, second: Call, schema: Schema.Schema<A, I>): Effect.Effect<A, AirflowApiError> => {
      const firstOrSecond = Effect.catchIf(decoded(first, schema), ({ error }) => error.status === 404, (noRoute) =>
        // "unsupported" means that the server was upgraded meanwhile: it has a route for the first request now
        Effect.catchIf(
          decoded(second, schema),
          ({ error }) => error.kind === "unsupported",
          () => Effect.fail(noRoute)
        ))
      return withRetries(first, firstOrSecond, ({ retryable }) => retryable)
    },
    /** The lines of one long response as they arrive, without retries. */
    lines: (call: Call): Stream.Stream<string, AirflowApiError> =>
      Stream.unwrapScoped(
        Effect.gen(function*() {
          const authorization = yield* authorizer.current
          const toApiError = (error: HttpClientError) => fromHttpClientError(call.operation, error)
          // some servers buffer the lines of a response that they compress
          const request = requestOf(call, authorization, { "accept-encoding": "identity" })
          const response = yield* Effect.mapError(HttpClient.withScope(client).execute(request), toApiError)
          if (isSuccess(response.status)) {
            return Body.limited(response.stream, maxStreamBytes).pipe(
              Stream.mapError(toApiError),
              Stream.decodeText(),
              Stream.splitLines
            )
          }
          const { text } = yield* Effect.mapError(Body.read(response, maxErrorBytes, "beginning"), toApiError)
          return yield* classify(call.operation, response.status, redact(text, authorization.secrets))
        }).pipe(withoutSpans)
      )
  }
}

export type Transport = ReturnType<typeof make>

type ErrorDetails = Omit<ConstructorParameters<typeof AirflowApiError>[0], "operation">

export const apiError = (operation: string, details: ErrorDetails) => new AirflowApiError({ operation, ...details })

/** Fails if a request to a path would not reach what the path names. */
export const requireAddressable = (operation: string, path: string): Effect.Effect<void, AirflowApiError> => {
  const problem = unaddressable(path)
  return problem === undefined ? Effect.void : apiError(operation, {
    ...problem,
    remedy: "Choose another name. For something that exists already, use Airflow's UI or CLI."
  })
}

/** A server sent more than anything that Airflow has could need. */
export const tooLarge = (operation: string, what: string): AirflowApiError =>
  apiError(operation, {
    kind: "tooLarge",
    detail: `the server sent ${what}`,
    remedy: "Check what this Airflow contains, and that its base URL leads to an Airflow."
  })

// internal

const isSuccess = (status: number) => status >= 200 && status < 300

/** The span of the operation is enough: a span of a request would show its headers, and a wait sends many requests. */
const withoutSpans = Effect.withTracerEnabled(false)

/** Servers may echo what they were sent. Short secrets stay, because replacing them would garble ordinary words. */
const redact = (text: string, secrets: ReadonlyArray<string>) =>
  secrets.reduce(
    (redacted, secret) => secret.length < 12 ? redacted : redacted.replaceAll(secret, "<redacted>"),
    text
  )

const TokenBody = Schema.Struct({ access_token: Schema.Redacted(Schema.String) })

type Decoder<A> = (body: string) => Effect.Effect<A, unknown>

/** Creating a decoder takes ten times as long as using it. */
const decoders = new WeakMap<object, Decoder<unknown>>()

const decoderOf = <A, I>(schema: Schema.Schema<A, I>): Decoder<A> => {
  const known = decoders.get(schema) as Decoder<A> | undefined
  if (known !== undefined) return known
  const decodeJson = Schema.decodeUnknown(schema)
  const decoder: Decoder<A> = (body) => Effect.flatMap(Effect.try(() => Json.parse(body)), (json) => decodeJson(json))
  decoders.set(schema, decoder)
  return decoder
}

const decode = <A, I>(call: Call, schema: Schema.Schema<A, I>, body: string): Effect.Effect<A, AirflowApiError> =>
  Effect.mapError(decoderOf(schema)(body), () =>
    /^\s*</.test(body)
      ? htmlPage(call.operation, 200)
      : apiError(call.operation, {
        kind: "undecodable",
        detail: "the response is not what Airflow's API specifies",
        remedy: "Check whether a proxy in front of Airflow truncates or changes its responses."
      }))

const fromHttpClientError = (operation: string, error: HttpClientError): AirflowApiError =>
  apiError(operation, {
    kind: "unreachable",
    detail: `Airflow did not respond (${codeOf(error.cause) ?? error.reason})`,
    remedy: "Check that Airflow is running and that its base URL is correct."
  })

const timedOut = (operation: string, timeout: Duration.Duration): AirflowApiError =>
  apiError(operation, {
    kind: "timeout",
    detail: `no response within ${Duration.format(timeout)}`,
    remedy: "Try again: a busy webserver may need longer."
  })

/** A code such as "ECONNREFUSED". HTTP clients nest it at different depths. */
const codeOf = (cause: unknown): string | undefined => {
  const { cause: inner, code } = (cause ?? {}) as { readonly code?: unknown; readonly cause?: unknown }
  if (typeof code === "string" && /^[A-Z_]+$/.test(code)) return code
  return inner === undefined ? undefined : codeOf(inner)
}

const htmlPage = (operation: string, status: number) =>
  apiError(operation, {
    kind: "gateway",
    detail: `the response is an HTML page instead of JSON (status ${status})`,
    remedy: "It probably comes from a proxy because Airflow is starting or stopped. Try again once it is running.",
    status
  })

/**
 * Airflow 2 explains an error in `detail` or `title`. Airflow 3 uses `detail` or `error`, a list of invalid fields, or
 * the reason that its database gave.
 */
const Problem = Schema.parseJson(Schema.Struct({
  detail: Schema.optional(Schema.Unknown),
  title: Schema.optional(Schema.Unknown),
  error: Schema.optional(Schema.Unknown)
}))
const InvalidFields = Schema.Array(
  Schema.Struct({ loc: Schema.Array(Schema.Union(Schema.String, Schema.Number)), msg: Schema.String })
)
const DatabaseError = Schema.Struct({ reason: Schema.String })

/** The server's explanation of an error, if its response has one. */
const explanationOf = (text: string): string | undefined => {
  const problem = Either.getOrUndefined(Schema.decodeEither(Problem)(text))
  if (problem === undefined) return undefined
  const { detail, error, title } = problem
  const explanation = [
    detail,
    ...(Schema.is(InvalidFields)(detail) ? [detail.map(({ loc, msg }) => `${loc.join(".")}: ${msg}`).join("; ")] : []),
    // only the reason: the other members contain SQL
    ...(Schema.is(DatabaseError)(detail) ? [detail.reason] : []),
    title,
    error
  ].find((candidate) => typeof candidate === "string" && candidate !== "")
  return typeof explanation === "string" ? explanation.slice(0, 300) : undefined
}

const classify = (operation: string, status: number, text: string): AirflowApiError => {
  const explanation = explanationOf(text)
  const detail = explanation ?? `status ${status}`
  const as = (kind: AirflowApiError["kind"], remedy: string) => apiError(operation, { kind, detail, remedy, status })
  if (status >= 300 && status < 400) {
    return as("redirected", "This is probably a login page: check the credentials, and that Airflow is running.")
  }
  if (status === 429) return as("rateLimited", "Try again later.")
  if (status === 401) {
    return as("unauthorized", "Check the token or the password: it may be wrong, expired or revoked.")
  }
  if (status === 403) {
    return as(
      "forbidden",
      "Check the permissions of the user or token, and the password: some Airflows reject a wrong one this way."
    )
  }
  // Airflow's own page for an unknown route is HTML too, but the routes that the client uses exist
  if (explanation === undefined && /^\s*</.test(text) && (status === 404 || status >= 502)) {
    return htmlPage(operation, status)
  }
  if (status === 404) {
    return /removed in Airflow 3/i.test(detail)
      ? as("unsupported", "The server was upgraded to Airflow 3 after this client had connected: connect again.")
      : as("notFound", "Check the ids. Airflow needs some time to find a new DAG file.")
  }
  if (status === 405) return as("unsupported", "This version of Airflow does not support it.")
  if (status === 409) {
    return as("conflict", "It already exists or is in use: choose another name or id, or try again later.")
  }
  if (status >= 502 && status <= 504) return as("gateway", "Airflow is probably starting, restarting or stopped.")
  if (status >= 500) return as("server", "Read the logs of Airflow's webserver (API server in Airflow 3).")
  return as("badRequest", "Airflow rejected the request: correct what it complains about.")
}
