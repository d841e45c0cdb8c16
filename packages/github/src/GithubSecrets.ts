/**
 * The GitHub Actions secrets of a repository. They can be written but not read: GitHub never returns their values.
 *
 * @since 0.1.0
 */
import * as PinnedClock from "@airflow-resource/core/PinnedClock"
import * as TimeLimit from "@airflow-resource/core/TimeLimit"
import type { request as octokitRequest } from "@octokit/request"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { fromOctokit, GithubError, timedOut, undecodable } from "./GithubError.js"
import * as GithubRepository from "./GithubRepository.js"
import * as schedules from "./internal/schedules.js"
import * as SealedBox from "./SealedBox.js"

/**
 * A repository as GitHub describes it.
 *
 * @since 0.1.0
 * @category models
 */
export interface RepositoryFacts {
  /** Current `owner/name`, in GitHub's spelling. Differs from the requested name if the repository was renamed. */
  readonly fullName: string
}

/**
 * Writes the secrets of repositories.
 *
 * @since 0.1.0
 * @category tags
 */
export class GithubSecrets extends Context.Tag("@airflow-resource/github/GithubSecrets")<
  GithubSecrets,
  {
    /**
     * Fetches the public key and writes the secrets one after the other, each once: a write without a response may still land, and only
     * the caller knows what may be written after it. GitHub has no transactions: a caller that needs the secrets to be consistent has to
     * hold a lock.
     */
    readonly put: (
      repository: GithubRepository.GithubRepository,
      secrets: Readonly<Record<string, Redacted.Redacted>>
    ) => Effect.Effect<void, GithubError>
    /** Checks that the repository exists and that the token may write its secrets. Changes nothing. */
    readonly check: (
      repository: GithubRepository.GithubRepository
    ) => Effect.Effect<RepositoryFacts, GithubError>
  }
>() {}

/**
 * What the layer needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly token: Redacted.Redacted
  /** `GITHUB_API_URL`. Required for every host except github.com. */
  readonly apiUrl?: string | undefined
  /** Limit for one request. GitHub itself gives up after 10 seconds. Default: 15 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
  /** Sends the requests. Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

/**
 * Runs on the clock under which it is built. Retries failed reads up to four times.
 *
 * @example
 * ```ts
 * import * as GithubRepository from "@airflow-resource/github/GithubRepository"
 * import * as GithubSecrets from "@airflow-resource/github/GithubSecrets"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 *
 * export const program = Effect.gen(function*() {
 *   const secrets = yield* GithubSecrets.make({ token: Redacted.make("github_pat_…") })
 *   const repository = yield* GithubRepository.parse("my-org/my-dags")
 *   yield* secrets.put(repository, { ASTRO_DEPLOYMENT_ID: Redacted.make("clx…") })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<typeof GithubSecrets.Service> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    const octokit = yield* makeOctokit(options)
    const timeout = Duration.decode(options.timeout ?? "15 seconds")
    const token = Redacted.value(options.token)

    /** Sends one request to the API of the repository's host. */
    const request = <A>(
      operation: string,
      repository: GithubRepository.GithubRepository,
      send: (octokit: Octokit, common: Common) => Promise<A>
    ): Effect.Effect<A, GithubError> =>
      Effect.gen(function*() {
        const baseUrl = yield* Effect.mapError(
          GithubRepository.apiUrl(repository, options.apiUrl),
          ({ problem, remedy }) => new GithubError({ kind: "invalid", operation, detail: problem, remedy })
        )
        const { name: repo, owner } = repository
        const now = yield* Clock.currentTimeMillis
        const response = Effect.tryPromise({
          try: (signal) => send(octokit, { owner, repo, baseUrl, headers, request: { signal } }),
          catch: (thrown) => fromOctokit(thrown, { operation, now, hide: (text) => text.replaceAll(token, "***") })
        })
        return yield* TimeLimit.fail(response, { limit: timeout, onTimeout: () => timedOut(operation, timeout) })
      })

    const read = <A>(...args: Parameters<typeof request<A>>) =>
      Effect.retry(request(...args), { while: schedules.isWorthRetrying, schedule: schedules.retries })

    const publicKey = (repository: GithubRepository.GithubRepository) => {
      const operation = `get the public key of ${repository.fullName}`
      return read(operation, repository, (octokit, common) => octokit(routes.publicKey, common)).pipe(
        Effect.flatMap(({ data }) => decode(PublicKey, operation, data))
      )
    }

    const write = (
      repository: GithubRepository.GithubRepository,
      key: typeof PublicKey.Type,
      name: string,
      value: Redacted.Redacted
    ) => {
      const operation = `write the secret ${name} of ${repository.fullName}`
      return SealedBox.seal(key.key, value).pipe(
        Effect.mapError(({ detail }) => undecodable(operation, detail)),
        Effect.flatMap((sealed) =>
          request(operation, repository, (octokit, common) =>
            octokit(routes.secret, {
              ...common,
              secret_name: name,
              encrypted_value: sealed,
              key_id: key.key_id
            }))
        ),
        // created or updated; a status of 200 may be a proxy's login page
        Effect.filterOrFail(
          ({ status }) => [201, 204].includes(status as number),
          ({ status }) => undecodable(operation, `GitHub responded with status ${status} instead of 201 or 204`, status)
        ),
        Effect.asVoid
      )
    }

    const put = Effect.fnUntraced(function*(
      repository: GithubRepository.GithubRepository,
      secrets: Readonly<Record<string, Redacted.Redacted>>
    ) {
      let key = yield* publicKey(repository)
      let refetched = false
      for (const [name, value] of Object.entries(secrets)) {
        yield* write(repository, key, name, value).pipe(Effect.catchIf(
          (error) => error.kind === "staleKey" && !refetched,
          () =>
            Effect.flatMap(publicKey(repository), (fresh) => {
              refetched = true
              key = fresh
              return write(repository, key, name, value)
            })
        ))
      }
    })

    const check = Effect.fnUntraced(function*(repository: GithubRepository.GithubRepository) {
      const operation = `get the repository ${repository.fullName}`
      const { data } = yield* read(operation, repository, (octokit, common) => octokit(routes.repository, common))
      const { full_name: fullName, permissions } = yield* decode(Repository, operation, data)
      if (permissions?.push === false) {
        return yield* new GithubError({
          kind: "forbidden",
          operation: `write secrets of ${repository.fullName}`,
          detail: "the token's user can only read the repository",
          remedy: "Give this user write access, or set AIRFLOW_GITHUB_TOKEN to the token of a user with write access."
        })
      }
      // needs the same permission as a write
      yield* publicKey(repository)
      return { fullName }
    })

    return traced({ check, put }, pin)
  })

