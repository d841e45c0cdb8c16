/**
 * What happened, for tests to ask: what was awake, who wrote with which token, what is left. Times are epoch
 * milliseconds. No token's value is ever in it.
 *
 * @since 0.1.0
 */
import type { Status } from "./Power.js"

/**
 * A request and its answer. `status` is 0 where the connection was dropped; a late request has the status of what was
 * done, whether or not it was answered. `token` is the id of a token the emulator issued, `sha256:` and eight digits for
 * any other, `null` without one.
 *
 * @since 0.1.0
 * @category models
 */
export interface RequestRecord {
  /** When it arrived; for a late request, when it was carried out. */
  readonly at: number
  readonly method: string
  /** With the query, signed parameters left out. */
  readonly path: string
  readonly status: number
  readonly token: string | null
  /** The deployment whose Airflow was asked; `null` for Astro's and GitHub's requests. */
  readonly deploymentId: string | null
}

/**
 * @since 0.1.0
 * @category models
 */
export interface StateRecord {
  readonly at: number
  readonly deploymentId: string
  readonly status: Status | "DELETED"
}

/**
 * A deployment that still exists, with its own tokens.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeploymentRecord {
  readonly id: string
  readonly name: string
  readonly description: string
  readonly status: Status
  readonly hibernationRequested: boolean
  readonly tokens: ReadonlyArray<{ readonly id: string; readonly name: string }>
}

/**
 * A token of a deployment, whatever has become of either.
 *
 * @since 0.1.0
 * @category models
 */
export interface IssuedRecord {
  readonly id: string
  readonly name: string
  readonly deploymentId: string
  readonly createdAt: number
  readonly deletedAt: number | null
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Audit {
  readonly requests: ReadonlyArray<RequestRecord>
  /** Every status of every deployment so far, deleted ones included, in the order of time. */
  readonly states: ReadonlyArray<StateRecord>
  readonly deployments: ReadonlyArray<DeploymentRecord>
  /** Names of the deployments that are neither hibernating nor on the way there: what costs money. */
  readonly awake: ReadonlyArray<string>
  /** Tokens of deployments that were not deleted. */
  readonly tokens: ReadonlyArray<{ readonly id: string; readonly name: string; readonly deploymentId: string }>
  /** Every token that a deployment ever had, in the order of time. */
  readonly issued: ReadonlyArray<IssuedRecord>
}
