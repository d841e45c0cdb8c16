import { FileSystem, type Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { type ConfigurationError, ProjectRoot, Settings } from "airflow-resource"
import { Duration, Effect, Option, Redacted } from "effect"
import * as Astro from "../src/internal/provider/astro.js"

const names = Object.keys({ ...Settings.variables, ...Settings.internalVariables })

/** Runs the body in a new project, with this environment and no other. */
const inProject = <A, E, R>(
  environment: Record<string, string>,
  body: (folder: string) => Effect.Effect<A, E, R>,
  dotEnv?: string
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    yield* fs.makeDirectory(`${folder}/.git`)
    if (dotEnv !== undefined) yield* fs.writeFileString(`${folder}/.env`, dotEnv)
    const before = Object.fromEntries(names.map((name) => [name, process.env[name]]))
    const set = (values: Record<string, string | undefined>) =>
      Effect.sync(() => {
        for (const name of names) {
          const value = values[name]
          if (value === undefined) delete process.env[name]
          else process.env[name] = value
        }
      })
    yield* Effect.acquireRelease(set(environment), () => set(before))
    return yield* body(folder)
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const complete = {
  ASTRO_WORKSPACE_ID: "ws",
  ASTRO_ACCESS_TOKEN: "secret-token",
  ASTRO_CLOUD_PROVIDER: "aws",
  ASTRO_REGION: "us-east-1",
  AIRFLOW_GITHUB_TOKEN: "secret-github",
  AIRFLOW_REPO: "https://github.com/my-org/my-dags"
}

const specOf = ({ provider }: Settings.Settings) => "spec" in provider ? provider.spec : undefined

describe("Settings", () => {
  it.effect("names every missing variable at once, with its meaning", () =>
    inProject({}, (folder) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Settings.load(folder))
        assert.sameMembers(error.problems.map(({ variable }) => variable), Object.keys(complete))
        for (const { meaning } of error.problems) assert.isAbove(meaning.length, 20)
        for (const name of Object.keys(complete)) assert.include(error.message, name)
        assert.match(error.message, /^The configuration is incomplete:\n/)
        assert.include(error.message, ".env")
      })))

  it.effect("says what works without an account, if it is the account that is missing", () =>
    Effect.gen(function*() {
      const load = (environment: Record<string, string>) =>
        inProject(environment, (folder) => Effect.flip(Settings.load(folder)))
      assert.match((yield* load({})).message, /PROVIDER=local .*\n.*PROVIDER=emulator /)
      const { AIRFLOW_REPO: _, ...withoutRepository } = complete
      assert.notInclude((yield* load(withoutRepository)).message, "PROVIDER=local")
    }))

  it.effect("a local Airflow needs no variable, and gets what else the .env says", () =>
    inProject(
      { AIRFLOW_RESOURCE_PROVIDER: "local" },
      (folder) =>
        Effect.gen(function*() {
          const { cache, delivery, pool, provider } = yield* Settings.load(folder)
          assert.strictEqual(pool.max, 2)
          assert.deepStrictEqual(delivery, { _tag: "Local", dags: `${folder}/dags` })
          assert(provider._tag === "Local" && cache._tag === "File")
          const { root, runtime, variables, version } = provider
          assert.deepStrictEqual({ root, cache: provider.cache, version }, {
            root: folder,
            cache: cache.path,
            version: Option.none()
          })
          assert.deepStrictEqual(runtime, Option.some("3.1-4"))
          assert.deepStrictEqual(Object.entries(variables).map(([name, value]) => [name, Redacted.value(value)]), [
            ["AIRFLOW_VAR_REGION", "eu"],
            ["API_KEY", "hush"]
          ])
        }),
      "ASTRO_RUNTIME_VERSION=3.1-4\nASTRO_ACCESS_TOKEN=secret\nAIRFLOW_VAR_REGION=eu\nAPI_KEY=hush\nAIRFLOW_RESOURCE_TYPO=1\n"
    ))

  for (
    const [variable, value] of [
      ["AIRFLOW_RESOURCE_AIRFLOW_VERSION", "2.9.3"],
      ["AIRFLOW_RESOURCE_AIRFLOW_VERSION", "3"],
      ["AIRFLOW_RESOURCE_LOCAL_IDLE", "0s"],
      ["AIRFLOW_RESOURCE_LOCAL_BROKEN_DAGS", "yes"],
      ["AIRFLOW_RESOURCE_LOCAL_DATABASE", "mysql://me:planted@localhost/db"],
      ["AIRFLOW_RESOURCE_DELIVERY", "secrets"]
    ] as const
  ) {
    it.effect(`a local Airflow refuses ${variable}=${value}`, () =>
      inProject({ AIRFLOW_RESOURCE_PROVIDER: "local", [variable]: value }, (folder) =>
        Effect.gen(function*() {
          const { message, problems } = yield* Effect.flip(Settings.load(folder))
          assert.deepStrictEqual(problems.map(({ variable }) => variable), [variable])
          assert.notInclude(message, "planted")
        })))
  }

  it.effect("a local Airflow has the database of the URL, whose password is not shown", () => {
    const url = "postgresql://me:planted@localhost:5433/db"
    return inProject(
      { AIRFLOW_RESOURCE_PROVIDER: "local", AIRFLOW_RESOURCE_LOCAL_DATABASE: url },
      (folder) =>
        Effect.gen(function*() {
          const { provider } = yield* Settings.load(folder)
          assert(provider._tag === "Local")
          const { host, password, port } = Option.getOrThrow(provider.database)
          assert.deepStrictEqual([host, port, Redacted.value(password)], ["localhost", 5433, "planted"])
          assert.notInclude(JSON.stringify(provider), "planted")
        })
    )
  })

  it.effect("needs nothing of GitHub's without a delivery", () =>
    inProject({ AIRFLOW_RESOURCE_DELIVERY: "none" }, (folder) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Settings.load(folder))
        assert.notInclude(error.message, "AIRFLOW_REPO")
      })))

  it.effect("reads the provider and the delivery, each with its own options", () =>
    Effect.gen(function*() {
      const load = (environment: Record<string, string>) =>
        inProject(
          { ...complete, ...environment },
          (folder) =>
            Effect.map(Settings.load(folder), ({ dags, delivery, provider }) => ({
              provider: provider._tag,
              bin: provider._tag === "AstroCli" ? Option.getOrUndefined(provider.bin) : "not its option",
              dags: dags.replace(folder, "ROOT"),
              delivery: delivery._tag,
              delivers: delivery._tag === "Secrets"
                ? delivery.repository
                : delivery._tag === "Astro"
                ? delivery.dags.replace(folder, "ROOT")
                : undefined
            }))
        )
      assert.deepStrictEqual(yield* load({}), {
        provider: "AstroCli",
        bin: undefined,
        dags: "ROOT/dags",
        delivery: "Secrets",
        delivers: complete.AIRFLOW_REPO
      })
      assert.deepStrictEqual(yield* load({ ASTRO_BIN: "/opt/astro", AIRFLOW_RESOURCE_DELIVERY: "none" }), {
        provider: "AstroCli",
        bin: "/opt/astro",
        dags: "ROOT/dags",
        delivery: "None",
        delivers: undefined
      })
      assert.deepStrictEqual(
        yield* load({ AIRFLOW_RESOURCE_PROVIDER: "api", ASTRO_BIN: "/opt/astro", AIRFLOW_RESOURCE_DELIVERY: "astro" }),
        { provider: "AstroApi", bin: "not its option", dags: "ROOT/dags", delivery: "Astro", delivers: "ROOT/dags" }
      )
      assert.strictEqual(
        (yield* load({ AIRFLOW_RESOURCE_DELIVERY: "astro", AIRFLOW_DAG_PATH: "flows" })).delivers,
        "ROOT/flows"
      )
    }))

  it.effect("needs no variable and no project for the emulator, whose ledger is temporary", () =>
    Effect.gen(function*() {
      const emulator = { AIRFLOW_RESOURCE_PROVIDER: "emulator" }
      const load = (environment: Record<string, string>) =>
        inProject({ ...emulator, ...environment }, (folder) => Settings.load(folder))
      const { cache, delivery, pool, provider } = yield* load({ AIRFLOW_RESOURCE_MAX: "2" })
      assert.strictEqual(provider._tag, "Emulator")
      assert.deepStrictEqual([cache, delivery, pool.max], [{ _tag: "Temporary" }, { _tag: "EmulatedSecrets" }, 2])
      assert.deepStrictEqual((yield* load({ AIRFLOW_RESOURCE_DELIVERY: "none" })).delivery, { _tag: "None" })
      assert.deepStrictEqual((yield* load({ AIRFLOW_RESOURCE_CACHE: "shared.db" })).cache, { _tag: "Temporary" })
      assert.deepStrictEqual(yield* inProject(emulator, Settings.cache), { _tag: "Temporary" })
      assert.strictEqual((yield* inProject(emulator, () => Settings.load("/"))).provider._tag, "Emulator")
    }))

  it.effect("treats a blank variable as not set, whatever its kind", () =>
    Effect.forEach(["", " ", "\n"], (blank) =>
      inProject(
        { ...Object.fromEntries(names.map((name) => [name, blank])), ...complete },
        (folder) =>
          Effect.gen(function*() {
            const { dags, pool, provider } = yield* Settings.load(folder)
            assert.isTrue(provider._tag === "AstroCli" && Option.isNone(provider.apiToken))
            assert.deepStrictEqual([pool.max, pool.password, dags], [4, undefined, `${folder}/dags`])
            const needed = Object.keys(complete)
            yield* Effect.sync(() => needed.forEach((name) => process.env[name] = blank))
            const { problems } = yield* Effect.flip(Settings.load(folder))
            assert.sameMembers(problems.map(({ variable }) => variable), needed)
            assert.sameMembers(problems.map(({ problem }) => problem), needed.map(() => "is missing"))
          })
      )))

  it.effect("uses the API token as access token if there is no other", () =>
    inProject({ ...complete, ASTRO_ACCESS_TOKEN: "", ASTRO_API_TOKEN: "shared" }, (folder) =>
      Effect.gen(function*() {
        const { provider } = yield* Settings.load(folder)
        if (provider._tag !== "AstroCli") return assert.fail(provider._tag)
        assert.strictEqual(Redacted.value(provider.account.token), "shared")
        assert.strictEqual(Redacted.value(Option.getOrThrow(provider.apiToken)), "shared")
      })))

  it.effect.each([
    { tokens: { ASTRO_ACCESS_TOKEN: "own", ASTRO_API_TOKEN: "" }, shared: "own" },
    { tokens: { ASTRO_ACCESS_TOKEN: "", ASTRO_API_TOKEN: "api" }, shared: "api" },
    { tokens: { ASTRO_ACCESS_TOKEN: "own", ASTRO_API_TOKEN: "api" }, shared: "api" }
  ])(
    "shares a token only among leases that mint none: %j",
    ({ shared, tokens }) =>
      inProject({ ...complete, ...tokens, AIRFLOW_RESOURCE_PROVIDER: "api" }, (folder) =>
        Effect.gen(function*() {
          const { pool, provider } = yield* Settings.load(folder)
          if (provider._tag !== "AstroApi") return assert.fail(provider._tag)
          assert.strictEqual(pool.fence, "auto")
          assert.strictEqual(Redacted.value(Astro.partsOf(provider).pool.sharedToken!), shared)
        }))
  )

  it.effect("has the original's defaults", () =>
    inProject(complete, (folder) =>
      Effect.gen(function*() {
        const settings = yield* Settings.load(folder)
        assert.deepStrictEqual(specOf(settings), {
          runtimeVersion: "13.1.0",
          cloudProvider: "aws",
          region: "us-east-1"
        })
        assert.strictEqual(settings.pool.username, "airflow")
        assert.strictEqual(settings.pool.max, 4)
        assert.deepStrictEqual(settings.pool.reset, { keep: {}, defaultPoolSlots: 128 })
        assert.deepStrictEqual(settings.cache, {
          _tag: "File",
          path: `${folder}/Environment/CacheManager/cluster_cache.db`
        })
      })))

  it.effect("names an invalid variable, but no secret value", () =>
    inProject({
      ...complete,
      ASTRO_CLOUD_PROVIDER: "ibm",
      AIRFLOW_RESOURCE_MAX: "none",
      AIRFLOW_RESOURCE_DELIVERY: "secrets"
    }, (folder) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Settings.load(folder))
        assert.sameMembers(error.problems.map(({ variable }) => variable), [
          "ASTRO_CLOUD_PROVIDER",
          "AIRFLOW_RESOURCE_MAX"
        ])
        assert.match(error.message, /^The configuration is invalid:\n/)
        assert.notInclude(error.message, "secret-")
      })))

  it.effect("reads what a reset keeps, and explains the syntax", () =>
    Effect.gen(function*() {
      const given = {
        AIRFLOW_RESOURCE_KEEP: "variables:shared_*, pools:etl",
        AIRFLOW_RESOURCE_DEFAULT_POOL_SLOTS: "16"
      }
      const { pool } = yield* inProject({ ...complete, ...given }, Settings.load)
      assert.deepStrictEqual(pool.reset, {
        keep: { variables: ["shared_*"], connections: [], pools: ["etl"] },
        defaultPoolSlots: 16
      })
      const wrong = { AIRFLOW_RESOURCE_KEEP: "shared_*", AIRFLOW_RESOURCE_DEFAULT_POOL_SLOTS: "0" }
      const error = yield* inProject({ ...complete, ...wrong }, (folder) => Effect.flip(Settings.load(folder)))
      assert.sameMembers(error.problems.map(({ variable }) => variable), Object.keys(wrong))
      assert.include(error.message, "\"shared_*\" is not like variables:NAME")
      for (const keep of ["variables:a*b", "pools:*a", "variables:a;connections:b", "variables:a pools:b"]) {
        const failed = inProject({ ...complete, AIRFLOW_RESOURCE_KEEP: keep }, Settings.load)
        assert.include((yield* Effect.flip(failed)).message, `AIRFLOW_RESOURCE_KEEP is invalid: "${keep}" is not like`)
      }
    }))

  it.effect("refuses a file as the folder of the DAGs, and accepts that there is none", () =>
    Effect.gen(function*() {
      const load = (path: string) => inProject({ ...complete, AIRFLOW_DAG_PATH: path }, Settings.load, "A=1")
      const { message } = yield* Effect.flip(load(".env"))
      assert.match(message, /AIRFLOW_DAG_PATH is invalid: .+\.env is not a folder\. It is the folder of the DAGs/)
      assert.match((yield* load("none")).dags, /none$/)
    }))

  it.effect("says what is wrong with a token, without showing it", () =>
    Effect.forEach(
      ["ASTRO_ACCESS_TOKEN", "ASTRO_API_TOKEN", "AIRFLOW_GITHUB_TOKEN"],
      (name) =>
        Effect.forEach(["\"secret-1\"", "secret-1\nx", "Bearer secret-1"], (token) =>
          inProject({ ...complete, [name]: token }, (folder) =>
            Effect.gen(function*() {
              const { message } = yield* Effect.flip(Settings.load(folder))
              assert.include(
                message,
                `${name} is invalid: expected a token alone, without quotes, spaces or line breaks`
              )
              assert.notInclude(message, "secret-1")
            })))
    ))

  it.effect("reads whether to adopt and when to hibernate, and explains the syntax", () =>
    Effect.gen(function*() {
      const { pool, upkeep } = yield* inProject(complete, Settings.load)
      assert.isFalse(pool.adopt)
      assert.strictEqual(Duration.toMillis(upkeep.hibernateAfter), 0)
      const given = { AIRFLOW_RESOURCE_ADOPT: "true", AIRFLOW_RESOURCE_HIBERNATE_AFTER: "10 minutes" }
      const set = yield* inProject({ ...complete, ...given }, Settings.load)
      assert.isTrue(set.pool.adopt)
      assert.strictEqual(Duration.toMinutes(set.upkeep.hibernateAfter), 10)
      // upkeep is a layer of its own, over any pool
      assert.deepStrictEqual(yield* inProject(given, Settings.upkeep), set.upkeep)
      const wrong = { AIRFLOW_RESOURCE_ADOPT: "maybe", AIRFLOW_RESOURCE_HIBERNATE_AFTER: "soon" }
      const error = yield* inProject({ ...complete, ...wrong }, (folder) => Effect.flip(Settings.load(folder)))
      assert.sameMembers(error.problems.map(({ variable }) => variable), Object.keys(wrong))
      assert.include(error.message, "`true`")
      assert.include(error.message, "`10 minutes`")
    }))

  it.effect("reads durations as people type them, within bounds that the message names", () =>
    Effect.gen(function*() {
      const load = (given: Record<string, string>) => inProject({ ...complete, ...given }, Settings.load)
      for (
        const [text, seconds] of [
          ["5s", 5],
          ["5 sec", 5],
          ["1500ms", 1.5],
          ["1500 millis", 1.5],
          ["1.5 seconds", 1.5],
          ["10m", 600],
          ["10 MIN", 600],
          ["5 minutes", 300],
          ["2h", 7200],
          ["1h30m", 5400],
          ["1 hour 30 minutes", 5400],
          ["1d", 86_400],
          ["1 week", 604_800],
          ["PT5M", 300],
          ["pt1h30m", 5400],
          [" 5 minutes ", 300]
        ] as const
      ) {
        const { pool } = yield* load({ AIRFLOW_RESOURCE_MAX_HOLD: text })
        assert.strictEqual(Duration.toSeconds(pool.maxHold), seconds, text)
      }
      for (const text of ["0", "0s", "0 seconds", "PT0S"]) {
        const { upkeep } = yield* load({ AIRFLOW_RESOURCE_HIBERNATE_AFTER: text })
        assert.strictEqual(Duration.toMillis(upkeep.hibernateAfter), 0)
      }
      const timeouts = ["ACQUIRE_TIMEOUT", "HEALTHY_TIMEOUT", "READY_TIMEOUT", "MAX_HOLD"]
      for (
        const text of [
          "0",
          "0 minutes",
          "10",
          "-5 minutes",
          "1e3 s",
          "5 fortnights",
          "8 days",
          "PT",
          "P1Y",
          "999999999999999999 weeks",
          "5m x"
        ]
      ) {
        for (const name of timeouts.map((name) => `AIRFLOW_RESOURCE_${name}`)) {
          const { message } = yield* Effect.flip(load({ [name]: text }))
          const bounds = "a duration from 1 second to 7 days, such as `10 minutes`, `10m` or `PT10M`"
          assert.include(message, `${name} is invalid: expected ${bounds}, not "${text}"`)
        }
      }
      const { message } = yield* Effect.flip(load({ AIRFLOW_RESOURCE_HIBERNATE_AFTER: "8d" }))
      assert.include(message, `from 0 seconds to 7 days`)
    }))

  it.effect("reads numbers and words within their bounds", () =>
    Effect.gen(function*() {
      const load = (given: Record<string, string>) => inProject({ ...complete, ...given }, Settings.load)
      assert.strictEqual((yield* load({ AIRFLOW_RESOURCE_MAX: " 1000 " })).pool.max, 1000)
      for (const text of ["0", "1001", "1e30", "1e2", "0x10", "2.5", "-1", "Infinity"]) {
        const { message } = yield* Effect.flip(load({ AIRFLOW_RESOURCE_MAX: text }))
        assert.include(
          message,
          `AIRFLOW_RESOURCE_MAX is invalid: expected a whole number from 1 to 1000, not "${text}"`
        )
      }
      const slots = yield* Effect.flip(load({ AIRFLOW_RESOURCE_DEFAULT_POOL_SLOTS: "1e30" }))
      assert.include(slots.message, "a whole number from 1 to 1000000")
      assert.isTrue((yield* load({ AIRFLOW_RESOURCE_ADOPT: "True" })).pool.adopt)
      const adopt = yield* Effect.flip(load({ AIRFLOW_RESOURCE_ADOPT: "constructor" }))
      assert.include(adopt.message, `AIRFLOW_RESOURCE_ADOPT is invalid: expected true or false, not "constructor"`)
      for (const name of ["AIRFLOW_USERNAME", "AIRFLOW_RESOURCE_POOL"]) {
        for (const text of ["a/b", "..", "x\ny", "x".repeat(65)]) {
          const { message } = yield* Effect.flip(load({ [name]: text }))
          assert.include(message, `${name} is invalid: expected a name of at most `)
        }
      }
      const fence = yield* Effect.flip(load({ AIRFLOW_RESOURCE_FENCE: "maybe" }))
      assert.include(fence.message, `AIRFLOW_RESOURCE_FENCE is invalid: expected auto, on, off, not "maybe"`)
    }))

  it.effect("finds the ledger if all else is missing, and needs nothing of GitHub's without `delivers`", () =>
    inProject({}, (folder) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* Settings.cache(folder), {
          _tag: "File",
          path: `${folder}/Environment/CacheManager/cluster_cache.db`
        })
        const error = yield* Effect.flip(Settings.load(folder, { delivers: false }))
        assert.sameMembers(
          error.problems.map(({ variable }) => variable),
          Object.keys(complete).filter((name) => name.startsWith("ASTRO_"))
        )
      })))

  for (const name of ["AIRFLOW_RESOURCE_PROVIDER", "AIRFLOW_RESOURCE_DELIVERY"]) {
    it.effect(`says of a mistyped ${name} nothing but that`, () =>
      inProject({ [name]: "locl" }, (folder) =>
        Effect.gen(function*() {
          const { message, problems } = yield* Effect.flip(Settings.load(folder))
          assert.deepStrictEqual(problems.map(({ variable }) => variable), [name])
          assert.include(message, `${name} is invalid: expected `)
          assert.notInclude(message, "missing")
        })))
  }

  it.effect("names the valid providers and deliveries if the name is unknown", () =>
    inProject(
      { ...complete, AIRFLOW_RESOURCE_DELIVERY: "pigeon", AIRFLOW_RESOURCE_PROVIDER: "cloud" },
      (folder) =>
        Effect.gen(function*() {
          const { message } = yield* Effect.flip(Settings.load(folder))
          assert.include(message, "`none`")
          assert.include(message, "`emulator`")
        })
    ))

  it.effect("reads a .env in the project's root, and the process wins", () =>
    inProject(
      { ...complete, ASTRO_REGION: "from-process" },
      (folder) =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          yield* fs.makeDirectory(`${folder}/deep/er`, { recursive: true })
          const settings = yield* Settings.load(`${folder}/deep/er`)
          assert.strictEqual(specOf(settings)?.region, "from-process")
          assert.strictEqual(specOf(settings)?.runtimeVersion, "12.7.1")
          assert.deepStrictEqual(Duration.toMinutes(settings.pool.maxHold), 5)
        }),
      "ASTRO_REGION=from-file\nASTRO_RUNTIME_VERSION=12.7.1\nAIRFLOW_RESOURCE_MAX_HOLD=5 minutes\n"
    ))
})

