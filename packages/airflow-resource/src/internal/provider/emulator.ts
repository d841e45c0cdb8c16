/** Deployments on an emulated Astro in this process. */
import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import * as Emulator from "@airflow-resource/emulator/Emulator"
import * as GithubConfig from "@airflow-resource/github/GithubConfig"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import type { AstroApiProvider } from "./astro.js"
import * as Astro from "./astro.js"
import type { ProviderDefinition } from "./definition.js"
import type { Parts } from "./parts.js"

/** An emulator of Astro, GitHub and Airflow that is started in this process. */
export interface EmulatorProvider {
  readonly _tag: "Emulator"
  readonly options: Emulator.Options
}

/** A hundred times as fast as Astro. */
export const defaultOptions: Emulator.Options = { speed: 100 }

export const emulator: ProviderDefinition<EmulatorProvider> = {
  tag: "Emulator",
  title: "an emulated Astro in this process",
  variables: {},
  config: () => Config.succeed({ _tag: "Emulator", options: defaultOptions }),
  deliveries: { secrets: "EmulatedSecrets", astro: "Astro", none: "None" },
  defaultDelivery: "secrets",
  isShared: false,
  open: ({ options }) => Effect.flatMap(Emulator.make(options), partsOf),
  checks: () => Effect.succeed({})
}

/** The variables with which the library uses an emulator, in this process or in another one. */
export const variables = (emulator: Emulator.Service) => {
  const [region] = emulator.regions
  return {
    AIRFLOW_RESOURCE_PROVIDER: "api",
    ASTRO_API_URL: emulator.astroApiUrl,
    ASTRO_ACCESS_TOKEN: Redacted.value(emulator.astroToken),
    ASTRO_ORGANIZATION_ID: emulator.organizationId,
    ASTRO_WORKSPACE_ID: emulator.workspaceId,
    ASTRO_CLOUD_PROVIDER: region?.cloudProvider ?? "",
    ASTRO_REGION: region?.region ?? "",
    ASTRO_RUNTIME_VERSION: emulator.runtimeVersions[0] ?? "",
    GITHUB_API_URL: emulator.githubApiUrl,
    AIRFLOW_GITHUB_TOKEN: Redacted.value(emulator.githubToken),
    AIRFLOW_REPO: emulator.repository
  }
}

/** The provider for an emulator that is already running. */
export const partsOf = (emulator: Emulator.Service): Effect.Effect<Parts> =>
  Effect.gen(function*() {
    const { github, provider } = yield* ConfigProvider.fromMap(new Map(Object.entries(variables(emulator)))).load(
      Config.all({ provider: Astro.apiConfig, github: GithubConfig.config })
    )
    const { pool, ...parts } = Astro.partsOf(atSpeed(provider, emulator))
    const scaled = (onAstro: Duration.DurationInput) => Duration.times(onAstro, 1 / emulator.speed)
    return {
      ...parts,
      pool: {
        ...pool,
        revocationWait: scaled(DeploymentPool.defaults.revocationWait),
        reset: { settle: scaled("10 seconds") }
      },
      github
    }
  }).pipe(Effect.orDie)

/** An emulator allows more requests per second than Astro, in proportion to its speed. */
export const atSpeed = (provider: AstroApiProvider, { speed }: Emulator.Service): AstroApiProvider => ({
  ...provider,
  account: { ...provider.account, rates: Record.map(AstroConfig.defaults.rates, (perSecond) => perSecond * speed) }
})
