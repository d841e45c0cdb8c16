/** Classifies Astro's responses. Its status codes and messages are interpreted here and nowhere else. */
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as RetryAfter from "@airflow-resource/core/RetryAfter"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { AstroCliError } from "../AstroCliError.js"

type Facts = Omit<ConstructorParameters<typeof ProviderError>[0], "operation">

export const make = (operation: string, facts: Facts) => new ProviderError({ operation, ...facts })

export const tokenExpired = (detail: string, status?: number) =>
  make("use Astro's API", {
    kind: "tokenExpired",
    detail,
    remedy:
      "Get a new token at https://cloud.astronomer.io/token, or use a Workspace API token, and set ASTRO_ACCESS_TOKEN.",
    ...(status === undefined ? {} : { status })
  })

export const tokenTruncated = make("use Astro's API", {
  kind: "unauthorized",
  detail: "the token is cut off: it is only the beginning of one",
  remedy: "Copy it again, completely, and set ASTRO_ACCESS_TOKEN."
})

export const suspended = (operation: string, detail: string, status?: number) =>
  make(operation, {
    kind: "suspended",
    detail,
    remedy: "Ask Astronomer's support or your account's owner. Nothing works until the organization is active again.",
    ...(status === undefined ? {} : { status })
  })

export const fromTransport = (operation: string, error: HttpClientError): ProviderError =>
  error.cause instanceof AstroCliError ? fromCli(operation, error.cause) : make(operation, {
    kind: "unreachable",
    detail: `Astro's API could not be reached (${causeCode(error)})`,
    remedy: "Check the network, the proxy (HTTPS_PROXY) and, if it is set, ASTRO_API_URL."
  })

const fromCli = (operation: string, { detail, kind, remedy }: AstroCliError): ProviderError =>
  make(operation, { kind: kinds[kind], detail: `the astro CLI cannot be used: ${detail}`, remedy })

const kinds: Record<AstroCliError["kind"], ProviderError["kind"]> = {
  notFound: "unusable",
  unusable: "unusable",
  tooOld: "unusable",
  notLoggedIn: "unauthorized",
  hangs: "timeout",
  timeout: "timeout",
  unreachable: "unreachable",
  // it may have sent a request to Astro before it gave up
  refused: "undecodable",
  crashed: "undecodable",
  unexpected: "undecodable"
}

export const timedOut = (operation: string, after: Duration.Duration) =>
  make(operation, {
    kind: "timeout",
    detail: `Astro's API did not respond within ${Duration.format(after)}`,
    remedy: tryAgain
  })

/** Only the path of the error, because the value may be a secret. */
export const undecodable = (operation: string, text: string, error: ParseResult.ParseError): ProviderError =>
  undocumented(operation, { status: 200, headers: {}, text }, paths(error))

/** Astro responded, but not as if it had done what was requested. */
export const unconfirmed = (operation: string, expected: string): ProviderError =>
  make(operation, {
    kind: "undecodable",
    detail: `the response does not confirm that ${expected}`,
    remedy: `${somethingElse} If it happens again, report a bug.`
  })

interface Response {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly text: string
}

/** The body, if the response has the status that Astro's API documents for success. */
export const bodyOf = (
  operation: string,
  response: Response,
  documentedStatus: number
): Effect.Effect<string, ProviderError> =>
  response.status === documentedStatus
    ? Effect.succeed(response.text)
    : Effect.flatMap(Clock.currentTimeMillis, (now) => classify(operation, response, now))

/** The pause before a retry: 0.5, 1, 2, 4 seconds, or longer if the server says so. */
export const retryDelay = (error: ProviderError, retried: number): Duration.Duration =>
  Duration.max(Duration.millis(500 * 2 ** retried), error.retryAfter ?? Duration.zero)

const tryAgain = "Try again. If it happens again, see https://cloudstatus.astronomer.io."

const Body = Schema.parseJson(Schema.Struct({
  message: Schema.String,
  requestId: Schema.optional(Schema.String)
}))

