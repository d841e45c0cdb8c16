/** What defines a provider: `table.ts` lists them all. */
import type { PoolOptions } from "@airflow-resource/core/DeploymentPool"
import type { Account, ProviderError } from "@airflow-resource/core/DeploymentProvider"
import type { EmulatorError } from "@airflow-resource/emulator/Emulator"
import type * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Delivery } from "../delivery/table.js"
import type { Checks } from "../doctor/verdict.js"
import type { Variables } from "../variable.js"
import type { Parts, Platform } from "./parts.js"

/** What the checks of a provider depend on besides its own variables. */
export interface CheckContext {
  readonly project: Project
  /** `undefined`: AIRFLOW_RESOURCE_DELIVERY is invalid. */
  readonly delivery: Delivery["_tag"] | undefined
  readonly fence: NonNullable<PoolOptions["fence"]>
  /** The longest time from the request for a lease to the end of that lease. */
  readonly longestLease: Duration.Duration
}

/** What a provider may depend on besides its own variables. */
export interface Project {
  /** Resolves a path relative to the project's root. */
  readonly resolve: (path: string) => string
  /** The ledger's file. */
  readonly cache: Config.Config<string>
  /** What its `.env` says that this library does not read. */
  readonly airflowVariables: Readonly<Record<string, Redacted.Redacted>>
}

/** Why a provider cannot be opened. */
export type OpenError = EmulatorError | ProviderError

/** A provider whose account was checked, and the variables that pass the result to other processes. */
export interface Checked<P> {
  readonly provider: P
  readonly environment: Readonly<Record<string, string>>
}

export interface ProviderDefinition<P extends { readonly _tag: string }> {
  readonly tag: P["_tag"]
  /** In a few words, for messages: "Astro, through the astro CLI". */
  readonly title: string
  /** The variables that only this provider reads. */
  readonly variables: Variables
  /** Reads them. */
  readonly config: (project: Project) => Config.Config<P>
  /** What AIRFLOW_RESOURCE_DELIVERY may be, and the delivery that each name stands for. */
  readonly deliveries: Readonly<Record<string, Delivery["_tag"]>>
  /** One of those names. */
  readonly defaultDelivery: string
  /** Whether other processes can use its deployments. If not, there is no pool to share, and its ledger is temporary. */
  readonly isShared: boolean
  /** The default of AIRFLOW_RESOURCE_MAX [that of all pools]. */
  readonly defaultMax?: number
  /** Makes the provider ready for use, until the scope closes. */
  readonly open: (provider: P) => Effect.Effect<Parts, OpenError, Scope.Scope | Platform>
  /** Remembers that the account was checked. Absent: the provider has no account that needs a check. */
  readonly remember?: (provider: P, account: Account) => Effect.Effect<Checked<P>>
  /** What `doctor` checks for it. */
  readonly checks: (context: CheckContext) => Effect.Effect<Checks, never, Platform>
}
