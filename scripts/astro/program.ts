/** The astro CLIs to run: the arguments, else `ASTRO_BIN`, else the `astro` on the PATH. */
import { AstroCli } from "@airflow-resource/astro"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, Option, Redacted } from "effect"

const given = process.argv.slice(2)

export const programs: ReadonlyArray<string | undefined> = given.length > 0 ? given : [process.env.ASTRO_BIN]

/** Sends no request, so that the account need not exist. */
export const programAt = (bin: string | undefined) =>
  Effect.flatMap(AstroCli.AstroCli, ({ program }) => program).pipe(
    Effect.provide(
      AstroCli.layer({
        apiUrl: "http://127.0.0.1:1",
        token: Redacted.make("none"),
        workspaceId: "none",
        organizationId: Option.none(),
        bin
      }).pipe(Layer.provide([ProcessRunner.layer, NodeContext.layer]))
    )
  )
