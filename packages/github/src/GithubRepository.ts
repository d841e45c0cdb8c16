/**
 * Which repository the DAGs live in: `AIRFLOW_REPO`, in every form that people paste.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category models
 */
export class GithubRepository extends Schema.Class<GithubRepository>("@airflow-resource/github/GithubRepository")({
  /** In lower case, with a port where the URL had one. */
  host: Schema.NonEmptyString,
  owner: Schema.NonEmptyString,
  name: Schema.NonEmptyString
}) {
  /** The repository as GitHub writes it: `owner/name`. */
  get fullName(): string {
    return `${this.owner}/${this.name}`
  }
}

/**
 * What was given names no repository that may be talked to. The text itself is not repeated: it may carry credentials.
 *
 * @since 0.1.0
 * @category errors
 */
export class RepositoryInvalid
  extends Schema.TaggedError<RepositoryInvalid>("@airflow-resource/github/RepositoryInvalid")("RepositoryInvalid", {
    problem: Schema.String,
    remedy: Schema.String
  })
{
  override get message(): string {
    return `AIRFLOW_REPO cannot be used: ${this.problem}. ${this.remedy}`
  }
  readonly retryable = false
}

/**
 * Reads `owner/name`, `https://host/owner/name` (also with `.git`, credentials, `/tree/…`, a query), `git@host:owner/name.git`,
 * `ssh://`, `git://`, `git+ssh://`, `git+https://`, and `host/owner/name`. Credentials are dropped, never used.
 *
 * @example
 * ```ts
 * import * as GithubRepository from "@airflow-resource/github/GithubRepository"
 * import * as Effect from "effect/Effect"
 *
 * export const program = Effect.gen(function*() {
 *   const repository = yield* GithubRepository.parse("git@github.com:my-org/my-dags.git")
 *   return repository.fullName // "my-org/my-dags"
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (text: string): Effect.Effect<GithubRepository, RepositoryInvalid> =>
  Effect.suspend(() => {
    const place = locate(text.trim())
    if (typeof place === "string") return invalid(place)
    const [owner, lastName, ...rest] = place.path.split("/").filter((segment) => segment !== "")
    const name = lastName?.replace(/\.git$/i, "")
    const host = place.host.toLowerCase().replace(/^(www|ssh)\.github\.com$/, "github.com")
    const problem = problemOfHost(host) ?? problemOfOwner(owner) ?? problemOfName(name) ??
      (rest.length > 0 && !place.pageOfRepository ? "it has more parts than an owner and a name" : undefined)
    return problem === undefined
      ? Effect.succeed(new GithubRepository({ host, owner: owner!, name: name! }))
      : invalid(problem)
  })

/**
 * Where the repository's host serves its API. The token goes to `api.github.com` and, if it is set, to `GITHUB_API_URL`: never
 * to a host just because it stood in `AIRFLOW_REPO`.
 *
 * @example
 * ```ts
 * import * as GithubRepository from "@airflow-resource/github/GithubRepository"
 * import * as Effect from "effect/Effect"
 *
 * export const apiUrl = GithubRepository.parse("https://github.example.com/my-org/my-dags").pipe(
 *   Effect.flatMap((repository) => GithubRepository.apiUrl(repository, "https://github.example.com/api/v3"))
 * )
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const apiUrl = (
  repository: GithubRepository,
  explicit?: string | undefined
): Effect.Effect<string, RepositoryInvalid> => {
  if (explicit !== undefined) {
    const url = explicit.trim().replace(/\/+$/, "")
    return safeApiUrl.test(url)
      ? Effect.succeed(url)
      : Effect.fail(
        new RepositoryInvalid({
          problem: "GITHUB_API_URL is no https URL without credentials, query and fragment",
          remedy: "Set it like GITHUB_API_URL=https://github.example.com/api/v3. Plain http is for loopback only."
        })
      )
  }
  return repository.host === "github.com"
    ? Effect.succeed("https://api.github.com")
    : Effect.fail(
      new RepositoryInvalid({
        problem:
          `its host ${repository.host} is not github.com, and the token is sent to no host that you did not name`,
        remedy: repository.host.endsWith(".ghe.com")
          ? `Set GITHUB_API_URL=https://api.${repository.host} if that is where its API is.`
          : `Set GITHUB_API_URL=https://${repository.host}/api/v3 if that is where its API is.`
      })
    )
}

// internal

const safeApiUrl =
  /^(https:\/\/[a-z0-9][a-z0-9.-]*|http:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\]))(:\d{1,5})?(\/[a-z0-9._~/-]*)?$/i

const example = "Write it like https://github.com/my-org/my-dags, git@github.com:my-org/my-dags.git, or my-org/my-dags."

const invalid = (problem: string) => Effect.fail(new RepositoryInvalid({ problem, remedy: example }))

interface Place {
  readonly host: string
  readonly path: string
  /** A page below the repository, such as `/tree/main`, may follow. */
  readonly pageOfRepository: boolean
}

