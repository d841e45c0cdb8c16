/**
 * Requests to one Airflow, and the one place that knows what its answers mean.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
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
import * as TimeLimit from "../TimeLimit.js"
import * as Credentials from "./credentials.js"

export interface Call {
  /** In words: "trigger hello_world_dag". */
  readonly operation: string
  readonly method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE"
  /** Below the base URL, with every segment encoded. */
  readonly path: string
  readonly body?: unknown
  readonly accept?: string
}

/** Whether a call that failed in between may be sent again. Reads may; so may deletions and settings, which end the same. */
const repeatable = ({ method }: Call, error: AirflowApiError) =>
  error.retryable && (method !== "POST" || error.kind === "rateLimited")

const requestTimeout = Duration.seconds(15)

/** A failure, and how long the server asked to be left alone. */
interface Failure {
  readonly error: AirflowApiError
  readonly retryAfter?: Duration.Duration
}

/** Three more tries, no sooner than the server asked for. */
const repetitions = Schedule.jittered(Schedule.exponential("250 millis")).pipe(
  Schedule.intersect(Schedule.identity<Failure>()),
  Schedule.modifyDelay(([, { retryAfter }], delay) =>
    retryAfter === undefined ? delay : Duration.max(delay, retryAfter)
  ),
  Schedule.intersect(Schedule.recurs(3))
)

const anonymous: Credentials.Authorization = { headers: {}, secrets: [] }

export const make = (http: HttpClient.HttpClient, { baseUrl, credentials }: Endpoint) => {
  const client = HttpClient.withTracerPropagation(http, false)

  const requestOf = (call: Call, { headers }: Credentials.Authorization, more: Record<string, string> = {}) =>
    HttpClientRequest.make(call.method)(`${baseUrl}${call.path}`).pipe(
      HttpClientRequest.setHeaders({ ...headers, accept: call.accept ?? "application/json", ...more }),
      // without a body there must be no content type either: a DELETE with one is refused
      (request) => call.body === undefined ? request : HttpClientRequest.bodyUnsafeJson(request, call.body)
    )

  const exchange = (call: Call, authorization: Credentials.Authorization): Effect.Effect<string, Failure> =>
    client.execute(requestOf(call, authorization)).pipe(
      Effect.flatMap(({ headers, status, text }) => Effect.map(text, (text) => ({ headers, status, text }))),
      // a redirection leads to a login page, which must not be taken for an answer
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
      Effect.mapError((error): Failure => ({ error: fromTransport(call.operation, error) })),
      (response) =>
        TimeLimit.fail(response, {
          limit: requestTimeout,
          onTimeout: (): Failure => ({ error: tooSlow(call.operation) })
        }),
      Effect.flatMap(({ headers, status, text }) =>
        status >= 200 && status < 300
          ? Effect.succeed(text)
          : Effect.fail<Failure>({
            error: classify(call.operation, status, without(authorization.secrets, text)),
            ...askedToWait(headers["retry-after"])
          })
      ),
      Effect.withTracerEnabled(false)
    )

  const authorizer = Credentials.make(credentials, (username, password) => {
    const body = { username, password: Redacted.value(password) }
    const call: Call = { method: "POST", operation: `log in as ${username}`, path: "/auth/token", body }
    return exchange(call, { ...anonymous, secrets: [body.password] }).pipe(
      Effect.flatMap((text) => Effect.mapError(decode(call, Grant, text), (error): Failure => ({ error }))),
      Effect.map(({ access_token }) => Option.some(access_token)),
      // Airflow 2 has no such page, whatever it shows for it
      Effect.catchIf(({ error }) => error.status === 404 || error.status === 405, () => Effect.succeedNone),
      // to ask for a token again and again does no harm
      Effect.retry({ schedule: repetitions, while: ({ error }) => error.retryable }),
      Effect.mapError(({ error }) => error)
    )
  })

  /** With our credentials, and with newer ones where the server does not take these any more. */
  const send = (call: Call): Effect.Effect<string, Failure> => {
    if (climbs(call.path)) return Effect.fail({ error: unaddressable(call.operation) })
    const current = Effect.mapError(authorizer.current, (error): Failure => ({ error }))
    return Effect.flatMap(current, (authorization) =>
      Effect.catchIf(
        exchange(call, authorization),
        ({ error }) => error.kind === "unauthorized" || /invalid jwt/i.test(error.detail),
        (failure) =>
          Effect.flatMap(authorizer.renew(authorization), (helps) =>
            helps ? Effect.flatMap(current, (renewed) => exchange(call, renewed)) : Effect.fail(failure))
      ))
  }

  const located = (call: Call, error: AirflowApiError, attempts: number) =>
    new AirflowApiError({ ...error, request: `${call.method} ${baseUrl}${call.path}`, attempts })

  /** Repeats while that may help, and says how often it did. */
  const persistently = <A>(
    call: Call,
    answer: Effect.Effect<A, Failure>,
    mayRepeat: (error: AirflowApiError) => boolean
  ): Effect.Effect<A, AirflowApiError> =>
    Effect.suspend(() => {
      let attempts = 0
      return Effect.suspend(() => {
        attempts += 1
        return answer
      }).pipe(
        Effect.retry({ schedule: repetitions, while: ({ error }) => mayRepeat(error) }),
        Effect.mapError(({ error }) => located(call, error, attempts))
      )
    })

  const text = (call: Call): Effect.Effect<string, AirflowApiError> =>
    persistently(call, send(call), (error) => repeatable(call, error))

  return {
    text,
    /** Asks the second where there is no such page as the first; both again while that may help. */
    either: <A, I>(first: Call, second: Call, schema: Schema.Schema<A, I>): Effect.Effect<A, AirflowApiError> => {
      const ask = (call: Call) =>
        Effect.flatMap(
          send(call),
          (body) => Effect.mapError(decode(call, schema, body), (error): Failure => ({ error }))
        )
      const asked = Effect.catchIf(ask(first), ({ error }) => error.status === 404, (unknown) =>
        // what has become the first kind in between has the first page too by now
        Effect.catchIf(ask(second), ({ error }) => error.kind === "unsupported", () => Effect.fail(unknown)))
      return persistently(first, asked, ({ retryable }) => retryable)
    },
    json: <A, I>(call: Call, schema: Schema.Schema<A, I>): Effect.Effect<A, AirflowApiError> =>
      Effect.flatMap(
        text(call),
        (body) => Effect.mapError(decode(call, schema, body), (error) => located(call, error, 1))
      ),
    /** The lines of one long answer, as they come; not repeated. */
    lines: (call: Call): Stream.Stream<string, AirflowApiError> =>
      Stream.unwrapScoped(Effect.gen(function*() {
        const authorization = yield* authorizer.current
        const failed = (error: HttpClientError) => fromTransport(call.operation, error)
        // some servers hold back every line of an answer that they compress
        const request = requestOf(call, authorization, { "accept-encoding": "identity" })
        const response = yield* Effect.mapError(HttpClient.withScope(client).execute(request), failed)
        if (response.status >= 200 && response.status < 300) {
          return response.stream.pipe(Stream.mapError(failed), Stream.decodeText(), Stream.splitLines)
        }
        const answer = yield* Effect.mapError(response.text, failed)
        return yield* classify(call.operation, response.status, without(authorization.secrets, answer))
      }))
  }
}

