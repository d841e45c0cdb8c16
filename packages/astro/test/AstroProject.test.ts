import { AstroProject } from "@airflow-resource/astro"
import { ProjectDirectory } from "@airflow-resource/core"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"

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

it.effect("a project has the paths of `astro dev init` and goes with its scope", () =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const projects = yield* ProjectDirectory.ProjectDirectory
    const from = (runtimeVersion: string) =>
      Effect.scoped(Effect.gen(function*() {
        const project = yield* projects.make({ name: "airflow_test_1", runtimeVersion })
        for (const path of paths) assert.isTrue(yield* fs.exists(`${project.path}/${path}`), path)
        assert.strictEqual(
          yield* fs.readFileString(`${project.path}/.astro/config.yaml`),
          "project:\n  name: airflow_test_1\n"
        )
        return [project.path, yield* fs.readFileString(`${project.path}/Dockerfile`)] as const
      }))
    const [path, two] = yield* from("13.1.0")
    assert.strictEqual(two, "FROM quay.io/astronomer/astro-runtime:13.1.0\n")
    assert.strictEqual((yield* from("3.1-12"))[1], "FROM astrocrpublic.azurecr.io/runtime:3.1-12\n")
    assert.isFalse(yield* fs.exists(path))
  }).pipe(Effect.provide(AstroProject.layer.pipe(Layer.provideMerge(NodeContext.layer)))))
