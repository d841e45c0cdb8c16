import { GithubRepository, GithubSecrets } from "@airflow-resource/github"
import { assert, describe, it, vi } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Redacted } from "effect"
import { inspect } from "node:util"
import * as FakeGithub from "./FakeGithub.js"
import { simulate } from "./simulate.js"

const { html, json, refused } = FakeGithub

const token = "ghp_CANARYTOKEN"
const repository = new GithubRepository.GithubRepository({ host: "github.com", owner: "My-Org", name: "my-dags" })
const base = "/repos/My-Org/my-dags"
const keyRoute = `GET ${base}/actions/secrets/public-key`
const putRoute = (name: string) => `PUT ${base}/actions/secrets/${name}`
const secretsOf = (value: string) => ({ ONE: Redacted.make(value), TWO: Redacted.make("second") })

const setup = Effect.gen(function*() {
  const github = yield* FakeGithub.make
  const secrets = yield* GithubSecrets.make({ token: Redacted.make(token), fetch: github.fetch })
  return { github, secrets }
})

/** No form of the error contains a secret, not even what vitest or a logger would print. */
const assertSafe = (error: unknown) => {
  const shown = [
    inspect(error, { depth: 20, showHidden: true }),
    JSON.stringify(error),
    String(error),
    JSON.stringify(Object.entries(Object(error))),
    Cause.pretty(Cause.fail(error)),
    String((error as Error).stack)
  ].join("\n")
  assert.notInclude(shown, "CANARY")
  assert.notInclude(shown, "authorization")
}

const failing = (route: string, responses: ReadonlyArray<FakeGithub.Responder>, times = 5) =>
  Effect.gen(function*() {
    const { github, secrets } = yield* setup
    github.plan(route, ...Array.from({ length: times }, () => responses).flat())
    const error = yield* simulate(Effect.flip(secrets.put(repository, secretsOf("CANARYVALUE"))), github.idle)
    assertSafe(error)
    return { error, github }
  })