/** Splits off the host, and drops credentials before anything could report them. A string is a problem. */
const locate = (text: string): Place | string => {
  if (text === "") return "it is empty"
  if (/\s/.test(text)) return "there is a space in it"
  const url = /^([a-z+]+):\/\/(.*)$/i.exec(text)
  if (url !== null) {
    const [, scheme, rest] = url as unknown as [string, string, string]
    if (!schemes.has(scheme.toLowerCase())) return `${schemeNames} are the schemes of a repository's URL`
    const web = /^(git\+)?https?$/i.test(scheme)
    const [authority, path] = cut(rest, "/")
    const host = authority.slice(authority.lastIndexOf("@") + 1)
    // a "/" in a password would make half of it look like a host
    return path.includes("@")
      ? "there is an @ after its host"
      : { host: web ? host : host.replace(/:\d+$/, ""), path: withoutQuery(path), pageOfRepository: web }
  }
  const scp = /^([^@/]+)@([^@:/]+):([^@]*)$/.exec(text)
  if (scp !== null) return { host: scp[2]!, path: scp[3]!, pageOfRepository: false }
  if (text.includes("@")) return "there is an @ in it, but it is neither a URL nor like git@host:owner/name"
  const bare = withoutQuery(text)
  const [first, rest] = cut(bare, "/")
  // an owner has neither dots nor colons
  return /[.:]/.test(first)
    ? { host: first, path: rest, pageOfRepository: true }
    : { host: "github.com", path: bare, pageOfRepository: false }
}

const schemes = new Set(["https", "http", "ssh", "git", "git+ssh", "git+https"])
const schemeNames = [...schemes].join(", ")

const cut = (text: string, separator: string): readonly [string, string] => {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)]
}

const withoutQuery = (path: string): string => path.replace(/[?#].*$/s, "")

const problemOfHost = (host: string): string | undefined =>
  !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/.test(host)
    ? "its host is no host name"
    : /^(api|gist|raw|codeload|uploads)\.|^raw\.githubusercontent\.com$/.test(host)
    ? "its host serves GitHub's API, gists or files, not repositories"
    : undefined

const problemOfOwner = (owner: string | undefined): string | undefined =>
  owner === undefined
    ? "it has no owner and no name"
    : !/^[a-z0-9][a-z0-9_-]{0,38}$/i.test(owner)
    ? "its owner has characters that GitHub does not allow, or more than 39 of them"
    : /^(orgs|users|settings|enterprises|apps|topics)$/i.test(owner)
    ? "it is a page about an organization or a user, not a repository"
    : undefined

const problemOfName = (name: string | undefined): string | undefined =>
  name === undefined || name === ""
    ? "it has no repository name after the owner"
    : name === "." || name === ".." || !/^[a-z0-9._-]{1,100}$/i.test(name)
    ? "its name has characters that GitHub does not allow, or more than 100 of them"
    : undefined
