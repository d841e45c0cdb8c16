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
import type { Endpoint } from "../../Airflow.js"
import { AirflowApiError } from "../../Airflow.js"

export interface Call {
  /** In words: "trigger hello_world_dag". */
  readonly operation: string
  readonly method: "GET" | "POST" | "PATCH" | "DELETE"
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

export const make = (http: HttpClient.HttpClient, { baseUrl, credentials }: Endpoint) => {
  const client = HttpClient.withTracerPropagation(http, false)
  const authorize = credentials._tag === "Bearer"
    ? HttpClientRequest.bearerToken(credentials.token)
    : HttpClientRequest.basicAuth(credentials.username, credentials.password)
  // a server may repeat what it was sent; a short password would blot out ordinary words
  const secret = Redacted.value(credentials._tag === "Bearer" ? credentials.token : credentials.password)
  const withoutSecret = (text: string) => secret.length < 12 ? text : text.replaceAll(secret, "<redacted>")

  const send = (call: Call): Effect.Effect<string, Failure> =>
    climbs(call.path) ? Effect.fail<Failure>({ error: unaddressable(call.operation) }) : exchange(call)

  const exchange = (call: Call): Effect.Effect<string, Failure> =>
    client.execute(
      HttpClientRequest.make(call.method)(`${baseUrl}${call.path}`).pipe(
        authorize,
        HttpClientRequest.setHeader("accept", call.accept ?? "application/json"),
        // without a body there must be no content type either: a DELETE with one is refused
        (request) => call.body === undefined ? request : HttpClientRequest.bodyUnsafeJson(request, call.body)
      )
    ).pipe(
      Effect.flatMap(({ headers, status, text }) => Effect.map(text, (text) => ({ headers, status, text }))),
      // a redirection leads to a login page, which must not be taken for an answer
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
      Effect.timeoutOption(requestTimeout),
      Effect.mapError((error): Failure => ({ error: fromTransport(call.operation, error) })),
      Effect.flatMap(Option.match({
        onNone: () => Effect.fail<Failure>({ error: tooSlow(call.operation) }),
        onSome: ({ headers, status, text }) =>
          status >= 200 && status < 300
            ? Effect.succeed(text)
            : Effect.fail<Failure>({
              error: classify(call.operation, status, withoutSecret(text)),
              ...askedToWait(headers["retry-after"])
            })
      })),
      Effect.withTracerEnabled(false)
    )

  const text = (call: Call): Effect.Effect<string, AirflowApiError> =>
    send(call).pipe(
      Effect.retry({ schedule: repetitions, while: ({ error }) => repeatable(call, error) }),
      Effect.mapError(({ error }) => error)
    )

  return {
    text,
    json: <A, I>(call: Call, schema: Schema.Schema<A, I>): Effect.Effect<A, AirflowApiError> =>
      Effect.flatMap(
        text(call),
        (body) =>
          Effect.mapError(Schema.decode(Schema.parseJson(schema))(body), () =>
            /^\s*</.test(body)
              ? gateway(call.operation, 200)
              : fail(call.operation, {
                kind: "undecodable",
                detail: "the answer is not what Airflow's API promises",
                remedy: "Is this an Airflow 2 whose answers arrive whole? Look at what stands in front of it."
              }))
      )
  }
}

export type Transport = ReturnType<typeof make>

type Facts = Omit<ConstructorParameters<typeof AirflowApiError>[0], "operation">

export const fail = (operation: string, facts: Facts) => new AirflowApiError({ operation, ...facts })

/** Ids may contain anything that can be encoded; of an id of dots every URL library makes a step up. */
export const segment = (id: string) => encodeURIComponent(id)

const climbs = (path: string) => /(^|\/)\.{1,2}(?=[/?]|$)/.test(path)

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

const Problem = Schema.parseJson(Schema.Struct({
  detail: Schema.optional(Schema.Unknown),
  title: Schema.optional(Schema.Unknown),
  error: Schema.optional(Schema.Unknown)
}))

const words = (text: string): string | undefined => {
  const problem = Either.getOrUndefined(Schema.decodeEither(Problem)(text))
  const said = [problem?.detail, problem?.title, problem?.error].find((word) => typeof word === "string" && word !== "")
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
  if (status === 403) return as("forbidden", "The token or the user may not do this.")
  // Airflow's own pages for unknown routes are HTML too, but it is not asked for unknown routes
  if (said === undefined && /^\s*</.test(text) && (status === 404 || status >= 502)) return gateway(operation, status)
  if (status === 404) {
    return /removed in Airflow 3/i.test(detail)
      ? as("unsupported", "This is Airflow 3, and only Airflow 2 is supported yet: choose a runtime such as 13.1.0.")
      : as("notFound", "Check the ids. A new DAG file is only seen after some time.")
  }
  // Airflow 3 answers so to a POST below /api/v1
  if (status === 405) return as("unsupported", "This server does not offer it; only Airflow 2 is supported yet.")
  if (status === 409) return as("conflict", "It exists already, or is in use.")
  if (status >= 502 && status <= 504) return as("gateway", "It is waking, restarting or asleep.")
  if (status >= 500) return as("server", "Look at the webserver's logs.")
  return as("badRequest", "Airflow refused the request; its words say why.")
}