export type Transport = ReturnType<typeof make>

type Facts = Omit<ConstructorParameters<typeof AirflowApiError>[0], "operation">

export const fail = (operation: string, facts: Facts) => new AirflowApiError({ operation, ...facts })

/** Ids may contain anything that can be encoded; of an id of dots every URL library makes a step up. */
export const segment = (id: string) => encodeURIComponent(id)

// internal

const climbs = (path: string) => /(^|\/)\.{1,2}(?=[/?]|$)/.test(path)

/** A server may repeat what it was sent; a short password would blot out ordinary words. */
const without = (secrets: ReadonlyArray<string>, text: string) =>
  secrets.reduce((left, secret) => secret.length < 12 ? left : left.replaceAll(secret, "<redacted>"), text)

const Grant = Schema.Struct({ access_token: Schema.Redacted(Schema.String) })

type Decoder<A> = (body: string) => Effect.Effect<A, unknown>

/** To make a decoder takes ten times as long as to use it. */
const decoders = new WeakMap<object, Decoder<unknown>>()

const decoderOf = <A, I>(schema: Schema.Schema<A, I>): Decoder<A> => {
  const known = decoders.get(schema) ?? Schema.decode(Schema.parseJson(schema))
  decoders.set(schema, known)
  return known as Decoder<A>
}

const decode = <A, I>(call: Call, schema: Schema.Schema<A, I>, body: string): Effect.Effect<A, AirflowApiError> =>
  Effect.mapError(decoderOf(schema)(body), () =>
    /^\s*</.test(body)
      ? gateway(call.operation, 200)
      : fail(call.operation, {
        kind: "undecodable",
        detail: "the answer is not what Airflow's API promises",
        remedy: "Do its answers arrive whole? Look at what stands in front of this Airflow."
      }))

