/** All providers, by the value of AIRFLOW_RESOURCE_PROVIDER. A new one is a file beside this one, and a line here. */
import type { Account } from "@airflow-resource/core/DeploymentProvider"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { astroApi, astroCli } from "./astro.js"
import type { Checked, ProviderDefinition } from "./definition.js"
import { emulator } from "./emulator.js"
import { local } from "./local.js"

const table = { cli: astroCli, api: astroApi, local, emulator }

export type Provider = Config.Config.Success<ReturnType<(typeof table)[keyof typeof table]["config"]>>

export type ProviderName = keyof typeof table

export const names = Object.keys(table) as ReadonlyArray<ProviderName>

export const defaultName: ProviderName = "cli"

/** Safe, since a definition is only given providers of its own tag. */
const erased = (definition: (typeof table)[ProviderName]) => definition as unknown as ProviderDefinition<Provider>

export const all: ReadonlyArray<ProviderDefinition<Provider>> = Object.values(table).map(erased)

export const named = (name: ProviderName): ProviderDefinition<Provider> => erased(table[name])

const definitionOf = ({ _tag }: Provider): ProviderDefinition<Provider> => all.find(({ tag }) => tag === _tag)!

export const open = (provider: Provider) => definitionOf(provider).open(provider)

export const remember = (provider: Provider, account: Account): Effect.Effect<Checked<Provider>> =>
  definitionOf(provider).remember?.(provider, account) ?? Effect.succeed({ provider, environment: {} })
