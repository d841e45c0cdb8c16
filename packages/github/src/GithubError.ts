/**
 * What can go wrong with GitHub. Status codes are interpreted here and nowhere else.
 *
 * @since 0.1.0
 */
import * as ErrorFields from "@airflow-resource/core/ErrorFields"
import * as RetryAfter from "@airflow-resource/core/RetryAfter"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * A request to GitHub failed.
 *
 * - `unauthorized`, `forbidden`, `notFound`: wrong token or repository name; GitHub responds with 404 for what a token cannot see
 * - `invalid`: GitHub rejected the request, for instance a secret's name
 * - `staleKey`: the repository's public key has changed since the secret was encrypted
 * - `rateLimited`, `unreachable`, `timeout`, `server`: a retry may help
 * - `undecodable`: the response is not what GitHub's API documents
 *
 * @since 0.1.0
 * @category errors
 */
export class GithubError extends Schema.TaggedError<GithubError>("@airflow-resource/github/GithubError")(
  "GithubError",
  {
    kind: Schema.Literal(
      "unauthorized",
      "forbidden",
      "notFound",
      "invalid",
      "staleKey",
      "rateLimited",
      "unreachable",
      "timeout",
      "server",
      "undecodable"
    ),
    ...ErrorFields.fields,
    ...ErrorFields.responseFields
  }
) {
  override get message(): string {
    return ErrorFields.message(this)
  }
  /** Whether a retry may succeed. Says nothing about whether it is safe to send the request twice. */
  get retryable(): boolean {
    return ["rateLimited", "unreachable", "timeout", "server"].includes(this.kind)
  }
}

/**
 * The context of a call, for its error.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attempt {
  readonly operation: string
  /** Current time in milliseconds since 1970. Used if a response has a reset time but no `date` header. */
  readonly now: number
  /** Removes secrets from GitHub's message. */
  readonly hide: (text: string) => string
}

/**
 * Converts what Octokit threw. Copies named fields only: Octokit's own errors contain the request with its body.
 *
 * @example
 * ```ts
 * import * as GithubError from "@airflow-resource/github/GithubError"
 *
 * const thrown = { name: "HttpError", status: 401, response: { headers: {}, data: { message: "Bad credentials" } } }
 * export const error = GithubError.fromOctokit(thrown, {
 *   operation: "get the repository my-org/my-dags",
 *   now: 0,
 *   hide: (text) => text
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromOctokit = (thrown: unknown, attempt: Attempt): GithubError => {
  const fail = (kind: GithubError["kind"], facts: Facts): GithubError =>
    new GithubError({ kind, operation: attempt.operation, ...facts })

  // checked before the status: Octokit gives an aborted request, and one without a response, the status 500
  const names = chain(thrown).map((error) => error.name)
  if (names.includes("AbortError") || names.includes("TimeoutError")) {
    return fail("timeout", { detail: "the request was aborted before GitHub responded", remedy: again })
  }
  const response = record(record(thrown).response)
  const status = record(thrown).status
  if (typeof status !== "number" || typeof response.headers !== "object") return unreachable(thrown, fail)

  const headers = record(response.headers)
  const header = (name: string) => (typeof headers[name] === "string" ? headers[name] : undefined)
  const { message } = record(response.data)
  const words = typeof message === "string" ? attempt.hide(message).replace(/\s+/g, " ").trim().slice(0, 300) : ""
  const requestId = header("x-github-request-id")
  const facts = (remedy: string): Facts => ({
    detail: `GitHub responded with status ${status}${words === "" ? "" : `: ${withoutPeriod(words)}`}`,
    remedy,
    status,
    ...(requestId === undefined ? {} : { requestId })
  })

  const retry = { date: header("date"), "retry-after": header("retry-after") }
  const retryAfter = RetryAfter.of(retry, attempt.now)
  const wait = status === 429 || status === 403
    ? retryAfter ?? rateLimit(status, words, header, RetryAfter.serverTime(retry, attempt.now))
    : undefined
  if (wait !== undefined) {
    return fail("rateLimited", {
      ...facts(
        `Wait ${Duration.format(wait)}, or use a token of another user: all tokens of a user share one rate limit.`
      ),
      retryAfter: wait
    })
  }
  switch (status) {
    case 401:
      return fail("unauthorized", facts("Set AIRFLOW_GITHUB_TOKEN to a token that is valid and has not expired."))
    case 403:
      return fail("forbidden", facts(permissionRemedy(header)))
    case 404:
      return fail(
        "notFound",
        facts(
          "Check the spelling of AIRFLOW_REPO, and whether the token in AIRFLOW_GITHUB_TOKEN can see the repository: if " +
            `it cannot, GitHub responds with 404 too. ${permissionRemedy(header)}`
        )
      )
    case 408:
      return fail("timeout", facts(again))
    case 422:
      return /improperly encrypted/i.test(words)
        ? fail("staleKey", facts("The repository's public key has changed. Try again."))
        : fail(
          "invalid",
          facts("Correct the value that GitHub rejects. If you did not choose it, report a bug in airflow-resource.")
        )
  }
  return status >= 500
    ? fail("server", {
      ...facts(`${again} See https://www.githubstatus.com for outages.`),
      ...(retryAfter === undefined ? {} : { retryAfter })
    })
    : status >= 400
    ? fail("invalid", facts("If GITHUB_API_URL is set, check that it is the address of GitHub's API."))
    : undecodable(attempt.operation, `GitHub responded with status ${status}`, status)
}

/**
 * A response that is not what GitHub's API documents.
 *
 * @since 0.1.0
 * @category constructors
 */
