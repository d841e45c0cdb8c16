import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import type { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, type Scope } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as DeploymentFolder from "../src/internal/DeploymentFolder.js"
import * as FileLock from "../src/internal/FileLock.js"
import * as Seed from "../src/internal/supervisor/Seed.js"
import * as LocalHome from "../src/LocalHome.js"
import * as LocalProvider from "../src/LocalProvider.js"

const withHome = (body: (home: string) => Effect.Effect<void, unknown, Scope.Scope | FileSystem.FileSystem>) => () =>
  Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "home-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
  ).pipe(Effect.flatMap(body), Effect.provide(NodeContext.layer))

const environmentOf = (home: string, name: string) => {
  const folder = path.join(home, "environments", name)
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(path.join(folder, "complete"), "")
  return folder
}

const deploymentOf = (home: string, id: string, environment: string) => {
  const folder = DeploymentFolder.folderOf(home, id)
  fs.mkdirSync(folder, { recursive: true })
  DeploymentFolder.facts.write(folder, {
    id,
    workspace: "test",
    name: id,
    description: "",
    version: "3.3.2",
    environmentName: "python3.11",
    environment,
    createdAt: 0,
    username: "u",
    password: "p",
    secret: "s",
    fernetKey: "f"
  })
  return folder
}

describe("LocalHome.prune", () => {
  it.scopedLive(
    "deletes what no deployment uses, and keeps what is used, or is being made",
    withHome((home) =>
      Effect.gen(function*() {
        const used = environmentOf(home, "used")
        const unused = environmentOf(home, "unused")
        const installing = environmentOf(home, "installing")
        yield* FileLock.acquire(`${installing}.lock`)
        const seeding = environmentOf(home, "seeding")
        yield* FileLock.acquire(Seed.lockOf(seeding))
        const deployment = deploymentOf(home, "d1", used)
        const deleted = deploymentOf(home, "d2", unused)
        DeploymentFolder.facts.remove(deleted)
        const unfinished = DeploymentFolder.unfinishedOf(home, "d3")
        fs.mkdirSync(unfinished)

        assert.sameMembers([...yield* LocalHome.prune(home)], [unfinished, deleted, unused])
        for (const folder of [used, installing, seeding, deployment]) assert.isTrue(fs.existsSync(folder), folder)
        for (const folder of [unfinished, deleted, unused]) assert.isFalse(fs.existsSync(folder), folder)
        assert.deepStrictEqual(yield* LocalHome.prune(home), [])
      })
    )
  )

  it.scopedLive(
    "deletes a deployment that another version has written differently, which hinders no other",
    withHome((home) =>
      Effect.gen(function*() {
        const [one, other] = ["d1", "d2"].map((id) => deploymentOf(home, id, environmentOf(home, "used")))
        fs.writeFileSync(path.join(other!, "deployment.json"), `{"id":"d2"}`)
        const provider = yield* LocalProvider.make({
          home,
          workspace: "test",
          idle: "15 minutes",
          environment: {
            spec: { runtimeVersion: "3.3.2", cloudProvider: "local", region: "python3.11" },
            ensure: () => Effect.die("not needed")
          }
        }).pipe(Effect.provide(Layer.merge(ProcessRunner.layer, NodeContext.layer)))
        assert.deepStrictEqual((yield* provider.list).map(({ id }) => id as string), ["d1"])
        assert.deepStrictEqual(yield* LocalHome.prune(home), [other!])
        assert.isTrue(fs.existsSync(one!))
      })
    )
  )

  it.scopedLive(
    "finds nothing where there is no home",
    withHome((home) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* LocalHome.prune(`${home}/none`), [])
        assert.isFalse(fs.existsSync(`${home}/none`))
      })
    )
  )
})

describe("LocalHome.availableMemory", () => {
  const memory = (platform: string, uv: string) =>
    Effect.gen(function*() {
      const before = [process.platform, process.versions] as const
      const set = (platform: unknown, versions: unknown) =>
        Effect.sync(() => {
          Object.defineProperty(process, "platform", { value: platform })
          Object.defineProperty(process, "versions", { value: versions })
        })
      yield* Effect.acquireRelease(set(platform, { ...before[1], uv }), () => set(...before))
      return yield* LocalHome.availableMemory
    }).pipe(Effect.scoped)

  it.effect("is unknown where Node counts only unused pages", () =>
    Effect.gen(function*() {
      assert.isTrue(Option.isSome(yield* memory("linux", "1.46.0")))
      assert.isTrue(Option.isNone(yield* memory("darwin", "1.46.0")))
      assert.isTrue(Option.isSome(yield* memory("darwin", "1.52.0")))
    }))
})
