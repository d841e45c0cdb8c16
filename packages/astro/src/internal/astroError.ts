/**
 * What Astro's answers mean: the one place that looks at status codes and at words.
 */
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
      "Get a new one at https://cloud.astronomer.io/token, or use a Workspace API token, and set ASTRO_ACCESS_TOKEN.",
    ...(status === undefined ? {} : { status })
  })

export const suspended = (operation: string, detail: string, status?: number) =>
  make(operation, {
    kind: "suspended",
    detail,
    remedy: "Ask Astronomer's support, or whoever pays for it: nothing works until the organization is active again.",
    ...(status === undefined ? {} : { status })
  })

export const fromTransport = (operation: string, error: HttpClientError): ProviderError =>
  error.cause instanceof AstroCliError ? fromCli(operation, error.cause) : make(operation, {
    kind: "unreachable",
    detail: `Astro's API did not answer (${causeCode(error)})`,
    remedy: "Is the network up, and is ASTRO_API_URL, if it is set, right? HTTPS_PROXY is honoured."
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
  // it may have asked Astro first
  refused: "undecodable",
  crashed: "undecodable",
  unexpected: "undecodable"
}

export const timedOut = (operation: string, after: Duration.Duration) =>
  make(operation, {
    kind: "timeout",
    detail: `Astro's API did not answer within ${Duration.format(after)}`,
    remedy: "Try again; if it stays, look at https://cloudstatus.astronomer.io."
  })

export const undecodable = (operation: string, text: string, error: ParseResult.ParseError): ProviderError =>
  isHtml(text)
    ? html(operation, 200)
    : make(operation, {
      kind: "undecodable",
      // the expectation only: the value may be a secret
      detail: `Astro's answer is not what its API promises (${paths(error)})`,
      remedy: "Update airflow-resource; if it is up to date, report this."
    })

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly text: string
}

/** The body of a success, or the error. */
export const orAnswer = (operation: string, answer: Answer): Effect.Effect<string, ProviderError> => {
  if (answer.status === 200 || answer.status === 204) return Effect.succeed(answer.text)
  return classify(operation, answer)
}

/** How long to wait before the next try: as the server says, up to a minute, else 0.5, 1, 2, 4 seconds. */
export const pauseBefore = (error: ProviderError, tried: number): Duration.Duration =>
  Duration.min(error.retryAfter ?? Duration.millis(500 * 2 ** tried), Duration.minutes(1))

const Body = Schema.parseJson(Schema.Struct({
  message: Schema.String,
  requestId: Schema.optional(Schema.String)
}))

const classify = (operation: string, { headers, status, text }: Answer): ProviderError => {
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
      "Fewer processes at once, or a token of their own for some of them, keep below Astro's limits.",
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
        "Check ASTRO_ACCESS_TOKEN: Astro does not know this token (https://cloud.astronomer.io/token)."
      )
  }
  if (status === 403) {
    return fail(
      "forbidden",
      /token/.test(operation)
        ? "Making deployment tokens needs Workspace Owner rights: use such a token, or AIRFLOW_RESOURCE_FENCE=auto."
        : "The token needs Workspace Operator rights for this, or Workspace Owner rights to give every lease its own token."
    )
  }
  if (status === 404) return fail("notFound", "It was deleted, or the token may not see it.")
  if (status === 408) return fail("timeout", "Try again.")
  if (status >= 500) return fail("server", "Try again; if it stays, look at https://cloudstatus.astronomer.io.")
  if (/already exists/i.test(detail)) {
    return fail("nameTaken", "Another deployment has this name: rename it, or set AIRFLOW_RESOURCE_POOL.")
  }
  if (/development mode|development deployment/i.test(detail)) {
    return fail("notDevelopment", "Only deployments that were made in development mode can hibernate: use another one.")
  }
  if (/runtime/i.test(detail)) return fail("unknownRuntime", "Set ASTRO_RUNTIME_VERSION to one that Astro offers.")
  if (/region|cloud ?provider/i.test(detail)) {
    return fail("unknownRegion", "Set ASTRO_CLOUD_PROVIDER and ASTRO_REGION to a pair that Astro offers.")
  }
  if (/quota|limit|maximum|trial/i.test(detail)) {
    return fail("quota", "Delete deployments that nobody needs, or lower AIRFLOW_RESOURCE_MAX.")
  }
  return fail("invalid", "Astro refused the request; its words say why.")
}

const html = (operation: string, status: number) =>
  make(operation, {
    kind: "notJson",
    detail: `an HTML page came where JSON was due (status ${status})`,
    remedy: "A proxy or a gateway answered in place of Astro's API: check ASTRO_API_URL and HTTPS_PROXY, or try again.",
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
  error.message.split("\n").flatMap((line) => /\["[^"]+"\]/.exec(line)?.[0] ?? []).join("") || "it cannot be read"
