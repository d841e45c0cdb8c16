import { AstroProject } from "@airflow-resource/astro"
import { Host, ProjectDirectory } from "@airflow-resource/core"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { spawnSync } from "node:child_process"
import { basename, dirname } from "node:path"

const project = Effect.flatMap(
  ProjectDirectory.ProjectDirectory,
  ({ make }) => make({ name: "one", runtimeVersion: "13.1.0" })
)

const projects = AstroProject.layer.pipe(Layer.provideMerge(NodeContext.layer))

describe("temporary folders", () => {
  it.scoped("of a process that was killed are deleted by the next process; all others stay", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const { owner } = yield* Host.live
      // the pid of a process that has ended
      const dead = { ...owner, pid: spawnSync("true").pid, startedAt: "1" }
      const abandoned = (by: unknown) =>
        Effect.tap(
          fs.makeTempDirectoryScoped({ prefix: "airflow-resource-project-" }),
          (folder) => fs.writeFileString(`${folder}/owner.json`, JSON.stringify(by))
        )
      const left = yield* abandoned(dead)
      const kept = yield* Effect.all([abandoned(owner), abandoned({ ...dead, host: "elsewhere" }), abandoned("what?")])
      yield* project
      assert.isFalse(yield* fs.exists(left))
      for (const folder of kept) assert.isTrue(yield* fs.exists(folder), folder)
      // the scope's finalizer deletes it
      yield* fs.makeDirectory(left)
    }).pipe(Effect.provide(projects)))
})

describe("what another user puts in the system's temporary folder", () => {
  const dead = Effect.map(Host.live, ({ owner }) => ({ ...owner, pid: spawnSync("true").pid, startedAt: "1" }))
  const folder = Effect.flatMap(
    FileSystem.FileSystem,
    (fs) => fs.makeTempDirectoryScoped({ prefix: "airflow-resource-project-" })
  )

  it.scoped("neither stops a lease nor is read, unless it is a small regular file", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const text = JSON.stringify(yield* dead)
      const [fifo, link, large, inner] = yield* Effect.all([folder, folder, folder, folder])
      assert.strictEqual(spawnSync("mkfifo", [`${fifo}/owner.json`]).status, 0)
      const elsewhere = `${yield* fs.makeTempDirectoryScoped()}/owner.json`
      yield* fs.writeFileString(elsewhere, text)
      yield* fs.symlink(elsewhere, `${link}/owner.json`)
      yield* fs.writeFileString(`${large}/owner.json`, text + " ".repeat(5000))
      yield* fs.makeDirectory(`${inner}/owner.json`)
      yield* project
      for (const kept of [fifo, link, large, inner]) assert.isTrue(yield* fs.exists(kept), kept)
    }).pipe(Effect.provide(projects)), 20_000)

  it.scoped("is not deleted, not even by root, and not through a link", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const text = JSON.stringify(yield* dead)
      const foreign = yield* folder
      yield* fs.writeFileString(`${foreign}/owner.json`, text)
      const target = yield* fs.makeTempDirectoryScoped()
      yield* fs.writeFileString(`${target}/owner.json`, text)
      const link = `${dirname(foreign)}/airflow-resource-project-${basename(target)}`
      yield* Effect.acquireRelease(fs.symlink(target, link), () => Effect.orDie(fs.remove(link)))
      const { getuid } = process
      yield* Effect.acquireUseRelease(
        Effect.sync(() => process.getuid = () => getuid!() + 1),
        () => project,
        () => Effect.sync(() => process.getuid = getuid!)
      )
      assert.isTrue(yield* fs.exists(foreign), "another user's")
      yield* project
      assert.isFalse(yield* fs.exists(foreign), "this user's")
      assert.isTrue(yield* fs.exists(`${target}/owner.json`), "behind a link")
      // the scope's finalizer deletes it
      yield* fs.makeDirectory(foreign)
    }).pipe(Effect.provide(projects)))
})

describe("a project with DAGs", () => {
  it.scoped("contains them besides its own, and none if the folder does not exist", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const dags = yield* fs.makeTempDirectoryScoped()
      yield* fs.makeDirectory(`${dags}/shop`)
      yield* fs.writeFileString(`${dags}/shop/orders.py`, "# a DAG\n")
      const withDags = yield* Effect.provide(project, AstroProject.withDags(projects, dags))
      assert.strictEqual(yield* fs.readFileString(`${withDags.path}/dags/shop/orders.py`), "# a DAG\n")
      assert.isTrue(yield* fs.exists(`${withDags.path}/dags/exampledag.py`))
      const without = yield* Effect.provide(project, AstroProject.withDags(projects, `${dirname(dags)}/not there`))
      assert.deepStrictEqual((yield* fs.readDirectory(`${without.path}/dags`)).sort(), [
        ".airflowignore",
        "exampledag.py"
      ])
    }).pipe(Effect.provide(NodeContext.layer)))
})
