/** Deployments on Astro, through the astro CLI or over REST. */
import * as AstroAccount from "@airflow-resource/astro/AstroAccount"
import * as AstroApi from "@airflow-resource/astro/AstroApi"
import * as AstroCli from "@airflow-resource/astro/AstroCli"
import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
import * as AstroDelivery from "@airflow-resource/astro/AstroDelivery"
import * as AstroProject from "@airflow-resource/astro/AstroProject"
import type { DeploymentSpec } from "@airflow-resource/core/Deployment"
import type { Account } from "@airflow-resource/core/DeploymentProvider"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Verdict from "../doctor/verdict.js"
import * as AstroChecks from "./astroChecks.js"
import type { ProviderDefinition } from "./definition.js"
import type { Parts } from "./parts.js"

interface OnAstro {
  readonly account: AstroConfig.AstroConfig
  /** A token that all leases use for their Airflows, in place of a token of their own. */
  readonly apiToken: Option.Option<Redacted.Redacted>
  /** The deployment that a lease gets by default. */
  readonly spec: DeploymentSpec
}

/** Deployments on Astro, through the astro CLI. */
export interface AstroCliProvider extends OnAstro {
  readonly _tag: "AstroCli"
  /** The path of the astro CLI. `None`: the first `astro` on the PATH. */
  readonly bin: Option.Option<string>
}

/** Deployments on Astro, over its REST API. */
export interface AstroApiProvider extends OnAstro {
  readonly _tag: "AstroApi"
}

const { ASTRO_BIN, ...variables } = AstroConfig.variables

const onAstro = { account: AstroConfig.config, apiToken: AstroConfig.apiToken, spec: AstroConfig.spec }

const remember = <P extends OnAstro>(provider: P, account: Account) =>
  Effect.map(AstroAccount.encode(provider.account, account), (checked) => ({
    provider: { ...provider, account: { ...provider.account, checked: Option.some(checked) } },
    environment: { [AstroConfig.accountVariable]: checked }
  }))

const deliveries = {
  deliveries: { secrets: "Secrets", astro: "Astro", none: "None" },
  defaultDelivery: "secrets"
} as const

export const astroCli: ProviderDefinition<AstroCliProvider> = {
  tag: "AstroCli",
  title: "Astro, through the astro CLI",
  variables: { ...variables, ASTRO_BIN },
  config: () =>
    Config.map(
      Config.all({ ...onAstro, bin: AstroConfig.bin }),
      (provider) => ({ _tag: "AstroCli", ...provider })
    ),
  ...deliveries,
  isShared: true,
  open: (provider) => {
    const cli = Layer.provide(AstroCli.layer({ ...provider.account, bin: Option.getOrUndefined(provider.bin) }))
    return Effect.succeed({
      pool: poolOf(provider),
      provider: AstroApi.layer(provider.account).pipe(Layer.provide(AstroCli.layerHttpClient), cli),
      projects: cli(AstroProject.layerCli),
      deploy: (dags) => cli(AstroDelivery.layer({ dags }))
    })
  },
  remember,
  checks: (context) =>
    AstroChecks.checks(context, {
      "astro CLI": AstroChecks.program({ deploys: context.delivery === "Astro" })
    })
}

/** Reads a provider over REST. */
export const apiConfig: Config.Config<AstroApiProvider> = Config.map(
  Config.all(onAstro),
  (provider) => ({ _tag: "AstroApi", ...provider })
)

export const astroApi: ProviderDefinition<AstroApiProvider> = {
  tag: "AstroApi",
  title: "Astro, over its REST API",
  variables,
  config: () => apiConfig,
  ...deliveries,
  isShared: true,
  open: (provider) => Effect.succeed(partsOf(provider)),
  remember,
  checks: (context) =>
    AstroChecks.checks(context, {
      "astro CLI": Effect.succeed(Verdict.skip("not needed with AIRFLOW_RESOURCE_PROVIDER=api"))
    })
}

/** A provider over REST. */
export const partsOf = (provider: AstroApiProvider): Parts => ({
  pool: poolOf(provider),
  provider: AstroApi.layer(provider.account),
  projects: AstroProject.layer,
  deploy: (dags) => AstroDelivery.layerApi({ ...provider.account, dags })
})

const poolOf = ({ account, apiToken, spec }: OnAstro) => ({
  spec,
  sharedToken: Option.getOrElse(apiToken, () => account.token)
})
