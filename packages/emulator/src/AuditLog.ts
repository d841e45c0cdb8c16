/**
 * What happened in an emulator, for tests to assert on: which deployments were awake, which token a request came with,
 * what is left. Times are epoch milliseconds. It never contains the value of a token.
 *
 * @since 0.1.0
 */
import type { Status } from "./Lifecycle.js"

/**
 * A request and the status of its response. `status` is 0 if the connection was dropped. For a late request it is the
 * status of what was carried out, even if no response was sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface RequestRecord {
  /** When the request arrived; when it was carried out if it was late. */
  readonly at: number
  readonly method: string
  /** With the query, but without signatures and tokens. */
  readonly path: string
  readonly status: number
  /** The id of a token that the emulator issued, `sha256:` and eight digits for any other, `null` without one. */
  readonly token: string | null
  /** The deployment whose Airflow was called; `null` for requests to Astro and GitHub. */
  readonly deploymentId: string | null
}

/**
 * A status of a deployment, and since when it had it.
 *
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
 * A token that belongs or belonged to a deployment. It stays here after either was deleted.
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
 * Everything so far. A later audit does not change an earlier one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Audit {
  readonly requests: ReadonlyArray<RequestRecord>
  /** Every status of every deployment so far, oldest first, deleted deployments included. */
  readonly states: ReadonlyArray<StateRecord>
  readonly deployments: ReadonlyArray<DeploymentRecord>
  /** Names of the deployments that were not requested to hibernate. These cost money. */
  readonly awake: ReadonlyArray<string>
  /** The deployments' tokens that were not deleted. */
  readonly tokens: ReadonlyArray<{ readonly id: string; readonly name: string; readonly deploymentId: string }>
  /** Every token that a deployment ever had, oldest first. */
  readonly issued: ReadonlyArray<IssuedRecord>
}
