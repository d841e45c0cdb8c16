/**
 * The local Astro project of a lease: created by `astro dev init`, or from a template with the same files.
 *
 * @since 0.1.0
 */
import { ProjectDirectory, ProjectError } from "@airflow-resource/core/ProjectDirectory"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AstroCli } from "./AstroCli.js"
import * as DagFolder from "./internal/dagFolder.js"
import * as TemporaryFolder from "./internal/temporaryFolder.js"

interface NewProject {
  readonly folder: string
  readonly name: string
  readonly runtimeVersion: string
}

/** `fill` writes the files into the empty folder. It may run `template`. */
const make = (
  fill: (project: NewProject, template: Effect.Effect<void, PlatformError>) => Effect.Effect<void, PlatformError>
): Effect.Effect<typeof ProjectDirectory.Service, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const newFolder = Effect.provide(
      TemporaryFolder.make("airflow-resource-project-"),
      Context.pick(FileSystem.FileSystem, Path.Path)(yield* Effect.context<FileSystem.FileSystem | Path.Path>())
    )
    return ProjectDirectory.of({
      make: ({ name, runtimeVersion }) =>
        Effect.gen(function*() {
          const folder = path.join(yield* newFolder, name)
          yield* fs.makeDirectory(folder)
          const template = Effect.gen(function*() {
            yield* Effect.forEach(folders, (part) => fs.makeDirectory(path.join(folder, part), { recursive: true }))
            yield* Effect.forEach(
              Object.entries(files(name, runtimeVersion)),
              ([file, text]) => fs.writeFileString(path.join(folder, file), text)
            )
          })
          yield* fill({ folder, name, runtimeVersion }, template)
          return { name, path: folder }
        }).pipe(Effect.mapError((error) => new ProjectError({ detail: error.message })))
    })
  })

/**
 * Creates projects from the template.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ProjectDirectory, never, FileSystem.FileSystem | Path.Path> = Layer.effect(
  ProjectDirectory,
  make((_, template) => template)
)

/**
 * Creates projects with `astro dev init`. Falls back to the template if the astro CLI is missing or fails; a failure is logged as a
 * warning.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerCli: Layer.Layer<ProjectDirectory, never, AstroCli | FileSystem.FileSystem | Path.Path> = Layer
  .effect(
    ProjectDirectory,
    Effect.flatMap(
      AstroCli,
      ({ devInit }) =>
        make((project, template) =>
          Effect.catchAll(
            devInit(project),
            (error) =>
              error.kind === "notFound" ? template : Effect.zipRight(Effect.logWarning(error.message), template)
          )
        )
    )
  )

/**
 * Copies the DAGs of a folder, if it exists, into every project that the layer creates.
 *
 * @example
 * ```ts
 * import * as AstroProject from "@airflow-resource/astro/AstroProject"
 *
 * export const projects = AstroProject.withDags(AstroProject.layer, "/home/me/project/dags")
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDags = <E, R>(
  projects: Layer.Layer<ProjectDirectory, E, R>,
  dags: string
): Layer.Layer<ProjectDirectory, E, R | FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    ProjectDirectory,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const { make } = yield* ProjectDirectory
      const copyDagsInto = (project: string) =>
        Effect.whenEffect(
          Effect.flatMap(DagFolder.open(dags), (folder) => DagFolder.copy(folder, path.join(project, "dags"))),
          fs.exists(dags)
        ).pipe(
          Effect.mapError((error) =>
            new ProjectError(error._tag === "DagFolderUnusable" ? error : { detail: error.message })
          )
        )
      return ProjectDirectory.of({
        make: (options) => Effect.tap(make(options), (project) => copyDagsInto(project.path))
      })
    })
  ).pipe(Layer.provide(projects))

// internal

const folders = ["dags", "plugins", "include", ".astro", "tests/dags"]

const files = (name: string, runtimeVersion: string): Readonly<Record<string, string>> => ({
  "Dockerfile": `FROM ${image(runtimeVersion)}\n`,
  "requirements.txt": "",
  "packages.txt": "",
  ".env": "",
  "airflow_settings.yaml": "airflow:\n  connections: []\n  pools: []\n  variables: []\n",
  ".gitignore": ".env\n",
  ".dockerignore": ".astro\n.git\n.env\n",
  "README.md": `# ${name}\n\nThe project of one lease. It is deleted when the lease ends.\n`,
  "dags/.airflowignore": "",
  "dags/exampledag.py": exampleDag,
  "tests/dags/test_dag_example.py": "def test_the_folder_is_here():\n    assert __file__\n",
  ".astro/config.yaml": `project:\n    name: ${name}\n`,
  ".astro/dag_integrity_exceptions.txt": "",
  ".astro/test_dag_integrity_default.py": "def test_nothing_is_excepted():\n    assert __file__\n"
})

/** Runtimes of Airflow 3 (such as 3.0-1) come from a different registry than those of Airflow 2 (such as 13.1.0). */
const image = (runtimeVersion: string) =>
  /^\d+\.\d+-/.test(runtimeVersion)
    ? `astrocrpublic.azurecr.io/runtime:${runtimeVersion}`
    : `quay.io/astronomer/astro-runtime:${runtimeVersion}`

const exampleDag = `from datetime import datetime

from airflow.decorators import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def exampledag():
    @task
    def greet():
        print("Hello from the example")

    greet()


exampledag()
`
