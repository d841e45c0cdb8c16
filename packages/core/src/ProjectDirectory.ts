/**
 * The local Astro project of a lease: a new folder, deleted on release.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/**
 * @since 0.1.0
 * @category models
 */
export interface Project {
  readonly name: string
  readonly path: string
}

/**
 * @since 0.1.0
 * @category errors
 */
export class ProjectError extends Schema.TaggedError<ProjectError>("@airflow-resource/core/ProjectError")(
  "ProjectError",
  {
    detail: Schema.String,
    remedy: Schema.optionalWith(Schema.String, {
      default: () => "Check that the system's folder for temporary files is writable and not full."
    })
  }
) {
  override get message(): string {
    return `Could not create the project folder: ${this.detail}. ${this.remedy}`
  }
  readonly retryable = false
}

/**
 * @since 0.1.0
 * @category tags
 */
export class ProjectDirectory extends Context.Tag("@airflow-resource/core/ProjectDirectory")<
  ProjectDirectory,
  {
    /** Creates the project; it is deleted when the scope closes. */
    readonly make: (options: {
      readonly name: string
      readonly runtimeVersion: string
    }) => Effect.Effect<Project, ProjectError, Scope.Scope>
  }
>() {}

/**
 * Creates no folder: for programs that touch no file.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<ProjectDirectory> = Layer.succeed(ProjectDirectory, {
  make: ({ name }) => Effect.succeed({ name, path: `memory://${name}` })
})