describe("a .env", () => {
  const load = (dotEnv: string, environment: Record<string, string> = complete) =>
    inProject(environment, (folder) => Settings.load(folder), dotEnv)

  const password = (line: string) =>
    Effect.map(load(line), ({ pool }) => pool.password && Redacted.value(pool.password))

  it.effect("keeps every character of a value", () =>
    Effect.gen(function*() {
      for (
        const [text, value] of [
          ["'pa$sword'", "pa$sword"],
          ["\"pa$sword\"", "pa$sword"],
          ["pa$sword", "pa$sword"],
          ["${HOME}", "${HOME}"],
          ["p#ss", "p#ss"],
          ["'p#ss'", "p#ss"],
          ["'p #ss'", "p #ss"],
          ["p#s#s # a comment", "p#s#s"],
          ["'p#ss' # a comment", "p#ss"],
          ["pass # it's a comment", "pass"],
          ["it's", "it's"],
          ["a=b==", "a=b=="],
          ["'two\nlines # here'", "two\nlines # here"],
          ["\"two\\nlines\"", "two\nlines"],
          ["pass\r", "pass"]
        ] as const
      ) {
        assert.strictEqual(yield* password(`AIRFLOW_PASSWORD=${text}\nAIRFLOW_RESOURCE_MAX=2\n`), value)
        assert.strictEqual(yield* password(`\uFEFFexport AIRFLOW_PASSWORD = ${text}`), value)
      }
      assert.strictEqual(yield* password("AIRFLOW_PASSWORD=#ss"), "#ss")
      assert.isUndefined(yield* password("AIRFLOW_PASSWORD= #ss"))
    }))

  it.effect("may be indented and have blank lines", () =>
    Effect.gen(function*() {
      for (const before of ["", "A=1\n   \n", "A=1\n\t\n", "  # it's\n", "A='two\n  lines'\n", "A=x=\"y\"z\n"]) {
        for (const line of ["AIRFLOW_PASSWORD=x", "\tAIRFLOW_PASSWORD=x", "  export  AIRFLOW_PASSWORD\t=\tx"]) {
          assert.strictEqual(yield* password(`${before}${line}`), "x", before + line)
        }
      }
    }))

  it.effect("is refused if quotes do not enclose a value, with the line", () =>
    Effect.forEach(
      ["\"p\"ss", "'it''s'", "\"a\\\"b\"", "\"a\"\"b\"", "\"x\" B=\"y\"", "\"unclosed", "'unclosed\nB='y'"],
      (text) =>
        Effect.gen(function*() {
          const { message } = yield* Effect.flip(load(`A='1'\n\nAIRFLOW_PASSWORD=${text}\n`))
          assert.match(message, /\.env has a value whose quotes are not closed, or with text after them \(line 3\)/)
          assert.notInclude(message, text)
        })
    ))

  it.effect("does not hide a blank variable of the process's", () =>
    Effect.gen(function*() {
      const { pool } = yield* load("AIRFLOW_RESOURCE_MAX=2", { ...complete, AIRFLOW_RESOURCE_MAX: "" })
      assert.strictEqual(pool.max, 2)
    }))

  it.effect("lists a variable once that is missing there too", () =>
    Effect.gen(function*() {
      const { message } = yield* Effect.flip(load("AIRFLOW_REPO=\n", {}))
      for (const name of Object.keys(complete)) {
        assert.lengthOf(message.match(new RegExp(`^  ${name} is missing`, "gm")) ?? [], 1, name)
      }
    }))

  it.effect("is reported if it cannot be read", () =>
    inProject(complete, (folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* fs.makeDirectory(`${folder}/.env`)
        for (const read of [Settings.load, Settings.cache, Settings.upkeep]) {
          const { message } = yield* Effect.flip(
            Effect.asVoid<unknown, ConfigurationError.ConfigurationError, FileSystem.FileSystem | Path.Path>(
              read(folder)
            )
          )
          assert.include(message, `${folder}/.env cannot be read`)
        }
      })))

  it.effect("is reported if a line is not a variable, without the line, which may be a secret", () =>
    Effect.gen(function*() {
      for (
        const [text, line] of [
          ["A=1\nsecret-token\nAIRFLOW_RESOURCE_MAX=2\n", 2],
          ["A=1\n=secret\nAIRFLOW_RESOURCE_MAX=2\n", 2],
          ["A: secret\nAIRFLOW_RESOURCE_MAX=2\n", 1],
          ["A=1\n\nAIRFLOW_RESOURCE_MAX=2\nsecret", 4]
        ] as const
      ) {
        const { message } = yield* Effect.flip(load(text))
        assert.include(message, `.env has a line that is not like NAME=value (line ${line})`)
        assert.notInclude(message, "secret")
      }
    }))
})

describe("ProjectRoot", () => {
  it.scoped("is the nearest .git, else the topmost package.json, else nothing", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      yield* fs.makeDirectory(`${folder}/a/b/c`, { recursive: true })
      assert.isTrue(Option.isNone(yield* ProjectRoot.find(`${folder}/a/b/c`)))
      yield* fs.writeFileString(`${folder}/a/package.json`, "{}")
      yield* fs.writeFileString(`${folder}/a/b/package.json`, "{}")
      assert.strictEqual(Option.getOrNull(yield* ProjectRoot.find(`${folder}/a/b/c`)), `${folder}/a`)
      yield* fs.makeDirectory(`${folder}/a/b/.git`)
      assert.strictEqual(Option.getOrNull(yield* ProjectRoot.find(`${folder}/a/b/c`)), `${folder}/a/b`)
    }).pipe(Effect.provide(NodeContext.layer)))
})
