import { AstroApi, AstroCli, AstroCliError } from "@airflow-resource/astro"
import { DeploymentProvider } from "@airflow-resource/core"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Emulator } from "@airflow-resource/emulator"
import { HttpClientRequest } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Option, Redacted, type Scope } from "effect"
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { inspect } from "node:util"
import * as StandIn from "./StandIn.js"

const canary = "canary-90c2"
const node = Layer.merge(ProcessRunner.layer, NodeContext.layer)

/** No server listens there, so that no request succeeds by accident. */
const account = {
  apiUrl: "http://127.0.0.1:1",
  token: Redacted.make(canary),
  workspaceId: "cws000000000000000000000a",
  organizationId: Option.none<string>()
}

const cli = (options: Partial<AstroCli.AstroCliOptions>) =>
  Effect.map(
    Layer.build(AstroCli.layer({ ...account, ...options }).pipe(Layer.provide(node))),
    (context) => {
      const service = Context.get(context, AstroCli.AstroCli)
      return { ...service, version: Effect.map(service.program, ({ version }) => version) }
    }
  )

const provider = (options: Partial<AstroCli.AstroCliOptions>) => {
  const config = { ...account, ...options }
  return Effect.map(
    Layer.build(
      AstroApi.layer(config).pipe(
        Layer.provide(AstroCli.layerHttpClient),
        Layer.provide(AstroCli.layer(config)),
        Layer.provide(node)
      )
    ),
    Context.get(DeploymentProvider.DeploymentProvider)
  )
}

const test = (title: string, body: () => Effect.Effect<void, unknown, Scope.Scope>) => it.scopedLive(title, body)