describe("GithubSecrets", () => {
  it.scoped("writes secrets that the repository can decrypt, with one key for the batch", () =>
    Effect.gen(function*() {
      const { github, secrets } = yield* setup
      yield* secrets.put(repository, secretsOf("naïve 🔑\n"))
      yield* secrets.put(repository, { ONE: Redacted.make("again") })
      assert.deepStrictEqual([...github.secrets], [["ONE", "again"], ["TWO", "second"]])
      assert.strictEqual(github.count(keyRoute), 2)
      for (const { headers } of github.calls) {
        assert.strictEqual(headers.get("x-github-api-version"), "2022-11-28")
        assert.strictEqual(headers.get("authorization"), `token ${token}`)
      }
    }))

  it.scoped("prints nothing when GitHub says that a route is deprecated", () =>
    Effect.gen(function*() {
      const { github, secrets } = yield* setup
      const deprecated = { deprecation: "Sat, 01 Jan 2028 00:00:00 GMT", sunset: "Sat, 01 Jan 2029 00:00:00 GMT" }
      const facts = { full_name: "My-Org/my-dags" }
      github.plan(`GET ${base}`, json(200, facts, deprecated))
      const warn = vi.spyOn(console, "warn").mockImplementation(() => {})
      yield* Effect.addFinalizer(() => Effect.sync(() => warn.mockRestore()))
      yield* secrets.check(repository)
      assert.strictEqual(github.count(`GET ${base}`), 1)
      assert.deepStrictEqual(warn.mock.calls, [])
    }))

  it.scoped("fetches the key again when it has changed in between", () =>
    Effect.gen(function*() {
      const { github, secrets } = yield* setup
      github.plan(putRoute("ONE"), () => {
        github.rotateKey()
        return json(422, { message: "Bad request - validation failed due to an improperly encrypted secret" })()
      })
      yield* secrets.put(repository, secretsOf("first"))
      assert.deepStrictEqual([...github.secrets], [["ONE", "first"], ["TWO", "second"]])
      assert.strictEqual(github.count(keyRoute), 2)
    }))

  it.scoped("gives up on a key that GitHub keeps rejecting", () =>
    Effect.gen(function*() {
      const stale = json(422, { message: "Bad request - validation failed due to an improperly encrypted secret" })
      const { error, github } = yield* failing(putRoute("ONE"), [stale])
      assert.strictEqual(error.kind, "staleKey")
      assert.strictEqual(github.count(keyRoute), 2)
      assert.strictEqual(github.count(putRoute("ONE")), 2)
    }))

  it.scoped("401: names the variable", () =>
    Effect.gen(function*() {
      const { error, github } = yield* failing(keyRoute, [json(401, { message: `Bad credentials ${token}` })])
      assert.strictEqual(error.kind, "unauthorized")
      assert.isFalse(error.retryable)
      assert.include(error.message, "Bad credentials ***")
      assert.include(error.message, "AIRFLOW_GITHUB_TOKEN")
      assert.strictEqual(github.calls.length, 1)
    }))

  it.scoped("403: names the permission that GitHub requires", () =>
    Effect.gen(function*() {
      const { error, github } = yield* failing(putRoute("ONE"), [json(
        403,
        { message: "Resource not accessible by personal access token" },
        { "x-accepted-github-permissions": "secrets=write", "x-github-request-id": "ABC:1" }
      )])
      assert.strictEqual(error.kind, "forbidden")
      assert.strictEqual(error.requestId, "ABC:1")
      assert.include(error.message, "secrets=write")
      assert.include(error.message, "write the secret ONE of My-Org/my-dags")
      assert.strictEqual(github.count(putRoute("ONE")), 1)
    }))

  it.scoped("403: single sign-on", () =>
    Effect.gen(function*() {
      const { error } = yield* failing(keyRoute, [json(403, { message: "Resource protected by organization SAML" }, {
        "x-github-sso": "required; url=https://github.com/orgs/o/sso?authorization_request=CANARY"
      })])
      assert.strictEqual(error.kind, "forbidden")
      assert.include(error.message, "single sign-on")
    }))

  it.scoped("404: names the repository's variable", () =>
    Effect.gen(function*() {
      const { error } = yield* failing(keyRoute, [json(404, { message: "Not Found" })])
      assert.strictEqual(error.kind, "notFound")
      assert.include(error.message, "AIRFLOW_REPO")
    }))

  it.scoped("422: any other is not retried", () =>
    Effect.gen(function*() {
      const { error, github } = yield* failing(putRoute("ONE"), [json(422, { message: "Secret names are invalid." })])
      assert.strictEqual(error.kind, "invalid")
      assert.strictEqual(github.count(putRoute("ONE")), 1)
    }))

  for (
    const [name, status, message, headers] of [
      ["429 with retry-after", 429, "slow down", { "retry-after": "30" }],
      ["429 with a date", 429, "slow down", {
        "retry-after": new Date(1_800_000_030_000).toUTCString(),
        date: new Date(1_800_000_000_000).toUTCString()
      }],
      ["503 with retry-after", 503, "Secrets service unavailable", { "retry-after": "30" }],
      ["403 with retry-after", 403, "You have exceeded a secondary rate limit", { "retry-after": "30" }],
      ["403 with no requests left", 403, "API rate limit exceeded", {
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1800000030",
        date: new Date(1_800_000_000_000).toUTCString()
      }]
    ] as const
  ) {
    it.scoped(`${name}: waits as long as GitHub says, then retries`, () =>
      Effect.gen(function*() {
        const { github, secrets } = yield* setup
        const startedAt = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        github.plan(keyRoute, json(status, { message }, headers))
        yield* simulate(secrets.put(repository, secretsOf("first")), github.idle)
        const waited = (yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - startedAt
        assert.isAtLeast(waited, 30_000)
        // the clock also advances while something is encrypted, which takes real time
        assert.isBelow(waited, 60_000)
        assert.strictEqual(github.secrets.get("ONE"), "first")
      }))
  }

  it.scoped("fails at once when GitHub asks for a wait of more than a minute", () =>
    Effect.gen(function*() {
      const { error, github } = yield* failing(keyRoute, [json(429, { message: "no" }, { "retry-after": "3600" })])
      assert.strictEqual(error.kind, "rateLimited")
      assert.deepStrictEqual(error.retryAfter, Duration.hours(1))
      assert.strictEqual(github.calls.length, 1)
    }))

  it.scoped("retries after a temporary 503", () =>
    Effect.gen(function*() {
      const { github, secrets } = yield* setup
      const down = json(503, { message: "Secrets service unavailable" })
      github.plan(keyRoute, down, html(502), refused)
      yield* simulate(secrets.put(repository, secretsOf("first")), github.idle)
      assert.strictEqual(github.secrets.get("ONE"), "first")
      assert.strictEqual(github.count(keyRoute), 4)
    }))

  it.scoped("gives up on a lasting 503 after five attempts", () =>
    Effect.gen(function*() {
      const { error, github } = yield* failing(keyRoute, [json(503, { message: "Secrets service unavailable" })])
      assert.strictEqual(error.kind, "server")
      assert.include(error.message, "Secrets service unavailable")
      assert.strictEqual(github.calls.length, 5)
    }))

  it.scoped("does not quote the web page of a 502 in the message", () =>
    Effect.gen(function*() {
      const { error } = yield* failing(keyRoute, [html(502)])
      assert.strictEqual(error.kind, "server")
      assert.notInclude(error.message, "Unicorn")
    }))

  it.scoped("no server: unreachable, not a 500", () =>
    Effect.gen(function*() {
      const github = yield* FakeGithub.make
      const secrets = yield* GithubSecrets.make({
        token: Redacted.make(token),
        apiUrl: "http://127.0.0.1:1",
        fetch: github.counted(fetch)
      })
      const error = yield* simulate(Effect.flip(secrets.check(repository)), github.idle)
      assertSafe(error)
      assert.strictEqual(error.kind, "unreachable")
      assert.isUndefined(error.status)
    }))

  it.scoped("no response: a timeout, not a 500", () =>
    Effect.gen(function*() {
      const { github, secrets } = yield* setup
      github.plan(keyRoute, ...Array.from({ length: 5 }, () => FakeGithub.hanging))
      // even if a finalizer waits for it
      const error = yield* simulate(Effect.flip(Effect.uninterruptible(secrets.put(repository, secretsOf("CANARY")))))
      assertSafe(error)
      assert.strictEqual(error.kind, "timeout")
      assert.include(error.message, "15s")
      assert.isTrue(github.idle())
    }))

  it.scopedLive("an interruption aborts the request", () =>
    Effect.gen(function*() {
      const { github, secrets } = yield* setup
      github.plan(keyRoute, FakeGithub.hanging)
      const fiber = yield* Effect.fork(secrets.put(repository, secretsOf("CANARY")))
      yield* Effect.yieldNow().pipe(Effect.repeat({ until: () => !github.idle() }))
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isInterrupted(exit))
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve))).pipe(
        Effect.repeat({ until: github.idle })
      )
      assert.strictEqual(github.calls.length, 1)
    }))

  it.scoped("responses that are not GitHub's are undecodable", () =>
    Effect.gen(function*() {
      for (
        const [route, response] of [
          [keyRoute, html(200)],
          [keyRoute, json(200, { key_id: "1", key: "CANARY" })],
          [keyRoute, json(200, { key: "CANARY" })],
          [putRoute("ONE"), html(200)],
          [putRoute("ONE"), json(200, {})],
          [putRoute("ONE"), json(302, {}, { location: "https://login.example.com" })]
        ] as const
      ) {
        const { error } = yield* failing(route, [response])
        assert.strictEqual(error.kind, "undecodable", error.message)
      }
    }))

  it.scoped("check returns the repository's current name and writes nothing", () =>
    Effect.gen(function*() {
      const { github, secrets } = yield* setup
      assert.deepStrictEqual(yield* secrets.check(repository), { fullName: "My-Org/my-dags" })
      assert.deepStrictEqual(github.calls.map(({ route }) => route), [`GET ${base}`, keyRoute])
    }))

  it.scoped("check fails for a token whose user may only read", () =>
    Effect.gen(function*() {
      const { github, secrets } = yield* setup
      github.plan(
        `GET ${base}`,
        json(200, { full_name: "My-Org/my-dags", default_branch: "main", private: false, permissions: { push: false } })
      )
      const error = yield* Effect.flip(secrets.check(repository))
      assert.strictEqual(error.kind, "forbidden")
    }))

  it.scoped("sends nothing to a host that GITHUB_API_URL does not name", () =>
    Effect.gen(function*() {
      const { github, secrets } = yield* setup
      const elsewhere = new GithubRepository.GithubRepository({ host: "evil.example.com", owner: "o", name: "r" })
      const error = yield* Effect.flip(secrets.check(elsewhere))
      assert.strictEqual(error.kind, "invalid")
      assert.include(error.message, "GITHUB_API_URL")
      assert.strictEqual(github.calls.length, 0)
    }))
})
