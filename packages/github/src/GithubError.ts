/**
 * What can go wrong with GitHub, classified in one place. Nobody else looks at status codes.
 *
 * @since 0.1.0
 */
import * as ErrorFields from "@airflow-resource/core/ErrorFields"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/**
 * The one error of GitHub's API.
 *
 * - `unauthorized`, `forbidden`, `notFound`: the token, or the repository's name; GitHub hides as 404 what a token may not see
 * - `invalid`: the request was refused, for instance for a name that no secret may have
 * - `staleKey`: the public key that a secret was encrypted with is not the repository's any more
 * - `rateLimited`, `unreachable`, `timeout`, `server`: may get better
 * - `undecodable`: the answer was not what GitHub's API promises
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
  /** Worth another try, for a request that may be repeated. */
  get retryable(): boolean {
    return ["rateLimited", "unreachable", "timeout", "server"].includes(this.kind)
  }
}

/**
 * What a call was about, for the error that may come of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attempt {
  readonly operation: string
  /** Milliseconds since 1970, for an answer that names a time and has no date. */
  readonly now: number
  /** Takes out of GitHub's words what must not be shown. */
  readonly hide: (text: string) => string
}

/**
 * Reads what Octokit threw. Only single, named facts are taken over: Octokit's own errors carry the request with its body.
 *
 * @example
 * ```ts
 * import * as GithubError from "@airflow-resource/github/GithubError"
 *
 * const thrown = { name: "HttpError", status: 401, response: { headers: {}, data: { message: "Bad credentials" } } }
 * export const error = GithubError.fromOctokit(thrown, {
 *   operation: "look at my-org/my-dags",
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

  // before the status: Octokit gives an abort, and a request that was never answered, the status 500
  const names = chain(thrown).map((error) => error.name)
  if (names.includes("AbortError") || names.includes("TimeoutError")) {
    return fail("timeout", { detail: "it was given up before GitHub answered", remedy: again })
  }
  const response = record(record(thrown).response)
  const status = record(thrown).status
  if (typeof status !== "number" || typeof response.headers !== "object") return unreachable(thrown, fail)

  const headers = record(response.headers)
  const header = (name: string) => (typeof headers[name] === "string" ? headers[name] : undefined)
  const said = record(response.data).message
  const words = typeof said === "string" ? attempt.hide(said).replace(/\s+/g, " ").trim().slice(0, 300) : ""
  const requestId = header("x-github-request-id")
  const facts = (remedy: string): Facts => ({
    detail: words === "" ? `GitHub answered ${status} without a word` : `GitHub answered ${status}: ${stop(words)}`,
    remedy,
    status,
    ...(requestId === undefined ? {} : { requestId })
  })

  const wait = status === 429 || status === 403 ? rateLimit(status, words, header, attempt.now) : undefined
  if (wait !== undefined) {
    return fail("rateLimited", {
      ...facts(`Wait ${Duration.format(wait)}, or use a token with a budget of its own.`),
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
          "Is AIRFLOW_REPO spelled right, and may the token of AIRFLOW_GITHUB_TOKEN see it? GitHub answers 404 for a " +
            `repository that a token may not see. ${permissionRemedy(header)}`
        )
      )
    case 408:
      return fail("timeout", facts(again))
    case 422:
      return /improperly encrypted/i.test(words)
        ? fail("staleKey", facts("The repository's public key changed in between. Try again."))
        : fail("invalid", facts("Change what GitHub names, or report it: this should not happen."))
  }
  return status >= 500
    ? fail("server", facts(`${again} Is https://www.githubstatus.com green?`))
    : status >= 400
    ? fail("invalid", facts("Is GITHUB_API_URL, if it is set, the address of GitHub's API?"))
    : undecodable(attempt.operation, `GitHub answered ${status}`, status)
}

/**
 * An answer that is not what GitHub's API promises.
 *
 * @since 0.1.0
 * @category constructors
 */
export const undecodable = (operation: string, detail: string, status?: number): GithubError =>
  new GithubError({
    kind: "undecodable",
    operation,
    detail,
    remedy: "Does GITHUB_API_URL, if it is set, or a proxy lead to something else than GitHub's API?",
    ...(status === undefined ? {} : { status })
  })

/**
 * A request that got no answer in time.
 *
 * @since 0.1.0
 * @category constructors
 */
export const timedOut = (operation: string, after: Duration.Duration): GithubError =>
  new GithubError({ kind: "timeout", operation, detail: `no answer within ${Duration.format(after)}`, remedy: again })

// internal

type Facts = Omit<ConstructorParameters<typeof GithubError>[0], "kind" | "operation">

type Header = (name: string) => string | undefined

const again = "Try again later."

const stop = (words: string) => words.replace(/\.$/, "")

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? value as Record<string, unknown> : {}

/** The error, its cause, its cause's cause. */
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
      ? "Name your certificate authority in NODE_EXTRA_CA_CERTS."
      : "Is there a network, a proxy to be named in HTTPS_PROXY, or a mistake in GITHUB_API_URL?"
  })
}

/** In GitHub's order: `retry-after`, else the reset of an empty budget, else a minute. `undefined`: no rate limit. */
const rateLimit = (status: number, words: string, header: Header, now: number): Duration.Duration | undefined => {
  const retryAfter = Number(header("retry-after") ?? Number.NaN)
  if (Number.isFinite(retryAfter)) return Duration.seconds(Math.max(0, retryAfter))
  const reset = Number(header("x-ratelimit-reset") ?? Number.NaN)
  if (header("x-ratelimit-remaining") === "0" && Number.isFinite(reset)) {
    // GitHub's clock rather than ours, which may be wrong; DateTime does not know GMT
    const date = Option.map(DateTime.make((header("date") ?? "").replace("GMT", "+0000")), DateTime.toEpochMillis)
    return Duration.millis(Math.max(0, reset * 1000 - Option.getOrElse(date, () => now)))
  }
  return status === 429 || /rate limit/i.test(words) ? Duration.minutes(1) : undefined
}

const permissionRemedy = (header: Header): string => {
  const accepted = header("x-accepted-github-permissions")
  if (header("x-github-sso") !== undefined) {
    return "The organization wants the token of AIRFLOW_GITHUB_TOKEN to be authorized for single sign-on."
  }
  return accepted === undefined
    ? "It needs the permission Secrets: write (a classic token: the scope repo)."
    : `It needs the permission ${accepted} (a classic token: the scope repo).`
}
