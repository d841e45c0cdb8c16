/**
 * The secrets of a repository's GitHub Actions: written, never read, since GitHub shows nobody their values.
 *
 * @since 0.1.0
 */
import * as PinnedClock from "@airflow-resource/core/PinnedClock"
import * as TimeLimit from "@airflow-resource/core/TimeLimit"
import type { Octokit } from "@octokit/rest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { fromOctokit, GithubError, timedOut, undecodable } from "./GithubError.js"
import * as GithubRepository from "./GithubRepository.js"
import * as schedules from "./internal/schedules.js"
import * as SealedBox from "./SealedBox.js"

/**
 * What GitHub says of a repository.
 *
 * @since 0.1.0
 * @category models
 */
export interface RepositoryFacts {
  /** `owner/name` as GitHub writes it today: another than what was asked for, if the repository was renamed. */
  readonly fullName: string
  readonly defaultBranch: string
  readonly private: boolean
}

/**
 * @since 0.1.0
 * @category tags
 */
export class GithubSecrets extends Context.Tag("@airflow-resource/github/GithubSecrets")<
  GithubSecrets,
  {
    /**
     * Writes the secrets one after the other, under a public key that is fetched first. GitHub knows no transaction: who
     * needs them to belong together holds a lock.
     */
    readonly put: (
      repository: GithubRepository.GithubRepository,
      secrets: Readonly<Record<string, Redacted.Redacted>>
    ) => Effect.Effect<void, GithubError>
    /** Finds out whether the repository exists and its secrets could be written, and changes nothing. */
    readonly check: (
      repository: GithubRepository.GithubRepository
    ) => Effect.Effect<RepositoryFacts, GithubError>
  }
>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly token: Redacted.Redacted
  /** `GITHUB_API_URL`: needed for every host but github.com. */
  readonly apiUrl?: string | undefined
  /** How long one request may take. GitHub itself gives up after 10 seconds. Default: 15 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
  /** What sends requests. Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

/**
 * On the clock that is at hand. Requests that may be repeated are, a few times; they all may be here.
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

    /** One request: where it goes, how long it may take, what its failure is called. */
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
        const answered = Effect.tryPromise({
          try: (signal) => send(octokit, { owner, repo, baseUrl, headers, request: { signal } }),
          catch: (thrown) => fromOctokit(thrown, { operation, now, hide: (text) => text.replaceAll(token, "***") })
        })
        return yield* TimeLimit.fail(answered, { limit: timeout, onTimeout: () => timedOut(operation, timeout) })
      }).pipe(Effect.retry({ while: schedules.worthRepeating, schedule: schedules.repetitions }))

    const publicKey = (repository: GithubRepository.GithubRepository) => {
      const operation = `get the public key of ${repository.fullName}`
      return request(operation, repository, (octokit, common) => octokit.rest.actions.getRepoPublicKey(common)).pipe(
        Effect.flatMap((answer) => decode(PublicKey, operation, answer.data))
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
            octokit.rest.actions.createOrUpdateRepoSecret({
              ...common,
              secret_name: name,
              encrypted_value: sealed,
              key_id: key.key_id
            }))
        ),
        // created or updated; a proxy's login page is a 200
        Effect.filterOrFail(
          (answer) => [201, 204].includes(answer.status as number),
          (answer) => undecodable(operation, `GitHub answered ${answer.status}, not 201 or 204`, answer.status)
        ),
        Effect.asVoid
      )
    }

    const put = Effect.fn("GithubSecrets.put")(function*(
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

    const check = Effect.fn("GithubSecrets.check")(function*(repository: GithubRepository.GithubRepository) {
      const operation = `look at the repository ${repository.fullName}`
      const answer = yield* request(operation, repository, (octokit, common) => octokit.rest.repos.get(common))
      const facts = yield* decode(Repository, operation, answer.data)
      if (facts.permissions?.push === false) {
        return yield* new GithubError({
          kind: "forbidden",
          operation: `write secrets of ${repository.fullName}`,
          detail: "the token's owner may only read the repository",
          remedy: "Give them write access to it, or set AIRFLOW_GITHUB_TOKEN to the token of somebody who has it."
        })
      }
      // asks for the permission that writing needs, without writing
      yield* publicKey(repository)
      return { fullName: facts.full_name, defaultBranch: facts.default_branch, private: facts.private }
    })

    return GithubSecrets.of({
      put: (repository, secrets) => pin(put(repository, secrets)),
      check: (repository) => pin(check(repository))
    })
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<GithubSecrets> => Layer.effect(GithubSecrets, make(options))

/**
 * No GitHub: every repository exists, and what is written can be found in `written`, under `owner/name` and the secret's name.
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
  Layer.succeed(GithubSecrets, {
    put: ({ fullName }, secrets) =>
      Effect.sync(() => {
        written.set(fullName, new Map([...written.get(fullName) ?? [], ...Object.entries(secrets)]))
      }),
    check: ({ fullName }) => Effect.succeed({ fullName, defaultBranch: "main", private: true })
  })

// internal

/** Octokit sends no version by itself. */
const headers = { "x-github-api-version": "2022-11-28" }

// a type, since an interface could be widened and so fits no index signature
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
  default_branch: Schema.String,
  private: Schema.Boolean,
  permissions: Schema.optional(Schema.Struct({ push: Schema.optional(Schema.Boolean) }))
})

/** The parser's own words would repeat the answer. */
const decode = <A, I>(schema: Schema.Schema<A, I>, operation: string, data: unknown): Effect.Effect<A, GithubError> =>
  Effect.mapError(
    Schema.decodeUnknown(schema)(data),
    () => undecodable(operation, "the answer is not what GitHub's API promises")
  )

/** Without plugins that retry or throttle: they repeat what may not be repeated, and delay aborts. */
const makeOctokit = (options: Options): Effect.Effect<Octokit> =>
  Effect.promise(async () => {
    const { Octokit } = await import("@octokit/rest")
    const silence = () => {}
    return new Octokit({
      auth: Redacted.value(options.token),
      userAgent: "airflow-resource",
      log: { debug: silence, info: silence, warn: silence, error: silence },
      request: options.fetch === undefined ? {} : { fetch: options.fetch }
    })
  })
