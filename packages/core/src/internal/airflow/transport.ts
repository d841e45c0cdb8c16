/**
 * Requests to one Airflow, and the one place that knows what its answers mean.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
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
const repeatable = ({ method }: Call) => method !== "POST"

const requestTimeout = Duration.seconds(15)

export const make = (http: HttpClient.HttpClient, { baseUrl, credentials }: Endpoint) => {
  const client = HttpClient.withTracerPropagation(http, false)
  const authorize = credentials._tag === "Bearer"
    ? HttpClientRequest.bearerToken(credentials.token)
    : HttpClientRequest.basicAuth(credentials.username, credentials.password)

  const send = (call: Call): Effect.Effect<string, AirflowApiError> =>
    client.execute(
      HttpClientRequest.make(call.method)(`${baseUrl}${call.path}`).pipe(
        authorize,
        HttpClientRequest.setHeader("accept", call.accept ?? "application/json"),
        // without a body there must be no content type either: a DELETE with one is refused
        (request) => call.body === undefined ? request : HttpClientRequest.bodyUnsafeJson(request, call.body)
      )
    ).pipe(
      Effect.flatMap((response) => Effect.map(response.text, (text) => ({ status: response.status, text }))),
      Effect.timeoutOption(requestTimeout),
      Effect.mapError((error) => fromTransport(call.operation, error)),
      Effect.flatMap(Option.match({
        onNone: () =>
          fail(call.operation, {
            kind: "timeout",
            detail: `no answer within ${Duration.format(requestTimeout)}`,
            remedy: "Try again; a busy webserver may need longer."
          }),
        onSome: ({ status, text }) =>
          status >= 200 && status < 300 ? Effect.succeed(text) : classify(call.operation, status, text)
      })),
      Effect.withTracerEnabled(false)
    )

  const text = (call: Call) =>
    repeatable(call)
      ? Effect.retry(send(call), {
        times: 3,
        schedule: Schedule.jittered(Schedule.exponential("250 millis")),
        while: (error) => error.retryable
      })
      : send(call)

  return {
    text,
    json: <A, I>(call: Call, schema: Schema.Schema<A, I>): Effect.Effect<A, AirflowApiError> =>
      Effect.flatMap(text(call), (body) =>
        Effect.mapError(Schema.decode(Schema.parseJson(schema))(body), () =>
          /^\s*</.test(body)
            ? gateway(call.operation, 200)
            : fail(call.operation, {
              kind: "undecodable",
              detail: "the answer is not what Airflow's API promises",
              remedy: "Is this an Airflow 2 whose answers arrive whole? Look at what stands in front of it."
            })))
  }
}

export type Transport = ReturnType<typeof make>

type Facts = Omit<ConstructorParameters<typeof AirflowApiError>[0], "operation">

export const fail = (operation: string, facts: Facts) => new AirflowApiError({ operation, ...facts })

/** Ids may contain anything; fetch would resolve a segment of dots. */
export const segment = (id: string) => encodeURIComponent(id).replace(/^\.{1,2}$/, (dots) => dots.replaceAll(".", "%2E"))

const fromTransport = (operation: string, error: HttpClientError): AirflowApiError =>
  fail(operation, {
    kind: "unreachable",
    detail: `Airflow did not answer (${error.reason})`,
    remedy: "Is the deployment awake? A lease keeps it so; after the lease it hibernates."
  })

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
  if (status === 401) return as("unauthorized", "The token or the password is not accepted; a lease's token ends with the lease.")
  if (status === 403) return as("forbidden", "The token or the user may not do this.")
  // Airflow's own pages for unknown routes are HTML too, but it is not asked for unknown routes
  if (said === undefined && /^\s*</.test(text) && (status === 404 || status >= 502)) return gateway(operation, status)
  if (status === 404) {
    return /removed in Airflow 3/i.test(detail)
      ? as("unsupported", "This is Airflow 3, and only Airflow 2 is supported yet: choose a runtime such as 13.1.0.")
      : as("notFound", "Check the ids. A new DAG file is only seen after some time.")
  }
  if (status === 409) return as("conflict", "It exists already, or is in use.")
  if (status >= 502 && status <= 504) return as("gateway", "It is waking, restarting or asleep.")
  if (status >= 500) return as("server", "Look at the webserver's logs.")
  return as("badRequest", "Airflow refused the request; its words say why.")
}