const classify = (operation: string, response: Response, now: number): ProviderError => {
  const { headers, status, text } = response
  const retryAfter = status === 429 || status >= 500 ? RetryAfter.of(headers, now) : undefined
  const body = Either.getOrUndefined(Schema.decodeEither(Body)(text))
  const detail = (body?.message ?? `status ${status}`).slice(0, 300)
  const fail = (kind: ProviderError["kind"], remedy: string) =>
    make(operation, {
      kind,
      detail,
      remedy,
      status,
      ...(body?.requestId === undefined ? {} : { requestId: body.requestId }),
      ...(retryAfter === undefined ? {} : { retryAfter })
    })
  if (status === 429) {
    return fail(
      "rateLimited",
      "To stay below Astro's limits, run fewer processes at once, or give some of them another token."
    )
  }
  // Astro's refusals have a message; some gateways in front of Astro send only a status
  const isRefusal = body === undefined
    ? (status >= 500 || [401, 403, 408].includes(status)) && !isHtml(text)
    : status >= 400
  if (!isRefusal) return undocumented(operation, response, `status ${status}`, retryAfter)
  if (/organization is (?:inactive|suspended)/i.test(detail)) return suspended(operation, detail, status)
  if (status === 401) {
    return /expired/i.test(detail)
      ? tokenExpired(detail, status)
      : fail(
        "unauthorized",
        "Check ASTRO_ACCESS_TOKEN: Astro does not accept this token (https://cloud.astronomer.io/token)."
      )
  }
  if (status === 403) {
    return fail(
      "forbidden",
      /token/.test(operation)
        ? "Minting deployment tokens requires Workspace Owner rights: use such a token, or AIRFLOW_RESOURCE_FENCE=auto."
        : "The token needs Workspace Operator rights for this, or Workspace Owner rights to mint a token for each lease."
    )
  }
  if (status === 404) {
    return fail("notFound", "It was deleted, or the token has no access to it: check both in Astro's UI.")
  }
  if (status === 408) return fail("timeout", "Try again.")
  if (status >= 500) return fail("server", tryAgain)
  if (/already exists/i.test(detail)) {
    return fail("nameTaken", "Another deployment has this name. Rename it, or set AIRFLOW_RESOURCE_POOL.")
  }
  if (/development mode|development deployment/i.test(detail)) {
    return fail("notDevelopment", "Only deployments in development mode can hibernate: use another one.")
  }
  if (/runtime/i.test(detail)) return fail("unknownRuntime", "Set ASTRO_RUNTIME_VERSION to one that Astro offers.")
  if (/region|cloud ?provider/i.test(detail)) {
    return fail("unknownRegion", "Set ASTRO_CLOUD_PROVIDER and ASTRO_REGION to a pair that Astro offers.")
  }
  if (/quota|limit|maximum|trial/i.test(detail)) {
    return fail("quota", "Delete deployments that are no longer needed, or lower AIRFLOW_RESOURCE_MAX.")
  }
  return fail(
    "invalid",
    "Correct the setting that Astro rejects. If you did not choose it, report a bug in airflow-resource."
  )
}

/**
 * A response that Astro's API does not document, so that Astro may not have sent it. It proves neither that the request was carried out
 * nor that it was not.
 */
const undocumented = (
  operation: string,
  { headers, status, text }: Response,
  problem: string,
  retryAfter?: Duration.Duration
): ProviderError => {
  const is = status >= 300 && status < 400
    ? `a redirect${targetOf(headers.location)}, which was not followed`
    : isHtml(text)
    ? "an HTML page instead of JSON"
    : text.trim() === ""
    ? "empty"
    : isJson(text)
    ? undefined
    : "not JSON"
  return is === undefined
    ? make(operation, {
      kind: "undecodable",
      detail: `Astro's response is not what its API documents (${problem})`,
      remedy: `Update airflow-resource. If it is up to date: ${somethingElse}`,
      status
    })
    : make(operation, {
      kind: "notJson",
      detail: `the response is ${is} (status ${status})`,
      remedy: somethingElse,
      status,
      ...(retryAfter === undefined ? {} : { retryAfter })
    })
}

const somethingElse =
  "A proxy, a captive portal or a login page may have responded instead of Astro's API: log in to the network, " +
  "check HTTPS_PROXY and, if it is set, ASTRO_API_URL, then try again."

/** Without the path and the query, which may contain secrets. */
const targetOf = (location = "") =>
  location === ""
    ? ""
    : URL.canParse(location)
    ? ` to ${new URL(location).origin}`
    : " to another path of the same server"

const isHtml = (text: string) => /^\s*</.test(text)

const isJson = (text: string) => Either.isRight(Schema.decodeEither(Schema.parseJson())(text))

const causeCode = (error: HttpClientError) => {
  const codes = chain(error).flatMap((cause) => "code" in cause && typeof cause.code === "string" ? [cause.code] : [])
  return codes[0] ?? error.reason
}

const chain = (error: unknown, depth = 0): ReadonlyArray<object> =>
  typeof error !== "object" || error === null || depth > 5
    ? []
    : [error, ...chain("cause" in error ? error.cause : undefined, depth + 1)]

const paths = (error: ParseResult.ParseError) =>
  error.message.split("\n").flatMap((line) => /\["[^"]+"\]/.exec(line)?.[0] ?? []).join("") || "it cannot be parsed"
