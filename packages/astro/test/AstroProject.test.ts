import { AstroCli, AstroProject } from "@airflow-resource/astro"
import { ProjectDirectory } from "@airflow-resource/core"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option, Redacted } from "effect"
import * as StandIn from "./StandIn.js"

const paths = [
  "dags/exampledag.py",
  "dags/.airflowignore",
  "plugins",
  "include",
  "tests/dags/test_dag_example.py",
  ".astro/config.yaml",
  ".astro/dag_integrity_exceptions.txt",
  ".astro/test_dag_integrity_default.py",
  ".gitignore",
  ".dockerignore",
  ".env",
  "Dockerfile",
  "README.md",
  "airflow_settings.yaml",
  "packages.txt",
  "requirements.txt"
]

it.effect("a project has the files of `astro dev init` and is deleted with its scope", () =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const projects = yield* ProjectDirectory.ProjectDirectory
    const from = (runtimeVersion: string) =>
      Effect.scoped(Effect.gen(function*() {
        const project = yield* projects.make({ name: "airflow_test_1", runtimeVersion })
        for (const path of paths) assert.isTrue(yield* fs.exists(`${project.path}/${path}`), path)
        assert.strictEqual(
          yield* fs.readFileString(`${project.path}/.astro/config.yaml`),
          "project:\n    name: airflow_test_1\n"
        )
        return [project.path, yield* fs.readFileString(`${project.path}/Dockerfile`)] as const
      }))
    const [path, two] = yield* from("13.1.0")
    assert.strictEqual(two, "FROM quay.io/astronomer/astro-runtime:13.1.0\n")
    assert.strictEqual((yield* from("3.1-12"))[1], "FROM astrocrpublic.azurecr.io/runtime:3.1-12\n")
    assert.isFalse(yield* fs.exists(path))
  }).pipe(Effect.provide(AstroProject.layer.pipe(Layer.provideMerge(NodeContext.layer)))))

const createdBy = (bin: string) => {
  const logged: Array<string> = []
  const cli = AstroCli.layer({
    apiUrl: "http://127.0.0.1:1",
    token: Redacted.make("token"),
    workspaceId: "ws",
    organizationId: Option.none(),
    bin
  })
  return Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const projects = yield* ProjectDirectory.ProjectDirectory
    const { path } = yield* projects.make({ name: "airflow_test_1", runtimeVersion: "13.1.0" })
    return {
      logged,
      files: (yield* fs.readDirectory(path)).length,
      dockerfile: yield* fs.readFileString(`${path}/Dockerfile`),
      config: yield* fs.readFileString(`${path}/.astro/config.yaml`)
    }
  }).pipe(
    Effect.provide(AstroProject.layerCli.pipe(
      Layer.provide(cli),
      Layer.provide(ProcessRunner.layer),
      Layer.provideMerge(NodeContext.layer),
      Layer.merge(
        Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => void logged.push(String(message))))
      )
    ))
  )
}

it.scopedLive(
  "a project is created by the astro CLI, and from the template if the CLI fails",
  () =>
    Effect.gen(function*() {
      const config = "project:\n    name: airflow_test_1\n"
      const created = yield* createdBy((yield* StandIn.make()).bin)
      assert.deepStrictEqual(created, { logged: [], files: 2, dockerfile: "FROM stand-in:13.1.0\n", config })
      const dockerfile = "FROM quay.io/astronomer/astro-runtime:13.1.0\n"
      const missing = yield* createdBy("/nowhere/astro")
      assert.deepStrictEqual(missing, { logged: [], files: 13, dockerfile, config })
      const gaveUp = yield* createdBy((yield* StandIn.make({ mood: "cancels" })).bin)
      assert.deepStrictEqual([gaveUp.files, gaveUp.dockerfile, gaveUp.logged.length], [13, dockerfile, 1])
      assert.match(gaveUp.logged[0] ?? "", /Canceling/)
    })
)