export const undecodable = (operation: string, detail: string, status?: number): GithubError =>
  new GithubError({
    kind: "undecodable",
    operation,
    detail,
    remedy: "Check whether GITHUB_API_URL or a proxy leads to something other than GitHub's API.",
    ...(status === undefined ? {} : { status })
  })

/**
 * GitHub did not respond in time.
 *
 * @since 0.1.0
 * @category constructors
 */
export const timedOut = (operation: string, after: Duration.Duration): GithubError =>
  new GithubError({
    kind: "timeout",
    operation,
    detail: `GitHub did not respond within ${Duration.format(after)}`,
    remedy: again
  })

// internal

type Facts = Omit<ConstructorParameters<typeof GithubError>[0], "kind" | "operation">

type Header = (name: string) => string | undefined

const again = "Try again later."

const withoutPeriod = (words: string) => words.replace(/\.$/, "")

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? value as Record<string, unknown> : {}

/** The error, its cause, the cause's cause and so on; at most five. */
const chain = (thrown: unknown): ReadonlyArray<Record<string, unknown>> => {
  const errors = [record(thrown)]
  while (errors.length < 5 && errors.at(-1)!.cause !== undefined) errors.push(record(errors.at(-1)!.cause))
  return errors
}

const unreachable = (thrown: unknown, fail: (kind: GithubError["kind"], facts: Facts) => GithubError): GithubError => {
  const code = chain(thrown).map((error) => error.code).find((code) => typeof code === "string")
  return fail("unreachable", {
    detail: `GitHub could not be reached${code === undefined ? "" : ` (${code})`}`,
    remedy: /CERT|SELF_SIGNED|SIGNATURE/.test(String(code))
      ? "Set NODE_EXTRA_CA_CERTS to the file of your certificate authority."
      : "Check the network, the proxy (HTTPS_PROXY) and, if it is set, GITHUB_API_URL."
  })
}

/**
 * How long to wait without a `retry-after`, as GitHub documents it: until the reset, if no requests remain; else a minute. `undefined` if
 * the response is not about a rate limit.
 */
const rateLimit = (status: number, words: string, header: Header, now: number): Duration.Duration | undefined => {
  const reset = Number(header("x-ratelimit-reset") ?? Number.NaN)
  if (header("x-ratelimit-remaining") === "0" && Number.isFinite(reset)) {
    return Duration.millis(Math.max(0, reset * 1000 - now))
  }
  return status === 429 || /rate limit/i.test(words) ? Duration.minutes(1) : undefined
}

const permissionRemedy = (header: Header): string => {
  const accepted = header("x-accepted-github-permissions")
  if (header("x-github-sso") !== undefined) {
    return "Authorize the token in AIRFLOW_GITHUB_TOKEN for the organization's single sign-on."
  }
  return accepted === undefined
    ? "The token needs the permission Secrets: write (a classic token: the scope repo)."
    : `The token needs the permission ${accepted} (a classic token: the scope repo).`
}