/** The failure. Asserts that it does not contain the token. */
const failure = <A, E extends { readonly message: string }>(self: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.map(Effect.exit(self), (exit) => {
    assert(Exit.isFailure(exit), "it succeeded")
    const error = Option.getOrThrow(Cause.failureOption(exit.cause))
    for (
      const shown of [inspect(error, { depth: 10 }), JSON.stringify(error), error.message, Cause.pretty(exit.cause)]
    ) {
      assert.notInclude(shown, canary)
    }
    return error
  })

describe("AstroCli finds the program", () => {
  test("and runs `astro version` once, even for concurrent calls", () =>
    Effect.gen(function*() {
      const standIn = yield* StandIn.make({ version: "1.40.1" })
      const { version } = yield* cli({ bin: standIn.bin })
      assert.deepStrictEqual(yield* standIn.calls, [], "no call before the first use")
      assert.deepStrictEqual(
        yield* Effect.all([version, version, version], { concurrency: "unbounded" }),
        ["1.40.1", "1.40.1", "1.40.1"]
      )
      assert.deepStrictEqual((yield* standIn.calls).map(({ argv }) => argv), [["version"]])
    }))

  test("on the PATH, and skips a web framework's program of the same name", () =>
    Effect.gen(function*() {
      const { bin, folder } = yield* StandIn.make({ version: "1.45.0" })
      const other = yield* StandIn.make({ mood: "other" })
      const modules = join(folder, "node_modules", ".bin")
      mkdirSync(modules, { recursive: true })
      symlinkSync(other.bin, join(modules, "astro"))
      const plain = join(folder, "plain")
      mkdirSync(plain)
      writeFileSync(join(plain, "astro"), "not executable")
      const PATH = [modules, "relative", "", plain, folder].join(delimiter)
      assert.strictEqual(yield* (yield* cli({ environment: { PATH } })).version, "1.45.0")
      const found = yield* cli({ environment: { PATH: [modules, plain].join(delimiter) } })
      assert.strictEqual((yield* Effect.flip(found.version)).kind, "notFound")
      assert.isTrue(existsSync(bin))
    }))

  const cases: ReadonlyArray<
    readonly [
      title: string,
      options: StandIn.Options & Partial<AstroCli.AstroCliOptions>,
      kind: AstroCliError.AstroCliError["kind"],
      says: RegExp
    ]
  > = [
    ["missing", { bin: "/nowhere/astro" }, "notFound", /Install it .*ASTRO_BIN.*AIRFLOW_RESOURCE_PROVIDER=api/],
    ["not on the PATH", { bin: undefined, environment: {} }, "notFound", /no astro on the PATH/],
    ["not executable", { bin: "/etc/passwd" }, "unusable", /permissions of the file/],
    ["a folder", { bin: "/etc" }, "unusable", /permissions of the file/],
    ["another program of that name", { mood: "other" }, "unusable", /not Astronomer's.*ASTRO_BIN/],
    ["too old", { version: "1.39.0" }, "tooOld", /1\.39\.0.*1\.40 or newer is needed.*Update/],
    ["much too old", { version: "0.9" }, "tooOld", /Update/],
    ["one that hangs", { mood: "hangsAtVersion", timeout: "1 seconds" }, "hangs", /running after 1s/],
    ["without a token", { token: Redacted.make(" ") }, "notLoggedIn", /ASTRO_ACCESS_TOKEN/]
  ]
  for (const [title, options, kind, says] of cases) {
    test(`or reports what is wrong: ${title}`, () =>
      Effect.gen(function*() {
        const standIn = yield* StandIn.make(options)
        const { version } = yield* cli({ bin: standIn.bin, ...options })
        const error = yield* failure(version)
        assert.strictEqual(error.kind, kind)
        assert.match(error.message, says)
        const calls = yield* standIn.calls
        assert.strictEqual(calls.length > 0, ["tooOld", "hangs"].includes(kind) || title.startsWith("another"))
        assert.isFalse(calls.some(({ cwd }) => existsSync(cwd)), "its home folder is deleted")
      }))
  }

  test("built from source, and accepts it", () =>
    Effect.gen(function*() {
      const standIn = yield* StandIn.make({ version: "" })
      assert.strictEqual(yield* (yield* cli({ bin: standIn.bin })).version, "")
    }))

  test("again after a failure", () =>
    Effect.gen(function*() {
      const { folder } = yield* StandIn.make()
      const bin = join(folder, "later")
      const { version } = yield* cli({ bin })
      assert.strictEqual((yield* Effect.flip(version)).kind, "notFound")
      symlinkSync(join(folder, "astro"), bin)
      assert.strictEqual(yield* version, "1.45.0")
    }))
})

describe("AstroCli gives the program", () => {
  test("its own home folder with the token in it, and deletes it with the scope", () =>
    Effect.gen(function*() {
      const standIn = yield* StandIn.make()
      const environment = {
        PATH: process.env.PATH,
        HTTPS_PROXY: "http://127.0.0.1:2",
        ASTRO_API_TOKEN: canary,
        SECRET: canary
      }
      const home = yield* Effect.scoped(Effect.gen(function*() {
        const { version } = yield* cli({ bin: standIn.bin, environment })
        yield* version
        const [call] = yield* standIn.calls
        assert.isDefined(call)
        const { argv, cwd, env } = call
        assert.deepStrictEqual(env, {
          ASTRO_HOME: cwd,
          HOME: cwd,
          PATH: join(cwd, "bin"),
          ASTRO_TELEMETRY_DISABLED: "1",
          CLICOLOR_FORCE: "0",
          NO_COLOR: "1",
          HTTPS_PROXY: "http://127.0.0.1:2"
        })
        assert.isFalse(existsSync(join(cwd, "bin")))
        assert.notInclude(JSON.stringify({ argv, env }), canary)
        const file = join(cwd, ".astro", "config.yaml")
        assert.strictEqual(statSync(file).mode & 0o777, 0o600)
        assert.strictEqual(statSync(cwd).mode & 0o777, 0o700)
        assert.deepStrictEqual(readdirSync(cwd, { recursive: true }).sort(), [
          ".astro",
          ".astro/config.yaml",
          "owner.json"
        ])
        assert.notInclude(readFileSync(join(cwd, "owner.json"), "utf8"), canary)
        const config = readFileSync(file, "utf8")
        assert.include(config, `token: "Bearer ${canary}"`)
        assert.match(config, /^ {4}expiresin: 20[5-9]/m)
        assert.include(config, `local:\n  core: "http://127.0.0.1:1"`)
        return cwd
      }))
      assert.isFalse(existsSync(home))
    }))

  test("Astro's own domain if the API is Astro's", () =>
    Effect.gen(function*() {
      const standIn = yield* StandIn.make()
      yield* (yield* cli({ bin: standIn.bin, apiUrl: "https://api.astronomer.io/" })).version
      const config = readFileSync(join((yield* standIn.calls)[0]?.cwd ?? "", ".astro", "config.yaml"), "utf8")
      assert.include(config, `context: "astronomer.io"\ncontexts:\n  "astronomer_io":\n    domain: "astronomer.io"`)
      assert.notInclude(config, "local:")
    }))

  test("a request without its token, and returns the response", () =>
    Effect.gen(function*() {
      const standIn = yield* StandIn.make()
      const emulator = yield* Emulator.make()
      const { astroApiUrl: apiUrl, astroToken: token, organizationId, workspaceId } = emulator
      const { httpClient } = yield* cli({ bin: standIn.bin, apiUrl, token, workspaceId })
      const post = HttpClientRequest.post(`${apiUrl}/v1/organizations/${organizationId}/tokens`).pipe(
        HttpClientRequest.bearerToken(canary),
        HttpClientRequest.setHeader("x-api-version", "1.0"),
        HttpClientRequest.bodyUnsafeJson({ name: canary })
      )
      const refused = yield* httpClient.execute(post)
      assert.strictEqual(refused.status, 400)
      assert.match(refused.headers["content-type"] ?? "", /json/)
      assert.include(yield* refused.text, "is required")
      const { argv } = (yield* standIn.calls)[1] ?? { argv: [] }
      assert.deepStrictEqual(argv, [
        "api",
        "cloud",
        `/organizations/${organizationId}/tokens`,
        "-X",
        "POST",
        "-i",
        "-H",
        "x-api-version: 1.0",
        "--input",
        "-"
      ])
      const found = yield* httpClient.get(`${apiUrl}/v1/organizations?limit=1&a=%7Bb%7D`)
      assert.strictEqual(found.status, 200)
      assert.nestedPropertyVal(yield* found.json, "organizations[0].id", organizationId)
      assert.strictEqual((yield* standIn.calls)[2]?.argv[2], "/organizations?limit=1&a=%7Bb%7D")
      const headers = { "retry-after": "7" }
      yield* emulator.faults.next({
        match: {},
        then: { _tag: "Status", status: 429, body: { message: "slow ü" }, headers }
      })
      const slow = yield* httpClient.get(`${apiUrl}/v1/organizations`)
      assert.deepStrictEqual([slow.status, slow.headers["retry-after"]], [429, "7"])
      assert.deepStrictEqual(yield* slow.json, { message: "slow ü" })
      yield* emulator.faults.next({ match: {}, then: { _tag: "Html", status: 502 } })
      const gateway = yield* httpClient.get(`${apiUrl}/v1/organizations`)
      assert.strictEqual(gateway.status, 502)
      assert.match(yield* gateway.text, /^<html>/)
    }))

  test("no request to another server", () =>
    Effect.gen(function*() {
      const standIn = yield* StandIn.make()
      const { httpClient } = yield* cli({ bin: standIn.bin })
      const error = yield* Effect.flip(httpClient.get("http://127.0.0.1:2/v1/organizations"))
      assert.strictEqual(error.reason, "InvalidUrl")
      assert.deepStrictEqual(yield* standIn.calls, [])
    }))
})

describe("AstroApi through AstroCli reports", () => {
  const cases: ReadonlyArray<
    readonly [
      options: StandIn.Options & Partial<AstroCli.AstroCliOptions>,
      kind: DeploymentProvider.ProviderError["kind"],
      says: RegExp
    ]
  > = [
    [{ version: "1.38.1" }, "unusable", /1\.38\.1.*1\.40 or newer is needed/],
    [{ bin: "/nowhere/astro" }, "unusable", /ASTRO_BIN/],
    [{ mood: "cancels" }, "undecodable", /Canceling deployment deletion/],
    [{ mood: "silent" }, "undecodable", /without a report of success/],
    [{ mood: "help" }, "undecodable", /without a report of success/],
    [{ mood: "loggedOut" }, "unauthorized", /ASTRO_ACCESS_TOKEN/],
    [{ mood: "opensBrowser" }, "unauthorized", /ASTRO_ACCESS_TOKEN/],
    [{ mood: "panics" }, "undecodable", /crashed/],
    [{ mood: "dies" }, "undecodable", /SIGKILL/],
    [{ mood: "diesHalfway" }, "undecodable", /SIGKILL/],
    [{ mood: "floods" }, "undecodable", /printed more output than airflow-resource reads/],
    [{ mood: "shouts", token: Redacted.make(`eyJh.${canary}.x`) }, "undecodable", /<the token>/],
    [{ mood: "shouts" }, "undecodable", /something with Bearer <the token>/]
  ]
  for (const [options, kind, says] of cases) {
    test(options.mood ?? `${says}`, () =>
      Effect.gen(function*() {
        const standIn = yield* StandIn.make(options)
        const error = yield* failure((yield* provider({ bin: standIn.bin, ...options })).ready)
        assert.strictEqual(error.kind, kind)
        assert.match(error.message, says)
        assert.include(error.message, error.remedy)
        assert.isAtMost((yield* standIn.calls).length, 2, "no call was retried")
      }))
  }

  test("a lost response and one of a gateway, and leaves what was created", () =>
    Effect.gen(function*() {
      const { bin } = yield* StandIn.make()
      const emulator = yield* Emulator.make()
      const { astroApiUrl: apiUrl, astroToken: token, workspaceId } = emulator
      const { create } = yield* provider({ bin, apiUrl, token, workspaceId })
      const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
      const cases = [["DropAfter", "unreachable", /EOF/], ["Html", "notJson", /proxy/]] as const
      for (const [fault, kind, says] of cases) {
        const then = fault === "Html" ? { _tag: fault, status: 502 } as const : { _tag: fault } as const
        yield* emulator.faults.next({ match: { method: "POST" }, then })
        const error = yield* failure(create({ name: fault, description: "", spec }))
        assert.strictEqual(error.kind, kind)
        assert.isTrue(error.ambiguous)
        assert.match(error.message, says)
      }
      assert.deepStrictEqual((yield* emulator.audit).deployments.map(({ name }) => name), ["DropAfter"])
    }))

  test("what is worth a retry, as the cause of the error", () =>
    Effect.gen(function*() {
      const cases = [
        ["hangs", "hangs", /running after 1s/],
        ["stubborn", "hangs", /running after 1s/],
        ["deadline", "timeout", /in time/],
        [undefined, "unreachable", /connection refused/]
      ] as const
      for (const [mood, kind, says] of cases) {
        const standIn = yield* StandIn.make(mood === undefined ? {} : { mood })
        const { httpClient } = yield* cli({ bin: standIn.bin, timeout: kind === "hangs" ? "1 seconds" : "20 seconds" })
        // uninterruptible, as in the pool
        const get = Effect.uninterruptible(httpClient.get(`${account.apiUrl}/v1/organizations`))
        const { cause } = yield* Effect.flip(get)
        assert.instanceOf(cause, AstroCliError.AstroCliError)
        assert.strictEqual(cause.kind, kind)
        assert.isTrue(cause.retryable)
        assert.match(cause.message, says)
        assert.notInclude(cause.message, "http:")
        for (const { pid } of yield* standIn.calls) assert.isFalse(StandIn.runs(pid))
      }
    }))

  test("nothing after an interruption, and kills a program that ignores SIGTERM", () =>
    Effect.gen(function*() {
      const standIn = yield* StandIn.make({ mood: "forks" })
      const { httpClient } = yield* cli({ bin: standIn.bin })
      const fiber = yield* Effect.fork(httpClient.get(`${account.apiUrl}/v1/organizations`))
      const called = yield* standIn.calls.pipe(
        Effect.filterOrFail((calls) => calls.length === 3),
        Effect.retry({ while: () => Effect.as(Effect.sleep("5 millis"), true) }),
        Effect.timeout("10 seconds")
      )
      assert.isTrue(called.slice(1).every(({ pid }) => StandIn.runs(pid)))
      yield* Fiber.interrupt(fiber)
      assert.isFalse(called.some(({ pid }) => StandIn.runs(pid)))
    }))
})
