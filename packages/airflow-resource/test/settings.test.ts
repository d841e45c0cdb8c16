import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ProjectRoot, Settings } from "airflow-resource"
import { Duration, Effect, Option, Redacted } from "effect"

const names = [...Object.keys(Settings.variables), "ASTRO_ORGANIZATION_ID", "ASTRO_API_URL"]

/** A project of its own, with this environment and no other. */
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

describe("Settings", () => {
  it.effect("names every missing variable at once, with what it is", () =>
    inProject({}, (folder) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Settings.load(folder))
        assert.sameMembers(error.problems.map(({ variable }) => variable), Object.keys(complete))
        for (const { meaning } of error.problems) assert.isAbove(meaning.length, 20)
        for (const name of Object.keys(complete)) assert.include(error.message, name)
        assert.include(error.message, ".env")
      })))

  it.effect("asks for no GitHub where nothing is delivered", () =>
    inProject({ AIRFLOW_RESOURCE_DELIVERY: "none" }, (folder) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Settings.load(folder))
        assert.notInclude(error.message, "AIRFLOW_REPO")
      })))

  it.effect("asks Astro through the astro CLI unless told otherwise, and lets it deploy where it is told to", () =>
    Effect.gen(function*() {
      const load = (environment: Record<string, string>) =>
        inProject(
          { ...complete, ...environment },
          (folder) =>
            Effect.map(Settings.load(folder), ({ astroBin, dags, deploysDags, github, via }) => ({
              via,
              bin: Option.getOrUndefined(astroBin),
              dags: dags.replace(folder, "ROOT"),
              deploysDags,
              github: Option.isSome(github)
            }))
        )
      assert.deepStrictEqual(yield* load({}), {
        via: "cli",
        bin: undefined,
        dags: "ROOT/dags",
        deploysDags: false,
        github: true
      })
      assert.deepStrictEqual(
        yield* load({ AIRFLOW_RESOURCE_PROVIDER: "api", ASTRO_BIN: "/opt/astro", AIRFLOW_RESOURCE_DELIVERY: "astro" }),
        { via: "api", bin: "/opt/astro", dags: "ROOT/dags", deploysDags: true, github: false }
      )
      assert.strictEqual(
        (yield* load({ AIRFLOW_RESOURCE_DELIVERY: "astro", AIRFLOW_DAG_PATH: "flows" })).dags,
        "ROOT/flows"
      )
    }))

  it.effect("asks for no access token where an API token is set", () =>
    inProject({ ...complete, ASTRO_ACCESS_TOKEN: "", ASTRO_API_TOKEN: "shared" }, (folder) =>
      Effect.gen(function*() {
        const settings = yield* Settings.load(folder)
        assert.strictEqual(Redacted.value(settings.astro.token), "shared")
        assert.strictEqual(Redacted.value(Option.getOrThrow(settings.pool.apiToken)), "shared")
      })))

  it.effect("has the original's defaults", () =>
    inProject(complete, (folder) =>
      Effect.gen(function*() {
        const settings = yield* Settings.load(folder)
        assert.deepStrictEqual(settings.spec, { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" })
        assert.strictEqual(settings.pool.username, "airflow")
        assert.strictEqual(settings.pool.max, 4)
        assert.deepStrictEqual(settings.pool.reset, { keep: {}, defaultPoolSlots: 128 })
        assert.strictEqual(settings.cache, `${folder}/Environment/CacheManager/cluster_cache.db`)
      })))

  it.effect("names a malformed variable, and not its value where that is secret", () =>
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

  it.effect("reads what a reset leaves, and says how that is written", () =>
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

  it.effect("reads whether to adopt and when to hibernate, and says how that is written", () =>
    Effect.gen(function*() {
      const { pool } = yield* inProject(complete, Settings.load)
      assert.isFalse(pool.adopt)
      assert.strictEqual(Duration.toMillis(pool.hibernateAfter), 0)
      const given = { AIRFLOW_RESOURCE_ADOPT: "true", AIRFLOW_RESOURCE_HIBERNATE_AFTER: "10 minutes" }
      const { pool: set } = yield* inProject({ ...complete, ...given }, Settings.load)
      assert.isTrue(set.adopt)
      assert.strictEqual(Duration.toMinutes(set.hibernateAfter), 10)
      // upkeep is a layer of its own, beside whatever pool
      assert.deepStrictEqual(yield* inProject(given, Settings.upkeep), { hibernateAfter: set.hibernateAfter })
      const wrong = { AIRFLOW_RESOURCE_ADOPT: "maybe", AIRFLOW_RESOURCE_HIBERNATE_AFTER: "soon" }
      const error = yield* inProject({ ...complete, ...wrong }, (folder) => Effect.flip(Settings.load(folder)))
      assert.sameMembers(error.problems.map(({ variable }) => variable), Object.keys(wrong))
      assert.include(error.message, "`true`")
      assert.include(error.message, "`10 minutes`")
    }))

  it.effect("finds the ledger whatever else is missing, and asks nothing of GitHub of those who do not deliver", () =>
    inProject({}, (folder) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Settings.cache(folder), `${folder}/Environment/CacheManager/cluster_cache.db`)
        const error = yield* Effect.flip(Settings.load(folder, { delivers: false }))
        assert.sameMembers(
          error.problems.map(({ variable }) => variable),
          Object.keys(complete).filter((name) => name.startsWith("ASTRO_"))
        )
      })))

  it.effect("says what a delivery or a provider that is not there could be instead", () =>
    inProject(
      { ...complete, AIRFLOW_RESOURCE_DELIVERY: "pigeon", AIRFLOW_RESOURCE_PROVIDER: "cloud" },
      (folder) =>
        Effect.gen(function*() {
          assert.include((yield* Effect.flip(Settings.load(folder))).message, "`none`")
          assert.include((yield* Effect.flip(Settings.provider(folder))).message, "`emulator`")
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
          assert.strictEqual(settings.spec.region, "from-process")
          assert.strictEqual(settings.spec.runtimeVersion, "12.7.1")
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
