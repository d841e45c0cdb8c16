/**
 * The repository that holds the DAGs: reads `AIRFLOW_REPO` in every common form.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * A repository on github.com or on another GitHub host.
 *
 * @since 0.1.0
 * @category models
 */
export class GithubRepository extends Schema.Class<GithubRepository>("@airflow-resource/github/GithubRepository")({
  /** In lower case, with the port if the URL has one. */
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
 * The text does not name a usable repository. It is not part of the error, because it may contain credentials.
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
 * Parses `owner/name`, `https://host/owner/name` (also with `.git`, credentials, `/tree/…`, a query), `git@host:owner/name.git`,
 * `ssh://`, `git://`, `git+ssh://`, `git+https://`, and `host/owner/name`. Drops credentials. Fails with `RepositoryInvalid`.
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
    const location = locate(text.trim())
    if (typeof location === "string") return invalid(location)
    const [owner, lastName, ...rest] = location.path.split("/").filter((segment) => segment !== "")
    const name = lastName?.replace(/\.git$/i, "")
    const host = location.host.toLowerCase().replace(/^(www|ssh)\.github\.com$/, "github.com")
    const problem = problemOfHost(host) ?? problemOfOwner(owner) ?? problemOfName(name) ??
      (rest.length > 0 && !location.mayHavePage ? "it has more parts than an owner and a name" : undefined)
    return problem === undefined
      ? Effect.succeed(new GithubRepository({ host, owner: owner!, name: name! }))
      : invalid(problem)
  })

/**
 * The URL of the API on the repository's host. For github.com that is `https://api.github.com`; for every other host `explicit`
 * (`GITHUB_API_URL`) is required, so that the token is never sent to a host only because `AIRFLOW_REPO` names it.
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
          problem: "GITHUB_API_URL is not a plain https URL (without credentials, query or fragment)",
          remedy: "Set it like GITHUB_API_URL=https://github.example.com/api/v3. http is allowed for loopback only."
        })
      )
  }
  return repository.host === "github.com"
    ? Effect.succeed("https://api.github.com")
    : Effect.fail(
      new RepositoryInvalid({
        problem: `its host ${repository.host} is not github.com, and the token is only sent to hosts that you name`,
        remedy: repository.host.endsWith(".ghe.com")
          ? `If its API is there, set GITHUB_API_URL=https://api.${repository.host}.`
          : `If its API is there, set GITHUB_API_URL=https://${repository.host}/api/v3.`
      })
    )
}

// internal

const safeApiUrl =
  /^(https:\/\/[a-z0-9][a-z0-9.-]*|http:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\]))(:\d{1,5})?(\/[a-z0-9._~/-]*)?$/i

const example = "Write it like https://github.com/my-org/my-dags, git@github.com:my-org/my-dags.git, or my-org/my-dags."

const invalid = (problem: string) => Effect.fail(new RepositoryInvalid({ problem, remedy: example }))

interface Location {
  readonly host: string
  readonly path: string
  /** Whether a page of the repository, such as `/tree/main`, may follow its name. */
  readonly mayHavePage: boolean
}

/** Separates host and path, or returns what is wrong. Drops credentials first, so that no error can contain them. */
const locate = (text: string): Location | string => {
  if (text === "") return "it is empty"
  if (/\s/.test(text)) return "it contains a space"
  const url = /^([a-z+]+):\/\/(.*)$/i.exec(text)
  if (url !== null) {
    const [, scheme, rest] = url as unknown as [string, string, string]
    if (!schemes.has(scheme.toLowerCase())) return `its scheme is not one of ${schemeNames}`
    const web = /^(git\+)?https?$/i.test(scheme)
    const [authority, path] = cut(rest, "/")
    const host = authority.slice(authority.lastIndexOf("@") + 1)
    // if a password contains a "/", part of it would be read as the host
    return path.includes("@")
      ? "it has an @ after its host"
      : { host: web ? host : host.replace(/:\d+$/, ""), path: withoutQuery(path), mayHavePage: web }
  }
  const scp = /^([^@/]+)@([^@:/]+):([^@]*)$/.exec(text)
  if (scp !== null) return { host: scp[2]!, path: scp[3]!, mayHavePage: false }
  if (text.includes("@")) return "it has an @, but is neither a URL nor of the form git@host:owner/name"
  const bare = withoutQuery(text)
  const [first, rest] = cut(bare, "/")
  // an owner cannot contain dots or colons
  return /[.:]/.test(first)
    ? { host: first, path: rest, mayHavePage: true }
    : { host: "github.com", path: bare, mayHavePage: false }
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
    ? "its host is not a valid host name"
    : /^(api|gist|raw|codeload|uploads)\.|^raw\.githubusercontent\.com$/.test(host)
    ? "its host serves GitHub's API, gists or files, not repositories"
    : undefined

const problemOfOwner = (owner: string | undefined): string | undefined =>
  owner === undefined
    ? "it has no owner and no name"
    : !/^[a-z0-9][a-z0-9_-]{0,38}$/i.test(owner)
    ? "its owner has characters that GitHub does not allow, or more than 39 characters"
    : /^(orgs|users|settings|enterprises|apps|topics)$/i.test(owner)
    ? "it is a page about an organization or a user, not a repository"
    : undefined

const problemOfName = (name: string | undefined): string | undefined =>
  name === undefined || name === ""
    ? "it has no repository name after the owner"
    : name === "." || name === ".." || !/^[a-z0-9._-]{1,100}$/i.test(name)
    ? "its name has characters that GitHub does not allow, or more than 100 characters"
    : undefined
