import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ProjectRoot, Settings } from "airflow-resource"
import { Duration, Effect, Option, Redacted } from "effect"

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
        assert.include(error.message, ".env")
      })))

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

  it.effect("treats a blank variable as not set", () =>
    inProject(
      { ...Object.fromEntries(names.map((name) => [name, " "])), ...complete },
      (folder) =>
        Effect.gen(function*() {
          const { dags, pool, provider } = yield* Settings.load(folder)
          assert.isTrue(provider._tag === "AstroCli" && Option.isNone(provider.apiToken))
          assert.deepStrictEqual([pool.max, pool.password, dags], [4, undefined, `${folder}/dags`])
        })
    ))

  it.effect("uses the API token as access token if there is no other", () =>
    inProject({ ...complete, ASTRO_ACCESS_TOKEN: "", ASTRO_API_TOKEN: "shared" }, (folder) =>
      Effect.gen(function*() {
        const { provider } = yield* Settings.load(folder)
        if (provider._tag !== "AstroCli") return assert.fail(provider._tag)
        assert.strictEqual(Redacted.value(provider.account.token), "shared")
        assert.strictEqual(Redacted.value(Option.getOrThrow(provider.apiToken)), "shared")
      })))

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
    }))

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