/**
 * Over HTTP: see {@link make}.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<GithubSecrets> => Layer.effect(GithubSecrets, make(options))

/**
 * In memory: every repository exists. The secrets that were written are in `written`, by `owner/name` and the secret's name.
 *
 * @example
 * ```ts
 * import * as GithubSecrets from "@airflow-resource/github/GithubSecrets"
 * import type * as Redacted from "effect/Redacted"
 *
 * export const written = new Map<string, Map<string, Redacted.Redacted>>()
 * export const layer = GithubSecrets.layerMemory(written)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory = (
  written: Map<string, Map<string, Redacted.Redacted>> = new Map()
): Layer.Layer<GithubSecrets> =>
  Layer.succeed(
    GithubSecrets,
    traced({
      put: ({ fullName }, secrets) =>
        Effect.sync(() => {
          written.set(fullName, new Map([...written.get(fullName) ?? [], ...Object.entries(secrets)]))
        }),
      check: ({ fullName }) => Effect.succeed({ fullName })
    }, identity)
  )

// internal

/** One span for each operation, which includes its requests and retries. `pin` sets the clock. */
const traced = (
  { check, put }: typeof GithubSecrets.Service,
  pin: <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>
): typeof GithubSecrets.Service => {
  const span = (name: string, { fullName }: GithubRepository.GithubRepository) =>
    Effect.withSpan(`GithubSecrets.${name}`, { attributes: { "github.repository": fullName } })
  return GithubSecrets.of({
    put: (repository, secrets) => pin(put(repository, secrets).pipe(span("put", repository))),
    check: (repository) => pin(check(repository).pipe(span("check", repository)))
  })
}

const routes = {
  repository: "GET /repos/{owner}/{repo}",
  publicKey: "GET /repos/{owner}/{repo}/actions/secrets/public-key",
  secret: "PUT /repos/{owner}/{repo}/actions/secrets/{secret_name}"
} as const

/** Octokit does not send a version. */
const headers = { "x-github-api-version": "2022-11-28" }

type Octokit = typeof octokitRequest

// a type: an interface is not assignable to an index signature
type Common = {
  readonly owner: string
  readonly repo: string
  readonly baseUrl: string
  readonly headers: typeof headers
  readonly request: { readonly signal: AbortSignal }
}

const PublicKey = Schema.Struct({ key_id: Schema.String, key: Schema.String })

const Repository = Schema.Struct({
  full_name: Schema.String,
  permissions: Schema.optional(Schema.Struct({ push: Schema.optional(Schema.Boolean) }))
})

/** Without the parser's message, which would quote the response. */
const decode = <A, I>(schema: Schema.Schema<A, I>, operation: string, data: unknown): Effect.Effect<A, GithubError> =>
  Effect.mapError(
    Schema.decodeUnknown(schema)(data),
    () => undecodable(operation, "the response is not what GitHub's API documents")
  )

/**
 * Version 9, because 10 needs Node 22 through content-type 3. Without Octokit's plugins for retries and throttling: they retry what must not
 * be sent twice, and delay aborts.
 */
const makeOctokit = (options: Options): Effect.Effect<Octokit> =>
  Effect.promise(async () => {
    const { request } = await import("@octokit/request")
    const silence = () => {}
    return request.defaults({
      headers: { authorization: `token ${Redacted.value(options.token)}`, "user-agent": "airflow-resource" },
      request: {
        log: { debug: silence, info: silence, warn: silence, error: silence },
        ...(options.fetch === undefined ? {} : { fetch: options.fetch })
      }
    })
  })
