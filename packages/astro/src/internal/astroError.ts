/** Classifies Astro's responses. Its status codes and messages are interpreted here and nowhere else. */
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import type { HttpClientError } from "@effect/platform/HttpClientError"
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

export const undecodable = (operation: string, text: string, error: ParseResult.ParseError): ProviderError =>
  isHtml(text)
    ? html(operation, 200)
    : make(operation, {
      kind: "undecodable",
      // only the path: the value may be a secret
      detail: `Astro's response is not what its API documents (${paths(error)})`,
      remedy: "Update airflow-resource. If it is up to date, report a bug."
    })

interface Response {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly text: string
}

/** The body, if the request succeeded. */
export const bodyOf = (operation: string, response: Response): Effect.Effect<string, ProviderError> =>
  response.status === 200 || response.status === 204 ? Effect.succeed(response.text) : classify(operation, response)

/** The pause before a retry: as long as the server says, else 0.5, 1, 2, 4 seconds; at most a minute. */
export const retryDelay = (error: ProviderError, retried: number): Duration.Duration =>
  Duration.min(error.retryAfter ?? Duration.millis(500 * 2 ** retried), Duration.minutes(1))

const tryAgain = "Try again. If it happens again, see https://cloudstatus.astronomer.io."

const Body = Schema.parseJson(Schema.Struct({
  message: Schema.String,
  requestId: Schema.optional(Schema.String)
}))

const classify = (operation: string, { headers, status, text }: Response): ProviderError => {
  const body = Either.getOrUndefined(Schema.decodeEither(Body)(text))
  const detail = (body?.message ?? `status ${status}`).slice(0, 300)
  const fail = (kind: ProviderError["kind"], remedy: string, extra: Partial<Facts> = {}) =>
    make(operation, {
      kind,
      detail,
      remedy,
      status,
      ...(body?.requestId === undefined ? {} : { requestId: body.requestId }),
      ...extra
    })
  if (status === 429) {
    const retryAfter = retryAfterOf(headers["retry-after"])
    return fail(
      "rateLimited",
      "To stay below Astro's limits, run fewer processes at once, or give some of them another token.",
      retryAfter === undefined ? {} : { retryAfter }
    )
  }
  if (body === undefined && isHtml(text)) return html(operation, status)
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

const html = (operation: string, status: number) =>
  make(operation, {
    kind: "notJson",
    detail: `the response is an HTML page instead of JSON (status ${status})`,
    remedy: "A proxy or a gateway responded instead of Astro's API: check ASTRO_API_URL and HTTPS_PROXY, or try again.",
    status
  })

const isHtml = (text: string) => /^\s*</.test(text)

const retryAfterOf = (value: string | undefined): Duration.Duration | undefined =>
  value !== undefined && /^\d+$/.test(value.trim()) ? Duration.seconds(Number(value)) : undefined

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