const fromTransport = (operation: string, error: HttpClientError): AirflowApiError =>
  fail(operation, {
    kind: "unreachable",
    detail: `Airflow did not answer (${codeOf(error.cause) ?? error.reason})`,
    remedy: "Is the deployment awake? A lease keeps it so; after the lease it hibernates."
  })

const tooSlow = (operation: string): AirflowApiError =>
  fail(operation, {
    kind: "timeout",
    detail: `no answer within ${Duration.format(requestTimeout)}`,
    remedy: "Try again; a busy webserver may need longer."
  })

const unaddressable = (operation: string): AirflowApiError =>
  fail(operation, {
    kind: "badRequest",
    detail: "its name is only dots, which no URL can carry",
    remedy: "Use Airflow's own page for it, and another name from now on."
  })

/** Given in seconds. A date is no better than our own schedule, and nobody waits for hours. */
const askedToWait = (header: string | undefined): Pick<Failure, "retryAfter"> =>
  header !== undefined && /^\d+$/.test(header) ? { retryAfter: Duration.seconds(Math.min(Number(header), 30)) } : {}

/** "ECONNREFUSED" and the like, from wherever the client put it. */
const codeOf = (cause: unknown): string | undefined => {
  const { cause: inner, code } = (cause ?? {}) as { readonly code?: unknown; readonly cause?: unknown }
  if (typeof code === "string" && /^[A-Z_]+$/.test(code)) return code
  return inner === undefined ? undefined : codeOf(inner)
}

const gateway = (operation: string, status: number) =>
  fail(operation, {
    kind: "gateway",
    detail: `an HTML page came where JSON was due (status ${status})`,
    remedy: "What stands in front of Airflow answered: it is waking, restarting or asleep.",
    status
  })

/** Airflow 2 says it in `detail` or `title`, Airflow 3 in `detail`, `error`, a list of fields, or the database's reason. */
const Problem = Schema.parseJson(Schema.Struct({
  detail: Schema.optional(Schema.Unknown),
  title: Schema.optional(Schema.Unknown),
  error: Schema.optional(Schema.Unknown)
}))
const Fields = Schema.Array(
  Schema.Struct({ loc: Schema.Array(Schema.Union(Schema.String, Schema.Number)), msg: Schema.String })
)
const Reason = Schema.Struct({ reason: Schema.String })

const words = (text: string): string | undefined => {
  const problem = Either.getOrUndefined(Schema.decodeEither(Problem)(text))
  if (problem === undefined) return undefined
  const { detail, error, title } = problem
  const said = [
    detail,
    ...(Schema.is(Fields)(detail) ? [detail.map(({ loc, msg }) => `${loc.join(".")}: ${msg}`).join("; ")] : []),
    // what stands beside the reason is SQL
    ...(Schema.is(Reason)(detail) ? [detail.reason] : []),
    title,
    error
  ].find((word) => typeof word === "string" && word !== "")
  return typeof said === "string" ? said.slice(0, 300) : undefined
}

const classify = (operation: string, status: number, text: string): AirflowApiError => {
  const said = words(text)
  const detail = said ?? `status ${status}`
  const as = (kind: AirflowApiError["kind"], remedy: string) => fail(operation, { kind, detail, remedy, status })
  if (status >= 300 && status < 400) {
    return as("redirected", "A login page stands in front of Airflow: is the token right, and the deployment awake?")
  }
  if (status === 429) return as("rateLimited", "Try again later.")
  if (status === 401) {
    return as("unauthorized", "The token or the password is not accepted; a lease's token ends with the lease.")
  }
  if (status === 403) {
    return as("forbidden", "The token or the user may not do this; some Airflows also answer a wrong password so.")
  }
  // Airflow's own pages for unknown routes are HTML too, but it is not asked for unknown routes
  if (said === undefined && /^\s*</.test(text) && (status === 404 || status >= 502)) return gateway(operation, status)
  if (status === 404) {
    return /removed in Airflow 3/i.test(detail)
      ? as("unsupported", "It has become an Airflow 3 since this client was made: connect again.")
      : as("notFound", "Check the ids. A new DAG file is only seen after some time.")
  }
  if (status === 405) return as("unsupported", "This Airflow does not offer it.")
  if (status === 409) return as("conflict", "It exists already, or is in use.")
  if (status >= 502 && status <= 504) return as("gateway", "It is waking, restarting or asleep.")
  if (status >= 500) return as("server", "Look at the webserver's logs.")
  return as("badRequest", "Airflow refused the request; its words say why.")
}
