import { AstroApi } from "@airflow-resource/astro"
import { Emulator } from "@airflow-resource/emulator"
import { FetchHttpClient } from "@effect/platform"
import { Effect, Layer, Option } from "effect"
import { suite } from "../../core/test/provider/DeploymentProvider.suite.js"

suite(
  "AstroApi over the emulator",
  Layer.unwrapEffect(
    Effect.map(
      Emulator.Emulator,
      ({ astroApiUrl, astroToken, workspaceId }) =>
        AstroApi.layer({ apiUrl: astroApiUrl, token: astroToken, workspaceId, organizationId: Option.none() })
    )
  ).pipe(
    Layer.provide([Emulator.layer({ speed: 1000 }), FetchHttpClient.layer])
  )
)
