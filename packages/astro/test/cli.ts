import { AstroApi, AstroCli, AstroProject } from "@airflow-resource/astro"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import type * as Emulator from "@airflow-resource/emulator/Emulator"
import { FetchHttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Layer, Option } from "effect"

/** The emulator's account, as configuration of the astro package. */
export const account = ({ astroApiUrl, astroToken, workspaceId }: Emulator.Service) => ({
  apiUrl: astroApiUrl,
  token: astroToken,
  workspaceId,
  organizationId: Option.none<string>()
})

/** All services of a lease that use the astro CLI: the one at `bin`, or the first on the PATH. */
export const services = (
  emulator: Emulator.Service,
  bin: string | undefined,
  options: Partial<AstroCli.AstroCliOptions> = {}
) =>
  Layer.mergeAll(
    AstroApi.layer(account(emulator)).pipe(Layer.provide(AstroCli.layerHttpClient)),
    AstroProject.layerCli
  ).pipe(
    Layer.provide(AstroCli.layer({ ...account(emulator), bin, ...options })),
    Layer.provide([ProcessRunner.layer, NodeContext.layer])
  )

/** The same services through REST. */
export const rest = (emulator: Emulator.Service) =>
  Layer.mergeAll(AstroApi.layer(account(emulator)), AstroProject.layer).pipe(
    Layer.provide([FetchHttpClient.layer, NodeContext.layer])
  )
